package inspect

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"
)

// maxDepth bounds how deep values within values are written, and maxBits the
// numbers that are: to write one takes the square of its length.
const (
	maxDepth = 6
	maxBits  = 2048
)

// Text writes a value as a Starlark literal, as far as it has one, in about limit
// bytes. What does not fit is left out and counted: "[1, 2, ... 998 more]".
func Text(v starlark.Value, limit int) string {
	w := writer{room: limit}
	w.value(v, 0)
	return w.b.String()
}

// writer writes values until its room is used up.
type writer struct {
	b    strings.Builder
	room int
}

func (w *writer) write(s string) {
	w.b.WriteString(s)
	w.room -= len(s)
}

func (w *writer) value(v starlark.Value, depth int) {
	switch v := v.(type) {
	case starlark.String:
		w.quoted(string(v), false)
	case starlark.Bytes:
		w.quoted(string(v), true)
	case starlark.Int:
		w.integer(v)
	case *starlark.List:
		w.sequence("[", "]", v.Len(), depth, func(i int) { w.value(v.Index(i), depth+1) })
	case starlark.Tuple:
		closing := ")"
		if len(v) == 1 {
			closing = ",)"
		}
		w.sequence("(", closing, len(v), depth, func(i int) { w.value(v[i], depth+1) })
	case *starlark.Dict:
		w.dict(v, depth)
	case *starlark.Set:
		iter := v.Iterate()
		defer iter.Done()
		w.sequence("set([", "])", v.Len(), depth, func(int) {
			var elem starlark.Value
			iter.Next(&elem)
			w.value(elem, depth+1)
		})
	case *starlarkstruct.Struct:
		names := v.AttrNames()
		w.sequence("struct(", ")", len(names), depth, func(i int) {
			w.write(names[i] + " = ")
			if attr, err := v.Attr(names[i]); err == nil {
				w.value(attr, depth+1)
			}
		})
	default:
		// Messages bound their text themselves, all else is short.
		w.cut(v.String())
	}
}

// sequence writes n parts between brackets, as many as there is room for.
func (w *writer) sequence(opening, closing string, n, depth int, part func(i int)) {
	w.write(opening)
	for i := range n {
		if w.room <= 0 || depth == maxDepth {
			w.write(fmt.Sprintf("... %d more", n-i))
			break
		}
		part(i)
		if i < n-1 {
			w.write(", ")
		}
	}
	w.write(closing)
}

func (w *writer) dict(d *starlark.Dict, depth int) {
	iter := d.Iterate()
	defer iter.Done()
	w.sequence("{", "}", d.Len(), depth, func(int) {
		var key starlark.Value
		iter.Next(&key)
		w.value(key, depth+1)
		w.write(": ")
		if value, found, err := d.Get(key); found && err == nil {
			w.value(value, depth+1)
		}
	})
}

// quoted writes a string or bytes literal, and behind one that is cut its length.
func (w *writer) quoted(s string, isBytes bool) {
	short := head(s, w.room)
	w.write(syntax.Quote(short, isBytes))
	if len(short) < len(s) {
		w.write(fmt.Sprintf("... %d bytes", len(s)))
	}
}

func (w *writer) integer(i starlark.Int) {
	if _, ok := i.Int64(); !ok {
		if bits := i.BigInt().BitLen(); bits > maxBits {
			w.write(fmt.Sprintf("<int of %d bits>", bits))
			return
		}
	}
	w.write(i.String())
}

func (w *writer) cut(s string) {
	short := head(s, w.room)
	w.write(short)
	if len(short) < len(s) {
		w.write(fmt.Sprintf("... %d bytes", len(s)))
	}
}

// head gives the first limit bytes of s or a few less, not to cut a character.
func head(s string, limit int) string {
	limit = max(limit, 0)
	if len(s) <= limit {
		return s
	}
	for n := 0; n < utf8.UTFMax-1 && limit > 0 && !utf8.RuneStart(s[limit]); n++ {
		limit--
	}
	return s[:limit]
}

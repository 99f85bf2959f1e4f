package starlarkpb

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	// MaxText bounds the length in bytes of what str gives for a value of this
	// package. What does not fit is left out, and the text ends in "...".
	MaxText = 64 << 10
	// maxTextDepth bounds the levels of messages that str shows; deeper ones are
	// shown as "TaskResult(...)".
	maxTextDepth = 32
)

// printer writes text up to a length. The work beyond it is not done.
type printer struct {
	buf  strings.Builder
	full bool
}

func (p *printer) write(s string) {
	if p.full {
		return
	}
	if room := MaxText - len("...") - p.buf.Len(); len(s) > room {
		for room > 0 && !utf8.RuneStart(s[room]) {
			room--
		}
		s, p.full = s[:room]+"...", true
	}
	p.buf.WriteString(s)
}

// quoted writes a string or bytes literal. Only what fits is quoted.
func (p *printer) quoted(s string, isBytes bool) {
	if room := MaxText - p.buf.Len(); len(s) > room {
		s = s[:max(room, 0)]
	}
	p.write(syntax.Quote(s, isBytes))
}

func printMessage(m protoreflect.Message) string {
	var p printer
	p.message(m, 0)
	return p.buf.String()
}

func printRepeated(r *Repeated) string {
	var p printer
	p.write("[")
	for i, e := range r.elems {
		if p.full {
			break
		}
		if i > 0 {
			p.write(", ")
		}
		p.singular(r.fd, goValue(r.fd, e), 0)
	}
	p.write("]")
	return p.buf.String()
}

func printMap(m *Map) string {
	var p printer
	p.write("{")
	for i, k := range m.sorted() {
		if p.full {
			break
		}
		p.entry(i, m.fd, protoreflect.ValueOf(k), goValue(m.fd.MapValue(), m.vals[k]), 0)
	}
	p.write("}")
	return p.buf.String()
}

// printKey renders a map key that a script chose, for an error.
func printKey(k starlark.Value) string {
	switch k := k.(type) {
	case starlark.String:
		return quote(string(k))
	case starlark.Int:
		if i, ok := k.Int64(); ok {
			return strconv.FormatInt(i, 10)
		}
	case starlark.Bool:
		return k.String()
	}
	return k.Type()
}

func (p *printer) message(m protoreflect.Message, depth int) {
	p.write(typeName(m.Descriptor()))
	if depth >= maxTextDepth {
		p.write("(...)")
		return
	}
	p.write("(")
	fields := m.Descriptor().Fields()
	first := true
	for i := range fields.Len() {
		fd := fields.Get(i)
		if !m.Has(fd) {
			continue
		}
		if !first {
			p.write(", ")
		}
		first = false
		p.write(string(fd.Name()) + "=")
		p.field(fd, m.Get(fd), depth)
	}
	p.write(")")
}

func (p *printer) field(fd protoreflect.FieldDescriptor, v protoreflect.Value, depth int) {
	switch {
	case fd.IsMap():
		p.write("{")
		for i, k := range sortedKeys(v.Map()) {
			if p.full {
				break
			}
			p.entry(i, fd, k.Value(), v.Map().Get(k), depth)
		}
		p.write("}")
	case fd.IsList():
		p.write("[")
		for i := 0; i < v.List().Len() && !p.full; i++ {
			if i > 0 {
				p.write(", ")
			}
			p.singular(fd, v.List().Get(i), depth)
		}
		p.write("]")
	default:
		p.singular(fd, v, depth)
	}
}

func (p *printer) entry(i int, fd protoreflect.FieldDescriptor, k, v protoreflect.Value, depth int) {
	if i > 0 {
		p.write(", ")
	}
	p.singular(fd.MapKey(), k, depth)
	p.write(": ")
	p.singular(fd.MapValue(), v, depth)
}

func (p *printer) singular(fd protoreflect.FieldDescriptor, v protoreflect.Value, depth int) {
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		p.message(v.Message(), depth+1)
	case protoreflect.StringKind:
		p.quoted(v.String(), false)
	case protoreflect.BytesKind:
		// The part that may fit is cut before it is copied to a string.
		b := v.Bytes()
		p.quoted(string(b[:min(len(b), MaxText)]), true)
	default:
		p.write(scalar(fd, v).String())
	}
}

func sortedKeys(m protoreflect.Map) []protoreflect.MapKey {
	keys := make([]protoreflect.MapKey, 0, m.Len())
	m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, k)
		return true
	})
	slices.SortFunc(keys, func(a, b protoreflect.MapKey) int { return compareKeys(a.Interface(), b.Interface()) })
	return keys
}

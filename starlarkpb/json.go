package starlarkpb

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"go.starlark.net/starlark"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	// MaxJSONDepth bounds how deep the JSON of a value may nest.
	MaxJSONDepth = 64
	// MaxJSON bounds the length in bytes of the JSON of a value.
	MaxJSON = 8 << 20
)

var (
	errJSONDepth = fmt.Errorf("json: nested deeper than %d", MaxJSONDepth)
	errJSONSize  = fmt.Errorf("json: larger than %d MiB", MaxJSON>>20)
	errJSONFloat = errors.New("json: no JSON for a float that is not finite")
)

// MarshalJSON gives the message as JSON: an object of the fields that are set,
// under their proto names and in order of declaration, enums and 64-bit integers
// as numbers, bytes in base64, maps in order of their keys. A google.protobuf.Any
// is {"@type": URL, ...} with the fields of its message, or with "value" where
// unpack gives a native value; a payload that cannot be unpacked is its base64 as
// "value". The result is deterministic. It is an error if it would exceed
// MaxJSONDepth or MaxJSON, or if a number is not finite.
func (m *Message) MarshalJSON() ([]byte, error) {
	var e encoder
	if err := e.message(m.snapshot(), 1); err != nil {
		return nil, fmt.Errorf("%s: %w", m.Type(), err)
	}
	return e.buf, nil
}

// MarshalJSON gives the elements as a JSON array; see [Message.MarshalJSON].
func (r *Repeated) MarshalJSON() ([]byte, error) {
	var e encoder
	err := e.list(len(r.elems), 1, func(i int) error {
		return e.singular(r.fd, goValue(r.fd, r.elems[i]), 1)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.where(), err)
	}
	return e.buf, nil
}

// MarshalJSON gives the entries as a JSON object; see [Message.MarshalJSON].
func (m *Map) MarshalJSON() ([]byte, error) {
	var e encoder
	keys := m.sorted()
	err := e.object(len(keys), 1, func(i int) (string, error) {
		return protoreflect.ValueOf(keys[i]).MapKey().String(), nil
	}, func(i int) error {
		return e.singular(m.fd.MapValue(), goValue(m.fd.MapValue(), m.vals[keys[i]]), 1)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.where(), err)
	}
	return e.buf, nil
}

// encoder appends JSON to buf, within the bounds.
type encoder struct{ buf []byte }

// room fails if n more bytes would be too many.
func (e *encoder) room(n int) error {
	if n > MaxJSON-len(e.buf) {
		return errJSONSize
	}
	return nil
}

func (e *encoder) raw(s string) error {
	if err := e.room(len(s)); err != nil {
		return err
	}
	e.buf = append(e.buf, s...)
	return nil
}

// list writes an array that stands at depth.
func (e *encoder) list(n, depth int, elem func(i int) error) error {
	if depth > MaxJSONDepth {
		return errJSONDepth
	}
	e.buf = append(e.buf, '[')
	for i := range n {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		if err := elem(i); err != nil {
			return err
		}
	}
	e.buf = append(e.buf, ']')
	return e.room(0)
}

// object writes an object that stands at depth.
func (e *encoder) object(n, depth int, key func(i int) (string, error), value func(i int) error) error {
	if depth > MaxJSONDepth {
		return errJSONDepth
	}
	e.buf = append(e.buf, '{')
	for i := range n {
		k, err := key(i)
		if err == nil {
			err = e.key(i == 0, k)
		}
		if err == nil {
			err = value(i)
		}
		if err != nil {
			return err
		}
	}
	e.buf = append(e.buf, '}')
	return e.room(0)
}

func (e *encoder) key(first bool, k string) error {
	if !first {
		e.buf = append(e.buf, ',')
	}
	if err := e.string(k); err != nil {
		return err
	}
	e.buf = append(e.buf, ':')
	return nil
}

func (e *encoder) message(m protoreflect.Message, depth int) error {
	if isAny(m.Descriptor()) {
		return e.any(m, depth)
	}
	if depth > MaxJSONDepth {
		return errJSONDepth
	}
	e.buf = append(e.buf, '{')
	if err := e.fields(m, depth, true); err != nil {
		return err
	}
	e.buf = append(e.buf, '}')
	return e.room(0)
}

func (e *encoder) fields(m protoreflect.Message, depth int, first bool) error {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if !m.Has(fd) {
			continue
		}
		if err := e.key(first, string(fd.Name())); err != nil {
			return err
		}
		first = false
		if err := e.field(fd, m.Get(fd), depth); err != nil {
			return err
		}
	}
	return nil
}

func (e *encoder) field(fd protoreflect.FieldDescriptor, v protoreflect.Value, depth int) error {
	switch {
	case fd.IsMap():
		keys := sortedKeys(v.Map())
		return e.object(len(keys), depth+1, func(i int) (string, error) {
			return keys[i].String(), nil
		}, func(i int) error {
			return e.singular(fd.MapValue(), v.Map().Get(keys[i]), depth+1)
		})
	case fd.IsList():
		return e.list(v.List().Len(), depth+1, func(i int) error {
			return e.singular(fd, v.List().Get(i), depth+1)
		})
	default:
		return e.singular(fd, v, depth)
	}
}

func (e *encoder) singular(fd protoreflect.FieldDescriptor, v protoreflect.Value, depth int) error {
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return e.message(v.Message(), depth+1)
	case protoreflect.StringKind:
		return e.string(v.String())
	case protoreflect.BytesKind:
		return e.base64(v.Bytes())
	default:
		return e.native(scalar(fd, v), depth)
	}
}

// any writes a google.protobuf.Any.
func (e *encoder) any(m protoreflect.Message, depth int) error {
	if depth > MaxJSONDepth {
		return errJSONDepth
	}
	url, payload := anyParts(m)
	if err := e.raw(`{"@type":`); err != nil {
		return err
	}
	if err := e.string(url); err != nil {
		return err
	}
	content, err := decodeAny(url, payload)
	switch {
	case err != nil:
		err = e.key(false, "value")
		if err == nil {
			err = e.base64(payload)
		}
	case isAny(content.Descriptor()):
		err = e.key(false, "value")
		if err == nil {
			err = e.message(content, depth+1)
		}
	case isNative(content.Descriptor()):
		err = e.key(false, "value")
		if err == nil {
			err = e.nativeMessage(content, depth)
		}
	default:
		err = e.fields(content, depth, false)
	}
	if err != nil {
		return err
	}
	return e.raw("}")
}

func (e *encoder) nativeMessage(m protoreflect.Message, depth int) error {
	v, err := toNative(m, nil)
	if err != nil {
		return err
	}
	return e.native(v, depth)
}

// native writes a value that toNative or scalar gave.
func (e *encoder) native(v starlark.Value, depth int) error {
	switch v := v.(type) {
	case starlark.NoneType:
		return e.raw("null")
	case starlark.Bool:
		return e.raw(strconv.FormatBool(bool(v)))
	case starlark.Int:
		return e.raw(v.String())
	case starlark.Float:
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return errJSONFloat
		}
		return e.raw(v.String()) // Always with a point or an exponent, as json.encode does.
	case starlark.String:
		return e.string(string(v))
	case starlark.Bytes:
		return e.base64([]byte(v))
	case *starlark.List:
		return e.list(v.Len(), depth+1, func(i int) error { return e.native(v.Index(i), depth+1) })
	case *starlark.Dict:
		items := v.Items()
		return e.object(len(items), depth+1, func(i int) (string, error) {
			k, _ := starlark.AsString(items[i][0])
			return k, nil
		}, func(i int) error { return e.native(items[i][1], depth+1) })
	}
	return fmt.Errorf("json: cannot encode %s", v.Type())
}

func (e *encoder) base64(b []byte) error {
	if err := e.room(base64.StdEncoding.EncodedLen(len(b)) + 2); err != nil {
		return err
	}
	e.buf = append(e.buf, '"')
	e.buf = base64.StdEncoding.AppendEncode(e.buf, b)
	e.buf = append(e.buf, '"')
	return nil
}

// string writes a string literal. Bytes that are no UTF-8 become U+FFFD.
func (e *encoder) string(s string) error {
	const hex = "0123456789abcdef"
	if err := e.room(len(s) + 2); err != nil {
		return err
	}
	e.buf = append(e.buf, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			e.buf = utf8.AppendRune(e.buf, r)
			i += size
			continue
		}
		i++
		switch {
		case c == '"' || c == '\\':
			e.buf = append(e.buf, '\\', c)
		case c == '\n':
			e.buf = append(e.buf, '\\', 'n')
		case c == '\r':
			e.buf = append(e.buf, '\\', 'r')
		case c == '\t':
			e.buf = append(e.buf, '\\', 't')
		case c < ' ' || c == 0x7f:
			e.buf = append(e.buf, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			e.buf = append(e.buf, c)
		}
	}
	e.buf = append(e.buf, '"')
	return e.room(0)
}

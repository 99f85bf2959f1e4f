package predeclared

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	starlarkjson "go.starlark.net/lib/json"
	"go.starlark.net/starlark"

	"starplan/plan/execution"
)

// The limits of JSON texts, both read and written.
const (
	// MaxJSONDepth is the number of arrays and objects that may lie in each other.
	MaxJSONDepth = 64
	// MaxJSONSize is in bytes.
	MaxJSONSize = 16 << 20
)

func jsonModule() starlark.Value {
	return newLibrary("json", starlark.StringDict{
		"encode":        starlark.NewBuiltin("json.encode", jsonEncode),
		"encode_indent": starlark.NewBuiltin("json.encode_indent", jsonEncodeIndent),
		"decode":        starlark.NewBuiltin("json.decode", jsonDecode),
		"indent":        starlark.NewBuiltin("json.indent", jsonIndent),
	})
}

// jsonDecode is json.decode(text, default=…). With a default it never fails for
// what the text holds, only for wrong arguments and the step limit.
func jsonDecode(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var text string
	var fallback starlark.Value
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "x", &text, "default?", &fallback); err != nil {
		return nil, err
	}
	v, err := decodeText(thread, text)
	switch {
	case err == nil:
		return v, nil
	case fallback != nil && !errors.Is(err, errSteps):
		return fallback, nil
	default:
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
}

// upstreamDecode is the decoder of the standard module, which this one wraps: it
// has no limits and accepts control characters in strings and numbers as "1.".
var upstreamDecode = starlarkjson.Module.Members["decode"].(*starlark.Builtin)

func decodeText(thread *starlark.Thread, text string) (starlark.Value, error) {
	if err := checkShape(thread, text); err != nil {
		return nil, err
	}
	// The strict check comes first, since its errors are about the text alone.
	if data := []byte(text); !json.Valid(data) {
		var skip json.RawMessage
		err := json.Unmarshal(data, &skip)
		var fault *json.SyntaxError
		if errors.As(err, &fault) {
			return nil, fmt.Errorf("at offset %d: %s", fault.Offset, fault.Error())
		}
		return nil, fmt.Errorf("not valid JSON")
	}
	v, err := upstreamDecode.CallInternal(thread, starlark.Tuple{starlark.String(text)}, nil)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "json.decode: "))
	}
	return v, nil
}

// maxDigits bounds the digits of one number: to convert them takes time that
// grows faster than their count.
const maxDigits = 4096

// checkShape refuses text that is too long, too deep or holds a number too long,
// and charges for it. It does not care whether the text is valid otherwise.
func checkShape(thread *starlark.Thread, text string) error {
	if len(text) > MaxJSONSize {
		return fmt.Errorf("text of %d bytes exceeds the limit of %d", len(text), MaxJSONSize)
	}
	if err := charge(thread, 1+len(text)/bytesPerStep); err != nil {
		return err
	}
	depth, digits := 0, 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		if '0' <= c && c <= '9' {
			if digits++; digits > maxDigits {
				return fmt.Errorf("at offset %d: number of more than %d digits", i, maxDigits)
			}
			continue
		}
		digits = 0
		switch c {
		case '"':
			i = stringEnd(text, i)
		case '[', '{':
			if depth++; depth > MaxJSONDepth {
				return fmt.Errorf("at offset %d: more than %d levels deep", i, MaxJSONDepth)
			}
		case ']', '}':
			depth--
		}
	}
	return nil
}

// stringEnd gives the offset of the quote that ends the string that begins at i,
// or the end of the text.
func stringEnd(text string, i int) int {
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return i
}

func jsonEncode(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x starlark.Value
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &x); err != nil {
		return nil, err
	}
	text, err := encodeValue(thread, x)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	return starlark.String(text), nil
}

func jsonEncodeIndent(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	prefix, indent := "", "\t"
	if err := starlark.UnpackArgs(b.Name(), nil, kwargs, "prefix?", &prefix, "indent?", &indent); err != nil {
		return nil, err
	}
	var x starlark.Value
	if err := starlark.UnpackPositionalArgs(b.Name(), args, nil, 1, &x); err != nil {
		return nil, err
	}
	text, err := encodeValue(thread, x)
	if err == nil {
		text, err = indentText(thread, text, prefix, indent)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	return starlark.String(text), nil
}

func jsonIndent(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	prefix, indent := "", "\t"
	if err := starlark.UnpackArgs(b.Name(), nil, kwargs, "prefix?", &prefix, "indent?", &indent); err != nil {
		return nil, err
	}
	var text string
	if err := starlark.UnpackPositionalArgs(b.Name(), args, nil, 1, &text); err != nil {
		return nil, err
	}
	text, err := indentText(thread, text, prefix, indent)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	return starlark.String(text), nil
}

// indentText refuses to write more than MaxJSONSize before it writes anything.
func indentText(thread *starlark.Thread, text, prefix, indent string) (string, error) {
	if err := checkShape(thread, text); err != nil {
		return "", err
	}
	size, depth := len(text), 0
	for i := 0; i < len(text) && size <= MaxJSONSize; i++ {
		switch text[i] {
		case '"':
			i = stringEnd(text, i)
			continue
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(0, depth-1)
		case ':':
			size++
			continue
		case ',':
		default:
			continue
		}
		size += 1 + len(prefix) + depth*len(indent)
	}
	if size > MaxJSONSize {
		return "", fmt.Errorf("indented text exceeds the limit of %d bytes", MaxJSONSize)
	}
	if err := charge(thread, size/bytesPerStep); err != nil {
		return "", err
	}
	var buf bytes.Buffer
	if err := json.Indent(&buf, []byte(text), prefix, indent); err != nil {
		return "", err
	}
	return buf.String(), nil
}

// encoder writes one value as JSON.
type encoder struct {
	thread *starlark.Thread
	buf    []byte
	// path holds the values around the present one, to tell a cycle from depth.
	path []starlark.Value
}

func encodeValue(thread *starlark.Thread, x starlark.Value) (string, error) {
	e := encoder{thread: thread}
	if err := e.value(x); err != nil {
		return "", err
	}
	return string(e.buf), nil
}

// grow charges for n bytes that are about to be written.
func (e *encoder) grow(n int) error {
	if n > MaxJSONSize-len(e.buf) {
		return fmt.Errorf("text exceeds the limit of %d bytes", MaxJSONSize)
	}
	return charge(e.thread, 1+n/bytesPerStep)
}

func (e *encoder) value(x starlark.Value) error {
	switch x := x.(type) {
	case json.Marshaler:
		return e.marshaler(x)
	case starlark.NoneType:
		return e.raw("null")
	case starlark.Bool:
		if x {
			return e.raw("true")
		}
		return e.raw("false")
	case starlark.Int:
		return e.int(x)
	case starlark.Float:
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return fmt.Errorf("cannot encode non-finite float %v", x)
		}
		return e.raw(x.String())
	case starlark.String:
		return e.string(string(x))
	case starlark.Bytes:
		// Bytes have attributes, their methods; that makes them no object.
		return fmt.Errorf("cannot encode %s as JSON", x.Type())
	case starlark.IterableMapping, starlark.Iterable, starlark.HasAttrs:
		return e.container(x)
	default:
		return fmt.Errorf("cannot encode %s as JSON", x.Type())
	}
}

func (e *encoder) raw(s string) error {
	if err := e.grow(len(s)); err != nil {
		return err
	}
	e.buf = append(e.buf, s...)
	return nil
}

// marshaler takes the JSON of a value that knows it itself, as a protobuf message.
func (e *encoder) marshaler(x json.Marshaler) error {
	data, err := x.MarshalJSON()
	if err != nil {
		return err
	}
	if err := e.grow(len(data)); err != nil {
		return err
	}
	if err := checkDepth(data, MaxJSONDepth-len(e.path)); err != nil {
		return err
	}
	e.buf = append(e.buf, data...)
	return nil
}

// checkDepth refuses JSON of more levels than limit.
func checkDepth(data []byte, limit int) error {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			if depth++; depth > limit {
				return errDepth
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return nil
}

var errDepth = fmt.Errorf("more than %d levels deep", MaxJSONDepth)

// int refuses what its own decoder would refuse. Digits are counted before they
// are written: 4096 digits take 13607 bits.
func (e *encoder) int(x starlark.Int) error {
	if bits := x.BigInt().BitLen(); bits > 13_606 {
		return fmt.Errorf("cannot encode int of %d bits: number of more than %d digits", bits, maxDigits)
	}
	return e.raw(x.String())
}

func (e *encoder) container(x starlark.Value) error {
	if slices.ContainsFunc(e.path, func(outer starlark.Value) bool { return same(outer, x) }) {
		return errors.New("cycle in JSON structure")
	}
	if len(e.path) >= MaxJSONDepth {
		return errDepth
	}
	e.path = append(e.path, x)
	defer func() { e.path = e.path[:len(e.path)-1] }()
	switch x := x.(type) {
	case starlark.IterableMapping:
		return e.mapping(x)
	case starlark.Iterable:
		return e.sequence(x)
	default:
		return e.attrs(x.(starlark.HasAttrs))
	}
}

// same reports whether two values are one and the same container.
func same(x, y starlark.Value) bool {
	switch x := x.(type) {
	case *starlark.List:
		y, ok := y.(*starlark.List)
		return ok && x == y
	case *starlark.Dict:
		y, ok := y.(*starlark.Dict)
		return ok && x == y
	default:
		// Only lists and dicts can be changed to hold themselves.
		return false
	}
}

func (e *encoder) mapping(x starlark.IterableMapping) error {
	items := x.Items()
	if err := charge(e.thread, len(items)); err != nil {
		return err
	}
	for _, item := range items {
		if _, ok := item[0].(starlark.String); !ok {
			return fmt.Errorf("%s has %s key, want string", x.Type(), item[0].Type())
		}
	}
	slices.SortFunc(items, func(a, b starlark.Tuple) int {
		return strings.Compare(string(a[0].(starlark.String)), string(b[0].(starlark.String)))
	})
	e.buf = append(e.buf, '{')
	for i, item := range items {
		if err := e.member(i, string(item[0].(starlark.String)), item[1]); err != nil {
			return at("["+clip(item[0].String())+"]", err)
		}
	}
	e.buf = append(e.buf, '}')
	return nil
}

// member writes the comma, the key and the value of an object.
func (e *encoder) member(i int, key string, v starlark.Value) error {
	if i > 0 {
		e.buf = append(e.buf, ',')
	}
	if err := e.string(key); err != nil {
		return err
	}
	e.buf = append(e.buf, ':')
	return e.value(v)
}

func (e *encoder) sequence(x starlark.Iterable) error {
	e.buf = append(e.buf, '[')
	iter := x.Iterate()
	defer iter.Done()
	var elem starlark.Value
	for i := 0; iter.Next(&elem); i++ {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		if err := e.value(elem); err != nil {
			return at("["+strconv.Itoa(i)+"]", err)
		}
	}
	e.buf = append(e.buf, ']')
	return nil
}

func (e *encoder) attrs(x starlark.HasAttrs) error {
	names := slices.Sorted(slices.Values(x.AttrNames()))
	e.buf = append(e.buf, '{')
	for i, name := range names {
		v, err := x.Attr(name)
		if err == nil && v == nil {
			err = errors.New("no such attribute")
		}
		if err == nil {
			err = e.member(i, name, v)
		}
		if err != nil {
			return at("."+name, err)
		}
	}
	e.buf = append(e.buf, '}')
	return nil
}

// pathError says where in a value an error lies.
type pathError struct {
	path string
	err  error
}

func (e *pathError) Error() string { return "at x" + e.path + ": " + e.err.Error() }
func (e *pathError) Unwrap() error { return e.err }

// maxPath bounds the path in an error. What is dropped is its beginning.
const maxPath = 120

// at puts one step in front of the path of an error.
func at(step string, err error) error {
	var inner *pathError
	switch {
	case !errors.As(err, &inner):
		return &pathError{step, err}
	case strings.HasPrefix(inner.path, "…"):
	case len(inner.path)+len(step) <= maxPath:
		inner.path = step + inner.path
	default:
		inner.path = "…" + inner.path
	}
	return inner
}

const hexDigits = "0123456789abcdef"

// string writes s as RFC 8259 wants it: UTF-8, with quote, backslash and control
// characters escaped. Bytes that are no UTF-8 become U+FFFD.
func (e *encoder) string(s string) error {
	if err := e.grow(len(s) + 2); err != nil {
		return err
	}
	e.buf = append(e.buf, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			e.buf = appendASCII(e.buf, c)
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		e.buf = utf8.AppendRune(e.buf, r)
		i += size
	}
	e.buf = append(e.buf, '"')
	return nil
}

func appendASCII(buf []byte, c byte) []byte {
	switch {
	case c == '"' || c == '\\':
		return append(buf, '\\', c)
	case c == '\n':
		return append(buf, '\\', 'n')
	case c == '\r':
		return append(buf, '\\', 'r')
	case c == '\t':
		return append(buf, '\\', 't')
	case c < 0x20 || c == 0x7f:
		return append(buf, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
	default:
		return append(buf, c)
	}
}

// clip shortens a key in an error message.
func clip(s string) string {
	if short := execution.Cut(s, 60); len(short) < len(s) {
		return short + "…"
	}
	return s
}

package predeclared

import (
	"fmt"
	"math"
	"math/bits"
	"slices"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// The interpreter counts a builtin as one step, whatever it does: max(range(10**10))
// would be one step of a minute. The builtins of Starlark's universe whose work
// grows with their arguments are therefore replaced by ones that charge for it
// first and then do the same. Operators and methods cannot be reached in this way;
// for those there are the limits of the worker.

const (
	// maxText bounds what str, repr, print and fail write, in bytes.
	maxText = 16 << 20
	// maxNesting bounds how deep values may be nested that they write.
	maxNesting = 1000
)

// price is what a call costs, in steps, or why it is refused.
type price func(thread *starlark.Thread, args starlark.Tuple) (int, error)

// prices of the builtins that are replaced.
var prices = map[string]price{
	"all":       perElement,
	"any":       perElement,
	"bytes":     perElement,
	"dict":      perElement,
	"enumerate": perElement,
	"list":      perElement,
	"max":       perElement,
	"min":       perElement,
	"reversed":  perElement,
	"set":       perElement,
	"tuple":     perElement,
	"zip":       perElement,
	"sorted":    perComparison,
	"hash":      perElement,
	"float":     perElement,
	"int":       perDigit,
	"str":       perText,
	"repr":      perText,
	"print":     perText,
	"fail":      perText,
}

// charged gives the replaced builtins by name.
func charged() starlark.StringDict {
	d := make(starlark.StringDict, len(prices))
	for name, price := range prices {
		original := starlark.Universe[name].(*starlark.Builtin)
		d[name] = starlark.NewBuiltin(name, func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			steps, err := price(thread, args)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if err := charge(thread, steps); err != nil {
				return nil, err
			}
			return original.CallInternal(thread, args, kwargs)
		})
	}
	return d
}

// perElement charges a step for each element of each argument, and less for text.
func perElement(_ *starlark.Thread, args starlark.Tuple) (int, error) {
	total := 0
	for _, arg := range args {
		switch arg := arg.(type) {
		case starlark.String:
			total = add(total, len(arg)/bytesPerStep)
		case starlark.Bytes:
			total = add(total, len(arg)/bytesPerStep)
		default:
			total = add(total, max(starlark.Len(arg), 0))
		}
	}
	return total, nil
}

// perComparison charges for the comparisons of a sort.
func perComparison(_ *starlark.Thread, args starlark.Tuple) (int, error) {
	if len(args) == 0 {
		return 0, nil
	}
	n := max(starlark.Len(args[0]), 0)
	return multiply(n, bits.Len(uint(n))), nil
}

// perDigit charges for reading a number. For long ones that takes more than its
// length: a square, by and large.
func perDigit(_ *starlark.Thread, args starlark.Tuple) (int, error) {
	if len(args) == 0 {
		return 0, nil
	}
	text, ok := starlark.AsString(args[0])
	if !ok {
		return 0, nil
	}
	return digits(len(text)), nil
}

// digits is the price of converting between a number and its text of n digits.
func digits(n int) int {
	return add(n/bytesPerStep, multiply(n/64, n/64))
}

// perText charges for the text of values, and refuses one that is too long. Values
// that are contained many times over count as often: that is how they are written.
func perText(_ *starlark.Thread, args starlark.Tuple) (int, error) {
	var m measure
	for _, arg := range args {
		if s, ok := arg.(starlark.String); ok {
			m.text(len(s))
			continue
		}
		m.value(arg)
	}
	return m.steps, m.err
}

// measure adds up what it takes to write values, without writing them. It stops
// where they are too long, so that its own work is bounded as well.
type measure struct {
	bytes, steps int
	path         []starlark.Value // The containers that the present value lies in.
	err          error
}

// text counts n bytes of text.
func (m *measure) text(n int) {
	m.bytes = add(m.bytes, n)
	m.steps = add(m.steps, 1+n/bytesPerStep)
	if m.bytes > maxText && m.err == nil {
		m.err = fmt.Errorf("text of more than %d bytes", maxText)
	}
}

// value counts the text of v.
func (m *measure) value(v starlark.Value) {
	if m.err != nil {
		return
	}
	switch v := v.(type) {
	case starlark.String:
		m.text(len(v) + 2)
	case starlark.Bytes:
		m.text(len(v) + 3)
	case starlark.Int:
		m.integer(v)
	case starlark.Tuple:
		m.text(2)
		m.nested(v, func() {
			for _, elem := range v {
				m.value(elem)
			}
		})
	case *starlark.List:
		m.text(2)
		m.nested(v, func() {
			for i := 0; i < v.Len() && m.err == nil; i++ {
				m.value(v.Index(i))
			}
		})
	case *starlark.Dict:
		m.text(2)
		m.nested(v, func() { m.items(v) })
	case *starlark.Set:
		m.text(5)
		m.nested(v, func() { m.elements(v) })
	case *starlarkstruct.Struct:
		m.text(8)
		m.nested(v, func() {
			for _, name := range v.AttrNames() {
				m.text(len(name) + 3)
				if attr, err := v.Attr(name); err == nil {
					m.value(attr)
				}
			}
		})
	default:
		// Functions, modules and numbers are short; messages bound their text themselves.
		m.text(16)
	}
}

func (m *measure) items(d *starlark.Dict) {
	for key, value := range d.Entries() {
		m.value(key)
		m.value(value)
		if m.err != nil {
			return
		}
	}
}

func (m *measure) elements(s *starlark.Set) {
	iter := s.Iterate()
	defer iter.Done()
	for elem := starlark.Value(nil); m.err == nil && iter.Next(&elem); {
		m.value(elem)
	}
}

func (m *measure) integer(i starlark.Int) {
	n := 20
	if _, ok := i.Int64(); !ok {
		n = i.BigInt().BitLen() * 3 / 10
	}
	m.text(n)
	m.steps = add(m.steps, digits(n))
}

// nested measures what lies in a container. One that lies in itself is written as
// "[...]" by the interpreter.
func (m *measure) nested(v starlark.Value, contents func()) {
	if _, comparable := v.(starlark.Tuple); !comparable && slices.Contains(m.path, v) {
		return
	}
	if len(m.path) == maxNesting {
		m.err = fmt.Errorf("a value that is nested more than %d deep", maxNesting)
		return
	}
	m.path = append(m.path, v)
	contents()
	m.path = m.path[:len(m.path)-1]
}

// add and multiply stay at the largest int where the result would exceed it.
func add(a, b int) int {
	if sum := a + b; sum >= a && b >= 0 {
		return sum
	}
	return math.MaxInt
}

func multiply(a, b int) int {
	if hi, lo := bits.Mul64(uint64(a), uint64(b)); hi == 0 && lo <= math.MaxInt {
		return int(lo)
	}
	return math.MaxInt
}

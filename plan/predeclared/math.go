package predeclared

import (
	"fmt"
	"math"
	"slices"

	"go.starlark.net/starlark"
)

// inexact lists the functions of Python's math that give different results on
// different CPUs: Go computes them in assembly on some, and fuses multiplication
// and addition on others. pow belongs to them, since it is not correctly rounded.
var inexact = []string{
	"acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "cos",
	"cosh", "erf", "erfc", "exp", "exp2", "expm1", "gamma", "hypot", "lgamma", "log",
	"log10", "log1p", "log2", "pow", "sin", "sinh", "tan", "tanh",
}

// InexactMath reports whether math.name is left out because its result differs
// between CPUs.
func InexactMath(name string) bool { return slices.Contains(inexact, name) }

// InexactMathReason says why such a function is left out, as the rest of a
// sentence that begins with its name.
const InexactMathReason = "is left out: its result differs between CPUs, so the same record could give different executions"

func mathModule() starlark.Value {
	l := newLibrary("math", starlark.StringDict{
		"ceil":      starlark.NewBuiltin("math.ceil", integral(math.Ceil)),
		"floor":     starlark.NewBuiltin("math.floor", integral(math.Floor)),
		"round":     starlark.NewBuiltin("math.round", unary(math.Round)),
		"fabs":      starlark.NewBuiltin("math.fabs", unary(math.Abs)),
		"sqrt":      starlark.NewBuiltin("math.sqrt", unary(math.Sqrt)),
		"degrees":   starlark.NewBuiltin("math.degrees", unary(degrees)),
		"radians":   starlark.NewBuiltin("math.radians", unary(radians)),
		"mod":       starlark.NewBuiltin("math.mod", binary(math.Mod)),
		"remainder": starlark.NewBuiltin("math.remainder", binary(math.Remainder)),
		"copysign":  starlark.NewBuiltin("math.copysign", binary(copysign)),
		"pi":        starlark.Float(math.Pi),
		"e":         starlark.Float(math.E),
		"inf":       starlark.Float(math.Inf(1)),
		"nan":       starlark.Float(math.NaN()),
	})
	l.why = func(name string) string {
		if InexactMath(name) {
			return InexactMathReason
		}
		return ""
	}
	return l
}

func degrees(x float64) float64 { return x * (180 / math.Pi) }
func radians(x float64) float64 { return x * (math.Pi / 180) }

// copysign takes a NaN as positive: the sign of a computed NaN differs between
// CPUs, and this function alone could show it.
func copysign(x, sign float64) float64 {
	if math.IsNaN(sign) {
		return math.Abs(x)
	}
	return math.Copysign(x, sign)
}

// number unpacks an int or a float.
type number float64

// Unpack implements starlark.Unpacker.
func (n *number) Unpack(v starlark.Value) error {
	f, ok := starlark.AsFloat(v)
	if !ok {
		return fmt.Errorf("got %s, want float or int", v.Type())
	}
	*n = number(f)
	return nil
}

type builtin = func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error)

func unary(f func(float64) float64) builtin {
	return func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		var x number
		if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &x); err != nil {
			return nil, err
		}
		return starlark.Float(f(float64(x))), nil
	}
}

func binary(f func(x, y float64) float64) builtin {
	return func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		var x, y number
		if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 2, &x, &y); err != nil {
			return nil, err
		}
		return starlark.Float(f(float64(x), float64(y))), nil
	}
}

// integral gives an int: floats of any size convert exactly, and ints pass through.
func integral(f func(float64) float64) builtin {
	return func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		var v starlark.Value
		if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &v); err != nil {
			return nil, err
		}
		switch x := v.(type) {
		case starlark.Int:
			return x, nil
		case starlark.Float:
			i, err := starlark.NumberToInt(starlark.Float(f(float64(x))))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", b.Name(), err)
			}
			return i, nil
		default:
			return nil, fmt.Errorf("%s: got %s, want float or int", b.Name(), v.Type())
		}
	}
}

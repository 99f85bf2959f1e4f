package starlarkpb

import (
	"encoding/json"
	"fmt"
	"slices"

	"go.starlark.net/starlark"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// EnumType is an enum as a Starlark value: a namespace of its values, which are
// ints, with the methods of Python's enum wrappers. It is immutable.
type EnumType struct{ ed protoreflect.EnumDescriptor }

var _ starlark.HasAttrs = (*EnumType)(nil)

// Enum gives an enum as a Starlark value: ExecutionStatus.EXECUTION_STATUS_FAILED
// is 4. A field of the enum may hold numbers that have no name.
func Enum(ed protoreflect.EnumDescriptor) *EnumType { return &EnumType{ed: ed} }

func enumNames(ed protoreflect.EnumDescriptor) []string {
	names := make([]string, ed.Values().Len())
	for i := range names {
		names[i] = string(ed.Values().Get(i).Name())
	}
	return names
}

func number(vd protoreflect.EnumValueDescriptor) starlark.Value {
	return starlark.MakeInt(int(vd.Number()))
}

// String gives a rendering of the enum.
func (e *EnumType) String() string { return "<enum " + string(e.ed.Name()) + ">" }

// Type gives "enum".
func (e *EnumType) Type() string { return "enum" }

// Freeze does nothing.
func (e *EnumType) Freeze() {}

// Truth is true.
func (e *EnumType) Truth() starlark.Bool { return true }

// Hash gives a hash of the full name.
func (e *EnumType) Hash() (uint32, error) { return starlark.String(e.ed.FullName()).Hash() }

// MarshalJSON gives an object of names and numbers.
func (e *EnumType) MarshalJSON() ([]byte, error) {
	var out encoder
	values := e.ed.Values()
	err := out.object(values.Len(), 1,
		func(i int) (string, error) { return string(values.Get(i).Name()), nil },
		func(i int) error { return out.native(number(values.Get(i)), 1) })
	return out.buf, err
}

var _ json.Marshaler = (*EnumType)(nil)

// Attr gives a value or a method.
func (e *EnumType) Attr(name string) (starlark.Value, error) {
	if vd := e.ed.Values().ByName(protoreflect.Name(name)); vd != nil {
		return number(vd), nil
	}
	if f := enumMethod(name); f != nil {
		return bind(name, e, f), nil
	}
	return nil, fmt.Errorf("%s has no value %s%s", e.ed.Name(), quote(name), didYouMean(name, e.AttrNames()))
}

// AttrNames gives the names of values and methods, sorted.
func (e *EnumType) AttrNames() []string {
	names := append(enumNames(e.ed), "Name", "Value", "items", "keys", "values")
	slices.Sort(names)
	return slices.Compact(names)
}

func enumMethod(name string) method[*EnumType] {
	switch name {
	case "Name":
		return enumName
	case "Value":
		return enumValue
	case "items":
		return enumList(func(vd protoreflect.EnumValueDescriptor) starlark.Value {
			return starlark.Tuple{starlark.String(vd.Name()), number(vd)}
		})
	case "keys":
		return enumList(func(vd protoreflect.EnumValueDescriptor) starlark.Value { return starlark.String(vd.Name()) })
	case "values":
		return enumList(number)
	}
	return nil
}

func enumName(_ *starlark.Thread, e *EnumType, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var n starlark.Int
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &n); err != nil {
		return nil, err
	}
	if i, ok := n.Int64(); ok && i == int64(int32(i)) {
		if vd := e.ed.Values().ByNumber(protoreflect.EnumNumber(i)); vd != nil {
			return starlark.String(vd.Name()), nil
		}
		return nil, fmt.Errorf("%s: %s has no name for %d", b.Name(), e.ed.Name(), i)
	}
	return nil, fmt.Errorf("%s: %s has no name for an int out of range", b.Name(), e.ed.Name())
}

func enumValue(_ *starlark.Thread, e *EnumType, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var name string
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &name); err != nil {
		return nil, err
	}
	v, err := enumByName(e.ed, name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	return starlark.MakeInt(int(v.Enum())), nil
}

// enumList gives something of each value, in order of declaration.
func enumList(of func(protoreflect.EnumValueDescriptor) starlark.Value) method[*EnumType] {
	return func(_ *starlark.Thread, e *EnumType, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 0); err != nil {
			return nil, err
		}
		elems := make([]starlark.Value, e.ed.Values().Len())
		for i := range elems {
			elems[i] = of(e.ed.Values().Get(i))
		}
		return starlark.NewList(elems), nil
	}
}

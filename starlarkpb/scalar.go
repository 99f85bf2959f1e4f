package starlarkpb

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"go.starlark.net/starlark"
	"google.golang.org/protobuf/reflect/protoreflect"
)

func join(names []string) string { return strings.Join(names, ", ") }

// kindName names what a script gives for a field's elements.
func kindName(fd protoreflect.FieldDescriptor) string {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return "string"
	case protoreflect.BytesKind:
		return "bytes"
	case protoreflect.BoolKind:
		return "bool"
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return "float"
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return typeName(fd.Message())
	default:
		return "int"
	}
}

// scalar converts v to the type that typ describes, and has it checked as a value
// of field.
func (c *converter) scalar(field, typ protoreflect.FieldDescriptor, v starlark.Value) (protoreflect.Value, error) {
	pv, err := scalarValue(typ, v)
	if err == nil && c.check != nil {
		err = c.check(field, pv)
	}
	return pv, err
}

func scalarValue(fd protoreflect.FieldDescriptor, v starlark.Value) (protoreflect.Value, error) {
	switch v := v.(type) {
	case starlark.String:
		switch fd.Kind() {
		case protoreflect.StringKind:
			if err := validUTF8(string(v)); err != nil {
				return protoreflect.Value{}, err
			}
			return protoreflect.ValueOfString(string(v)), nil
		case protoreflect.EnumKind:
			return enumByName(fd.Enum(), string(v))
		}
	case starlark.Bytes:
		if fd.Kind() == protoreflect.BytesKind {
			return protoreflect.ValueOfBytes([]byte(v)), nil
		}
	case starlark.Bool:
		if fd.Kind() == protoreflect.BoolKind {
			return protoreflect.ValueOfBool(bool(v)), nil
		}
	case starlark.Float:
		switch fd.Kind() {
		case protoreflect.DoubleKind:
			return protoreflect.ValueOfFloat64(float64(v)), nil
		case protoreflect.FloatKind:
			return float32Value(float64(v))
		}
	case starlark.Int:
		return intValue(fd, v)
	}
	return protoreflect.Value{}, wrongType(fd, v)
}

func wrongType(fd protoreflect.FieldDescriptor, v starlark.Value) error {
	return fmt.Errorf("got %s, want %s", v.Type(), kindName(fd))
}

// validUTF8 fails where protobuf would refuse a string. Starlark strings are
// bytes, so a slice can cut a character in two.
func validUTF8(s string) error {
	if utf8.ValidString(s) {
		return nil
	}
	for i, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return fmt.Errorf("string is not valid UTF-8 at byte %d (was it cut inside a character?)", i)
			}
		}
	}
	return errors.New("string is not valid UTF-8")
}

func float32Value(f float64) (protoreflect.Value, error) {
	if !math.IsInf(f, 0) && math.Abs(f) > maxFloat32 {
		return protoreflect.Value{}, errors.New("float out of range for float32")
	}
	return protoreflect.ValueOfFloat32(float32(f)), nil
}

func enumByName(ed protoreflect.EnumDescriptor, name string) (protoreflect.Value, error) {
	if vd := ed.Values().ByName(protoreflect.Name(name)); vd != nil {
		return protoreflect.ValueOfEnum(vd.Number()), nil
	}
	return protoreflect.Value{}, fmt.Errorf("%s has no value %s%s", ed.Name(), quote(name), didYouMean(name, enumNames(ed)))
}

func intValue(fd protoreflect.FieldDescriptor, v starlark.Int) (protoreflect.Value, error) {
	i, signed := v.Int64()
	u, unsigned := v.Uint64()
	switch fd.Kind() {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		if signed && i == int64(int32(i)) {
			return protoreflect.ValueOfInt32(int32(i)), nil
		}
		return outOfRange("int32", "-2147483648", "2147483647")
	case protoreflect.EnumKind:
		if signed && i == int64(int32(i)) {
			return protoreflect.ValueOfEnum(protoreflect.EnumNumber(i)), nil
		}
		return outOfRange("enum", "-2147483648", "2147483647")
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		if signed {
			return protoreflect.ValueOfInt64(i), nil
		}
		return outOfRange("int64", "-9223372036854775808", "9223372036854775807")
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		if unsigned && u <= math.MaxUint32 {
			return protoreflect.ValueOfUint32(uint32(u)), nil
		}
		return outOfRange("uint32", "0", "4294967295")
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		if unsigned {
			return protoreflect.ValueOfUint64(u), nil
		}
		return outOfRange("uint64", "0", "18446744073709551615")
	case protoreflect.DoubleKind:
		if f := float64(v.Float()); !math.IsInf(f, 0) {
			return protoreflect.ValueOfFloat64(f), nil
		}
		return protoreflect.Value{}, errors.New("int out of range for float64")
	case protoreflect.FloatKind:
		if f := float64(v.Float()); !math.IsInf(f, 0) {
			return float32Value(f)
		}
		return protoreflect.Value{}, errors.New("int out of range for float32")
	}
	return protoreflect.Value{}, wrongType(fd, v)
}

func outOfRange(kind, lo, hi string) (protoreflect.Value, error) {
	return protoreflect.Value{}, fmt.Errorf("int out of range for %s, want %s to %s", kind, lo, hi)
}

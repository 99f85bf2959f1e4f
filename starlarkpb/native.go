package starlarkpb

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"go.starlark.net/starlark"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"
)

// maxNativeDepth bounds the nesting of a Value, Struct or ListValue that becomes
// a native value.
const maxNativeDepth = 100

var errNativeDepth = fmt.Errorf("nested deeper than %d", maxNativeDepth)

// isNative reports whether unpack gives a native value for such a message.
func isNative(md protoreflect.MessageDescriptor) bool {
	switch md.FullName() {
	case "google.protobuf.Value", "google.protobuf.Struct", "google.protobuf.ListValue":
		return true
	}
	return isWrapper(md)
}

// isWrapper reports whether md is one of wrappers.proto.
func isWrapper(md protoreflect.MessageDescriptor) bool {
	switch md.FullName() {
	case "google.protobuf.BoolValue", "google.protobuf.BytesValue",
		"google.protobuf.DoubleValue", "google.protobuf.FloatValue",
		"google.protobuf.Int32Value", "google.protobuf.Int64Value",
		"google.protobuf.StringValue",
		"google.protobuf.UInt32Value", "google.protobuf.UInt64Value":
		return md.Fields().Len() == 1
	}
	return false
}

// toNative gives the native value of a message for which isNative holds. Dicts
// have their keys sorted. thread, which may be nil, is charged a step a value.
func toNative(m protoreflect.Message, thread *starlark.Thread) (starlark.Value, error) {
	switch m := m.Interface().(type) {
	case *structpb.Value:
		return nativeValue(m, thread, 0)
	case *structpb.Struct:
		return nativeStruct(m, thread, 0)
	case *structpb.ListValue:
		return nativeList(m, thread, 0)
	}
	if isWrapper(m.Descriptor()) {
		fd := m.Descriptor().Fields().Get(0)
		if !isComposite(fd) {
			return scalar(fd, m.Get(fd)), nil
		}
	}
	return newView(m), nil
}

func nativeValue(v *structpb.Value, thread *starlark.Thread, depth int) (starlark.Value, error) {
	charge(thread, 1)
	switch k := v.GetKind().(type) {
	case *structpb.Value_BoolValue:
		return starlark.Bool(k.BoolValue), nil
	case *structpb.Value_NumberValue:
		return nativeNumber(k.NumberValue), nil
	case *structpb.Value_StringValue:
		return starlark.String(k.StringValue), nil
	case *structpb.Value_StructValue:
		return nativeStruct(k.StructValue, thread, depth)
	case *structpb.Value_ListValue:
		return nativeList(k.ListValue, thread, depth)
	default: // null_value, or no kind at all
		return starlark.None, nil
	}
}

// nativeNumber gives an int for a double that stands for exactly one, which JSON
// writes without a point as often as not, and else a float.
func nativeNumber(f float64) starlark.Value {
	const exact = 1 << 53
	if f == math.Trunc(f) && math.Abs(f) <= exact {
		return starlark.MakeInt64(int64(f))
	}
	return starlark.Float(f)
}

func nativeStruct(s *structpb.Struct, thread *starlark.Thread, depth int) (starlark.Value, error) {
	if depth >= maxNativeDepth {
		return nil, errNativeDepth
	}
	dict := starlark.NewDict(len(s.GetFields()))
	for _, k := range sortedStrings(s.GetFields()) {
		v, err := nativeValue(s.GetFields()[k], thread, depth+1)
		if err != nil {
			return nil, err
		}
		insert(dict, starlark.String(k), v)
	}
	return dict, nil
}

func nativeList(l *structpb.ListValue, thread *starlark.Thread, depth int) (starlark.Value, error) {
	if depth >= maxNativeDepth {
		return nil, errNativeDepth
	}
	elems := make([]starlark.Value, len(l.GetValues()))
	for i, e := range l.GetValues() {
		v, err := nativeValue(e, thread, depth+1)
		if err != nil {
			return nil, err
		}
		elems[i] = v
	}
	return starlark.NewList(elems), nil
}

func sortedStrings(m map[string]*structpb.Value) []string {
	return slices.Sorted(maps.Keys(m))
}

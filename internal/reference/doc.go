// Package reference writes what plans find without loading anything, for two
// readers: editors, as a Python stub ([Stubs]), and people, as a page ([Page]).
// Both come from one table, which is beside the definitions in package
// predeclared, and from the descriptors of the messages.
package reference

import (
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"

	"starplan/proto/planpb"
)

// messages lists what plans meet, in order of reading.
func messages() []protoreflect.MessageDescriptor {
	return []protoreflect.MessageDescriptor{
		(*planpb.PlanInput)(nil).ProtoReflect().Descriptor(),
		(*planpb.TaskExecution)(nil).ProtoReflect().Descriptor(),
		(*planpb.ExecutionHeader)(nil).ProtoReflect().Descriptor(),
		(*planpb.TaskResult)(nil).ProtoReflect().Descriptor(),
		(*planpb.StoredData)(nil).ProtoReflect().Descriptor(),
		(*planpb.PlanResult)(nil).ProtoReflect().Descriptor(),
		(*anypb.Any)(nil).ProtoReflect().Descriptor(),
	}
}

// enums lists the enums that plans meet.
func enums() []protoreflect.EnumDescriptor {
	return []protoreflect.EnumDescriptor{planpb.ExecutionStatus(0).Descriptor()}
}

// isPayload reports whether a message is google.protobuf.Any.
func isPayload(md protoreflect.MessageDescriptor) bool {
	return md.FullName() == "google.protobuf.Any"
}

// className is the name of a message's class. A payload's is not Any, which
// Python's typing has already.
func className(md protoreflect.MessageDescriptor) string {
	if isPayload(md) {
		return "Payload"
	}
	return string(md.Name())
}

// fieldType is the Python type of a field's values.
func fieldType(fd protoreflect.FieldDescriptor) string {
	switch {
	case fd.IsMap():
		return "dict[" + elementType(fd.MapKey()) + ", " + elementType(fd.MapValue()) + "]"
	case fd.IsList():
		return "list[" + elementType(fd) + "]"
	default:
		return elementType(fd)
	}
}

func elementType(fd protoreflect.FieldDescriptor) string {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return "str"
	case protoreflect.BytesKind:
		return "bytes"
	case protoreflect.BoolKind:
		return "bool"
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return "float"
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return className(fd.Message())
	default: // Enums are ints as well.
		return "int"
	}
}

// fields lists the fields of a message.
func fields(md protoreflect.MessageDescriptor) []protoreflect.FieldDescriptor {
	list := make([]protoreflect.FieldDescriptor, md.Fields().Len())
	for i := range list {
		list[i] = md.Fields().Get(i)
	}
	return list
}

// constructible reports whether plans can make a message.
func constructible(md protoreflect.MessageDescriptor) bool {
	switch md.Name() {
	case "PlanResult", "TaskResult", "StoredData":
		return true
	}
	return false
}

// indent puts spaces before every line that is not empty.
func indent(text, by string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			b.WriteString(by)
		}
		b.WriteString(line)
	}
	return b.String()
}

package starlarkpb

import (
	"fmt"
	"slices"

	"go.starlark.net/starlark"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// method is the body of a method of T.
type method[T starlark.Value] func(thread *starlark.Thread, recv T, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error)

// bind gives the method as a value bound to its receiver.
func bind[T starlark.Value](name string, recv T, f method[T]) starlark.Value {
	return starlark.NewBuiltin(name, func(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		return f(thread, recv, b, args, kwargs)
	}).BindReceiver(recv)
}

// messageMethod finds a method that a message of this type has; nil if none.
func messageMethod(md protoreflect.MessageDescriptor, name string) method[*Message] {
	switch name {
	case "Clear":
		return messageClear
	case "ClearField":
		return messageClearField
	case "CopyFrom":
		return messageCopyFrom
	case "HasField":
		return messageHasField
	case "WhichOneof":
		return messageWhichOneof
	}
	if !isAny(md) {
		return nil
	}
	switch name {
	case "Is":
		return anyIs
	case "TypeName":
		return anyTypeName
	case "unpack":
		return anyUnpack
	}
	return nil
}

// Attr gives a field or method. The error for a name that m does not have says
// which is near.
func (m *Message) Attr(name string) (starlark.Value, error) {
	md := m.msg.Descriptor()
	if fd := md.Fields().ByName(protoreflect.Name(name)); fd != nil {
		if !isComposite(fd) {
			return scalar(fd, m.msg.Get(fd)), nil
		}
		v, err := m.kid(fd)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Type(), within(name, err))
		}
		return v, nil
	}
	if f := messageMethod(md, name); f != nil {
		return bind(name, m, f), nil
	}
	return nil, m.noField(name)
}

// AttrNames gives the names of fields and methods, sorted.
func (m *Message) AttrNames() []string {
	md := m.msg.Descriptor()
	names := append(fieldNames(md), "Clear", "ClearField", "CopyFrom", "HasField", "WhichOneof")
	if isAny(md) {
		names = append(names, "Is", "TypeName", "unpack")
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func fieldNames(md protoreflect.MessageDescriptor) []string {
	names := make([]string, md.Fields().Len())
	for i := range names {
		names[i] = string(md.Fields().Get(i).Name())
	}
	return names
}

func (m *Message) noField(name string) error {
	return fmt.Errorf("%s has no field %s%s", m.Type(), quote(name), didYouMean(name, m.AttrNames()))
}

// SetField sets a field; None unsets it. A message or dict given to a message
// field, and an iterable or dict given to a repeated field or map, are copied:
// the field's value stays the object it was, with new content.
func (m *Message) SetField(name string, v starlark.Value) error {
	fd := m.msg.Descriptor().Fields().ByName(protoreflect.Name(name))
	if fd == nil {
		return m.noField(name)
	}
	if m.frozen {
		return fmt.Errorf("cannot set %s of frozen %s", name, m.Type())
	}
	return m.explain(newConverter(m.check, nil).set(m, fd, v))
}

// explain puts the message's type in front of a conversion error.
func (m *Message) explain(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", m.Type(), err)
}

// mutable fails if m may not be changed.
func (m *Message) mutable(verb string) error {
	if m.frozen {
		return fmt.Errorf("cannot %s frozen %s", verb, m.Type())
	}
	return nil
}

func messageClear(_ *starlark.Thread, m *Message, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 0); err != nil {
		return nil, err
	}
	if err := m.mutable("clear"); err != nil {
		return nil, err
	}
	m.assign(m.msg.Type().New(), extent{})
	return starlark.None, nil
}

func messageClearField(_ *starlark.Thread, m *Message, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var name string
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &name); err != nil {
		return nil, err
	}
	md := m.msg.Descriptor()
	fd := md.Fields().ByName(protoreflect.Name(name))
	if od := md.Oneofs().ByName(protoreflect.Name(name)); fd == nil && od != nil {
		fd = m.which(od)
		if fd == nil {
			return starlark.None, m.mutable("clear " + name + " of")
		}
	}
	if fd == nil {
		return nil, m.noField(name)
	}
	if err := m.mutable("clear " + name + " of"); err != nil {
		return nil, err
	}
	m.touch()
	m.drop(fd)
	return starlark.None, nil
}

func messageCopyFrom(thread *starlark.Thread, m *Message, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &v); err != nil {
		return nil, err
	}
	if err := m.mutable("copy to"); err != nil {
		return nil, err
	}
	src, ok := v.(*Message)
	if !ok {
		return nil, fmt.Errorf("%s: got %s, want %s", b.Name(), v.Type(), m.Type())
	}
	if src == m {
		return starlark.None, nil
	}
	msg, built, err := newConverter(m.check, thread).copyOf(m.msg.Type(), src, m.depth)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	m.assign(msg, built)
	return starlark.None, nil
}

func messageHasField(_ *starlark.Thread, m *Message, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var name string
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &name); err != nil {
		return nil, err
	}
	md := m.msg.Descriptor()
	if od := md.Oneofs().ByName(protoreflect.Name(name)); od != nil {
		return starlark.Bool(m.which(od) != nil), nil
	}
	fd := md.Fields().ByName(protoreflect.Name(name))
	if fd == nil {
		return nil, m.noField(name)
	}
	if !fd.HasPresence() {
		return nil, fmt.Errorf("%s: field %s.%s does not have presence; compare it with its zero value", b.Name(), md.Name(), name)
	}
	return starlark.Bool(m.has(fd)), nil
}

// which gives the member of a oneof that is set; nil if none.
func (m *Message) which(od protoreflect.OneofDescriptor) protoreflect.FieldDescriptor {
	for i := range od.Fields().Len() {
		if fd := od.Fields().Get(i); m.has(fd) {
			return fd
		}
	}
	return nil
}

func messageWhichOneof(_ *starlark.Thread, m *Message, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var name string
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &name); err != nil {
		return nil, err
	}
	oneofs := m.msg.Descriptor().Oneofs()
	od := oneofs.ByName(protoreflect.Name(name))
	if od == nil {
		names := make([]string, oneofs.Len())
		for i := range names {
			names[i] = string(oneofs.Get(i).Name())
		}
		return nil, fmt.Errorf("%s: %s has no oneof %s%s", b.Name(), m.Type(), quote(name), didYouMean(name, names))
	}
	if fd := m.which(od); fd != nil {
		return starlark.String(fd.Name()), nil
	}
	return starlark.None, nil
}

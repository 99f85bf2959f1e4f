package starlarkpb

import (
	"fmt"

	"go.starlark.net/starlark"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Check looks at a scalar that a script gives to a field, in whatever way: the
// constructor, a dict, an assignment, append, extend, insert. For repeated fields
// and maps it sees each element or map value, with the descriptor of the field.
// Its error becomes the script's, with the place in front. It does not see what
// is copied as part of a whole message.
type Check func(fd protoreflect.FieldDescriptor, v protoreflect.Value) error

// Type makes messages: calling it, with keywords only, gives a mutable [Message].
// It is immutable and safe for concurrent use.
type Type struct {
	mt    protoreflect.MessageType
	check Check
}

var _ starlark.Callable = (*Type)(nil)

// Constructor gives the type of m, which may be a nil pointer, as a Starlark
// value: `PlanResult(next_task_names=["a"])`. A keyword that is None leaves its
// field unset. All checks given apply, in order, to whatever scripts put into
// messages that it makes, and into messages within these.
func Constructor(m proto.Message, checks ...Check) *Type {
	t := &Type{mt: m.ProtoReflect().Type()}
	switch len(checks) {
	case 0:
	case 1:
		t.check = checks[0]
	default:
		t.check = func(fd protoreflect.FieldDescriptor, v protoreflect.Value) error {
			for _, check := range checks {
				if err := check(fd, v); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return t
}

// Descriptor describes the messages that t makes.
func (t *Type) Descriptor() protoreflect.MessageDescriptor { return t.mt.Descriptor() }

// Name gives the short name of the message type.
func (t *Type) Name() string { return typeName(t.mt.Descriptor()) }

// String gives a rendering of the type.
func (t *Type) String() string { return "<message type " + t.Name() + ">" }

// Type gives "message type".
func (t *Type) Type() string { return "message type" }

// Freeze does nothing.
func (t *Type) Freeze() {}

// Truth is true.
func (t *Type) Truth() starlark.Bool { return true }

// Hash gives a hash of the full name.
func (t *Type) Hash() (uint32, error) {
	return starlark.String(t.mt.Descriptor().FullName()).Hash()
}

// CallInternal makes a message.
func (t *Type) CallInternal(thread *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) > 0 {
		return nil, fmt.Errorf("%s: got positional arguments, want keywords only", t.Name())
	}
	m := newMessage(t.mt, t.check, 0)
	if err := newConverter(t.check, thread).fill(m, kwargs, "keyword argument"); err != nil {
		return nil, fmt.Errorf("%s: %w", t.Name(), err)
	}
	return m, nil
}

// MaxElements bounds how many values one constructor call, assignment or method
// call may convert, nested ones and those within copied messages included, as far
// as scripts made them. A value that contains itself, or the same part over and
// over, ends here.
const MaxElements = 1 << 18

// converter turns Starlark values into those of fields. It serves one call.
type converter struct {
	check  Check
	thread *starlark.Thread // nil where none is at hand
	left   int
}

func newConverter(check Check, thread *starlark.Thread) *converter {
	return &converter{check: check, thread: thread, left: MaxElements}
}

// spend accounts for the conversion of n values.
func (c *converter) spend(n int) error {
	charge(c.thread, n)
	if c.left -= n; c.left < 0 {
		return errTooMany
	}
	return nil
}

// fill sets fields of m by name. what says what a name is, for errors.
func (c *converter) fill(m *Message, items []starlark.Tuple, what string) error {
	fields := m.msg.Descriptor().Fields()
	for _, item := range items {
		name, ok := starlark.AsString(item[0])
		if !ok {
			return fmt.Errorf("got %s as %s, want string", item[0].Type(), what)
		}
		fd := fields.ByName(protoreflect.Name(name))
		if fd == nil {
			names := fieldNames(m.msg.Descriptor())
			hint := didYouMean(name, names)
			return fmt.Errorf("unexpected %s %s%s (fields: %s)", what, quote(name), hint, join(names))
		}
		if item[1] == starlark.None {
			continue
		}
		if err := c.set(m, fd, item[1]); err != nil {
			return err
		}
	}
	return nil
}

// set gives a field of m a new value; None unsets it. On an error m is as it was.
func (c *converter) set(m *Message, fd protoreflect.FieldDescriptor, v starlark.Value) error {
	err := c.setField(m, fd, v)
	if err != nil {
		return within(string(fd.Name()), err)
	}
	return nil
}

func (c *converter) setField(m *Message, fd protoreflect.FieldDescriptor, v starlark.Value) error {
	if v == starlark.None {
		m.touch()
		m.drop(fd)
		return nil
	}
	if !isComposite(fd) {
		pv, err := c.scalar(fd, fd, v)
		if err != nil {
			return err
		}
		m.touch()
		m.leaveOneof(fd)
		m.own()
		m.msg.Set(fd, pv)
		return nil
	}
	kid, err := m.kid(fd)
	if err != nil {
		return err
	}
	switch kid := kid.(type) {
	case *Repeated:
		return kid.replace(c, v)
	case *Map:
		return kid.replace(c, v)
	case *Message:
		if err := kid.mutable("assign to"); err != nil {
			return err
		}
		if v == kid {
			return nil
		}
		msg, built, err := c.message(kid.msg.Type(), v, kid.depth)
		if err != nil {
			return err
		}
		kid.assign(msg, built)
	}
	return nil
}

// message gives the Go message for v, which is a message of that type or a dict
// of fields, and its extent. The Go message is not changed by anybody from here on.
func (c *converter) message(mt protoreflect.MessageType, v starlark.Value, depth int) (protoreflect.Message, extent, error) {
	if err := c.spend(1); err != nil {
		return nil, extent{}, err
	}
	switch v := v.(type) {
	case *Message:
		return c.copyOf(mt, v, depth)
	case starlark.IterableMapping:
		m := newMessage(mt, c.check, depth)
		if err := c.fill(m, v.Items(), "key"); err != nil {
			return nil, extent{}, err
		}
		return m.snapshot(), m.extent(), nil
	}
	return nil, extent{}, fmt.Errorf("got %s, want %s or dict", v.Type(), typeName(mt.Descriptor()))
}

// copyOf gives the content of a message for use at a depth below another.
func (c *converter) copyOf(mt protoreflect.MessageType, src *Message, depth int) (protoreflect.Message, extent, error) {
	if got, want := src.msg.Descriptor().FullName(), mt.Descriptor().FullName(); got != want {
		return nil, extent{}, fmt.Errorf("got %s, want %s", src.Type(), typeName(mt.Descriptor()))
	}
	built := src.extent()
	if depth+built.levels > MaxDepth {
		return nil, extent{}, errTooDeep
	}
	if err := c.spend(built.nodes); err != nil {
		return nil, extent{}, err
	}
	msg := src.snapshot()
	if msg.Type() == mt {
		return msg, built, nil
	}
	// Another Go type of the same message, as dynamicpb's: go through its bytes.
	data, err := proto.Marshal(msg.Interface())
	if err != nil {
		return nil, extent{}, err
	}
	charge(c.thread, len(data)/stepBytes)
	out := mt.New()
	if err := proto.Unmarshal(data, out.Interface()); err != nil {
		return nil, extent{}, err
	}
	return out, built, nil
}

// elements converts the elements for a repeated field. first is the index of the
// first, for errors.
func (c *converter) elements(r *Repeated, v starlark.Value, first int) ([]starlark.Value, error) {
	iterable, ok := v.(starlark.Iterable)
	if !ok {
		return nil, fmt.Errorf("got %s, want list of %s", v.Type(), r.elemName())
	}
	iter := iterable.Iterate()
	defer iter.Done()
	out := make([]starlark.Value, 0, min(max(starlark.Len(v), 0), c.left))
	var x starlark.Value
	for iter.Next(&x) {
		elem, err := c.element(r, x)
		if err != nil {
			return nil, within(fmt.Sprintf("[%d]", first+len(out)), err)
		}
		out = append(out, elem)
	}
	return out, nil
}

// element converts one element for a repeated field.
func (c *converter) element(r *Repeated, v starlark.Value) (starlark.Value, error) {
	return c.value(r.fd, r.fd, r.elem, r.owner, v)
}

// value converts an element or a map value: type describes it, field is where it
// goes. mt is nil for scalars.
func (c *converter) value(field, typ protoreflect.FieldDescriptor, mt protoreflect.MessageType, owner *Message, v starlark.Value) (starlark.Value, error) {
	if mt == nil {
		if err := c.spend(1); err != nil {
			return nil, err
		}
		pv, err := c.scalar(field, typ, v)
		if err != nil {
			return nil, err
		}
		return scalar(typ, pv), nil
	}
	msg, built, err := c.message(mt, v, owner.depth+1)
	if err != nil {
		return nil, err
	}
	elem := owner.element(msg)
	elem.built, elem.added = built, true
	return elem, nil
}

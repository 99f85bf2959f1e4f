package starlarkpb

import (
	"fmt"
	"math"
	"sync"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/emptypb"
)

// MaxDepth bounds how deep messages that a script builds may nest. Deeper ones
// are refused where they are built, so that nothing that walks a message can run
// out of stack. It is the recursion limit of most protobuf parsers.
const MaxDepth = 100

// Message is a protobuf message as a Starlark value. It comes from [FromProto],
// frozen, or from calling a [Type], mutable until frozen. Once frozen it is safe
// for concurrent use.
//
// Scalars live in msg. Sub-messages, repeated fields and maps that a script has
// looked at live in kids, and while the message is mutable what is there
// overrides msg: the two are put together by build. A msg that is not owned is
// shared with others, so it is copied, one level deep, before the first change.
// That is why copying a message costs next to nothing and why payloads and
// unknown fields of an input survive untouched.
type Message struct {
	msg  protoreflect.Message
	kids []starlark.Value // by field index; nil until the first is needed

	// parent is the message that becomes set when m is first changed, and field
	// the place there. Both are nil for what is no singular field of another.
	parent *Message
	field  protoreflect.FieldDescriptor

	check Check
	mu    sync.Mutex // guards kids while frozen

	depth   int    // of m below the outermost message
	built   extent // of msg
	frozen  bool
	owned   bool // msg may be changed in place
	present bool // m is set in its parent
	view    bool // m never differs from its msg
	added   bool // msg is no part of the msg of what holds m
}

var (
	_ starlark.Comparable  = (*Message)(nil)
	_ starlark.HasSetField = (*Message)(nil)
)

// FromProto wraps m as a frozen Starlark value. Fields are converted when they
// are first read, and the values of sub-messages, repeated fields and maps are
// kept, so that reading twice gives the same value.
//
// From here on nobody may change m. A nil pointer reads as an empty message; a
// nil interface as google.protobuf.Empty.
func FromProto(m proto.Message) *Message {
	if m == nil {
		m = (*emptypb.Empty)(nil)
	}
	return newView(m.ProtoReflect())
}

func newView(msg protoreflect.Message) *Message {
	return &Message{msg: msg, frozen: true, present: true, view: true}
}

// newMessage gives an empty mutable message that belongs to no other.
func newMessage(mt protoreflect.MessageType, check Check, depth int) *Message {
	return &Message{msg: mt.New(), check: check, depth: depth, owned: true, present: true, added: true}
}

// Proto gives the content of m as a Go message of the type that m was made from.
//
// The message is new with each call, and the caller may set its fields. What it
// refers to (sub-messages, elements, slices, maps, bytes) may be shared with the
// messages given to FromProto and with other results of Proto: it must not be
// changed, and slices must not be appended to in place.
func (m *Message) Proto() proto.Message { return m.build().Interface() }

// Descriptor describes m's type.
func (m *Message) Descriptor() protoreflect.MessageDescriptor { return m.msg.Descriptor() }

// snapshot gives the content of m as a Go message that is never changed again.
func (m *Message) snapshot() protoreflect.Message {
	if m.overlaid() {
		return m.build()
	}
	if !m.msg.IsValid() {
		return m.msg.Type().New()
	}
	if !m.frozen {
		m.owned = false // The next change works on a copy.
	}
	return m.msg
}

// overlaid reports whether kids may say something else than msg.
func (m *Message) overlaid() bool {
	if m.view {
		return false
	}
	kids, unlock := m.lockKids()
	defer unlock()
	for _, kid := range kids {
		switch kid := kid.(type) {
		case *Message:
			if !kid.view {
				return true
			}
		case *Repeated, *Map:
			return true
		}
	}
	return false
}

// lockKids gives kids for reading. While m is frozen other goroutines may add to
// it; while it is not, m belongs to one goroutine.
func (m *Message) lockKids() ([]starlark.Value, func()) {
	if !m.frozen {
		return m.kids, func() {}
	}
	m.mu.Lock()
	return m.kids, m.mu.Unlock
}

// build puts msg and kids together in a new message. It recurses at most
// MaxDepth times, since only messages that scripts build have such kids.
func (m *Message) build() protoreflect.Message {
	out := shallowCopy(m.msg)
	if m.view {
		return out
	}
	kids, unlock := m.lockKids()
	defer unlock()
	fields := m.msg.Descriptor().Fields()
	for i, kid := range kids {
		switch kid := kid.(type) {
		case *Message:
			if !kid.view && kid.present {
				out.Set(fields.Get(i), protoreflect.ValueOfMessage(kid.snapshot()))
			}
		case *Repeated:
			kid.store(out)
		case *Map:
			kid.store(out)
		}
	}
	return out
}

// shallowCopy copies a message one level deep: what it refers to is shared.
func shallowCopy(src protoreflect.Message) protoreflect.Message {
	dst := src.Type().New()
	src.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		dst.Set(fd, v)
		return true
	})
	if unknown := src.GetUnknown(); len(unknown) > 0 {
		dst.SetUnknown(unknown)
	}
	return dst
}

// kid gives the value of a composite field, making it on first use.
func (m *Message) kid(fd protoreflect.FieldDescriptor) (starlark.Value, error) {
	if m.frozen {
		m.mu.Lock()
		defer m.mu.Unlock()
	}
	if m.kids == nil {
		m.kids = make([]starlark.Value, m.msg.Descriptor().Fields().Len())
	}
	slot := &m.kids[fd.Index()]
	if *slot == nil {
		if m.frozen {
			*slot = m.viewOf(fd)
			return *slot, nil
		}
		kid, err := m.open(fd)
		if err != nil {
			return nil, err
		}
		*slot = kid
	}
	if m.frozen {
		// A message that was mutable shows its containers as frozen lists and
		// dicts, as one that never was.
		switch kid := (*slot).(type) {
		case *Repeated:
			return kid.list(), nil
		case *Map:
			return kid.dict(), nil
		}
	}
	return *slot, nil
}

// viewOf makes the frozen value of a composite field out of msg.
func (m *Message) viewOf(fd protoreflect.FieldDescriptor) starlark.Value {
	switch {
	case fd.IsMap():
		return frozenDict(fd, m.msg.Get(fd).Map(), m.built.below())
	case fd.IsList():
		return frozenList(fd, m.msg.Get(fd).List(), m.built.below())
	default:
		kid := newView(m.msg.Get(fd).Message())
		kid.present = m.msg.Has(fd)
		kid.built = m.built.below()
		return kid
	}
}

// open makes the mutable value of a composite field out of msg.
func (m *Message) open(fd protoreflect.FieldDescriptor) (starlark.Value, error) {
	if fd.Message() != nil && m.depth >= MaxDepth { // A map's entries are messages too.
		return nil, errTooDeep
	}
	switch {
	case fd.IsMap():
		return openMap(m, fd), nil
	case fd.IsList():
		return openRepeated(m, fd), nil
	default:
		kid := m.element(m.msg.Get(fd).Message())
		kid.parent, kid.field, kid.present = m, fd, m.msg.Has(fd)
		return kid, nil
	}
}

// element gives a mutable message one level below m over a message that m's msg
// refers to.
func (m *Message) element(msg protoreflect.Message) *Message {
	return &Message{msg: msg, check: m.check, depth: m.depth + 1, built: m.built.below(), present: true}
}

// touch marks m, and the messages that hold it, as set. It must be called before
// every change.
func (m *Message) touch() {
	for c := m; !c.present; c = c.parent {
		c.present = true
		if c.parent == nil {
			return
		}
		c.parent.leaveOneof(c.field)
	}
}

// own makes msg safe to change in place.
func (m *Message) own() {
	if !m.owned {
		m.msg = shallowCopy(m.msg)
		m.owned = true
	}
}

// leaveOneof clears the other members of the oneof that fd is about to be set in.
func (m *Message) leaveOneof(fd protoreflect.FieldDescriptor) {
	od := fd.ContainingOneof()
	if od == nil {
		return
	}
	for i := range od.Fields().Len() {
		if other := od.Fields().Get(i); other.Index() != fd.Index() {
			m.drop(other)
		}
	}
}

// drop unsets a field. A value of it that a script still holds is on its own
// from here on.
func (m *Message) drop(fd protoreflect.FieldDescriptor) {
	if m.kids != nil {
		release(m.kids[fd.Index()])
		m.kids[fd.Index()] = nil
	}
	if m.msg.Has(fd) {
		m.own()
		m.msg.Clear(fd)
	}
}

// release cuts a message loose from the one it was a field of. Containers need
// no such thing: what lets one go is set already.
func release(kid starlark.Value) {
	if kid, ok := kid.(*Message); ok && !kid.frozen {
		kid.parent, kid.field, kid.present = nil, nil, true
	}
}

// assign replaces the content of m by msg, which is shared from here on.
func (m *Message) assign(msg protoreflect.Message, built extent) {
	m.touch()
	for _, kid := range m.kids {
		release(kid)
	}
	m.kids = nil
	m.msg, m.owned, m.built, m.added = msg, false, built, true
}

// has reports whether a field that has presence is set.
func (m *Message) has(fd protoreflect.FieldDescriptor) bool {
	kids, unlock := m.lockKids()
	defer unlock()
	if kids != nil {
		if kid, ok := kids[fd.Index()].(*Message); ok {
			return kid.present
		}
	}
	return m.msg.Has(fd)
}

// Type gives the short name of the message, as "TaskResult".
func (m *Message) Type() string { return typeName(m.msg.Descriptor()) }

// typeName gives a name that no value outside of this package has: the
// interpreter compares values of one type name by calling the left one, and its
// own values panic on others.
func typeName(md protoreflect.MessageDescriptor) string {
	name := string(md.Name())
	if c := name[0]; c >= 'A' && c <= 'Z' && name != "NoneType" {
		return name
	}
	return "message " + name
}

// String gives a bounded rendering of m in the form of a constructor call.
func (m *Message) String() string { return printMessage(m.snapshot()) }

// Truth is always true, for an unset message too, as in Python.
func (m *Message) Truth() starlark.Bool { return true }

// Hash fails: messages are compared by content, and that may change.
func (m *Message) Hash() (uint32, error) { return 0, unhashable(m) }

func unhashable(v starlark.Value) error { return fmt.Errorf("unhashable: %s", v.Type()) }

// Freeze makes m, and all that is reached through it, immutable.
func (m *Message) Freeze() {
	if m.frozen {
		return
	}
	m.frozen = true
	for _, kid := range m.kids {
		if kid != nil {
			kid.Freeze()
		}
	}
}

// CompareSameType compares by content as proto.Equal does: unset differs from
// empty within a message, unknown fields count, and NaN equals NaN. An unset
// message equals an empty one. Messages of different types are not equal.
func (m *Message) CompareSameType(op syntax.Token, y starlark.Value, _ int) (bool, error) {
	if op != syntax.EQL && op != syntax.NEQ {
		return false, notOrdered(m, op, y)
	}
	other, ok := y.(*Message)
	same := ok && (m == other || proto.Equal(m.snapshot().Interface(), other.snapshot().Interface()))
	return same == (op == syntax.EQL), nil
}

func notOrdered(x starlark.Value, op syntax.Token, y starlark.Value) error {
	return fmt.Errorf("%s %s %s not implemented", x.Type(), op, y.Type())
}

func isComposite(fd protoreflect.FieldDescriptor) bool {
	return fd.IsList() || fd.IsMap() || fd.Message() != nil
}

// scalar gives a field's value, or an element's, as a Starlark value.
func scalar(fd protoreflect.FieldDescriptor, v protoreflect.Value) starlark.Value {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return starlark.Bool(v.Bool())
	case protoreflect.EnumKind:
		return starlark.MakeInt(int(v.Enum()))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind,
		protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return starlark.MakeInt64(v.Int())
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind,
		protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return starlark.MakeUint64(v.Uint())
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return starlark.Float(v.Float())
	case protoreflect.BytesKind:
		return starlark.Bytes(v.Bytes())
	default:
		return starlark.String(v.String())
	}
}

// maxFloat32 is the largest finite float32 as a float64.
const maxFloat32 = float64(math.MaxFloat32)

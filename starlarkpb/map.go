package starlarkpb

import (
	"cmp"
	"fmt"
	"slices"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Map is a map field of a message that is, or was, mutable. It behaves as a dict
// that checks what is put into it and that iterates in the order of its keys.
// Messages put into it are copied.
//
// A map field of a frozen message reads as an ordinary frozen dict instead, in
// the order of its keys, for the reason given at [Repeated].
type Map struct {
	owner  *Message
	fd     protoreflect.FieldDescriptor
	elem   protoreflect.MessageType // nil for scalars
	vals   map[any]starlark.Value   // by protoreflect.MapKey.Interface
	frozen bool
	iters  int
	cache  *starlark.Dict // what a frozen owner shows; guarded by its mu
}

var (
	_ starlark.IterableMapping = (*Map)(nil)
	_ starlark.HasSetKey       = (*Map)(nil)
	_ starlark.HasAttrs        = (*Map)(nil)
	_ starlark.Sequence        = (*Map)(nil)
	_ starlark.Comparable      = (*Map)(nil)
)

func openMap(owner *Message, fd protoreflect.FieldDescriptor) *Map {
	src := owner.msg.Get(fd).Map()
	m := &Map{owner: owner, fd: fd, vals: make(map[any]starlark.Value, src.Len())}
	if fd.MapValue().Message() != nil {
		m.elem = owner.msg.NewField(fd).Map().NewValue().Message().Type()
	}
	src.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		if m.elem == nil {
			m.vals[k.Interface()] = scalar(fd.MapValue(), v)
		} else {
			m.vals[k.Interface()] = owner.element(v.Message())
		}
		return true
	})
	return m
}

// frozenDict gives a map field of a message that nobody changes as a dict.
func frozenDict(fd protoreflect.FieldDescriptor, src protoreflect.Map, built extent) *starlark.Dict {
	keys := make([]protoreflect.MapKey, 0, src.Len())
	src.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, k)
		return true
	})
	slices.SortFunc(keys, func(a, b protoreflect.MapKey) int { return compareKeys(a.Interface(), b.Interface()) })
	dict := starlark.NewDict(len(keys))
	for _, k := range keys {
		v := src.Get(k)
		var val starlark.Value
		if fd.MapValue().Message() != nil {
			kid := newView(v.Message())
			kid.built = built
			val = kid
		} else {
			val = scalar(fd.MapValue(), v)
		}
		insert(dict, scalar(fd.MapKey(), k.Value()), val)
	}
	dict.Freeze()
	return dict
}

// insert cannot fail: keys of maps are hashable and the dict is new.
func insert(dict *starlark.Dict, k, v starlark.Value) { _ = dict.SetKey(k, v) }

// compareKeys orders map keys of one type.
func compareKeys(a, b any) int {
	switch a := a.(type) {
	case string:
		b, _ := b.(string)
		return cmp.Compare(a, b)
	case int32:
		b, _ := b.(int32)
		return cmp.Compare(a, b)
	case int64:
		b, _ := b.(int64)
		return cmp.Compare(a, b)
	case uint32:
		b, _ := b.(uint32)
		return cmp.Compare(a, b)
	case uint64:
		b, _ := b.(uint64)
		return cmp.Compare(a, b)
	case bool:
		if b, _ := b.(bool); a != b {
			if a {
				return 1
			}
			return -1
		}
	}
	return 0
}

// dict gives the entries as a frozen dict. The owner is frozen and locked.
func (m *Map) dict() *starlark.Dict {
	if m.cache == nil {
		m.cache = starlark.NewDict(len(m.vals))
		for _, k := range m.sorted() {
			insert(m.cache, m.keyValue(k), m.vals[k])
		}
		m.cache.Freeze()
	}
	return m.cache
}

// sorted gives the keys in order.
func (m *Map) sorted() []any {
	keys := make([]any, 0, len(m.vals))
	for k := range m.vals {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compareKeys)
	return keys
}

func (m *Map) keyValue(k any) starlark.Value {
	return scalar(m.fd.MapKey(), protoreflect.ValueOf(k))
}

// store writes the entries to the field in out, which is new.
func (m *Map) store(out protoreflect.Message) {
	if len(m.vals) == 0 {
		out.Clear(m.fd)
		return
	}
	v := out.NewField(m.fd)
	for k, val := range m.vals {
		v.Map().Set(protoreflect.ValueOf(k).MapKey(), goValue(m.fd.MapValue(), val))
	}
	out.Set(m.fd, v)
}

func (m *Map) where() string { return m.owner.Type() + "." + string(m.fd.Name()) }

func (m *Map) mutable(verb string) error {
	if m.frozen {
		return fmt.Errorf("cannot %s frozen dict %s", verb, m.where())
	}
	if m.iters > 0 {
		return fmt.Errorf("cannot %s dict %s %w", verb, m.where(), errIterating)
	}
	return nil
}

func (m *Map) explain(err error) error {
	return m.owner.explain(within(string(m.fd.Name()), err))
}

// entry converts a key and a value.
func (m *Map) entry(c *converter, k, v starlark.Value) (any, starlark.Value, error) {
	key, err := scalarValue(m.fd.MapKey(), k)
	if err != nil {
		return nil, nil, fmt.Errorf("key: %w", err)
	}
	val, err := c.value(m.fd, m.fd.MapValue(), m.elem, m.owner, v)
	if err != nil {
		return nil, nil, within("["+printKey(k)+"]", err)
	}
	return key.Interface(), val, nil
}

// entries converts the entries of a dict, or of a sequence of pairs.
func (m *Map) entries(c *converter, v starlark.Value) (map[any]starlark.Value, error) {
	src, ok := v.(starlark.IterableMapping)
	if !ok {
		return nil, fmt.Errorf("got %s, want dict", v.Type())
	}
	items := src.Items()
	out := make(map[any]starlark.Value, len(items))
	for _, item := range items {
		k, val, err := m.entry(c, item[0], item[1])
		if err != nil {
			return nil, err
		}
		out[k] = val
	}
	return out, nil
}

// replace gives m new entries.
func (m *Map) replace(c *converter, v starlark.Value) error {
	if v == m {
		return nil
	}
	if err := m.mutable("assign to"); err != nil {
		return err
	}
	vals, err := m.entries(c, v)
	if err != nil {
		return err
	}
	m.owner.touch()
	m.vals = vals
	return nil
}

// String gives a bounded rendering.
func (m *Map) String() string { return printMap(m) }

// Type gives "map".
func (m *Map) Type() string { return "map" }

// Truth is true if there are entries.
func (m *Map) Truth() starlark.Bool { return len(m.vals) > 0 }

// Hash fails.
func (m *Map) Hash() (uint32, error) { return 0, unhashable(m) }

// Freeze makes m and its values immutable.
func (m *Map) Freeze() {
	if m.frozen {
		return
	}
	m.frozen = true
	for _, v := range m.vals {
		v.Freeze()
	}
}

// Len gives the number of entries.
func (m *Map) Len() int { return len(m.vals) }

// Get gives the value of a key. A key of the wrong type is not there.
func (m *Map) Get(k starlark.Value) (starlark.Value, bool, error) {
	key, err := scalarValue(m.fd.MapKey(), k)
	if err != nil {
		return nil, false, nil
	}
	v, ok := m.vals[key.Interface()]
	return v, ok, nil
}

// SetKey sets the value of a key to a converted copy of v.
func (m *Map) SetKey(k, v starlark.Value) error {
	if err := m.mutable("assign to element of"); err != nil {
		return err
	}
	key, val, err := m.entry(newConverter(m.owner.check, nil), k, v)
	if err != nil {
		return m.explain(err)
	}
	m.owner.touch()
	m.vals[key] = val
	return nil
}

// Items gives the entries in the order of their keys.
func (m *Map) Items() []starlark.Tuple {
	items := make([]starlark.Tuple, 0, len(m.vals))
	for _, k := range m.sorted() {
		items = append(items, starlark.Tuple{m.keyValue(k), m.vals[k]})
	}
	return items
}

// CompareSameType compares entries.
func (m *Map) CompareSameType(op syntax.Token, y starlark.Value, depth int) (bool, error) {
	if op != syntax.EQL && op != syntax.NEQ {
		return false, notOrdered(m, op, y)
	}
	other, ok := y.(*Map)
	if !ok || len(m.vals) != len(other.vals) {
		return op == syntax.NEQ, nil
	}
	same := true
	for _, k := range m.sorted() {
		v, ok := other.vals[k]
		if !ok {
			same = false
		}
		if !same {
			break
		}
		var err error
		if same, err = starlark.EqualDepth(m.vals[k], v, depth-1); err != nil {
			return false, err
		}
	}
	return same == (op == syntax.EQL), nil
}

// Iterate gives the keys in order. While it is at work m cannot be changed.
func (m *Map) Iterate() starlark.Iterator {
	if !m.frozen {
		m.iters++
	}
	return &mapIterator{m: m, keys: m.sorted(), counted: !m.frozen}
}

type mapIterator struct {
	m       *Map
	keys    []any
	counted bool
}

func (it *mapIterator) Next(p *starlark.Value) bool {
	if len(it.keys) == 0 {
		return false
	}
	*p = it.m.keyValue(it.keys[0])
	it.keys = it.keys[1:]
	return true
}

func (it *mapIterator) Done() {
	if it.counted {
		it.counted = false
		if !it.m.frozen {
			it.m.iters--
		}
	}
}

package check

import (
	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"google.golang.org/protobuf/reflect/protoreflect"

	"starplan/plan/predeclared"
)

// kind is the shape of a value as far as the text tells it.
type kind uint8

const (
	// kindBottom is no value: nothing that was seen so far gives one, or what gives
	// it fails.
	kindBottom kind = iota
	kindNone
	kindBool
	kindInt
	kindFloat
	kindString
	kindBytes
	kindMessage  // Of descriptor md.
	kindRepeated // The field fd of a message.
	kindMap      // The field fd of a message.
	kindList     // Of site.
	kindSequence // Of site: something to iterate over, as a range or a tuple.
	kindTuple    // Of site, with elements of known types.
	kindDict     // Of site.
	kindFunction // Of site.
	kindType     // A constructor of messages of descriptor md.
	kindFixed    // The predeclared module or enum of the name fixed.
	// kindUnknown is any value. Nothing is said about it.
	kindUnknown
)

// typ is what the text tells of a value. Two of them can be compared once their
// sites are those of [site.find].
type typ struct {
	kind kind
	// nullable says that the value may also be None.
	nullable bool
	// frozen and mutable say what all values are that a message type, or a field of
	// one, stands for; both are false where they differ.
	frozen, mutable bool
	md              protoreflect.MessageDescriptor
	fd              protoreflect.FieldDescriptor
	site            *site
	fixed           string
}

// attrs gives the value of a predeclared name that has attributes.
func (t typ) attrs() starlark.HasAttrs {
	v, _ := predeclared.Values()[t.fixed].(starlark.HasAttrs)
	return v
}

// site stands for the containers or functions that one place of the text makes.
// Two that may come into one variable are united: what is put in by one name is
// seen through all.
type site struct {
	parent *site // What it was united with, if it was.
	// elem is what a container holds, and key what keys a dict has.
	elem, key typ
	// elems are the elements of a tuple.
	elems []typ
	// leaked says that code which is not looked at may hold the container and put
	// anything in, or may call the function.
	leaked bool
	fn     *resolve.Function
	// result is what the function returns.
	result typ
}

// find gives the site that stands for all that s is united with.
func (s *site) find() *site {
	for s.parent != nil {
		if s.parent.parent != nil {
			s.parent = s.parent.parent // So that the way is shorter next time.
		}
		s = s.parent
	}
	return s
}

// isScalar reports whether a kind is that of a plain value.
func (k kind) isScalar() bool { return k >= kindNone && k <= kindBytes }

// String names a type as the interpreter does.
func (t typ) String() string {
	switch t.kind {
	case kindNone:
		return "NoneType"
	case kindBool:
		return "bool"
	case kindInt:
		return "int"
	case kindFloat:
		return "float"
	case kindString:
		return "string"
	case kindBytes:
		return "bytes"
	case kindMessage:
		return string(t.md.Name())
	case kindRepeated:
		return "list of " + fieldType(t.fd, elementOf, typ{}).String()
	case kindMap:
		return "map"
	case kindList:
		return "list"
	case kindTuple:
		return "tuple"
	case kindDict:
		return "dict"
	case kindFunction:
		return "function"
	case kindType:
		return "message type"
	case kindFixed:
		return t.fixed
	}
	return "value"
}

// part says what of a field a type is asked for.
type part int

const (
	wholeField part = iota
	elementOf       // An element of a repeated field.
	keyOf           // A key of a map.
	valueOf         // A value of a map.
)

// fieldType gives the type of a field, or of a part of one, in a message of type
// of.
func fieldType(fd protoreflect.FieldDescriptor, p part, of typ) typ {
	t := typ{frozen: of.frozen, mutable: of.mutable}
	switch {
	case p == wholeField && fd.IsList():
		t.kind, t.fd = kindRepeated, fd
		return t
	case p == wholeField && fd.IsMap():
		t.kind, t.fd = kindMap, fd
		return t
	case p == keyOf:
		fd = fd.MapKey()
	case p == valueOf:
		fd = fd.MapValue()
	}
	if fd.Message() != nil {
		t.kind, t.md = kindMessage, fd.Message()
		return t
	}
	return typ{kind: scalarKind(fd)}
}

// scalarKind is what a scalar field reads as.
func scalarKind(fd protoreflect.FieldDescriptor) kind {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return kindString
	case protoreflect.BytesKind:
		return kindBytes
	case protoreflect.BoolKind:
		return kindBool
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return kindFloat
	default:
		return kindInt
	}
}

// join gives the type of what is of type a or b.
func (s *solver) join(a, b typ) typ {
	a, b = settle(a), settle(b)
	switch {
	case a == b || b.kind == kindBottom:
		return a
	case a.kind == kindBottom:
		return b
	case a.kind == kindUnknown || b.kind == kindUnknown:
		return s.forget(a, b)
	case a.kind == kindNone:
		b.nullable = true
		return b
	case b.kind == kindNone:
		a.nullable = true
		return a
	}
	nullable := a.nullable || b.nullable
	t := s.joinKinds(a, b)
	if t.kind != kindUnknown {
		t.nullable = nullable
	}
	return t
}

// joinKinds joins two types that are neither bottom nor None nor unknown.
func (s *solver) joinKinds(a, b typ) typ {
	if a.kind != b.kind {
		return s.joinIterables(a, b)
	}
	switch a.kind {
	case kindMessage, kindRepeated, kindMap:
		if a.md != b.md || a.fd != b.fd {
			return s.forget(a, b)
		}
		a.frozen, a.mutable = a.frozen && b.frozen, a.mutable && b.mutable
		return a
	case kindList, kindDict, kindSequence:
		a.site = s.unite(a.site, b.site)
		return a
	case kindTuple:
		if len(a.site.elems) == len(b.site.elems) {
			a.site = s.unite(a.site, b.site)
			return a
		}
	case kindType:
		if a.md == b.md {
			return a
		}
	case kindBool, kindInt, kindFloat, kindString, kindBytes:
		return a
	}
	return s.forget(a, b)
}

// joinIterables joins two types of different kinds. A list and a field of a
// message may both be iterated over, and often come into one variable.
func (s *solver) joinIterables(a, b typ) typ {
	if b.kind == kindList || b.kind == kindSequence {
		a, b = b, a
	}
	if a.kind != kindList && a.kind != kindSequence {
		return s.forget(a, b)
	}
	switch b.kind {
	case kindList, kindSequence:
		return typ{kind: kindSequence, site: s.unite(a.site, b.site)}
	case kindRepeated:
		s.put(a.site, fieldType(b.fd, elementOf, b))
		return typ{kind: kindSequence, site: a.site.find()}
	}
	return s.forget(a, b)
}

// forget gives up on types: what they refer to may be anything from here on.
func (s *solver) forget(types ...typ) typ {
	for _, t := range types {
		s.leak(t)
	}
	return typ{kind: kindUnknown}
}

// settle replaces the site of a type by the one that it was united with.
func settle(t typ) typ {
	if t.site != nil {
		t.site = t.site.find()
	}
	return t
}

// unite makes two sites one.
func (s *solver) unite(a, b *site) *site {
	a, b = a.find(), b.find()
	if a == b {
		return a
	}
	s.changed = true
	b.parent = a
	if b.leaked {
		s.leak(typ{kind: kindList, site: a})
	}
	// To join may unite a itself with another site.
	s.put(a, b.elem)
	s.putKey(a, b.key)
	for i, e := range b.elems {
		s.putElem(a, i, e)
	}
	return a.find()
}

// widen makes a place hold values of type t as well. To join types may unite
// containers and let values leak, and so change the very place meanwhile: what it
// holds by then is joined in, too. present gives what the place holds, false where
// nothing is told of it any more.
func (s *solver) widen(t typ, present func() (typ, bool), set func(typ)) {
	for {
		before, ok := present()
		if !ok {
			s.leak(t)
			return
		}
		u := s.join(before, t)
		if now, ok := present(); !ok || now != settle(before) {
			t = u
			continue
		}
		if u != settle(before) {
			set(u)
			s.changed = true
		}
		return
	}
}

// put notes that a container holds something of a type.
func (s *solver) put(c *site, t typ) {
	s.widen(t, func() (typ, bool) {
		c = c.find()
		return settle(c.elem), !c.leaked
	}, func(u typ) { c.find().elem = u })
}

// putKey notes that a dict has a key of a type.
func (s *solver) putKey(c *site, t typ) {
	s.widen(t, func() (typ, bool) {
		c = c.find()
		return settle(c.key), !c.leaked
	}, func(u typ) { c.find().key = u })
}

// putElem notes that an element of a tuple may be of a type.
func (s *solver) putElem(c *site, i int, t typ) {
	if c.find().leaked {
		s.leak(t) // What the tuple consists of stays the same.
	}
	s.widen(t, func() (typ, bool) {
		c = c.find()
		if i >= len(c.elems) {
			return typ{}, false
		}
		return settle(c.elems[i]), true
	}, func(u typ) { c.find().elems[i] = u })
}

// leak notes that code which is not looked at gets hold of a value: it may put
// anything into a container, and call a function with anything.
func (s *solver) leak(t typ) {
	if t.site == nil {
		return
	}
	c := t.site.find()
	if c.leaked {
		return
	}
	c.leaked = true
	s.changed = true
	elem, key, elems := c.elem, c.key, c.elems
	c.elem, c.key = typ{kind: kindUnknown}, typ{kind: kindUnknown}
	s.leak(elem)
	s.leak(key)
	for _, e := range elems { // The tuple itself does not change.
		s.leak(e)
	}
	s.leak(c.result)
	if c.fn != nil {
		s.escape(c.fn)
	}
}

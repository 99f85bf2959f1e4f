package starlarkpb

import (
	"fmt"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Repeated is a repeated field of a message that is, or was, mutable. It behaves
// as a list that checks what is put into it. Messages put into it are copied, as
// in Python.
//
// A repeated field of a frozen message reads as an ordinary frozen list instead:
// the interpreter finds values of two types unequal without asking them, and a
// field of the input should be equal to a list with the same elements.
type Repeated struct {
	owner  *Message
	fd     protoreflect.FieldDescriptor
	elem   protoreflect.MessageType // nil for scalars
	elems  []starlark.Value
	frozen bool
	iters  int            // iterators at work
	cache  *starlark.List // what a frozen owner shows; guarded by its mu
}

var (
	_ starlark.HasAttrs    = (*Repeated)(nil)
	_ starlark.HasSetIndex = (*Repeated)(nil)
	_ starlark.Sequence    = (*Repeated)(nil)
	_ starlark.Sliceable   = (*Repeated)(nil)
	_ starlark.Comparable  = (*Repeated)(nil)
	_ starlark.Container   = (*Repeated)(nil)
	_ starlark.HasBinary   = (*Repeated)(nil)
)

// openRepeated gives a repeated field of a mutable message as a value.
func openRepeated(owner *Message, fd protoreflect.FieldDescriptor) *Repeated {
	r := &Repeated{owner: owner, fd: fd}
	src := owner.msg.Get(fd).List()
	if fd.Message() != nil {
		r.elem = src.NewElement().Message().Type()
	}
	if n := src.Len(); n > 0 {
		r.elems = make([]starlark.Value, n)
		for i := range n {
			if r.elem == nil {
				r.elems[i] = scalar(fd, src.Get(i))
			} else {
				r.elems[i] = owner.element(src.Get(i).Message())
			}
		}
	}
	return r
}

// frozenList gives a repeated field of a message that nobody changes as a list.
func frozenList(fd protoreflect.FieldDescriptor, src protoreflect.List, built extent) *starlark.List {
	elems := make([]starlark.Value, src.Len())
	if fd.Message() != nil {
		block := make([]Message, len(elems))
		for i := range elems {
			m := &block[i]
			m.msg, m.built = src.Get(i).Message(), built
			m.frozen, m.present, m.view = true, true, true
			elems[i] = m
		}
	} else {
		for i := range elems {
			elems[i] = scalar(fd, src.Get(i))
		}
	}
	list := starlark.NewList(elems)
	list.Freeze()
	return list
}

// list gives the elements as a frozen list. The owner is frozen and locked.
func (r *Repeated) list() *starlark.List {
	if r.cache == nil {
		r.cache = starlark.NewList(append([]starlark.Value(nil), r.elems...))
		r.cache.Freeze()
	}
	return r.cache
}

// store writes the elements to the field in out, which is new.
func (r *Repeated) store(out protoreflect.Message) {
	if len(r.elems) == 0 {
		out.Clear(r.fd)
		return
	}
	v := out.NewField(r.fd)
	list := v.List()
	for _, e := range r.elems {
		list.Append(goValue(r.fd, e))
	}
	out.Set(r.fd, v)
}

// goValue gives an element, or map value, that was converted before.
func goValue(fd protoreflect.FieldDescriptor, v starlark.Value) protoreflect.Value {
	if m, ok := v.(*Message); ok {
		return protoreflect.ValueOfMessage(m.snapshot())
	}
	pv, err := scalarValue(fd, v)
	if err != nil {
		return fd.Default() // Unreachable: only what scalar gave is kept.
	}
	return pv
}

func (r *Repeated) elemName() string { return kindName(r.fd) }

// where names the field for errors.
func (r *Repeated) where() string { return r.owner.Type() + "." + string(r.fd.Name()) }

// mutable fails if r may not be changed now.
func (r *Repeated) mutable(verb string) error {
	if r.frozen {
		return fmt.Errorf("cannot %s frozen list %s", verb, r.where())
	}
	if r.iters > 0 {
		return fmt.Errorf("cannot %s list %s %w", verb, r.where(), errIterating)
	}
	return nil
}

// explain puts the field, and where it is in, in front of a conversion error.
func (r *Repeated) explain(err error) error {
	return r.owner.explain(within(string(r.fd.Name()), err))
}

// replace gives r new elements.
func (r *Repeated) replace(c *converter, v starlark.Value) error {
	if v == r {
		return nil
	}
	if err := r.mutable("assign to"); err != nil {
		return err
	}
	elems, err := c.elements(r, v, 0)
	if err != nil {
		return err
	}
	r.owner.touch()
	r.elems = elems
	return nil
}

// String gives a bounded rendering.
func (r *Repeated) String() string { return printRepeated(r) }

// Type gives "repeated".
func (r *Repeated) Type() string { return "repeated" }

// Truth is true if there are elements.
func (r *Repeated) Truth() starlark.Bool { return len(r.elems) > 0 }

// Hash fails.
func (r *Repeated) Hash() (uint32, error) { return 0, unhashable(r) }

// Freeze makes r and its elements immutable.
func (r *Repeated) Freeze() {
	if r.frozen {
		return
	}
	r.frozen = true
	for _, e := range r.elems {
		e.Freeze()
	}
}

// Len gives the number of elements.
func (r *Repeated) Len() int { return len(r.elems) }

// Index gives an element. A message element is itself mutable if r is.
func (r *Repeated) Index(i int) starlark.Value { return r.elems[i] }

// Slice gives a new, ordinary list of elements.
func (r *Repeated) Slice(start, end, step int) starlark.Value {
	var elems []starlark.Value
	if step > 0 {
		for i := start; i < end; i += step {
			elems = append(elems, r.elems[i])
		}
	} else {
		for i := start; i > end; i += step {
			elems = append(elems, r.elems[i])
		}
	}
	return starlark.NewList(elems)
}

// SetIndex replaces an element by a converted copy of v.
func (r *Repeated) SetIndex(i int, v starlark.Value) error {
	if err := r.mutable("assign to element of"); err != nil {
		return err
	}
	elem, err := newConverter(r.owner.check, nil).element(r, v)
	if err != nil {
		return r.explain(within(fmt.Sprintf("[%d]", i), err))
	}
	r.owner.touch()
	r.elems[i] = elem
	return nil
}

// Has reports whether an element equals y.
func (r *Repeated) Has(y starlark.Value) (bool, error) {
	i, err := r.find(y)
	return i >= 0, err
}

func (r *Repeated) find(y starlark.Value) (int, error) {
	for i, e := range r.elems {
		same, err := starlark.Equal(e, y)
		if err != nil {
			return -1, err
		}
		if same {
			return i, nil
		}
	}
	return -1, nil
}

// Binary concatenates with lists and other repeated fields, to a new list.
func (r *Repeated) Binary(op syntax.Token, y starlark.Value, side starlark.Side) (starlark.Value, error) {
	if op != syntax.PLUS {
		return nil, nil
	}
	var other []starlark.Value
	switch y := y.(type) {
	case *Repeated:
		other = y.elems
	case *starlark.List:
		for i := range y.Len() {
			other = append(other, y.Index(i))
		}
	default:
		return nil, nil
	}
	left, right := r.elems, other
	if side == starlark.Right {
		left, right = right, left
	}
	sum := make([]starlark.Value, 0, len(left)+len(right))
	return starlark.NewList(append(append(sum, left...), right...)), nil
}

// CompareSameType compares elements in order.
func (r *Repeated) CompareSameType(op syntax.Token, y starlark.Value, depth int) (bool, error) {
	if op != syntax.EQL && op != syntax.NEQ {
		return false, notOrdered(r, op, y)
	}
	other, ok := y.(*Repeated)
	same := ok && len(r.elems) == len(other.elems)
	for i := 0; same && i < len(r.elems); i++ {
		var err error
		if same, err = starlark.EqualDepth(r.elems[i], other.elems[i], depth-1); err != nil {
			return false, err
		}
	}
	return same == (op == syntax.EQL), nil
}

// Iterate gives an iterator. While it is at work r cannot be changed.
func (r *Repeated) Iterate() starlark.Iterator {
	if !r.frozen {
		r.iters++
	}
	return &repeatedIterator{r: r, counted: !r.frozen}
}

type repeatedIterator struct {
	r       *Repeated
	i       int
	counted bool
}

func (it *repeatedIterator) Next(p *starlark.Value) bool {
	if it.i >= len(it.r.elems) {
		return false
	}
	*p = it.r.elems[it.i]
	it.i++
	return true
}

func (it *repeatedIterator) Done() {
	if it.counted {
		it.counted = false
		if !it.r.frozen {
			it.r.iters--
		}
	}
}

package starlarkpb

import (
	"fmt"
	"slices"

	"go.starlark.net/starlark"
)

func (r *Repeated) method(name string) method[*Repeated] {
	switch name {
	case "add":
		if r.elem != nil {
			return repeatedAdd
		}
	case "append":
		return repeatedAppend
	case "clear":
		return repeatedClear
	case "extend":
		return repeatedExtend
	case "index":
		return repeatedIndex
	case "insert":
		return repeatedInsert
	case "pop":
		return repeatedPop
	case "remove":
		return repeatedRemove
	}
	return nil
}

// Attr gives a method.
func (r *Repeated) Attr(name string) (starlark.Value, error) {
	if f := r.method(name); f != nil {
		return bind(name, r, f), nil
	}
	return nil, nil
}

// AttrNames gives the names of the methods, sorted.
func (r *Repeated) AttrNames() []string {
	names := []string{"append", "clear", "extend", "index", "insert", "pop", "remove"}
	if r.elem != nil {
		names = slices.Insert(names, 0, "add")
	}
	return names
}

// put inserts converted elements.
func (r *Repeated) put(i int, elems ...starlark.Value) {
	r.owner.touch()
	r.elems = slices.Insert(r.elems, i, elems...)
}

func repeatedAdd(thread *starlark.Thread, r *Repeated, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) > 0 {
		return nil, fmt.Errorf("%s: got positional arguments, want keywords only", b.Name())
	}
	if err := r.mutable("add to"); err != nil {
		return nil, err
	}
	if r.owner.depth >= MaxDepth {
		return nil, r.explain(errTooDeep)
	}
	m := newMessage(r.elem, r.owner.check, r.owner.depth+1)
	if err := newConverter(r.owner.check, thread).fill(m, kwargs, "keyword argument"); err != nil {
		return nil, r.explain(within(fmt.Sprintf("[%d]", len(r.elems)), err))
	}
	r.put(len(r.elems), m)
	return m, nil
}

func repeatedAppend(thread *starlark.Thread, r *Repeated, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &v); err != nil {
		return nil, err
	}
	return starlark.None, r.insert(thread, "append to", len(r.elems), v)
}

// insert converts v and puts it at i.
func (r *Repeated) insert(thread *starlark.Thread, verb string, i int, v starlark.Value) error {
	if err := r.mutable(verb); err != nil {
		return err
	}
	elem, err := newConverter(r.owner.check, thread).element(r, v)
	if err != nil {
		return r.explain(within(fmt.Sprintf("[%d]", i), err))
	}
	r.put(i, elem)
	return nil
}

func repeatedClear(_ *starlark.Thread, r *Repeated, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 0); err != nil {
		return nil, err
	}
	if err := r.mutable("clear"); err != nil {
		return nil, err
	}
	r.owner.touch()
	r.elems = nil
	return starlark.None, nil
}

func repeatedExtend(thread *starlark.Thread, r *Repeated, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &v); err != nil {
		return nil, err
	}
	if err := r.mutable("extend"); err != nil {
		return nil, err
	}
	elems, err := newConverter(r.owner.check, thread).elements(r, v, len(r.elems))
	if err != nil {
		return nil, r.explain(err)
	}
	// Iterating over v may have run nothing of the script, so r is as it was.
	r.put(len(r.elems), elems...)
	return starlark.None, nil
}

func repeatedIndex(thread *starlark.Thread, r *Repeated, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &v); err != nil {
		return nil, err
	}
	charge(thread, len(r.elems))
	i, err := r.find(v)
	if err != nil {
		return nil, err
	}
	if i < 0 {
		return nil, fmt.Errorf("%s: value not in %s", b.Name(), r.where())
	}
	return starlark.MakeInt(i), nil
}

func repeatedInsert(thread *starlark.Thread, r *Repeated, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var i int
	var v starlark.Value
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 2, &i, &v); err != nil {
		return nil, err
	}
	if i < 0 {
		i = max(0, i+len(r.elems))
	}
	i = min(i, len(r.elems))
	charge(thread, len(r.elems)-i)
	return starlark.None, r.insert(thread, "insert into", i, v)
}

func repeatedPop(thread *starlark.Thread, r *Repeated, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	at := -1
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 0, &at); err != nil {
		return nil, err
	}
	if err := r.mutable("pop from"); err != nil {
		return nil, err
	}
	i, n := at, len(r.elems)
	if i < 0 {
		i += n
	}
	if i < 0 || i >= n {
		return nil, fmt.Errorf("%s: index %d out of range, %s has %d elements", b.Name(), at, r.where(), n)
	}
	charge(thread, n-i)
	v := r.elems[i]
	r.owner.touch()
	r.elems = slices.Delete(r.elems, i, i+1)
	return v, nil
}

func repeatedRemove(thread *starlark.Thread, r *Repeated, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &v); err != nil {
		return nil, err
	}
	if err := r.mutable("remove from"); err != nil {
		return nil, err
	}
	charge(thread, len(r.elems))
	i, err := r.find(v)
	if err != nil {
		return nil, err
	}
	if i < 0 {
		return nil, fmt.Errorf("%s: value not in %s", b.Name(), r.where())
	}
	r.owner.touch()
	r.elems = slices.Delete(r.elems, i, i+1)
	return starlark.None, nil
}

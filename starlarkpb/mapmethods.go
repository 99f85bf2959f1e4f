package starlarkpb

import (
	"fmt"

	"go.starlark.net/starlark"
)

func mapMethod(name string) method[*Map] {
	switch name {
	case "clear":
		return mapClear
	case "get":
		return mapGet
	case "items":
		return mapItems
	case "keys":
		return mapKeys
	case "pop":
		return mapPop
	case "update":
		return mapUpdate
	case "values":
		return mapValues
	}
	return nil
}

// Attr gives a method.
func (m *Map) Attr(name string) (starlark.Value, error) {
	if f := mapMethod(name); f != nil {
		return bind(name, m, f), nil
	}
	return nil, nil
}

// AttrNames gives the names of the methods, sorted.
func (m *Map) AttrNames() []string {
	return []string{"clear", "get", "items", "keys", "pop", "update", "values"}
}

func mapClear(_ *starlark.Thread, m *Map, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 0); err != nil {
		return nil, err
	}
	if err := m.mutable("clear"); err != nil {
		return nil, err
	}
	m.owner.touch()
	clear(m.vals)
	return starlark.None, nil
}

func mapGet(_ *starlark.Thread, m *Map, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var key, dflt starlark.Value = nil, starlark.None
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &key, &dflt); err != nil {
		return nil, err
	}
	if v, ok, err := m.Get(key); err != nil || ok {
		return v, err
	}
	return dflt, nil
}

func mapItems(thread *starlark.Thread, m *Map, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	return m.listOf(thread, b, args, kwargs, func(k any) starlark.Value {
		return starlark.Tuple{m.keyValue(k), m.vals[k]}
	})
}

func mapKeys(thread *starlark.Thread, m *Map, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	return m.listOf(thread, b, args, kwargs, m.keyValue)
}

func mapValues(thread *starlark.Thread, m *Map, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	return m.listOf(thread, b, args, kwargs, func(k any) starlark.Value { return m.vals[k] })
}

// listOf gives something of each entry, in the order of the keys.
func (m *Map) listOf(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple, of func(k any) starlark.Value) (starlark.Value, error) {
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 0); err != nil {
		return nil, err
	}
	charge(thread, len(m.vals))
	elems := make([]starlark.Value, 0, len(m.vals))
	for _, k := range m.sorted() {
		elems = append(elems, of(k))
	}
	return starlark.NewList(elems), nil
}

func mapPop(_ *starlark.Thread, m *Map, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var key, dflt starlark.Value
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &key, &dflt); err != nil {
		return nil, err
	}
	if err := m.mutable("pop from"); err != nil {
		return nil, err
	}
	k, err := scalarValue(m.fd.MapKey(), key)
	if err == nil {
		if v, ok := m.vals[k.Interface()]; ok {
			m.owner.touch()
			delete(m.vals, k.Interface())
			return v, nil
		}
	}
	if dflt != nil {
		return dflt, nil
	}
	return nil, fmt.Errorf("%s: key %s not in %s", b.Name(), printKey(key), m.where())
}

func mapUpdate(thread *starlark.Thread, m *Map, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &v); err != nil {
		return nil, err
	}
	if err := m.mutable("update"); err != nil {
		return nil, err
	}
	vals, err := m.entries(newConverter(m.owner.check, thread), v)
	if err != nil {
		return nil, m.explain(err)
	}
	m.owner.touch()
	for k, val := range vals {
		m.vals[k] = val
	}
	return starlark.None, nil
}

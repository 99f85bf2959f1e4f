package inspect

import (
	"reflect"

	"go.starlark.net/starlark"

	"starplan/plan"
	"starplan/plan/execution"
)

const (
	// maxVars bounds how many variables of one call are told at a time.
	maxVars = 50
	// maxFrames bounds the calls that are told of; there is no recursion.
	maxFrames = 50
	// maxTraceText and maxLocalText bound the text of a value, in bytes.
	maxTraceText = 200
	maxLocalText = 500
)

// locals runs the plan up to where it fails. The first time it finds out at which
// step that is, the second time it looks there: once the interpreter tells of a
// failure, the variables are gone.
func (i *Inspector) locals(tenant string, rec execution.Record, emit func(Event)) (err error) {
	if i.plain == nil {
		if i.plain, err = plan.Compile(i.src, i.lim); err != nil {
			return err
		}
	}
	last := uint64(0)
	out, _ := i.plain.Watch(tenant, rec, func(thread *starlark.Thread) { last = thread.Steps })
	if out.Reason == "" || last == 0 {
		return nil
	}
	var frames []Frame
	var depths []int
	_, stack := i.plain.Watch(tenant, rec, func(thread *starlark.Thread) {
		if thread.Steps >= last && frames == nil {
			frames, depths = snapshot(thread)
		}
	})
	for n, frame := range frames {
		// The interpreter has moved on since, in the innermost frame.
		if d := depths[n]; d < len(stack) && stack[d].Name == frame.Function && stack[d].Pos.Line > 0 {
			frame.Line, frame.Col = int(stack[d].Pos.Line), int(stack[d].Pos.Col)
		}
		emit(Event{Frame: &frame})
	}
	return nil
}

// snapshot gives the calls of the plan's functions, outermost first, and where
// each is in the thread's stack.
func snapshot(thread *starlark.Thread) (frames []Frame, depths []int) {
	size := thread.CallStackDepth()
	for d := range size {
		f := thread.DebugFrame(size - 1 - d)
		fn, ok := f.Callable().(*starlark.Function)
		if !ok || len(frames) == maxFrames {
			continue
		}
		pos, start := f.Position(), fn.Position()
		frame := Frame{
			Place: Place{Function: fn.Name(), Module: pos.Filename(), Line: int(pos.Line), Start: int(start.Line)},
			Col:   int(pos.Col),
		}
		for _, v := range variables(f, nil, frame.Line) {
			if len(frame.Vars) == maxVars {
				frame.More++
				continue
			}
			frame.Vars = append(frame.Vars, Variable{v.name, Text(v.value, maxLocalText)})
		}
		frames, depths = append(frames, frame), append(depths, d)
	}
	return frames, depths
}

// variable is a name of a function and what it holds.
type variable struct {
	name  string
	value starlark.Value
}

// variables gives what the variables of a frame hold that were assigned, those of
// the functions around it included: parameters first, then in the order of the
// text. Of several with one name, as comprehensions make them, it gives the last
// one above line. Functions under their own names are left out: they tell nothing.
func variables(frame starlark.DebugFrame, hidden map[spot]bool, line int) []variable {
	var list []variable
	index := make(map[string]int)
	add := func(b starlark.Binding, v starlark.Value) {
		if v = content(v); v == nil || hidden[spotOf(b.Pos)] {
			return
		}
		if fn, ok := v.(*starlark.Function); ok && fn.Name() == b.Name {
			return
		}
		i, ok := index[b.Name]
		switch {
		case !ok:
			index[b.Name] = len(list)
			list = append(list, variable{b.Name, v})
		case int(b.Pos.Line) <= line:
			list[i].value = v
		}
	}
	for i := range frame.NumLocals() {
		add(frame.Local(i))
	}
	if fn, ok := frame.Callable().(*starlark.Function); ok {
		for i := range fn.NumFreeVars() {
			add(fn.FreeVar(i))
		}
	}
	return list
}

// content gives what a variable holds. One that inner functions use as well is
// kept in a cell, a type that the interpreter does not show: a pointer to a struct
// whose only field is the value. It gives nil where nothing was assigned.
func content(v starlark.Value) starlark.Value {
	if v == nil || v.Type() != "cell" {
		return v
	}
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.Elem().Kind() != reflect.Struct || p.Elem().NumField() != 1 ||
		p.Elem().Field(0).Type() != reflect.TypeFor[starlark.Value]() {
		return v
	}
	return *(*starlark.Value)(p.UnsafePointer())
}

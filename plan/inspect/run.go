package inspect

import (
	"slices"

	"go.starlark.net/starlark"

	"starplan/plan/probe"
)

// run is a run of a program with probes, as it goes on. Two things tell of it: the
// interpreter calls step before each step, which shows where functions begin and
// end, and the probes call passed.
type run struct {
	limit   uint64
	hidden  map[spot]bool
	opts    Options
	emit    func(Event)
	profile *profile // Nil where none is wanted.

	calls []call // Under way, outermost first.
	depth int    // Of the thread's stack when step looked last.
	lines uint64 // That began.
}

// call is a function of the plan that is being called.
type call struct {
	place   Place
	depth   int    // Of the thread's stack.
	entered bool   // Its first probe was passed.
	began   uint64 // The number of its last line among all that began.
	texts   map[string]string
}

func newRun(limit uint64, hidden map[spot]bool, opts Options, emit func(Event)) *run {
	r := &run{limit: limit, hidden: hidden, opts: opts, emit: emit}
	if opts.Profile {
		r.profile = newProfile()
	}
	return r
}

// step is called before each step. What calls the functions of a plan, be it a
// builtin such as sorted, may have left one and entered another since.
func (r *run) step(thread *starlark.Thread) {
	depth := thread.CallStackDepth()
	if depth == r.depth {
		return
	}
	r.depth = depth
	r.account(thread.Steps - 1)
	for len(r.calls) > 0 && r.top().depth > depth {
		r.pop()
	}
	if len(r.calls) > 0 && r.top().depth == depth {
		return
	}
	if fn, ok := thread.DebugFrame(0).Callable().(*starlark.Function); ok {
		r.push(fn, depth)
	}
}

func (r *run) top() *call { return &r.calls[len(r.calls)-1] }

func (r *run) push(fn *starlark.Function, depth int) {
	pos := fn.Position()
	place := Place{Function: fn.Name(), Module: pos.Filename(), Line: int(pos.Line), Start: int(pos.Line)}
	r.calls = append(r.calls, call{place: place, depth: depth, texts: make(map[string]string)})
	if r.profile != nil {
		r.profile.enter(place)
	}
}

func (r *run) pop() {
	r.calls = r.calls[:len(r.calls)-1]
	if r.profile != nil {
		r.profile.leave()
	}
}

// passed is called at each probe.
func (r *run) passed(thread *starlark.Thread, module string, point probe.Point) {
	if thread.Steps >= r.limit {
		return // Without probes, the run would have ended by now.
	}
	r.account(thread.Steps)
	frame := thread.DebugFrame(1)
	fn, ok := frame.Callable().(*starlark.Function)
	if !ok || len(r.calls) == 0 || r.top().place.Module != module {
		return
	}
	switch point.Kind {
	case probe.Enter:
		if r.top().entered { // Called again by a builtin, with no step in between.
			depth := r.top().depth
			r.pop()
			r.push(fn, depth)
		}
		r.top().entered = true
		r.begin(point.Line)
		r.changes(frame, func(string) bool { return true })
	case probe.Statement:
		r.changes(frame, func(string) bool { return true })
		r.begin(point.Line)
	case probe.Turn:
		ofLoop := func(name string) bool { return slices.Contains(point.Vars, name) }
		r.changes(frame, func(name string) bool { return !ofLoop(name) })
		if c := r.top(); c.began != r.lines || c.place.Line != point.Line { // The loop itself has not just begun.
			r.begin(point.Line)
		}
		r.changes(frame, ofLoop)
	case probe.End:
		r.changes(frame, func(string) bool { return true })
	}
}

// begin notes that a line of the innermost call is about to run.
func (r *run) begin(line int) {
	c := r.top()
	c.place.Line = line
	if r.profile != nil {
		r.profile.move(c.place)
	}
	r.lines++
	c.began = r.lines
	if r.lines <= uint64(r.opts.Lines) {
		r.emit(Event{Line: &Line{Place: c.place, Depth: len(r.calls)}})
	}
}

// changes tells which variables of the innermost call are written otherwise now
// than when it looked last, of those that are wanted.
func (r *run) changes(frame starlark.DebugFrame, wanted func(name string) bool) {
	if r.lines > uint64(r.opts.Lines) || r.opts.Lines == 0 {
		return
	}
	c := r.top()
	changed := Changed{Depth: len(r.calls)}
	for _, v := range variables(frame, r.hidden, c.place.Line) {
		if !wanted(v.name) {
			continue
		}
		text := Text(v.value, maxTraceText)
		if before, ok := c.texts[v.name]; ok && before == text {
			continue
		}
		c.texts[v.name] = text
		if len(changed.Vars) == maxVars {
			changed.More++
			continue
		}
		changed.Vars = append(changed.Vars, Variable{v.name, text})
	}
	if len(changed.Vars) > 0 {
		r.emit(Event{Changed: &changed})
	}
}

// account counts the steps so far for what ran until now.
func (r *run) account(steps uint64) {
	if r.profile != nil {
		r.profile.account(min(steps, r.limit))
	}
}

// finish ends a run of so many steps.
func (r *run) finish(steps uint64) {
	r.account(steps)
	if r.profile != nil {
		r.profile.samples(func(s Sample) { r.emit(Event{Sample: &s}) })
	}
	if shown := uint64(r.opts.Lines); shown > 0 && r.lines > shown {
		r.emit(Event{Skipped: r.lines - shown})
	}
}

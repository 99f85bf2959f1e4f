package plantest

import (
	"fmt"
	"strings"
	"time"

	"go.starlark.net/starlark"
)

// runName is the name of the function that runs tests within tests.
const runName = "t.run"

// handle is t, the parameter of a test that is made of others.
type handle struct {
	run     *runner
	file    *testFile
	thread  *testThread
	name    string
	level   int
	results []Result
}

var _ starlark.HasAttrs = (*handle)(nil)

// String implements starlark.Value.
func (h *handle) String() string { return "<test " + h.name + ">" }

// Type implements starlark.Value.
func (h *handle) Type() string { return "test" }

// Freeze does nothing: a test ends with the thread that it belongs to.
func (h *handle) Freeze() {}

// Truth implements starlark.Value.
func (h *handle) Truth() starlark.Bool { return true }

// Hash implements starlark.Value.
func (h *handle) Hash() (uint32, error) { return 0, fmt.Errorf("unhashable: %s", h.Type()) }

// AttrNames implements starlark.HasAttrs.
func (h *handle) AttrNames() []string { return []string{"run"} }

// Attr implements starlark.HasAttrs.
func (h *handle) Attr(name string) (starlark.Value, error) {
	if name != "run" {
		return nil, nil
	}
	return starlark.NewBuiltin(runName, h.runTest), nil
}

// runTest is t.run(name, function, *args, **kwargs): it calls function(*args,
// **kwargs) as a test of its own, whose failure does not end the one around it.
func (h *handle) runTest(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if thread != h.thread.Thread {
		return nil, fmt.Errorf("%s: called from another test", b.Name())
	}
	if len(args) < 2 {
		return nil, fmt.Errorf("%s: got %d arguments, want a name and a function", b.Name(), len(args))
	}
	name, ok := starlark.AsString(args[0])
	if !ok || name == "" {
		return nil, fmt.Errorf("%s: got %s for the name, want a string that is not empty", b.Name(), args[0].Type())
	}
	fn, ok := args[1].(starlark.Callable)
	if !ok {
		return nil, fmt.Errorf("%s: got %s, want a function", b.Name(), args[1].Type())
	}
	name = strings.Join(strings.Fields(name), "_")
	if !h.run.opts.Match.matches(h.level+1, name) {
		return starlark.None, nil
	}
	start := time.Now()
	outer := h.thread.takePrints()
	_, err := h.thread.call(fn, args[2:], kwargs)
	result := Result{File: h.file.path, Name: h.name + "/" + name, Seconds: time.Since(start).Seconds(), Prints: h.thread.takePrints()}
	h.thread.prints = outer
	if err != nil {
		result.Failure = h.thread.failure(h.file, err)
	}
	h.results = append(h.results, result)
	if h.thread.stopped.Load() != nil {
		return nil, err
	}
	return starlark.None, nil
}

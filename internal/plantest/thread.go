package plantest

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"go.starlark.net/starlark"

	"starplan/plan"
	"starplan/plan/predeclared"
)

// Now is what time.now() gives in tests that say nothing else. It is the time of
// golden cases too.
var Now = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)

// What is kept of a test's output.
const (
	maxPrintLines = 1000
	maxPrintBytes = 64 << 10
)

// stateKey is the thread-local name of the testThread.
const stateKey = "starplan.plantest"

// testThread is the thread of one test, with what is measured beside it.
type testThread struct {
	*starlark.Thread
	limits plan.Limits
	// stopped says why the test had to end: the interpreter's error is a mere text.
	// The clock may strike while the thread works.
	stopped    atomic.Pointer[string]
	clock      *time.Timer
	now        *time.Time
	prints     []string
	printBytes int
}

// newThread makes a thread whose clock runs. Its end must be told with close.
func newThread(name string, limits plan.Limits) *testThread {
	t := &testThread{limits: limits}
	t.Thread = &starlark.Thread{
		Name:  name,
		Print: t.print,
		OnMaxSteps: func(*starlark.Thread) {
			t.stop(fmt.Sprintf("step limit of %d reached; do less in one test, or raise --plan-max-steps", limits.MaxSteps))
		},
	}
	t.SetMaxExecutionSteps(limits.MaxSteps)
	t.SetLocal(stateKey, t)
	t.setNow(&Now)
	t.clock = time.AfterFunc(limits.Timeout, func() {
		t.stop(fmt.Sprintf("timed out after %v", limits.Timeout))
	})
	return t
}

func (t *testThread) close() { t.clock.Stop() }

// stop ends the thread; the first reason counts.
func (t *testThread) stop(reason string) {
	t.stopped.CompareAndSwap(nil, &reason)
	t.Cancel(reason)
}

// setNow says what time.now() gives; nil makes it an error.
func (t *testThread) setNow(now *time.Time) {
	t.now = now
	predeclared.Bind(t.Thread, predeclared.Env{Now: now, MaxSteps: t.limits.MaxSteps})
}

func (t *testThread) print(thread *starlark.Thread, msg string) {
	switch {
	case len(t.prints) > maxPrintLines || t.printBytes > maxPrintBytes:
		return
	case len(t.prints) == maxPrintLines || t.printBytes+len(msg) > maxPrintBytes:
		t.printBytes = maxPrintBytes + 1
		t.prints = append(t.prints, fmt.Sprintf("(print: no more than %d lines and %d bytes are kept)", maxPrintLines, maxPrintBytes))
		return
	}
	t.printBytes += len(msg)
	// Frame 0 is print itself.
	t.prints = append(t.prints, thread.CallFrame(1).Pos.String()+": "+strings.ToValidUTF8(msg, "\uFFFD"))
}

// takePrints gives what was printed since the last call.
func (t *testThread) takePrints() []string {
	prints := t.prints
	t.prints, t.printBytes = nil, 0
	return prints
}

// call calls fn. A Go panic in a builtin is a failure of this test alone.
func (t *testThread) call(fn starlark.Callable, args starlark.Tuple, kwargs []starlark.Tuple) (v starlark.Value, err error) {
	defer func() {
		if r := recover(); r != nil {
			v, err = nil, fmt.Errorf("internal error: %v; this is a fault of the interpreter, not of the test\n%s", r, debug.Stack())
			t.stop("internal error")
		}
	}()
	return starlark.Call(t.Thread, fn, args, kwargs)
}

// failure converts the error that ended a test of the given file.
func (t *testThread) failure(f *testFile, err error) *Failure {
	fail := &Failure{Message: err.Error()}
	var eval *starlark.EvalError
	if errors.As(err, &eval) {
		fail.Message = eval.Msg
		f.locate(fail, plan.Innermost(eval.CallStack))
		// The test's own frame and a builtin's say no more than the position does.
		if stack := withinTest(eval.CallStack); len(stack) > 2 {
			fail.Backtrace = (&starlark.EvalError{Msg: eval.Msg, CallStack: stack}).Backtrace()
		}
	}
	if reason := t.stopped.Load(); reason != nil && !strings.HasPrefix(fail.Message, "internal error") {
		fail.Message = *reason
	}
	var mismatch *mismatch
	if errors.As(err, &mismatch) {
		fail.Message, fail.Got, fail.Want, fail.Diff = mismatch.message, mismatch.got, mismatch.want, mismatch.diff
	}
	return fail
}

// withinTest drops the frames outside of the innermost test.
func withinTest(stack starlark.CallStack) starlark.CallStack {
	for i := len(stack) - 1; i >= 0; i-- {
		if stack[i].Name == runName && stack[i].Pos.Line == 0 {
			return stack[i+1:]
		}
	}
	return stack
}

// stateOf gives the test that a builtin is called from.
func stateOf(thread *starlark.Thread) (*testThread, error) {
	t, ok := thread.Local(stateKey).(*testThread)
	if !ok {
		return nil, errors.New("called outside of a test")
	}
	return t, nil
}

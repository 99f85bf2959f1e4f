package plan

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"starplan/plan/execution"
	"starplan/plan/predeclared"
)

// What is kept of a plan's output by print(), for each run.
const (
	maxPrintLines = 100
	maxPrintBytes = 16 << 10
)

// thread is a Starlark thread with what is measured beside it. A run has one of
// its own, since steps and cancellation stick to a thread.
type thread struct {
	thread   *starlark.Thread
	maxSteps uint64
	// limited is the verdict of the step limit. It is kept here, because the error
	// that the interpreter gives for a cancelled thread is a mere text.
	limited    bool
	prints     []string
	printBytes int
	// stack is the call stack of the last failure, outermost frame first.
	stack starlark.CallStack
}

// newThread makes a thread of the given step limit. now is what time.now() gives;
// nil while a plan is loaded.
func newThread(name string, maxSteps uint64, now *time.Time) *thread {
	t := &thread{maxSteps: maxSteps}
	t.thread = &starlark.Thread{
		Name:  name,
		Print: t.print,
		OnMaxSteps: func(thread *starlark.Thread) {
			t.limited = true
			thread.Cancel("step limit")
		},
	}
	t.thread.SetMaxExecutionSteps(maxSteps)
	predeclared.Bind(t.thread, predeclared.Env{Now: now, MaxSteps: maxSteps})
	return t
}

// watch calls step before each step, the one that reaches the limit included.
func (t *thread) watch(limit uint64, step func(*starlark.Thread)) {
	atLimit := t.thread.OnMaxSteps
	t.thread.OnMaxSteps = func(thread *starlark.Thread) {
		step(thread)
		if thread.Steps >= limit {
			atLimit(thread)
		}
	}
	// The interpreter calls OnMaxSteps at every step from the limit on.
	t.thread.SetMaxExecutionSteps(1)
}

// print keeps what a plan prints, bounded in lines and bytes, with its position.
func (t *thread) print(thread *starlark.Thread, msg string) {
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
	line := thread.CallFrame(1).Pos.String() + ": " + strings.ToValidUTF8(msg, "\uFFFD")
	t.prints = append(t.prints, line)
}

// failure is what went wrong in plan code.
type failure struct {
	message   string // Without position.
	pos       syntax.Position
	backtrace string
}

// position gives "plan.star:12:5", or "" where no frame is the plan's own.
func (f failure) position() string {
	if f.pos.Line == 0 {
		return ""
	}
	return f.pos.String()
}

// failure converts an error of the interpreter.
func (t *thread) failure(err error) failure {
	f := failure{message: err.Error()}
	var eval *starlark.EvalError
	if errors.As(err, &eval) {
		f.message = eval.Msg
		f.backtrace = eval.Backtrace()
		f.pos = Innermost(eval.CallStack)
		t.stack = eval.CallStack
	}
	return f
}

// Innermost gives the position of the innermost frame that is a script's own code
// and not a builtin's; the zero position where there is none.
func Innermost(stack starlark.CallStack) syntax.Position {
	for i := range stack {
		if pos := stack.At(i).Pos; pos.Line > 0 {
			return pos
		}
	}
	return syntax.Position{}
}

// loadError converts the failure of a module's top level.
func (t *thread) loadError(m *module, err error) *LoadError {
	f := t.failure(err)
	if t.limited {
		f.message = fmt.Sprintf("step limit of %d reached while the plan was loaded; do less at the top level, or raise PLAN_TIMEOUT or PLAN_MAX_STEPS", t.maxSteps)
	}
	e := &LoadError{Code: CodeInit, File: m.name, Message: f.message, Backtrace: f.backtrace}
	if f.position() != "" {
		e.File, e.Line, e.Col = f.pos.Filename(), int(f.pos.Line), int(f.pos.Col)
	}
	return e
}

// withPosition writes a message as it stands in an execution: text first, then
// position. Text too long for consumers is cut, so that the position stays.
func withPosition(message, pos string) string {
	if pos == "" {
		return message
	}
	suffix := " (" + pos + ")"
	room := execution.MaxMessage - utf8.RuneCountInString(suffix)
	if utf8.RuneCountInString(message) > room {
		message = execution.Cut(message, max(0, room-1)) + "…"
	}
	return message + suffix
}

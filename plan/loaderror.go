package plan

import (
	"fmt"
	"strings"

	"go.starlark.net/syntax"
)

// The codes of a LoadError. They are stable: tools match on them.
const (
	// CodeParse is text that is no Starlark, or that breaks a rule of the dialect, as
	// a second assignment to a top-level name.
	CodeParse = "parse-error"
	// CodeUndefined is a name that is not defined.
	CodeUndefined = "undefined-name"
	// CodeMissingPlan is a plan without a function plan.
	CodeMissingPlan = "missing-plan"
	// CodeNotCallable is a plan that is something other than a function.
	CodeNotCallable = "plan-not-callable"
	// CodeArity is a plan function that cannot be called with one argument.
	CodeArity = "plan-arity"
	// CodeLoad is a load() of a module that is absent, unreadable, outside of the
	// plan's directory, or that lacks the name.
	CodeLoad = "load-error"
	// CodeLoadCycle is a module that loads itself, directly or through others.
	CodeLoadCycle = "load-cycle"
	// CodeInit is a failure of a module's top level, its step limit included.
	CodeInit = "init-error"
	// CodeSourceLimit is a plan whose text is larger than [MaxSource].
	CodeSourceLimit = "limit-source"
)

// LoadError is a fault of a plan that keeps it from being served. Its fields are
// plain values, so that it can be handed from one process to another.
type LoadError struct {
	// Code is one of the Code constants.
	Code string
	// File is the module's name relative to the plan's directory; empty where the
	// fault lies in no one module.
	File string
	// Line and Col count from 1; 0 where unknown.
	Line, Col int
	// Message says what is wrong, without position.
	Message string
	// Hint says what to write instead; often empty.
	Hint string
	// Backtrace is the call stack where the top level failed; often empty.
	Backtrace string
}

// Position gives "plan.star:3:1", as far as it is known.
func (e *LoadError) Position() string {
	switch {
	case e.Line > 0 && e.Col > 0:
		return fmt.Sprintf("%s:%d:%d", e.File, e.Line, e.Col)
	case e.Line > 0:
		return fmt.Sprintf("%s:%d", e.File, e.Line)
	default:
		return e.File
	}
}

// Error gives "plan.star:3:1: message (hint)".
func (e *LoadError) Error() string {
	var b strings.Builder
	if pos := e.Position(); pos != "" {
		b.WriteString(pos)
		b.WriteString(": ")
	}
	b.WriteString(e.Message)
	if e.Hint != "" {
		b.WriteString(" (")
		b.WriteString(e.Hint)
		b.WriteString(")")
	}
	return b.String()
}

// loadErrorAt makes a LoadError at a position.
func loadErrorAt(code string, pos syntax.Position, format string, args ...any) *LoadError {
	return &LoadError{
		Code:    code,
		File:    pos.Filename(),
		Line:    int(pos.Line),
		Col:     int(pos.Col),
		Message: fmt.Sprintf(format, args...),
	}
}

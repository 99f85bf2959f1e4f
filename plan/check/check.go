// Package check judges plans without running them on records: what does not
// parse, names that are not defined, a plan() that is missing or takes the wrong
// arguments, top levels that fail, functions whose results differ between CPUs.
//
//	findings, err := check.Files(ctx, []string{"plans/"}, check.Options{})
//
// A file that does not parse gives one finding, since the parser stops there.
// Everything else gives all that is wrong. Where nothing static is wrong with a
// plan, its top level is run through a [plan.Engine], which isolates it where it
// is a pool of workers.
//
// The codes of findings are stable: those of package plan, and [CodeInexactMath].
package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"go.starlark.net/resolve"
	"go.starlark.net/syntax"

	"starplan/plan"
	"starplan/plan/predeclared"
)

// CodeInexactMath is a function of math that gives different results on
// different CPUs.
const CodeInexactMath = "inexact-math"

// Severity is how bad a finding is.
type Severity string

// The severities.
const (
	// Error is a plan that cannot be served, or that would break a promise.
	Error Severity = "error"
	// Warning is a plan that can be served.
	Warning Severity = "warning"
)

// Finding is one thing that is wrong with a plan.
type Finding struct {
	Severity Severity `json:"severity"`
	// Code says what kind of fault it is.
	Code string `json:"code"`
	// Message says what is wrong.
	Message string `json:"message"`
	// Hint says what to write instead; often empty.
	Hint string `json:"hint,omitempty"`
	// File is the module's path.
	File string `json:"file"`
	// Plan is the label of a plan that the module belongs to: "name" or
	// "graph:name".
	Plan string `json:"plan"`
	// Line and Col count from 1; 0 where unknown.
	Line int `json:"line"`
	Col  int `json:"col"`
}

// String gives "file:line:col: severity: message [code]", with the hint on a line
// of its own.
func (f Finding) String() string {
	pos := f.File
	if f.Line > 0 {
		pos = fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Col)
	}
	s := fmt.Sprintf("%s: %s: %s [%s]", pos, f.Severity, f.Message, f.Code)
	if f.Hint != "" {
		s += "\n  hint: " + f.Hint
	}
	return s
}

// Valid reports whether no finding is an error.
func Valid(findings []Finding) bool {
	return !slices.ContainsFunc(findings, func(f Finding) bool { return f.Severity == Error })
}

// Options configure a check.
type Options struct {
	// Engine runs top levels. Nil runs them in this process, under the default step
	// limit and nothing else: that is for plans that are one's own.
	Engine plan.Engine
}

// Files checks the plans of all paths. A path is a file, a folder that holds
// plan.star, or a directory of plans as [plan.Find] reads it. Findings are sorted
// by file and position. An error means that a path could not be read or that the
// engine failed, not that something is wrong with a plan.
func Files(ctx context.Context, paths []string, opts Options) ([]Finding, error) {
	if opts.Engine == nil {
		opts.Engine = plan.NewInProcess("check", plan.Limits{})
	}
	c := checker{engine: opts.Engine, seen: make(map[Finding]bool)}
	for _, path := range paths {
		if err := c.path(ctx, path); err != nil {
			return nil, fmt.Errorf("check: %w", err)
		}
	}
	slices.SortFunc(c.findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col),
			cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message))
	})
	return c.findings, nil
}

// checker collects findings.
type checker struct {
	engine   plan.Engine
	findings []Finding
	// seen holds the findings without their plan: a module that several plans load
	// is reported once.
	seen map[Finding]bool
}

// path checks the plans of one path.
func (c *checker) path(ctx context.Context, path string) error {
	if _, err := os.Stat(filepath.Join(path, plan.EntryFile)); err == nil {
		src, err := plan.ReadFile(path, "")
		return c.plan(ctx, src, err, path, filepath.Base(path))
	}
	found, err := plan.Find(path)
	if err != nil {
		return err
	}
	for _, loc := range found {
		src, err := loc.Read()
		if err := c.plan(ctx, src, err, filepath.Dir(loc.Path), loc.Label()); err != nil {
			return err
		}
	}
	return nil
}

// plan checks one plan, whose modules lie in dir. readErr is what reading it gave.
func (c *checker) plan(ctx context.Context, src *plan.Source, readErr error, dir, label string) error {
	if readErr != nil {
		return c.fault(readErr, dir, label)
	}
	before := len(c.findings)
	names := slices.Sorted(maps.Keys(src.Files))
	clean := true
	for _, name := range names {
		if !c.module(name, src.Files[name], name == src.Entry, dir, label) {
			clean = false
		}
	}
	if !clean || len(c.findings) > before {
		return nil
	}
	if err := c.engine.Load(ctx, src); err != nil {
		return c.fault(err, dir, label)
	}
	return nil
}

// fault reports a *plan.LoadError as a finding, and passes other errors on.
func (c *checker) fault(err error, dir, label string) error {
	var fault *plan.LoadError
	if !errors.As(err, &fault) {
		return err
	}
	c.add(fault, dir, label)
	return nil
}

func (c *checker) add(fault *plan.LoadError, dir, label string) {
	f := Finding{
		Severity: Error, Code: fault.Code, Message: fault.Message, Hint: fault.Hint,
		File: filepath.Join(dir, filepath.FromSlash(fault.File)), Line: fault.Line, Col: fault.Col,
	}
	if c.seen[f] {
		return
	}
	c.seen[f] = true
	f.Plan = label
	c.findings = append(c.findings, f)
}

// module checks what one module's text alone tells, and reports whether nothing is
// wrong with it.
func (c *checker) module(name, text string, entry bool, dir, label string) bool {
	file, err := plan.Parse(name, text)
	if err != nil {
		_ = c.fault(err, dir, label)
		return false
	}
	faults := plan.Resolve(file)
	faults = append(faults, inexactMath(file)...)
	if entry && len(faults) > 0 && !definesPlan(file) {
		faults = append(faults, &plan.LoadError{
			Code: plan.CodeMissingPlan, File: name, Line: 1, Col: 1,
			Message: "no function plan(plan_input) is defined",
		})
	}
	for _, fault := range faults {
		c.add(fault, dir, label)
	}
	return len(faults) == 0
}

// definesPlan reports whether a resolved file binds the name plan at its top level.
func definesPlan(file *syntax.File) bool {
	m, ok := file.Module.(*resolve.Module)
	if !ok {
		return true
	}
	return slices.ContainsFunc(m.Globals, func(b *resolve.Binding) bool {
		return b.First != nil && b.First.Name == "plan"
	})
}

// inexactMath finds the uses of math.exp and its like in a resolved file.
func inexactMath(file *syntax.File) []*plan.LoadError {
	var faults []*plan.LoadError
	syntax.Walk(file, func(n syntax.Node) bool {
		dot, ok := n.(*syntax.DotExpr)
		if !ok || !predeclared.InexactMath(dot.Name.Name) || !isMath(dot.X) {
			return true
		}
		faults = append(faults, &plan.LoadError{
			Code: CodeInexactMath, File: file.Path,
			Line: int(dot.Name.NamePos.Line), Col: int(dot.Name.NamePos.Col),
			Message: fmt.Sprintf("math.%s %s", dot.Name.Name, predeclared.InexactMathReason),
		})
		return true
	})
	return faults
}

// isMath reports whether an expression is the predeclared module math.
func isMath(x syntax.Expr) bool {
	id, ok := x.(*syntax.Ident)
	if !ok || id.Name != "math" {
		return false
	}
	b, ok := id.Binding.(*resolve.Binding)
	return ok && b.Scope == resolve.Predeclared
}

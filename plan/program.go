package plan

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"starplan/plan/predeclared"
	"starplan/plan/probe"
	"starplan/plan/python"
)

// dialect is Starlark as Bazel has it: no recursion, no while, no reassignment of
// top-level names; if and for are allowed at the top level, and so is set.
var dialect = &syntax.FileOptions{Set: true, TopLevelControl: true}

// entryPoint is the function that every plan defines.
const entryPoint = "plan"

// Program is a compiled plan whose top level has run. It is immutable and safe
// for concurrent use.
type Program struct {
	src    *Source
	lim    Limits
	plan   starlark.Callable
	defPos string
	prints []string
	probed bool
}

// Name is the plan's name.
func (p *Program) Name() string { return p.src.Name }

// Digest identifies the plan's sources.
func (p *Program) Digest() string { return p.src.Digest }

// Source is what the program was compiled from.
func (p *Program) Source() *Source { return p.src }

// MaxSteps is the step limit of the program's runs.
func (p *Program) MaxSteps() uint64 { return p.lim.MaxSteps }

// Prints is what the top levels printed, bounded; often nil.
func (p *Program) Prints() []string { return p.prints }

// Parse parses one module of a plan in the dialect of plans. The error is a
// [*LoadError] with a hint where the text is Python rather than Starlark.
func Parse(name, text string) (*syntax.File, error) {
	file, err := dialect.Parse(name, text, 0)
	if err != nil {
		return nil, parseError(err, text)
	}
	return file, nil
}

// maxUndefined bounds how many undefined names [Resolve] reports: to find a name
// that is near to one takes milliseconds in a long text.
const maxUndefined = 200

// Resolve binds the names of a parsed module, and changes it. It reports every
// fault of name resolution, in order of position, but at most 200 undefined names;
// none means that it can run.
func Resolve(file *syntax.File) []*LoadError {
	undefined := 0
	has := func(name string) bool {
		if predeclared.Has(name) {
			return true
		}
		if !starlark.Universe.Has(name) {
			undefined++
		}
		return undefined > maxUndefined
	}
	return resolveErrors(resolve.File(file, has, starlark.Universe.Has))
}

// Compile parses and resolves a plan and its modules and runs their top levels
// under lim.MaxSteps, modules before those that load them. The error is always a
// [*LoadError]. What Compile costs is bounded by the limits of steps and of
// source size, but not in time and memory: plans that are not trusted are to be
// compiled in a process that is limited.
func Compile(src *Source, lim Limits) (*Program, error) { return compileWith(src, lim, nil) }

// Passed is told of each point that a program with probes passes, in the module of
// that name. Frame 1 of the thread's stack is the function that the point lies in.
type Passed func(thread *starlark.Thread, module string, point probe.Point)

// CompileProbed compiles as Compile does, with probes between the statements. Such
// a program gives what it gives without, but its steps may be a few more or less,
// and it stops that much later where the step limit is reached.
func CompileProbed(src *Source, lim Limits, passed Passed) (*Program, error) {
	return compileWith(src, lim, passed)
}

// compileWith compiles with probes where passed is not nil.
func compileWith(src *Source, lim Limits, passed Passed) (p *Program, err error) {
	defer func() {
		if r := recover(); r != nil {
			p, err = nil, &LoadError{
				Code: CodeInit, File: src.Entry,
				Message:   fmt.Sprintf("internal error: %v; this is a fault of the interpreter, not of the plan", r),
				Backtrace: string(debug.Stack()),
			}
		}
	}()
	lim = lim.withDefaults()
	c := compiler{src: src, passed: passed, state: make(map[string]visit)}
	if err := c.visit(src.Entry, nil); err != nil {
		return nil, err
	}
	t := newThread(src.Label(), lim.MaxSteps, nil)
	globals := make(map[string]starlark.StringDict, len(c.modules))
	t.thread.Load = func(_ *starlark.Thread, module string) (starlark.StringDict, error) {
		return globals[module], nil
	}
	for _, m := range c.modules {
		g, err := m.prog.Init(t.thread, m.names)
		if err != nil {
			return nil, t.loadError(m, err)
		}
		g.Freeze()
		globals[m.name] = g
	}
	entry := c.modules[len(c.modules)-1]
	plan, pos, fault := findPlan(entry, globals[entry.name])
	if fault != nil {
		return nil, fault
	}
	return &Program{src: src, lim: lim, plan: plan, defPos: pos, prints: t.prints, probed: passed != nil}, nil
}

// module is a compiled file of a plan.
type module struct {
	name  string
	file  *syntax.File
	names starlark.StringDict // Predeclared.
	prog  *starlark.Program
}

// visit is how far the compiler is with a module.
type visit int

const (
	visitUnseen visit = iota
	visitActive
	visitDone
)

// compiler orders a plan's modules so that each comes after those that it loads.
type compiler struct {
	src     *Source
	passed  Passed // Nil without probes.
	state   map[string]visit
	modules []*module
}

// visit compiles a module after those that it loads. from is the load statement
// that asks for it, nil for the entry.
func (c *compiler) visit(name string, from *syntax.LoadStmt) error {
	switch c.state[name] {
	case visitDone:
		return nil
	case visitActive:
		return loadErrorAt(CodeLoadCycle, from.Module.TokenPos, "cannot load %q: it loads this module, directly or through others; move what both need into a third module", name)
	case visitUnseen:
	}
	text, ok := c.src.Files[name]
	if !ok {
		return loadErrorAt(CodeLoad, from.Module.TokenPos, "cannot load %q: no such file in the plan's directory", name)
	}
	c.state[name] = visitActive
	file, err := Parse(name, text)
	if err != nil {
		return err
	}
	for _, load := range loads(file) {
		if err := c.visit(load.ModuleName(), load); err != nil {
			return err
		}
	}
	names := predeclared.Values()
	if c.passed != nil {
		names = c.instrument(name, file, names)
	}
	prog, err := starlark.FileProgram(file, names.Has)
	if err != nil {
		if faults := resolveErrors(err); len(faults) > 0 {
			return faults[0]
		}
		return &LoadError{Code: CodeParse, File: name, Message: err.Error()}
	}
	c.modules = append(c.modules, &module{name, file, names, prog})
	c.state[name] = visitDone
	return nil
}

// instrument puts probes into a module, and gives the names that it then needs.
func (c *compiler) instrument(name string, file *syntax.File, names starlark.StringDict) (with starlark.StringDict) {
	var points []probe.Point
	points, with = probe.Instrument(file, names, func(thread *starlark.Thread, i int) { c.passed(thread, name, points[i]) })
	return with
}

// parseError converts an error of the parser.
func parseError(err error, text string) *LoadError {
	var fault syntax.Error
	if !errors.As(err, &fault) {
		return &LoadError{Code: CodeParse, Message: err.Error()}
	}
	e := loadErrorAt(CodeParse, fault.Pos, "%s", fault.Msg)
	if found, ok := python.Explain(text, e.Line, e.Col, fault.Msg); ok {
		e.Code, e.Message, e.Hint = found.Code, found.Message, found.Hint
		e.Line, e.Col = found.Line, found.Col
	} else if line, col, ok := python.Place(text, e.Line, e.Col, fault.Msg); ok {
		e.Line, e.Col = line, col
	}
	if e.Hint == "" {
		e.Hint = parseHint(e.Message)
	}
	return e
}

// resolveErrors converts the errors of name resolution.
func resolveErrors(err error) []*LoadError {
	var list resolve.ErrorList
	if !errors.As(err, &list) {
		return nil
	}
	faults := make([]*LoadError, 0, len(list))
	for _, e := range list {
		// The resolver gives no kinds of errors, only texts.
		code, msg := CodeParse, e.Msg
		if strings.HasPrefix(msg, "undefined: ") {
			code, msg = CodeUndefined, withSuggestion(msg)
		}
		fault := loadErrorAt(code, e.Pos, "%s", msg)
		fault.Hint = resolveHint(msg)
		if strings.Contains(msg, "while loops") {
			fault.Code, fault.Message, fault.Hint = python.While.Code, python.While.Message, python.While.Hint
		}
		faults = append(faults, fault)
	}
	return faults
}

// findPlan looks up the entry point and checks that it takes one argument.
func findPlan(m *module, globals starlark.StringDict) (starlark.Callable, string, *LoadError) {
	v, ok := globals[entryPoint]
	if !ok {
		e := loadErrorAt(CodeMissingPlan, syntax.MakePosition(&m.name, 1, 1), "no function plan(plan_input) is defined")
		for _, load := range loads(m.file) {
			for _, id := range load.From {
				if id.Name == entryPoint {
					e.Hint = "load() binds a name for the file only; load it under another one and write `plan = that_name`"
				}
			}
		}
		return nil, "", e
	}
	pos := globalPosition(m.file, entryPoint)
	callable, ok := v.(starlark.Callable)
	if !ok {
		return nil, "", loadErrorAt(CodeNotCallable, pos, "plan is a %s, want a function plan(plan_input)", v.Type())
	}
	if fn, ok := v.(*starlark.Function); ok {
		pos = fn.Position()
		if params, ok := arity(fn); !ok {
			return nil, "", loadErrorAt(CodeArity, pos, "plan() must take one argument, plan_input: got def plan(%s)", params)
		}
	}
	return callable, pos.String(), nil
}

// globalPosition is where a top-level name is first bound.
func globalPosition(file *syntax.File, name string) syntax.Position {
	if m, ok := file.Module.(*resolve.Module); ok {
		for _, b := range m.Globals {
			if b.First != nil && b.First.Name == name {
				return b.First.NamePos
			}
		}
	}
	return syntax.MakePosition(&file.Path, 1, 1)
}

// arity writes a function's parameters and reports whether it can be called with
// one positional argument.
func arity(fn *starlark.Function) (params string, ok bool) {
	positional := fn.NumParams() - fn.NumKwonlyParams()
	if fn.HasVarargs() {
		positional--
	}
	if fn.HasKwargs() {
		positional--
	}
	required := 0
	ok = positional >= 1 || fn.HasVarargs()
	var names []string
	for i := range fn.NumParams() {
		name, _ := fn.Param(i)
		switch {
		case fn.HasKwargs() && i == fn.NumParams()-1:
			name = "**" + name
		case fn.HasVarargs() && i == positional+fn.NumKwonlyParams():
			name = "*" + name
		case fn.ParamDefault(i) != nil:
			name += "=…"
		case i < positional:
			required++
		default:
			name, ok = "*, "+name, false
		}
		names = append(names, name)
	}
	return strings.Join(names, ", "), ok && required <= 1
}

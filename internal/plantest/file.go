package plantest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"starplan/plan"
	"starplan/plan/lex"
	"starplan/plan/predeclared"
)

// testPrefix begins the names of test functions.
const testPrefix = "test_"

// testFile is a file with the modules that it loads, compiled, and their top
// levels run. It is immutable then, and its tests run at the same time.
type testFile struct {
	path  string // As users know it.
	dir   string
	entry string
	src   *plan.Source
	// globals are those of the entry.
	globals starlark.StringDict
}

// testFile loads a file and gives its tests. A file that cannot be loaded gives
// one test, which fails.
func (r *runner) testFile(path string) []unit {
	f := &testFile{path: path, dir: filepath.Dir(path), entry: filepath.Base(path)}
	if fail, prints := r.load(f, true); fail != nil {
		return []unit{func(context.Context) ([]Result, error) {
			return []Result{{File: path, Name: "load", Failure: fail, Prints: prints}}, nil
		}}
	}
	var units []unit
	for _, fn := range f.tests() {
		if r.opts.Match.matches(0, fn.Name()) {
			units = append(units, func(context.Context) ([]Result, error) { return r.test(f, fn), nil })
		}
	}
	return units
}

// tests lists the test functions in order of position.
func (f *testFile) tests() []*starlark.Function {
	var list []*starlark.Function
	for name, v := range f.globals {
		if fn, ok := v.(*starlark.Function); ok && strings.HasPrefix(name, testPrefix) && fn.Name() == name {
			list = append(list, fn)
		}
	}
	slices.SortFunc(list, func(a, b *starlark.Function) int {
		return cmp.Compare(a.Position().Line, b.Position().Line)
	})
	return list
}

// test runs one test function.
func (r *runner) test(f *testFile, fn *starlark.Function) []Result {
	start := time.Now()
	thread := newThread(fn.Name(), r.opts.Limits)
	defer thread.close()
	t := &handle{run: r, file: f, thread: thread, name: fn.Name()}
	var args starlark.Tuple
	switch {
	case fn.NumParams() == 1 && !fn.HasVarargs() && !fn.HasKwargs():
		args = starlark.Tuple{t}
	case fn.NumParams() > 0:
		fail := &Failure{Message: fmt.Sprintf("%s takes %d parameters, want none or one, t; for cases write t.run(name, function, case)", fn.Name(), fn.NumParams())}
		f.locate(fail, fn.Position())
		return []Result{{File: f.path, Name: fn.Name(), Failure: fail}}
	}
	_, err := thread.call(fn, args, nil)
	result := Result{File: f.path, Name: fn.Name(), Seconds: time.Since(start).Seconds(), Prints: thread.takePrints()}
	if err != nil {
		result.Failure = thread.failure(f, err)
	}
	if len(t.results) > 0 && err == nil {
		return t.results // A test that is made of others is none itself.
	}
	return append(t.results, result)
}

// load reads, compiles and runs the top levels of a file and its modules. Where
// fail is not nil they cannot be used.
func (r *runner) load(f *testFile, testing bool) (fail *Failure, prints []string) {
	src, err := plan.ReadFile(f.path, "")
	if err != nil {
		return f.loadFailure(err), nil
	}
	f.src = src
	thread := newThread(f.entry, r.opts.Limits)
	defer thread.close()
	thread.setNow(nil) // As in the service: a top level has no record.
	l := loader{file: f, cover: r.cover, thread: thread, modules: make(map[string]*memoModule)}
	thread.Load = func(_ *starlark.Thread, name string) (starlark.StringDict, error) { return l.module(name) }
	f.globals, err = l.entry(testing)
	if err == nil {
		return nil, nil
	}
	var fault *plan.LoadError
	if errors.As(err, &fault) && thread.stopped.Load() == nil {
		return f.loadFailure(fault), thread.takePrints()
	}
	return thread.failure(f, err), thread.takePrints()
}

// loadFailure converts an error of reading and compiling.
func (f *testFile) loadFailure(err error) *Failure {
	var fault *plan.LoadError
	if !errors.As(err, &fault) {
		return &Failure{Message: err.Error()}
	}
	fail := &Failure{Message: fault.Message}
	if fault.Hint != "" {
		fail.Message += " (" + fault.Hint + ")"
	}
	name := fault.File
	f.locate(fail, syntax.MakePosition(&name, int32(fault.Line), int32(fault.Col)))
	return fail
}

// locate fills in where a failure is, and the line of source.
func (f *testFile) locate(fail *Failure, pos syntax.Position) {
	if pos.Line == 0 {
		return
	}
	fail.File, fail.Line, fail.Col = filepath.Join(f.dir, filepath.FromSlash(pos.Filename())), int(pos.Line), int(pos.Col)
	if f.src != nil {
		fail.Source = sourceLine(f.src.Files[pos.Filename()], int(pos.Line))
	}
}

func sourceLine(text string, line int) string {
	if lines := lex.Lines(text); line >= 1 && line <= len(lines) {
		return lines[line-1]
	}
	return ""
}

// loader runs the modules of a file, each once.
type loader struct {
	file    *testFile
	cover   *coverage
	thread  *testThread
	modules map[string]*memoModule
}

// memoModule is a module that is being loaded, or was.
type memoModule struct {
	done    bool
	globals starlark.StringDict
	err     error
}

// module gives the globals of a module that others load.
func (l *loader) module(name string) (starlark.StringDict, error) {
	if m, ok := l.modules[name]; ok {
		if !m.done {
			return nil, &plan.LoadError{Code: plan.CodeLoadCycle, File: name, Message: fmt.Sprintf("cannot load %q: it loads this module, directly or through others", name)}
		}
		return m.globals, m.err
	}
	m := new(memoModule)
	l.modules[name] = m
	m.globals, m.err = l.run(name, strings.HasSuffix(name, TestSuffix))
	m.done = true
	return m.globals, m.err
}

func (l *loader) entry(testing bool) (starlark.StringDict, error) {
	l.modules[l.file.entry] = new(memoModule)
	return l.run(l.file.entry, testing)
}

// run compiles a module and runs its top level.
func (l *loader) run(name string, testing bool) (starlark.StringDict, error) {
	names := predeclared.Values()
	text := l.file.src.Files[name]
	if testing {
		names = testNames(l.file)
	} else if err := resolves(name, text); err != nil {
		return nil, err
	}
	file, err := plan.Parse(name, text)
	if err != nil {
		return nil, err
	}
	if l.cover != nil && !testing {
		names = l.cover.instrument(filepath.Join(l.file.dir, filepath.FromSlash(name)), file, names)
	}
	prog, err := starlark.FileProgram(file, names.Has)
	if err != nil {
		var list resolve.ErrorList
		if errors.As(err, &list) {
			pos := list[0].Pos
			return nil, &plan.LoadError{Code: plan.CodeUndefined, File: name, Line: int(pos.Line), Col: int(pos.Col), Message: list[0].Msg}
		}
		return nil, err
	}
	globals, err := prog.Init(l.thread.Thread, names)
	if err != nil {
		return nil, err
	}
	globals.Freeze()
	return globals, nil
}

// resolves binds the names of a module as the service does, for the sake of its
// errors: they have hints.
func resolves(name, text string) error {
	file, err := plan.Parse(name, text)
	if err != nil {
		return err
	}
	if faults := plan.Resolve(file); len(faults) > 0 {
		return faults[0]
	}
	return nil
}

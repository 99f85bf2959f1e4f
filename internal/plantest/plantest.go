package plantest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"starplan/plan"
)

// The suffixes of the files that tests are made of.
const (
	TestSuffix  = "_test.star"
	InputSuffix = ".input.json"
	WantSuffix  = ".want.json"
)

// Options configure [Run].
type Options struct {
	// Files are test files, inputs and wants of golden cases, and plans, which stand
	// for the tests and cases beside them. Others are ignored.
	Files []string
	// Match selects tests by name; the zero value selects all.
	Match Match
	// Limits bound each test, as they bound a plan in the service.
	Limits plan.Limits
	// Parallel is how many tests run at a time; 0 means GOMAXPROCS.
	Parallel int
	// Engine runs golden cases; its tenant must be that of package scripts.
	Engine plan.Engine
	// Cover records which lines of plans and their modules ran.
	Cover bool
	// Update writes what golden cases give to their want files.
	Update bool
	// Progress, where it is not nil, is called after each test, from any goroutine.
	Progress func(done, total int)
}

// Run runs all tests and gives their report, in order of file and place in the
// file. An error means that something could not be read or written, or that ctx
// ended; failing tests are not errors.
func Run(ctx context.Context, opts Options) (*Report, error) {
	r := &runner{opts: opts}
	if opts.Cover {
		r.cover = newCoverage()
	}
	suites, err := findSuites(opts.Files)
	if err != nil {
		return nil, err
	}
	units, err := r.units(ctx, suites)
	if err != nil {
		return nil, err
	}
	results := make([][]Result, len(units))
	var done atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(cmp.Or(opts.Parallel, runtime.GOMAXPROCS(0)))
	for i, unit := range units {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			var err error
			results[i], err = unit(ctx)
			if opts.Progress != nil {
				opts.Progress(int(done.Add(1)), len(units))
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	report := newReport(slices.Concat(results...))
	if r.cover != nil {
		report.Coverage = r.cover.report()
	}
	return report, nil
}

// unit is work that gives the results of one test and those within it.
type unit func(context.Context) ([]Result, error)

type runner struct {
	opts  Options
	cover *coverage // Nil where it is not wanted.
}

// units loads what is to be tested.
func (r *runner) units(ctx context.Context, suites []suite) ([]unit, error) {
	lists := make([][]unit, len(suites))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(cmp.Or(r.opts.Parallel, runtime.GOMAXPROCS(0)))
	for i, s := range suites {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			var err error
			if s.file != "" {
				lists[i] = r.testFile(s.file)
			} else {
				lists[i], err = r.goldenCases(s)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(lists...), nil
}

// suite is a test file, or the golden cases of one plan.
type suite struct {
	// file is the test file's path; empty for golden cases.
	file string
	// dir holds the plan and its cases.
	dir string
	// cases are the names of those wanted.
	cases []string
}

// findSuites sorts files into suites. A plan stands for what lies beside it.
func findSuites(files []string) ([]suite, error) {
	tests := make(map[string]bool)
	cases := make(map[string]map[string]bool)
	var add func(file string) error
	add = func(file string) error {
		dir, base := filepath.Split(file)
		dir = filepath.Clean(dir)
		name, isCase := strings.CutSuffix(base, InputSuffix)
		if !isCase {
			name, isCase = strings.CutSuffix(base, WantSuffix)
		}
		switch {
		case isCase:
			if cases[dir] == nil {
				cases[dir] = make(map[string]bool)
			}
			cases[dir][name] = true
		case strings.HasSuffix(base, TestSuffix):
			tests[filepath.Clean(file)] = true
		case strings.HasSuffix(base, ".star"):
			beside, err := filesBeside(dir, base)
			for _, name := range beside {
				if err == nil {
					err = add(name)
				}
			}
			return err
		}
		return nil
	}
	for _, file := range files {
		if err := add(file); err != nil {
			return nil, err
		}
	}
	suites := make([]suite, 0, len(tests)+len(cases))
	for file := range tests {
		suites = append(suites, suite{file: file, dir: filepath.Dir(file)})
	}
	for dir, names := range cases {
		s := suite{dir: dir}
		for name := range names {
			s.cases = append(s.cases, name)
		}
		slices.Sort(s.cases)
		suites = append(suites, s)
	}
	slices.SortFunc(suites, func(a, b suite) int {
		return cmp.Or(cmp.Compare(a.dir, b.dir), cmp.Compare(a.file, b.file))
	})
	return suites, nil
}

// filesBeside lists the tests of a plan file: NAME_test.star, and for a plan in a
// folder of its own everything in the folder.
func filesBeside(dir, base string) ([]string, error) {
	if base != plan.EntryFile {
		test := filepath.Join(dir, strings.TrimSuffix(base, ".star")+TestSuffix)
		if _, err := os.Stat(test); errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		return []string{test}, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("find tests: %w", err)
	}
	var files []string
	for _, e := range entries {
		for _, suffix := range []string{TestSuffix, InputSuffix, WantSuffix} {
			if strings.HasSuffix(e.Name(), suffix) {
				files = append(files, filepath.Join(dir, e.Name()))
			}
		}
	}
	return files, nil
}

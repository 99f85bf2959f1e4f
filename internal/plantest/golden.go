package plantest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.starlark.net/starlark"
	"google.golang.org/protobuf/proto"

	"starplan/internal/pbjson"
	"starplan/plan"
	"starplan/plan/execution"
	"starplan/proto/planpb"
	"starplan/scripts"
	"starplan/starlarkpb"
)

// goldenName begins the names of golden cases.
const goldenName = "golden"

// goldenCases gives the golden cases of a plan in a folder of its own.
func (r *runner) goldenCases(s suite) ([]unit, error) {
	if !r.opts.Match.matches(0, goldenName) {
		return nil, nil
	}
	dir, err := filepath.Abs(s.dir)
	if err != nil {
		return nil, err
	}
	samples, err := scripts.ReadPlan(os.DirFS(filepath.Dir(dir)), filepath.Base(dir))
	if err != nil {
		return nil, err
	}
	src, loadErr := plan.ReadFile(s.dir, filepath.Base(dir))
	var units []unit
	for _, sample := range samples {
		if !slices.Contains(s.cases, sample.Case) || !r.opts.Match.matches(1, sample.Case) {
			continue
		}
		g := &golden{sample: sample, dir: s.dir, src: src}
		units = append(units, func(ctx context.Context) ([]Result, error) {
			result := Result{File: filepath.Join(s.dir, sample.Case+InputSuffix), Name: goldenName + "/" + sample.Case}
			if loadErr != nil {
				result.Failure = g.loadFailure(loadErr)
				return []Result{result}, nil
			}
			return r.golden(ctx, g, result)
		})
	}
	if r.cover != nil && loadErr == nil && len(units) > 0 {
		return r.covered(s, samples, units), nil
	}
	return units, nil
}

// golden is one case.
type golden struct {
	sample scripts.Sample
	dir    string
	src    *plan.Source
}

func (g *golden) loadFailure(err error) *Failure {
	if errors.Is(err, fs.ErrNotExist) {
		return &Failure{Message: fmt.Sprintf("there is no %s beside it; golden cases belong to a plan in a folder of its own", plan.EntryFile)}
	}
	f := &testFile{dir: g.dir, src: g.src}
	fail := f.loadFailure(err)
	fail.Message = "plan could not be loaded: " + fail.Message
	return fail
}

// golden runs a case through the engine and compares what it gives.
func (r *runner) golden(ctx context.Context, g *golden, result Result) ([]Result, error) {
	start := time.Now()
	rec, err := g.sample.Record()
	if err != nil {
		result.Failure = &Failure{Message: err.Error()}
		return []Result{result}, nil
	}
	answered := make(chan execution.Outcome, 1)
	r.opts.Engine.Start(ctx, g.src, rec, func(out execution.Outcome) { answered <- out })
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case out := <-answered:
		result.Prints = out.Prints
		result.Failure, result.Updated, err = r.judge(g, out)
		result.Seconds = time.Since(start).Seconds()
		return []Result{result}, err
	}
}

// judge compares an execution with the want file, or writes that.
func (r *runner) judge(g *golden, out execution.Outcome) (fail *Failure, updated bool, err error) {
	if out.Reason == execution.ReasonLoad {
		return &Failure{Message: out.Message, Backtrace: out.Backtrace}, false, nil
	}
	got := new(planpb.PlanExecution)
	if err := proto.Unmarshal(out.Value, got); err != nil {
		return &Failure{Message: fmt.Sprintf("the engine gave no PlanExecution: %v", err)}, false, nil
	}
	text, err := pretty(got)
	if err != nil {
		return &Failure{Message: err.Error()}, false, nil
	}
	name := filepath.Join(g.dir, g.sample.Case+WantSuffix)
	want := new(planpb.PlanExecution)
	var fault error
	if g.sample.Want != nil {
		fault = pbjson.Unmarshal(g.sample.Want, want)
	}
	switch {
	case g.sample.Want != nil && fault == nil && proto.Equal(got, want):
		return nil, false, nil
	case r.opts.Update:
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return nil, false, err
		}
		return nil, true, nil
	case g.sample.Want == nil:
		return &Failure{Message: fmt.Sprintf("there is no %s; --update writes it", name), Got: text, Backtrace: out.Backtrace}, false, nil
	case fault != nil:
		return &Failure{Message: fmt.Sprintf("%s: %v", name, fault)}, false, nil
	}
	wanted, err := pretty(want)
	if err != nil {
		return &Failure{Message: fmt.Sprintf("%s: %v", name, err)}, false, nil
	}
	return &Failure{
		Message: fmt.Sprintf("the execution differs from %s", name),
		Got:     text, Want: wanted, Diff: lineDiff(wanted, text), Backtrace: out.Backtrace,
	}, false, nil
}

// pretty writes a message as want files hold it.
func pretty(m proto.Message) (string, error) {
	line, err := pbjson.Marshal(m)
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	if err := json.Indent(&text, line, "", "  "); err != nil {
		return "", err
	}
	return text.String() + "\n", nil
}

// covered adds to each unit a second run in this process, which counts lines. The
// engine gives the verdict; what this run gives does not matter.
func (r *runner) covered(s suite, samples []scripts.Sample, units []unit) []unit {
	f := &testFile{path: filepath.Join(s.dir, plan.EntryFile), dir: s.dir, entry: plan.EntryFile}
	if fail, _ := r.load(f, false); fail != nil {
		return units // The engine will say so.
	}
	fn, ok := f.globals["plan"].(starlark.Callable)
	if !ok {
		return units
	}
	return append(units, func(context.Context) ([]Result, error) {
		for _, sample := range samples {
			if !slices.Contains(s.cases, sample.Case) || !r.opts.Match.matches(1, sample.Case) {
				continue
			}
			in := new(planpb.PlanInput)
			if pbjson.Unmarshal(sample.Input, in) != nil {
				continue
			}
			thread := newThread(s.dir, r.opts.Limits)
			_, _ = thread.call(fn, starlark.Tuple{starlarkpb.FromProto(in)}, nil)
			thread.close()
		}
		return nil, nil
	})
}

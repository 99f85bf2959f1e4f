package plantest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.starlark.net/starlark"
	"pgregory.net/rapid"

	"starplan/internal/pbjson"
	"starplan/plan"
	"starplan/plan/predeclared"
	"starplan/proto/planpb"
	"starplan/scripts"
	"starplan/starlarkpb"
)

var limits = plan.Limits{MaxSteps: 1_000_000, Timeout: time.Minute}

// TestCoverageTakesNoSteps runs every sample with and without coverage: the step
// limit must strike at much the same place.
func TestCoverageTakesNoSteps(t *testing.T) {
	samples, err := scripts.Samples()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range samples {
		in := new(planpb.PlanInput)
		if err := pbjson.Unmarshal(s.Input, in); err != nil {
			t.Fatal(err)
		}
		var steps []uint64
		for _, cover := range []*coverage{nil, newCoverage()} {
			r := &runner{opts: Options{Limits: limits}, cover: cover}
			f := &testFile{path: filepath.Join("../../scripts", s.Plan, plan.EntryFile), dir: filepath.Join("../../scripts", s.Plan), entry: plan.EntryFile}
			if fail, _ := r.load(f, false); fail != nil {
				t.Fatalf("%v: %s", s, fail.Message)
			}
			thread := newThread("test", limits)
			_, _ = thread.call(f.globals["plan"].(starlark.Callable), starlark.Tuple{starlarkpb.FromProto(in)}, nil) // Some samples fail.
			thread.close()
			steps = append(steps, thread.Steps)
			if cover != nil && cover.report()[0].Covered == 0 {
				t.Errorf("%v: no line was covered", s)
			}
		}
		if diff := math.Abs(float64(steps[1]) - float64(steps[0])); diff > 1+0.05*float64(steps[0]) {
			t.Errorf("%v: %d steps, %d with coverage", s, steps[0], steps[1])
		}
	}
}

// write puts files below a new directory.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestParallel runs many tests at a time, of one file: they share its globals.
func TestParallel(t *testing.T) {
	var text strings.Builder
	text.WriteString("load('plan.star', 'plan')\nSHARED = {'a': [1]}\n")
	for i := range 200 {
		fmt.Fprintf(&text, "def test_%03d(t):\n    t.run('x', lambda: assert.eq(run(plan, plan_input(task('t%d'))).next_task_names, ['t%d']))\n    assert.eq(SHARED, {'a': [1]})\n", i, i, i)
	}
	text.WriteString("def test_frozen():\n    SHARED['a'].append(2)\n")
	dir := write(t, map[string]string{
		"plan.star":      "def plan(plan_input):\n    return PlanResult(next_task_names = [x.header.name for x in plan_input.task_executions])\n",
		"plan_test.star": text.String(),
	})
	calls := make(chan int, 1000)
	report, err := Run(t.Context(), Options{
		Files: []string{filepath.Join(dir, "plan_test.star")}, Limits: limits, Parallel: 8, Cover: true,
		Engine:   plan.NewInProcess(scripts.Tenant, limits),
		Progress: func(_, total int) { calls <- total },
	})
	if err != nil {
		t.Fatal(err)
	}
	if report.Passed != 200 || report.Failed != 1 || len(calls) != 201 || <-calls != 201 {
		t.Errorf("%d passed, %d failed, %d calls of Progress; want 200, 1, 201", report.Passed, report.Failed, len(calls))
	}
	for i, result := range report.Tests[:200] {
		if want := fmt.Sprintf("test_%03d/x", i); result.Name != want {
			t.Fatalf("test %d is %s, want %s: tests come in order", i, result.Name, want)
		}
	}
	if last := report.Tests[200].Failure; last == nil || !strings.Contains(last.Message, "frozen") || last.Line != 604 {
		t.Errorf("failure = %+v, want one of a frozen list on line 604", last)
	}
	if diff := cmp.Diff([]Coverage{{File: filepath.Join(dir, "plan.star"), Covered: 1, Lines: 1, Percent: 100, Uncovered: []int{}}}, report.Coverage); diff != "" {
		t.Errorf("coverage differs (-want +got):\n%s", diff)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	dir := write(t, map[string]string{"a_test.star": "def test_a():\n    pass\n"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Run(ctx, Options{Files: []string{filepath.Join(dir, "a_test.star")}, Limits: limits})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want %v", err, context.Canceled)
	}
}

// TestPanic has a builtin panic: that is a failure of one test.
func TestPanic(t *testing.T) {
	thread := newThread("test", limits)
	defer thread.close()
	fn := starlark.NewBuiltin("boom", func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
		panic("boom")
	})
	_, err := thread.call(fn, nil, nil)
	if fail := thread.failure(&testFile{}, err); !strings.HasPrefix(fail.Message, "internal error: boom; ") {
		t.Errorf("failure = %q, want an internal error", fail.Message)
	}
}

// TestPayloads builds payloads of generated values and reads them back.
func TestPayloads(t *testing.T) {
	var value func(t *rapid.T, depth int) starlark.Value
	value = func(t *rapid.T, depth int) starlark.Value {
		kind := rapid.IntRange(0, 6).Draw(t, "kind")
		if depth == 0 {
			kind %= 5
		}
		switch kind {
		case 0:
			return starlark.None
		case 1:
			return starlark.Bool(rapid.Bool().Draw(t, "bool"))
		case 2:
			return starlark.MakeInt64(rapid.Int64Range(-maxExact, maxExact).Draw(t, "int"))
		case 3:
			return starlark.Float(rapid.Float64Range(-1e300, 1e300).Draw(t, "float"))
		case 4:
			return starlark.String(rapid.String().Draw(t, "string"))
		case 5:
			var elems []starlark.Value
			for range rapid.IntRange(0, 3).Draw(t, "elements") {
				elems = append(elems, value(t, depth-1))
			}
			return starlark.NewList(elems)
		default:
			d := new(starlark.Dict)
			for range rapid.IntRange(0, 3).Draw(t, "items") {
				_ = d.SetKey(starlark.String(rapid.String().Draw(t, "key")), value(t, depth-1)) // Strings hash.
			}
			return d
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		want := value(t, 4)
		thread := new(starlark.Thread)
		payload, err := starlark.Call(thread, must(anyNames{}.Attr("value")), starlark.Tuple{want}, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := starlark.Call(thread, must(payload.(starlark.HasAttrs).Attr("unpack")), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if same, err := equal(got, want); err != nil || !same {
			t.Errorf("any.value(%v).unpack() = %v, %v", want, got, err)
		}
	})
}

func must(v starlark.Value, err error) starlark.Value {
	if err != nil {
		panic(err)
	}
	return v
}

func TestPayloadsRefused(t *testing.T) {
	deep := starlark.NewList(nil)
	_ = deep.Append(deep) // A list that holds itself.
	for _, test := range []struct {
		value starlark.Value
		want  string
	}{
		{starlark.MakeInt64(maxExact + 1), "exact up to 2**53 only"},
		{starlark.NewList([]starlark.Value{starlark.String("\xff")}), "[0]: string is not valid UTF-8"},
		{starlark.Universe["len"], "got builtin_function_or_method, want None, bool"},
		{deep, "value nests deeper than 100"},
	} {
		_, err := toValue(test.value, maxDepth)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("toValue(%v) = %v, want %q", test.value.Type(), err, test.want)
		}
	}
	if _, err := equal(deep, deep); err == nil {
		t.Error("equal of a list that holds itself succeeded")
	}
}

// TestReference holds the table to the names that there are.
func TestReference(t *testing.T) {
	have := []string{"t.run"}
	for name, v := range testNames(&testFile{path: "plan_test.star", dir: ".", entry: "plan_test.star"}) {
		attrs, ok := v.(starlark.HasAttrs)
		switch {
		case ok && (name == "any" || name == "assert"):
			for _, attr := range attrs.AttrNames() {
				have = append(have, name+"."+attr)
			}
		case !predeclared.Has(name):
			have = append(have, name)
		}
	}
	var described []string
	for _, e := range Reference() {
		described = append(described, e.Name)
	}
	slices.Sort(have)
	slices.Sort(described)
	if diff := cmp.Diff(have, described); diff != "" {
		t.Errorf("names differ (-code +reference):\n%s", diff)
	}
}

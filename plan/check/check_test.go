package check_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"starplan/plan"
	"starplan/plan/check"
	"starplan/plan/execution"
)

const okPlan = "def plan(plan_input):\n    return PlanResult()\n"

// tree writes files below a new directory and makes that the working directory,
// so that the paths of findings are short.
func tree(t *testing.T, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}

func TestFiles(t *testing.T) {
	for _, test := range []struct {
		name  string
		files map[string]string
		paths []string
		want  []string
	}{
		{
			name:  "fine",
			files: map[string]string{"a.star": okPlan, "b/plan.star": "load('lib.star', _x = 'x')\n" + okPlan, "b/lib.star": "x = 1\n", "g/c/plan.star": okPlan},
		},
		{
			name:  "Python, with a hint, and nothing after it",
			files: map[string]string{"a.star": "import json\nx = y\n"},
			want: []string{
				"a.star:1:1: error: Starlark has no import [python-import]\n" +
					`  hint: PlanResult, TaskResult, json, math and time are there already; other modules come by load("lib.star", "name")`,
			},
		},
		{
			name:  "undefined-name, all of them, in a module too, and missing-plan",
			files: map[string]string{"a/plan.star": "load('lib.star', _x = 'x')\ny = one\nz = two\n", "a/lib.star": "x = three\n"},
			want: []string{
				"a/lib.star:1:5: error: undefined: three [undefined-name]",
				"a/plan.star:1:1: error: no function plan(plan_input) is defined [missing-plan]",
				"a/plan.star:2:5: error: undefined: one [undefined-name]",
				"a/plan.star:3:5: error: undefined: two [undefined-name]",
			},
		},
		{
			name:  "missing-plan",
			files: map[string]string{"a.star": "x = 1\n"},
			want:  []string{"a.star:1:1: error: no function plan(plan_input) is defined [missing-plan]"},
		},
		{
			name:  "plan-not-callable",
			files: map[string]string{"a.star": "plan = 1\n"},
			want:  []string{"a.star:1:1: error: plan is a int, want a function plan(plan_input) [plan-not-callable]"},
		},
		{
			name:  "plan-arity",
			files: map[string]string{"a.star": "\ndef plan(a, b):\n    return PlanResult()\n"},
			want:  []string{"a.star:2:5: error: plan() must take one argument, plan_input: got def plan(a, b) [plan-arity]"},
		},
		{
			name:  "load-error",
			files: map[string]string{"a.star": "load('../x.star', _x = 'x')\n" + okPlan, "b.star": okPlan + "load('x.star', _x = 'x')\n"},
			want: []string{
				`a.star:1:6: error: cannot load "../x.star": want a path below the plan's directory, without ".." [load-error]`,
				`b.star:3:6: error: cannot load "x.star": no such file in the plan's directory [load-error]`,
			},
		},
		{
			name:  "load-cycle",
			files: map[string]string{"a.star": "load('_b.star', _x = 'x')\n" + okPlan, "_b.star": "load('_c.star', _x = 'x')\nx = 1\n", "_c.star": "\nload('_b.star', _x = 'x')\nx = 1\n"},
			want: []string{
				`_c.star:2:6: error: cannot load "_b.star": it loads this module, directly or through others; move what both need into a third module [load-cycle]`,
			},
		},
		{
			name:  "init-error",
			files: map[string]string{"a.star": "x = {}['k']\n" + okPlan},
			want:  []string{`a.star:1:7: error: key "k" not in dict [init-error]`},
		},
		{
			name: "inexact-math, all of them",
			files: map[string]string{
				"a.star": "def plan(plan_input):\n    return PlanResult(error_message = str(math.exp(1) + math.sin(math.pi)))\n",
				"b.star": "def f(math):\n    return math.exp\n\ndef plan(plan_input):\n    return PlanResult()\n",
				"c.star": "load('_m.star', _m = 'm')\n" + okPlan, "_m.star": "m = [math.log]\n",
			},
			want: []string{
				"_m.star:1:11: error: math.log is left out: its result differs between CPUs, so the same record could give different executions [inexact-math]",
				"a.star:2:48: error: math.exp is left out: its result differs between CPUs, so the same record could give different executions [inexact-math]",
				"a.star:2:62: error: math.sin is left out: its result differs between CPUs, so the same record could give different executions [inexact-math]",
			},
		},
		{
			name:  "limit-source",
			files: map[string]string{"a.star": okPlan + "#" + strings.Repeat("x", plan.MaxSource)},
			want:  []string{"a.star: error: source exceeds the limit of 262144 bytes with all modules; move data out of the plan or split it into several [limit-source]"},
		},
		{
			name:  "no UTF-8",
			files: map[string]string{"a.star": okPlan + "x = '\xff'\n"},
			want:  []string{`a.star:3:6: error: byte "\xff" is not valid UTF-8 [parse-error]`},
		},
		{
			name:  "a module of two plans is reported once",
			files: map[string]string{"a.star": "load('_m.star', _m = 'm')\n" + okPlan, "b.star": "load('_m.star', _m = 'm')\n" + okPlan, "_m.star": "m = q\n"},
			want:  []string{"_m.star:1:5: error: undefined: q [undefined-name]"},
		},
		{
			name:  "a folder that holds plan.star is one plan",
			files: map[string]string{"p/plan.star": "load('lib.star', _x = 'x')\nload('sub/m.star', _y = 'y')\n" + okPlan, "p/lib.star": "x = q\n", "p/sub/m.star": "y = 1\n"},
			paths: []string{"p"},
			want:  []string{"p/lib.star:1:5: error: undefined: q [undefined-name]"},
		},
		{
			name:  "modules and tests need no plan",
			files: map[string]string{"_m.star": "x = q\n", "a_test.star": "def test_a():\n    assert.eq(1, 1)\n", "b_test.star": "import a\n"},
			paths: []string{"_m.star", "a_test.star", "b_test.star"},
			want: []string{
				"_m.star:1:5: error: undefined: q [undefined-name]",
				"b_test.star:1:1: error: Starlark has no import [python-import]\n  hint: PlanResult, TaskResult, json, math and time are there already; other modules come by load(\"lib.star\", \"name\")",
			},
		},
		{
			name: "names that a module lacks, and a cycle beside other faults",
			files: map[string]string{
				"a/plan.star": "load(\n    \"lib.star\",\n    \"x\",\n    z = \"y\",\n)\nprint(x, z, q)\n" + okPlan,
				"a/lib.star":  "load(\"plan.star\", \"plan\")\nx = plan\n",
			},
			want: []string{
				`a/lib.star:1:6: error: cannot load "plan.star": it loads this module, directly or through others; move what both need into a third module [load-cycle]`,
				`a/plan.star:4:9: error: cannot load "y" from "lib.star": it defines no such name [load-error]`,
				`a/plan.star:6:13: error: undefined: q [undefined-name]`,
			},
		},
		{
			name:  "several paths",
			files: map[string]string{"x/a.star": "a\n", "y/b.star": "b\n", "z/c.star": "c\n"},
			paths: []string{"z", "x/a.star"},
			want: []string{
				"x/a.star:1:1: error: no function plan(plan_input) is defined [missing-plan]",
				"x/a.star:1:1: error: undefined: a [undefined-name]",
				"z/c.star:1:1: error: no function plan(plan_input) is defined [missing-plan]",
				"z/c.star:1:1: error: undefined: c [undefined-name]",
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree(t, test.files)
			paths := test.paths
			if paths == nil {
				paths = []string{"."}
			}
			report, err := check.Files(context.Background(), paths, check.Options{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range report.Findings {
				got = append(got, f.String())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if report.Valid != (len(test.want) == 0) {
				t.Errorf("Valid = %v", report.Valid)
			}
		})
	}
}

func TestFilesNamesThePlan(t *testing.T) {
	tree(t, map[string]string{"g/c/plan.star": "x\n", "a.star": "x\n"})
	report, err := check.Files(context.Background(), []string{"."}, check.Options{})
	if err != nil {
		t.Fatal(err)
	}
	plans := make(map[string]string)
	for _, f := range report.Findings {
		plans[f.File] = f.Plan
	}
	if diff := cmp.Diff(map[string]string{"a.star": "a", "g/c/plan.star": "g:c"}, plans); diff != "" {
		t.Errorf("plans (-want +got):\n%s", diff)
	}
}

func TestFilesErrors(t *testing.T) {
	tree(t, map[string]string{"a.star": okPlan, "a/plan.star": okPlan})
	if _, err := check.Files(context.Background(), []string{"absent"}, check.Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Files(absent) = %v, want os.ErrNotExist", err)
	}
	if err := os.Mkdir("none", 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := check.Files(context.Background(), []string{"none"}, check.Options{}); err == nil || !strings.Contains(err.Error(), "none holds no plan") {
		t.Errorf("Files of an empty directory = %v", err)
	}
	if _, err := check.Files(context.Background(), []string{"."}, check.Options{}); err == nil || !strings.Contains(err.Error(), `two plans are named "a"`) {
		t.Errorf("Files of two plans of one name = %v", err)
	}
}

// TestManyUndefinedNames checks that a long text full of mistakes takes no time.
func TestManyUndefinedNames(t *testing.T) {
	var text strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&text, "a%d\n", i)
	}
	report, err := check.Source(context.Background(), "p.star", text.String(), check.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(report.Errors); n != 201 { // And missing-plan.
		t.Errorf("%d errors, want 201", n)
	}
}

// failingEngine stands for an engine that cannot start its workers.
type failingEngine struct{ err error }

func (e failingEngine) Start(_ context.Context, _ *plan.Source, rec execution.Record, done func(execution.Outcome)) {
	done(plan.LoadFailure("check", rec, e.err))
}

func (e failingEngine) Load(context.Context, *plan.Source) error { return e.err }

func TestFilesThroughAnEngine(t *testing.T) {
	// What the top level makes may cost anything.
	tree(t, map[string]string{"a.star": "x = [i for i in range(10)]\n" + okPlan})
	broken := errors.New("no worker starts")
	_, err := check.Files(context.Background(), []string{"a.star"}, check.Options{Engine: failingEngine{err: broken}})
	if !errors.Is(err, broken) {
		t.Errorf("Files = %v, want the engine's own error", err)
	}
	fault := &plan.LoadError{Code: plan.CodeInit, File: "a.star", Line: 1, Col: 2, Message: "ran out of memory"}
	report, err := check.Files(context.Background(), []string{"a.star"}, check.Options{Engine: failingEngine{err: fmt.Errorf("load: %w", fault)}})
	if err != nil || len(report.Findings) != 1 || report.Findings[0].Message != fault.Message {
		t.Errorf("Files = %v, %v, want the plan's fault", report, err)
	}
}

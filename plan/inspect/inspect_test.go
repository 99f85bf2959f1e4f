package inspect_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"starplan/plan"
	"starplan/plan/execution"
	"starplan/plan/inspect"
	"starplan/proto/planpb"
	"starplan/scripts"
)

var record = func() execution.Record {
	value, err := proto.Marshal(&planpb.PlanInput{
		InputId: "i", PlanName: "p",
		TaskExecutions: []*planpb.TaskExecution{
			{Header: &planpb.ExecutionHeader{Name: "b"}}, {Header: &planpb.ExecutionHeader{Name: "a"}},
		},
	})
	if err != nil {
		panic(err)
	}
	return execution.Record{Topic: "plan-inputs-t", Key: []byte("p"), Value: value, Timestamp: time.UnixMilli(1_700_000_000_000)}
}()

func source(t testing.TB, files ...string) *plan.Source {
	t.Helper()
	texts := map[string]string{"p.star": files[0]}
	if len(files) > 1 {
		texts["lib.star"] = files[1]
	}
	src, err := plan.NewSource("p", "p.star", texts)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// see gives what is seen, an event a line.
func see(t testing.TB, src *plan.Source, rec execution.Record, lim plan.Limits, opts inspect.Options) []string {
	t.Helper()
	var seen []string
	err := inspect.New(src, lim).Inspect("t", rec, opts, func(e inspect.Event) { seen = append(seen, write(e)) })
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

func write(e inspect.Event) string {
	vars := func(list []inspect.Variable, more int) string {
		var parts []string
		for _, v := range list {
			parts = append(parts, v.Name+" = "+v.Text)
		}
		if more > 0 {
			parts = append(parts, fmt.Sprintf("and %d more", more))
		}
		return strings.Join(parts, "; ")
	}
	switch {
	case e.Line != nil:
		return fmt.Sprintf("%d %s:%d %s", e.Line.Depth, e.Line.Module, e.Line.Line, e.Line.Function)
	case e.Changed != nil:
		return fmt.Sprintf("%d   %s", e.Changed.Depth, vars(e.Changed.Vars, e.Changed.More))
	case e.Frame != nil:
		return fmt.Sprintf("%s:%d:%d %s: %s", e.Frame.Module, e.Frame.Line, e.Frame.Col, e.Frame.Function, vars(e.Frame.Vars, e.Frame.More))
	case e.Sample != nil:
		var stack []string
		for _, p := range e.Sample.Stack {
			stack = append(stack, fmt.Sprintf("%s:%d(%s)", p.Module, p.Line, p.Function))
		}
		return fmt.Sprintf("%d %s", e.Sample.Steps, strings.Join(stack, " "))
	}
	return fmt.Sprintf("skipped %d", e.Skipped)
}

const input = `plan_input = PlanInput(input_id="i", plan_name="p", task_executions=[TaskExecution(header=ExecutionHeader(name="b")), TaskExecution(header=ExecutionHeader(name="a"))])`

func TestTrace(t *testing.T) {
	for _, test := range []struct {
		name, text, lib string
		lines           int
		limit           uint64
		want            []string
	}{
		{
			name: "assignments, branches and a loop, whose variable is shown at each turn",
			text: `def plan(plan_input):
    names = []
    for i, n in enumerate(["x", "y"]):
        if i == 1:
            pass
        elif n:
            names.append(n)
        else:
            names = None
    return PlanResult(
        next_task_names = names,
    )
`,
			want: []string{
				"1 p.star:1 plan", "1   " + input,
				"1 p.star:2 plan", "1   names = []",
				"1 p.star:3 plan", `1   i = 0; n = "x"`,
				"1 p.star:4 plan", "1 p.star:6 plan", "1 p.star:7 plan", `1   names = ["x"]`,
				"1 p.star:3 plan", `1   i = 1; n = "y"`,
				"1 p.star:4 plan", "1 p.star:5 plan",
				"1 p.star:10 plan",
			},
		},
		{
			name: "functions, in another module and within others; what they change last; no variables of comprehensions",
			text: `load("lib.star", "put")
def plan(plan_input):
    total = [n * 2 for n in [1, 2]]
    def more(x):
        put(total, x)
    more(7)
    more(8)
    return PlanResult()
`,
			lib: `def put(xs, x):
    xs.append(x)
`,
			want: []string{
				"1 p.star:2 plan", "1   " + input,
				"1 p.star:3 plan", "1   total = [2, 4]",
				"1 p.star:6 plan",
				"2 p.star:4 more", "2   x = 7; total = [2, 4]",
				"2 p.star:5 more",
				"3 lib.star:1 put", "3   xs = [2, 4]; x = 7",
				"3 lib.star:2 put", "3   xs = [2, 4, 7]",
				"2   total = [2, 4, 7]",
				"1   total = [2, 4, 7]",
				"1 p.star:7 plan",
				"2 p.star:4 more", "2   x = 8; total = [2, 4, 7]",
				"2 p.star:5 more",
				"3 lib.star:1 put", "3   xs = [2, 4, 7]; x = 8",
				"3 lib.star:2 put", "3   xs = [2, 4, 7, 8]",
				"2   total = [2, 4, 7, 8]",
				"1   total = [2, 4, 7, 8]",
				"1 p.star:8 plan",
			},
		},
		{
			name: "a lambda, at its first call by a builtin, and a function at each",
			text: `def key(t):
    return t.header.name

def plan(plan_input):
    first = sorted([3, 1], key = lambda x: -x)
    tasks = sorted(plan_input.task_executions, key = key)
    return PlanResult(next_task_names = [t.header.name for t in tasks])
`,
			want: []string{
				"1 p.star:4 plan", "1   " + input,
				"1 p.star:5 plan",
				"1   first = [3, 1]",
				"1 p.star:6 plan",
				"2 p.star:1 key", `2   t = TaskExecution(header=ExecutionHeader(name="b"))`, "2 p.star:2 key",
				"2 p.star:1 key", `2   t = TaskExecution(header=ExecutionHeader(name="a"))`, "2 p.star:2 key",
				`1   tasks = [TaskExecution(header=ExecutionHeader(name="a")), TaskExecution(header=ExecutionHeader(name="b"))]`,
				"1 p.star:7 plan",
			},
		},
		{
			name: "a failure ends it, with the line that failed",
			text: "def plan(plan_input):\n    x = 1\n    y = x // 0\n    return y\n",
			want: []string{"1 p.star:1 plan", "1   " + input, "1 p.star:2 plan", "1   x = 1", "1 p.star:3 plan"},
		},
		{
			name:  "no more lines than asked for",
			text:  "def plan(plan_input):\n    n = 0\n    for i in range(50):\n        n += i\n    return PlanResult()\n",
			lines: 6,
			want: []string{
				"1 p.star:1 plan", "1   " + input, "1 p.star:2 plan", "1   n = 0", "1 p.star:3 plan",
				"1   i = 0", "1 p.star:4 plan", "1 p.star:3 plan", "1   i = 1", "1 p.star:4 plan", "1   n = 1", "skipped 97",
			},
		},
		{
			name:  "the step limit",
			text:  "def plan(plan_input):\n    n = 1\n    n = 2\n    n = 3\n    n = 4\n    n = 5\n    return PlanResult()\n",
			limit: 7,
			want:  []string{"1 p.star:1 plan", "1   " + input, "1 p.star:2 plan", "1   n = 1", "1 p.star:3 plan", "1   n = 2", "1 p.star:4 plan", "1   n = 3", "1 p.star:5 plan"},
		},
		{
			name: "values are bounded, and hostile ones harmless",
			text: `def plan(plan_input):
    s = "\x1b[31m" + "x" * 1000
    l = list(range(1000))
    l.append(1)
    n = int("9" * 1000)
    return PlanResult()
`,
			want: []string{
				"1 p.star:1 plan", "1   " + input, "1 p.star:2 plan",
				`1   s = "\x1b[31m` + strings.Repeat("x", 195) + `"... 1005 bytes`,
				"1 p.star:3 plan",
				"1   l = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, ... 947 more]",
				"1 p.star:4 plan",
				"1   l = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, ... 948 more]",
				"1 p.star:5 plan", "1   n = <int of 3322 bits>", "1 p.star:6 plan",
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			files := []string{test.text}
			if test.lib != "" {
				files = append(files, test.lib)
			}
			if test.lines == 0 {
				test.lines = 100
			}
			got := see(t, source(t, files...), record, plan.Limits{MaxSteps: test.limit}, inspect.Options{Lines: test.lines})
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("trace (-want +got):\n%s", diff)
			}
		})
	}
}

func TestProfile(t *testing.T) {
	src := source(t, `def plan(plan_input):
    n = 0
    for i in range(100):
        n += square(i)
    names = sorted(["b", "a", "c"], key = lambda x: square(len(x)))
    return PlanResult(next_task_names = names)

def square(x):
    return x * x
`)
	want := []string{
		"2 p.star:2(plan)", "9 p.star:3(plan)", "1197 p.star:4(plan)",
		"400 p.star:9(square) p.star:4(plan)",
		"16 p.star:5(plan)", "18 p.star:5(lambda) p.star:5(plan)", "12 p.star:9(square) p.star:5(lambda) p.star:5(plan)",
		"8 p.star:6(plan)",
	}
	got := see(t, src, record, plan.Limits{}, inspect.Options{Profile: true})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("profile (-want +got):\n%s", diff)
	}
}

// TestProfileAddsUp holds the steps of all lines to those of a run.
func TestProfileAddsUp(t *testing.T) {
	samples, err := scripts.Samples()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range samples {
		rec, err := s.Record()
		if err != nil {
			t.Fatal(err)
		}
		src, err := plan.ReadFile("../../scripts/"+s.Plan, "")
		if err != nil {
			t.Fatal(err)
		}
		prog, err := plan.Compile(src, plan.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		want := prog.Run("t", rec)
		total := uint64(0)
		err = inspect.New(src, plan.Limits{}).Inspect("t", rec, inspect.Options{Profile: true}, func(e inspect.Event) { total += e.Sample.Steps })
		if err != nil {
			t.Fatal(err)
		}
		if diff := int(total) - int(want.Steps); diff < -5 || diff > 5 {
			t.Errorf("%v: %d steps in the profile, %d in a run", s, total, want.Steps)
		}
	}
}

func TestLocals(t *testing.T) {
	for _, test := range []struct {
		name, text, lib string
		limit           uint64
		want            []string
	}{
		{name: "none where it succeeds", text: "def plan(plan_input):\n    return PlanResult()\n"},
		{
			name: "each call, with the variables as they were, those of a comprehension too",
			text: `load("lib.star", "divide")
def plan(plan_input):
    ns = [4, 2, 0, 1]
    out = [divide(8, n) for n in ns]
    later = 1
    return PlanResult()
`,
			lib: "def divide(a, b):\n    for i in range(2):\n        c = a + i\n    return a // b + c\n",
			want: []string{
				"p.star:4:18 plan: " + input + "; ns = [4, 2, 0, 1]; n = 0",
				"lib.star:4:14 divide: a = 8; b = 0; i = 1; c = 9",
			},
		},
		{
			name: "fail(), and variables that inner functions use",
			text: "def plan(plan_input):\n    reason = \"no\"\n    def stop():\n        fail(reason)\n    stop()\n",
			want: []string{"p.star:5:9 plan: " + input + `; reason = "no"`, `p.star:4:13 stop: reason = "no"`},
		},
		{
			name: "what plan() returned was no PlanResult",
			text: "def plan(plan_input):\n    names = [\"a\"]\n    return len(names)\n",
			want: []string{"p.star:3:15 plan: " + input + `; names = ["a"]`},
		},
		{
			name:  "the step limit",
			text:  "def plan(plan_input):\n    for i in range(1000):\n        for j in range(1000):\n            x = i\n",
			limit: 1000,
			want:  []string{"p.star:3:9 plan: " + input + "; i = 0; j = 122; x = 0"},
		},
		{
			name:  "the step limit, in a builtin that charges for its work",
			text:  "def plan(plan_input):\n    xs = range(100000000)\n    y = max(xs)\n",
			limit: 1000,
			want:  []string{"p.star:3:12 plan: " + input + "; xs = range(100000000)"},
		},
		{
			name: "in a function that a builtin calls",
			text: "def plan(plan_input):\n    return sorted([1, 0], key = lambda x: 1 // x)\n",
			want: []string{"p.star:2:18 plan: " + input, "p.star:2:45 lambda: x = 0"},
		},
		{
			name: "arguments that do not fit",
			text: "def f(a):\n    return a\n\ndef plan(plan_input):\n    x = 1\n    return f(x, x)\n",
			want: []string{"p.star:6:13 plan: " + input + "; x = 1"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			files := []string{test.text}
			if test.lib != "" {
				files = append(files, test.lib)
			}
			got := see(t, source(t, files...), record, plan.Limits{MaxSteps: test.limit}, inspect.Options{Locals: true})
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("frames (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInspectErrors(t *testing.T) {
	for _, opts := range []inspect.Options{{Lines: 1}, {Locals: true}, {Profile: true}} {
		err := inspect.New(source(t, "def plan(plan_input):\n    return nothing\n"), plan.Limits{}).Inspect("t", record, opts, func(inspect.Event) {})
		var fault *plan.LoadError
		if !errors.As(err, &fault) || fault.Code != plan.CodeUndefined {
			t.Errorf("Inspect(%+v) of a plan that does not load = %v, want a LoadError", opts, err)
		}
	}
	none := execution.Record{Key: []byte("p"), Value: []byte("no input")}
	all := inspect.Options{Lines: 10, Profile: true, Locals: true}
	if got := see(t, source(t, "def plan(plan_input):\n    return PlanResult()\n"), none, plan.Limits{}, all); len(got) > 0 {
		t.Errorf("Inspect of a record that is no PlanInput sees %v, want nothing: plan() does not run", got)
	}
}

// TestInspectAgain uses one Inspector for many records.
func TestInspectAgain(t *testing.T) {
	src := source(t, "CALLED = [1]\ndef plan(plan_input):\n    n = CALLED[0]\n    return PlanResult(next_task_names = [1])\n")
	i := inspect.New(src, plan.Limits{})
	var first []string
	for n := range 3 {
		var seen []string
		err := i.Inspect("t", record, inspect.Options{Lines: 10, Profile: true, Locals: true}, func(e inspect.Event) { seen = append(seen, write(e)) })
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			first = seen
		}
		if diff := cmp.Diff(first, seen); diff != "" || len(seen) < 6 {
			t.Errorf("run %d (-first +got):\n%s", n, diff)
		}
	}
}

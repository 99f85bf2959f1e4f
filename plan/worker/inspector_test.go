package worker

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"starplan/plan"
	"starplan/plan/inspect"
)

func newInspector(t testing.TB, limits plan.Limits) *Inspector {
	t.Helper()
	i, err := NewInspector(Options{Tenant: "t", Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	return i
}

var everything = inspect.Options{Lines: 100, Profile: true, Locals: true}

// TestInspectorSeesTheSame compares what is seen through a worker with what is seen
// in this process, for several plans and records in turn.
func TestInspectorSeesTheSame(t *testing.T) {
	limits := plan.Limits{MaxSteps: 100_000}
	through := newInspector(t, limits)
	fails := source(t, "fails", "def plan(plan_input):\n    xs = [1, 2, \"\\n\"]\n    for x in xs:\n        y = x + 1\n    return PlanResult()\n")
	works := source(t, "works", "def plan(plan_input):\n    n = len(plan_input.input_id)\n    return PlanResult()\n")
	for n, src := range []*plan.Source{fails, works, works, fails} {
		rec := record(t, src.Name, int64(n), strings.Repeat("x", n))
		var want, got []inspect.Event
		if err := inspect.New(src, limits).Inspect("t", rec, everything, func(e inspect.Event) { want = append(want, e) }); err != nil {
			t.Fatal(err)
		}
		if err := through.Inspect(t.Context(), src, rec, everything, func(e inspect.Event) { got = append(got, e) }); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" || len(got) < 5 {
			t.Errorf("%s: events (-in process +through a worker):\n%s", src.Name, diff)
		}
	}
}

// TestInspectorStops looks into plans that do not end: what they did until then is
// told, and the next plan is looked into as if nothing had been.
func TestInspectorStops(t *testing.T) {
	limits := plan.Limits{MaxSteps: 1 << 50, Timeout: 500 * time.Millisecond, MaxMemory: 256 << 20}
	if raceEnabled {
		limits.Timeout = 3 * time.Second
	}
	i := newInspector(t, limits)
	for _, test := range []struct{ name, text, want string }{
		{"steps without end", "for _ in range(1 << 60):\n        pass", "Execution timed out after "},
		{"one step without end", "x = \"a\" * 10000000\n    x.replace(\"a\", x)", "Execution ran out of memory: limit of 256 MiB"},
		{"an operator without end", "x = \"a\" * 5000000 + \"b\"\n    y = \"a\" * 10000000\n    z = [x in y for _ in range(1 << 40)]", "Execution timed out after "},
	} {
		src := source(t, "p", "def plan(plan_input):\n    first = 1\n    "+test.text+"\n    return PlanResult()\n")
		var seen []string
		err := i.Inspect(t.Context(), src, record(t, "p", 1, "in"), inspect.Options{Lines: 10}, func(e inspect.Event) {
			if e.Line != nil {
				seen = append(seen, string(rune('0'+e.Line.Line)))
			}
		})
		var stopped *StoppedError
		if !errors.As(err, &stopped) || !strings.HasPrefix(stopped.Message, test.want) {
			t.Errorf("%s: Inspect = %v, want a StoppedError %q", test.name, err, test.want)
		}
		if got := strings.Join(seen, ""); !strings.HasPrefix(got, "123") {
			t.Errorf("%s: lines %s were told of, want those up to where it hangs", test.name, got)
		}
	}
	good := source(t, "good", "def plan(plan_input):\n    return PlanResult()\n")
	lines := 0
	err := i.Inspect(t.Context(), good, record(t, "good", 1, "in"), inspect.Options{Lines: 10}, func(inspect.Event) { lines++ })
	if err != nil || lines != 3 {
		t.Errorf("Inspect after that = %v with %d events, want 3", err, lines)
	}
}

func TestInspectorErrors(t *testing.T) {
	i := newInspector(t, plan.Limits{})
	bad := source(t, "bad", "def plan(plan_input):\n    return nothing\n")
	err := i.Inspect(t.Context(), bad, record(t, "bad", 1, "in"), everything, func(inspect.Event) {})
	if fault := asFault(err); fault == nil || fault.Code != plan.CodeUndefined || fault.Line != 2 {
		t.Errorf("Inspect of a plan that does not load = %v, want its fault", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	endless := source(t, "endless", "def plan(plan_input):\n    for _ in range(1 << 60):\n        pass\n")
	err = i.Inspect(ctx, endless, record(t, "endless", 1, "in"), inspect.Options{Lines: 3}, func(inspect.Event) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Inspect = %v, want that it was cancelled", err)
	}
	if _, err := NewInspector(Options{Limits: plan.Limits{Timeout: -1}}); err == nil {
		t.Error("NewInspector takes a negative timeout")
	}
}

// TestInspectorKeepsItsWorker uses one process for many records.
func TestInspectorKeepsItsWorker(t *testing.T) {
	i := newInspector(t, plan.Limits{})
	src := source(t, "p", "def plan(plan_input):\n    return PlanResult()\n")
	pids := make(map[int]bool)
	for n := range 5 {
		if err := i.Inspect(t.Context(), src, record(t, "p", int64(n), "in"), inspect.Options{Lines: 3}, func(inspect.Event) {}); err != nil {
			t.Fatal(err)
		}
		pids[i.proc.pid()] = true
	}
	if len(pids) != 1 {
		t.Errorf("%d processes, want 1", len(pids))
	}
}

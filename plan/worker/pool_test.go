package worker

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"starplan/plan"
	"starplan/plan/execution"
)

const shipPlan = `
def plan(plan_input):
    print("hello")
    return PlanResult(next_task_names = ["ship"])
`

func TestOutcomeIsThatOfTheProgram(t *testing.T) {
	p := newPool(t, Options{Workers: 1, Limits: plan.Limits{MaxSteps: 10_000}})
	for _, test := range []struct{ name, text string }{
		{"succeeds", shipPlan},
		{"reports", "def plan(i):\n  return PlanResult(error_message = 'no')\n"},
		{"fails", "def plan(i):\n  fail('broken')\n"},
		{"steps", "def plan(i):\n  for x in range(1000000): pass\n"},
		{"wrong type", "def plan(i):\n  return 1\n"},
	} {
		src := source(t, test.name, test.text)
		rec := record(t, test.name, 1, "in")
		program, err := plan.Compile(src, p.opts.Limits)
		if err != nil {
			t.Fatal(err)
		}
		want := program.Run("t", rec)
		got := await(t, p, src, rec)
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(execution.Outcome{}, "Duration")); diff != "" {
			t.Errorf("%s: outcome differs from that in process (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestManyRecordsInFlight(t *testing.T) {
	p := newPool(t, Options{Workers: 2})
	src := source(t, "ship", shipPlan)
	const n = 5000
	var wg sync.WaitGroup
	var mu sync.Mutex
	ids := make(map[string]bool)
	for i := range n {
		wg.Add(1)
		p.Start(t.Context(), src, record(t, "ship", int64(i), "in"), func(out execution.Outcome) {
			mu.Lock()
			defer mu.Unlock()
			ids[out.ExecID] = out.Reason == ""
			wg.Done()
		})
	}
	wg.Wait()
	if len(ids) != n {
		t.Errorf("distinct exec_ids = %d, want %d", len(ids), n)
	}
	for id, ok := range ids {
		if !ok {
			t.Errorf("execution %s failed", id)
		}
	}
}

func TestVerdicts(t *testing.T) {
	for _, test := range []struct {
		do     string
		reason execution.Reason
		want   string
	}{
		{"nothing", "", ""},
		{"hang", execution.ReasonTimeout, "Execution timed out after 0.5 seconds"},
		{"exit", execution.ReasonCrash, "Execution crashed its worker: exit code 7"},
		{"panic at the disco", execution.ReasonCrash, "Execution crashed its worker: exit code 2: panic: at the disco"},
		{"allocate 300", execution.ReasonMemory, "Execution ran out of memory: limit of 128 MiB"},
		{"raw garbage", execution.ReasonCrash, "Execution crashed its worker: frame: length"},
		{"raw length", execution.ReasonCrash, "Execution crashed its worker: frame: length"},
		{"raw unknown", execution.ReasonCrash, "Execution crashed its worker: frame: reply to something"},
		{"raw kind", execution.ReasonCrash, "Execution crashed its worker: frame: unexpected kind"},
		{"raw close", execution.ReasonCrash, "Execution crashed its worker: "},
	} {
		t.Run(test.do, func(t *testing.T) {
			t.Parallel()
			lim := plan.Limits{Timeout: 20 * time.Second, MaxMemory: 128 << 20}
			if test.reason == execution.ReasonTimeout {
				lim.Timeout = 500 * time.Millisecond
			}
			p := newPool(t, Options{Workers: 1, Limits: lim})
			src := source(t, "p", directive+test.do)
			got := await(t, p, src, record(t, "p", 1, "x"))
			if got.Reason != test.reason || !strings.HasPrefix(got.Message, test.want) {
				t.Errorf("outcome of %q = %q %q, want %q %q", test.do, got.Reason, got.Message, test.reason, test.want)
			}
			// The pool is none the worse for it.
			good := await(t, p, source(t, "ship", shipPlan), record(t, "ship", 2, "x"))
			if good.Reason != "" {
				t.Errorf("record after %q = %q %q, want it to succeed", test.do, good.Reason, good.Message)
			}
		})
	}
}

func TestKilledWorkerLosesNothing(t *testing.T) {
	p := newPool(t, Options{Workers: 1})
	src := source(t, "value", directive+"value")
	warmUp(t, p, src)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Add(1)
		what := "nothing"
		if i == 0 {
			what = "spin 200ms"
		}
		p.Start(t.Context(), src, record(t, "value", int64(i), what), func(out execution.Outcome) {
			defer wg.Done()
			if out.Reason != "" {
				t.Errorf("record %d = %q %q, want it to succeed", i, out.Reason, out.Message)
			}
		})
	}
	waitFor(t, "the slow record begins", func() bool { return p.Stats().Busy > 0 })
	signalAll(t, p, syscall.SIGKILL)
	wg.Wait()
	waitFor(t, "the death is counted", func() bool { return p.Stats().Restarts["crash"] > 0 })
}

// TestHuntedRecord has every worker of a record killed, its second one and third,
// and the record nevertheless answered: it is not at fault. Killed once more, it
// is given up.
func TestHuntedRecord(t *testing.T) {
	for _, test := range []struct {
		name  string
		kills int
		want  execution.Reason
	}{
		{"forgiven", maxKilled, ""},
		{"given up", maxKilled + 1, execution.ReasonCrash},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPool(t, Options{Workers: 1, Limits: plan.Limits{Timeout: time.Minute}})
			src := source(t, "spin", directive+"value")
			warmUp(t, p, src)
			done := make(chan execution.Outcome, 1)
			p.Start(t.Context(), src, record(t, "spin", 1, "spin 300ms"), func(out execution.Outcome) { done <- out })
			waitFor(t, "the record begins", func() bool {
				p.mu.Lock()
				defer p.mu.Unlock()
				return slices.ContainsFunc(p.workers, func(w *worker) bool { return w.count() > 0 && w.front().begun })
			})
			signalAll(t, p, syscall.SIGKILL)
			for kill := 2; kill <= test.kills; kill++ {
				killAlone(t, p, uint64(kill-1))
			}
			if out := <-done; out.Reason != test.want {
				t.Errorf("killed %d times = %q %q, want %q", test.kills, out.Reason, out.Message, test.want)
			}
		})
	}
}

// killAlone kills the worker that runs a record alone, once so many have died.
func killAlone(t *testing.T, p *Pool, deaths uint64) {
	t.Helper()
	waitFor(t, "a worker is alone with the record", func() bool {
		if p.Stats().Restarts["crash"] < deaths {
			return false
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		for proc := range p.alone {
			proc.kill()
			return true
		}
		return false
	})
}

func pidOf(t *testing.T, p *Pool) int {
	t.Helper()
	out := await(t, p, source(t, "pid", directive+"pid"), record(t, "pid", 1, ""))
	pid, err := strconv.Atoi(out.Message)
	if err != nil || pid == os.Getpid() {
		t.Fatalf("pid of worker: got %q", out.Message)
	}
	return pid
}

// waitFor polls for what no event tells of.
func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("timed out waiting until %s", what)
		}
	}
}

func TestLoad(t *testing.T) {
	lim := plan.Limits{Timeout: 20 * time.Second, MaxMemory: 128 << 20, MaxSteps: 1_000_000}
	patient := newPool(t, Options{Workers: 1, Limits: lim})
	lim.Timeout = 500 * time.Millisecond
	hasty := newPool(t, Options{Workers: 1, Limits: lim})
	for _, test := range []struct{ name, text, code string }{
		{"good", shipPlan, ""},
		{"syntax", "def plan(", plan.CodeParse},
		{"steps", "[0 for x in range(100000000)]\ndef plan(i): pass\n", plan.CodeInit},
		{"memory", "x = [['a' * 1000000] for i in range(10000)]\ny = [a + b for a in x for b in x]\ndef plan(i): pass\n", codeMemory},
		{"big", "x = 'a' * (1 << 29)\ndef plan(i): pass\n", codeMemory},
		{"clock", "x = [0] * 500000\ny = [1 in x for _ in range(100000)]\ndef plan(i): pass\n", codeTimeout},
		{"hang", directive + "hang while loading", codeTimeout},
	} {
		p := patient
		if test.code == codeTimeout {
			p = hasty
		}
		err := p.Load(t.Context(), source(t, test.name, test.text))
		code := ""
		if fault := asFault(err); fault != nil {
			code = fault.Code
		}
		if code != test.code || (err != nil) != (code != "") {
			t.Errorf("Load(%s) = %v, want code %q", test.name, err, test.code)
		}
	}
}

package worker

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"starplan/plan"
	"starplan/plan/execution"
	"starplan/scripts"
)

// pureJob is a record whose execution depends on nothing but it.
type pureJob struct {
	name string
	src  *plan.Source
	rec  execution.Record
}

// pureJobs are all samples, and the bombs that never meet the clock or the memory
// limit, be it by what they want or by limits low enough.
func pureJobs(t *testing.T) []pureJob {
	samples, err := scripts.Samples()
	if err != nil {
		t.Fatal(err)
	}
	var jobs []pureJob
	for _, s := range samples {
		src, err := plan.ReadFile("../../scripts/"+s.Plan, s.Plan)
		if err != nil {
			t.Fatal(err)
		}
		rec, err := s.Record()
		if err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, pureJob{s.String(), src, rec})
	}
	for i, b := range readBombs(t) {
		if b.wants(execution.ReasonMemory) || b.wants(execution.ReasonTimeout) || b.wants(execution.ReasonCrash) {
			continue
		}
		jobs = append(jobs, pureJob{b.name, source(t, b.name, b.text), record(t, b.name, int64(i), "in")})
	}
	if len(jobs) < 30 {
		t.Fatalf("jobs = %d, want at least 30", len(jobs))
	}
	return jobs
}

// The same records give the same executions in fresh processes, in any order, with
// any number of workers, and on a processor that lacks an instruction.
func TestExecutionsAreDeterministic(t *testing.T) {
	jobs := pureJobs(t)
	lim := plan.Limits{MaxSteps: 200_000}
	want := runAll(t, jobs, Options{Workers: 1, Limits: lim, Tenant: scripts.Tenant})
	for _, test := range []struct {
		name string
		opts Options
	}{
		{"again", Options{Workers: 1}},
		{"3 workers", Options{Workers: 3}},
		{"without FMA", Options{Workers: 2, env: []string{"GODEBUG=cpu.fma=off"}}},
	} {
		test.opts.Limits, test.opts.Tenant = lim, scripts.Tenant
		rand.Shuffle(len(jobs), func(i, j int) { jobs[i], jobs[j] = jobs[j], jobs[i] })
		got := runAll(t, jobs, test.opts)
		for name := range want {
			if !want[name].Reason.Deterministic() {
				t.Errorf("%s: %q %q, want an outcome that is final", name, want[name].Reason, want[name].Message)
			}
			if diff := cmp.Diff(want[name], got[name]); diff != "" {
				t.Errorf("%s: %s: execution differs (-first +this):\n%s", test.name, name, diff)
			}
		}
	}
}

// runAll runs all jobs at once in a pool of their own.
func runAll(t *testing.T, jobs []pureJob, opts Options) map[string]execution.Outcome {
	p := newPool(t, opts)
	outcomes := make(map[string]execution.Outcome)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, j := range jobs {
		wg.Add(1)
		p.Start(t.Context(), j.src, j.rec, func(out execution.Outcome) {
			defer wg.Done()
			out.Duration = 0
			mu.Lock()
			defer mu.Unlock()
			outcomes[j.name] = out
		})
	}
	wg.Wait()
	return outcomes
}

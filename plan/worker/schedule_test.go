package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"starplan/plan"
	"starplan/plan/execution"
)

// long reports whether tests run at their full length, with the limits of latency
// that a machine with nothing else to do must keep.
func long() bool { return os.Getenv("STARPLAN_LONG") != "" }

// A plan that burns long beside one that does not, in the same pool.
func TestSlowPlanHoldsUpItself(t *testing.T) {
	burn, every, rounds := 2*time.Second, 200*time.Millisecond, 10
	if long() {
		burn, every, rounds = 10*time.Second, time.Second, 30
	}
	p := newPool(t, Options{Workers: 2, Limits: plan.Limits{Timeout: time.Minute}})
	slow := source(t, "slow", directive+"spin "+burn.String())
	good := newGoodTraffic(t, p)
	stop := make(chan struct{})
	var traffic sync.WaitGroup
	traffic.Go(func() { good.run(stop) })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var answered atomic.Int64
	tick := time.NewTicker(every)
	defer tick.Stop()
	most := 0
	for i := range rounds {
		p.Start(ctx, slow, record(t, "slow", int64(i), "x"), func(execution.Outcome) { answered.Add(1) })
		<-tick.C
		most = max(most, p.Stats().Slow)
	}
	waitFor(t, "the first slow record is answered", func() bool { return answered.Load() > 0 })
	close(stop)
	traffic.Wait()
	good.check(t, 100*time.Millisecond)
	if most < 2 || most > maxSlowPlan {
		t.Errorf("slow workers = %d, want 2 to %d", most, maxSlowPlan)
	}
}

// Records that were sent behind one that turns out slow are answered before it.
func TestRecordsBehindASlowOneAreTakenBack(t *testing.T) {
	p := newPool(t, Options{Workers: 2})
	src := source(t, "value", directive+"value")
	warmUp(t, p, src)
	var wg sync.WaitGroup
	slow := make(chan struct{})
	p.Start(t.Context(), src, record(t, "value", 1000, "spin 700ms"), func(execution.Outcome) { close(slow) })
	for i := range 200 {
		wg.Add(1)
		p.Start(t.Context(), src, record(t, "value", int64(i), "nothing"), func(out execution.Outcome) {
			defer wg.Done()
			if out.Reason != "" {
				t.Errorf("record %d: %q", i, out.Message)
			}
		})
	}
	wg.Wait()
	select {
	case <-slow:
		t.Error("the slow record was answered first, want those behind it not to wait")
	default:
	}
	<-slow
}

// A worker is asked for its records a second time before it has confirmed the first,
// and has begun meanwhile what only the second time names.
func TestRecallsOneAfterAnother(t *testing.T) {
	p, w, s := &Pool{}, newWorker(nil, time.Now()), &planState{}
	give := func(seqs ...uint64) {
		for _, seq := range seqs {
			w.give(entry{job: &job{ctx: t.Context(), plan: s, queued: true}, seq: seq}) // Queued: it is not to be run by p.
		}
	}
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	give(1)
	must("begin 1", w.begin(1, time.Now()))
	give(2, 3)
	p.recall(w)
	give(4, 5)
	p.recall(w)
	must("the first recall", w.recalled())
	_, err := w.answered(1)
	must("answer 1", err)
	must("begin 4", w.begin(4, time.Now()))
	must("the second recall", w.recalled())
	if n := w.count(); n != 1 {
		t.Errorf("%d records are in flight, want 1: the one that runs", n)
	}
	_, err = w.answered(4)
	must("answer 4", err)
	if err := w.recalled(); err == nil {
		t.Error("a third recall was confirmed, want an error: there were two")
	}
}

// warmUp lets the pool learn that a plan is quick.
func warmUp(t *testing.T, p *Pool, src *plan.Source) {
	for i := range 2 * carefulRuns {
		await(t, p, src, record(t, src.Name, int64(i), "nothing"))
	}
}

// What runs out of memory in the midst of others takes nobody with it.
func TestNeighboursOfABombAreRunAgain(t *testing.T) {
	p := newPool(t, Options{Workers: 1, Limits: plan.Limits{MaxMemory: 128 << 20}})
	src := source(t, "value", directive+"value")
	warmUp(t, p, src)
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Add(1)
		what, want := "nothing", execution.Reason("")
		switch i {
		case 20:
			what, want = "allocate 300", execution.ReasonMemory
		case 40:
			what, want = "exit", execution.ReasonCrash
		}
		p.Start(t.Context(), src, record(t, "value", int64(i), what), func(out execution.Outcome) {
			defer wg.Done()
			if out.Reason != want {
				t.Errorf("record %d (%s) = %q %q, want %q", i, what, out.Reason, out.Message, want)
			}
		})
	}
	wg.Wait()
}

// A plan that keeps killing workers waits more and more, and others do not.
func TestBackOff(t *testing.T) {
	p := newPool(t, Options{Workers: 1, Registerer: prometheus.NewRegistry()})
	killer := source(t, "killer", directive+"exit")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var answered atomic.Int64
	begin := time.Now()
	for i := range 100 {
		p.Start(ctx, killer, record(t, "killer", int64(i), "x"), func(out execution.Outcome) {
			answered.Add(1)
			if out.Reason != execution.ReasonCrash {
				t.Errorf("killer: %q %q, want a crash", out.Reason, out.Message)
			}
		})
	}
	waitFor(t, "the killer is held back", func() bool { return p.Stats().HeldPlans == 1 })
	waitFor(t, "several records are answered all the same", func() bool { return answered.Load() >= 5 })
	// Before it is held back up to four records may be under way, in workers and at
	// their second try. The fifth has to wait until all of them are through, and
	// then for the pause after the last of their deaths: 400 ms after the sixth,
	// longer after later ones.
	if took := time.Since(begin); took < 400*time.Millisecond {
		t.Errorf("the killer was tried five times in %v, want pauses", took)
	}
	ship := source(t, "ship", shipPlan)
	for i := range 50 {
		if out := await(t, p, ship, record(t, "ship", int64(i), "x")); out.Reason != "" {
			t.Errorf("ship: %q", out.Message)
		}
	}
	if n := p.Stats().Restarts["crash"]; n > 40 {
		t.Errorf("restarts = %d, want back-off to keep them down", n)
	}
}

// Of a record that nobody waits for nothing is heard, and its worker is not kept.
func TestAbandonedRecord(t *testing.T) {
	p := newPool(t, Options{Workers: 1})
	ctx, cancel := context.WithCancel(t.Context())
	p.Start(ctx, source(t, "hang", directive+"hang"), record(t, "hang", 1, "x"), func(execution.Outcome) {
		t.Error("done was called, want silence")
	})
	waitFor(t, "the record runs", func() bool { return p.Stats().Slow == 1 })
	cancel()
	waitFor(t, "its worker is killed", func() bool { return p.Stats().Restarts["abandoned"] == 1 })
	await(t, p, source(t, "ship", shipPlan), record(t, "ship", 1, "x"))
}

// A worker that says nothing at all is replaced, and its records are run again.
func TestSilentWorkerIsReplaced(t *testing.T) {
	p := newPool(t, Options{Workers: 1, silence: 300 * time.Millisecond})
	src := source(t, "value", directive+"value")
	warmUp(t, p, src)
	signalAll(t, p, syscall.SIGSTOP)
	out := await(t, p, src, record(t, "value", 100, "nothing"))
	if out.Reason != "" {
		t.Errorf("record of a worker that is silent: %q %q, want it to be run elsewhere", out.Reason, out.Message)
	}
	waitFor(t, "the silent worker is killed", func() bool { return p.Stats().Restarts["protocol"] > 0 })
}

// signalAll sends a signal to all workers, when no other is about to come.
func signalAll(t *testing.T, p *Pool, sig syscall.Signal) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.starting > 0 {
		p.mu.Unlock()
		waitFor(t, "no worker is starting", func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.starting == 0
		})
		p.mu.Lock()
	}
	for _, w := range p.workers {
		if err := syscall.Kill(w.proc.pid(), sig); err != nil {
			t.Error(err)
		}
	}
}

// A worker that does not read must not hold up anybody.
func TestStuckPipeBlocksNobody(t *testing.T) {
	p := newPool(t, Options{Workers: 2, silence: time.Second})
	src := source(t, "value", directive+"value")
	warmUp(t, p, src)
	signalAll(t, p, syscall.SIGSTOP)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Add(1)
		rec := record(t, "value", int64(i), "nothing "+strings.Repeat("x", 200<<10))
		begin := time.Now()
		p.Start(t.Context(), src, rec, func(execution.Outcome) { wg.Done() })
		if took := time.Since(begin); took > 500*time.Millisecond {
			t.Errorf("Start blocked for %v", took)
		}
	}
	wg.Wait()
}

func TestPlansAreDroppedFromWorkers(t *testing.T) {
	p := newPool(t, Options{Workers: 1})
	for round := range 2 {
		for i := range 2 * maxLoaded {
			name := fmt.Sprintf("p%d", i)
			if out := await(t, p, source(t, name, shipPlan), record(t, name, int64(round), "x")); out.Reason != "" || out.Plan != name {
				t.Fatalf("plan %s: %q %q", name, out.Plan, out.Message)
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.workers {
		if len(w.loaded) > maxLoaded {
			t.Errorf("plans in a worker = %d, want at most %d", len(w.loaded), maxLoaded)
		}
	}
}

func TestLargeRecords(t *testing.T) {
	p := newPool(t, Options{Workers: 2, Limits: plan.Limits{MaxExecution: 64 << 20}})
	src := source(t, "value", directive+"value")
	for _, size := range []int{1 << 16, 1 << 20, 8 << 20} {
		out := await(t, p, src, record(t, "value", int64(size), "nothing "+strings.Repeat("x", size)))
		if out.Reason != "" {
			t.Errorf("record of %d bytes: %q", size, out.Message)
		}
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	p := newPool(t, Options{Workers: 1, Registerer: reg})
	await(t, p, source(t, "exit", directive+"exit"), record(t, "exit", 1, "x"))
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("GatherAndLint = %v, %v, want no problems", problems, err)
	}
	for _, reason := range reasons() {
		if reason == reasonCrash {
			continue
		}
		if n := p.Stats().Restarts[string(reason)]; n != 0 {
			t.Errorf("restarts for %s = %d, want 0", reason, n)
		}
	}
	if n := p.Stats().Restarts["crash"]; n != 2 {
		t.Errorf("restarts for a crash = %d, want 2: the record is tried twice", n)
	}
	waitFor(t, "a worker is ready again", func() bool { return p.Stats().Workers >= 1 })
	if s := p.Stats(); s.ResidentSum < 1<<20 || s.ResidentMax > s.ResidentSum {
		t.Errorf("Stats() = %+v, want resident memory", s)
	}
}

func TestClosedPool(t *testing.T) {
	p, err := NewPool(t.Context(), Options{Tenant: "t", Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		p.Start(t.Context(), source(t, "hang", directive+"hang"), record(t, "hang", int64(i), "x"), func(execution.Outcome) {})
	}
	for range 2 {
		if err := p.Close(context.Background()); err != nil {
			t.Errorf("Close() = %v", err)
		}
	}
	p.Start(t.Context(), source(t, "ship", shipPlan), record(t, "ship", 1, "x"), func(execution.Outcome) {
		t.Error("a closed pool answered")
	})
	if err := p.Load(t.Context(), source(t, "ship", shipPlan)); !errors.Is(err, ErrClosed) {
		t.Errorf("Load() = %v, want %v", err, ErrClosed)
	}
	if n := p.Stats().Workers; n != 0 {
		t.Errorf("workers = %d, want none", n)
	}
}

func TestNewPoolRefusesOptions(t *testing.T) {
	for _, opts := range []Options{
		{Workers: -1},
		{Limits: plan.Limits{Timeout: -1}},
		{Limits: plan.Limits{MaxMemory: -1}},
	} {
		if p, err := NewPool(t.Context(), opts); err == nil {
			p.Close(context.Background())
			t.Errorf("NewPool(%+v) succeeded, want an error", opts)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if p, err := NewPool(ctx, Options{}); err == nil {
		p.Close(context.Background())
		t.Error("NewPool with a context that has ended succeeded, want an error")
	}
}

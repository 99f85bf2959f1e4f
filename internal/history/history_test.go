package history

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"starplan/plan"
	"starplan/plan/execution"
	"starplan/proto/planpb"
)

// clock is a time that tests set.
type clock struct{ now time.Time }

func newClock() *clock {
	return &clock{now: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)}
}

func (c *clock) time() time.Time { return c.now }

func record(offset int64, value []byte) execution.Record {
	return execution.Record{
		Topic: "plan-inputs-acme", Partition: 3, Offset: offset, Timestamp: time.UnixMilli(1_700_000_000_000 + offset),
		Key: []byte("orders:route"), Value: value,
	}
}

func input(t testing.TB, parents int) []byte {
	t.Helper()
	in := &planpb.PlanInput{PlanName: "route", GraphId: "orders", LifetimeId: "run-7"}
	for i := range parents {
		in.TaskExecutions = append(in.TaskExecutions, &planpb.TaskExecution{
			Header: &planpb.ExecutionHeader{Name: fmt.Sprint("task_", i), ExecId: fmt.Sprint("exec-", i)},
		})
	}
	value, err := proto.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func answer(t testing.TB, rec execution.Record) *execution.Answer {
	t.Helper()
	in, err := execution.Decode(rec)
	if err != nil {
		t.Fatal(err)
	}
	return execution.NewAnswer("acme", rec, in)
}

func succeeded(t testing.TB, rec execution.Record, name string, next ...string) execution.Outcome {
	t.Helper()
	out, err := answer(t, rec).Succeed(&planpb.PlanResult{NextTaskNames: next}, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	out.Plan, out.Digest, out.Duration, out.Steps = name, "d1", 2*time.Millisecond, 18
	return out
}

func failed(t testing.TB, rec execution.Record, name string) execution.Outcome {
	t.Helper()
	out := answer(t, rec).Fail(execution.ReasonPlan, "no such order")
	out.Plan, out.Digest, out.Duration, out.Steps = name, "d1", time.Millisecond, 7
	return out
}

func TestExecution(t *testing.T) {
	c := newClock()
	h := New(Options{Now: c.time})
	rec := record(7, input(t, 2))
	out := answer(t, rec).Fail(execution.ReasonPlan, "no such order")
	out.Plan, out.Digest, out.Duration, out.Steps = "orders:route", "d1", time.Millisecond, 7
	out.Position, out.Backtrace = "route.star:2:5", "Traceback"
	out.Warnings = []execution.Warning{execution.WarnNameMismatch}
	src := &plan.Source{Files: map[string]string{"route.star": "def plan(plan_input):\n    fail(\"no\")\n"}}
	h.Add(rec, out, src)

	got, payloads := h.Find(out.ExecID)
	want := &Execution{
		Seq: 1, Ended: c.now, Topic: "plan-inputs-acme", Partition: 3, Offset: 7, Timestamp: rec.Timestamp, Key: "orders:route",
		ExecID: out.ExecID, GraphID: "orders", LifetimeID: "run-7", Plan: "orders:route", Digest: "d1",
		Status: Failed, Reason: execution.ReasonPlan, Message: "no such order", Duration: time.Millisecond, Steps: 7,
		Parents: []Parent{{"task_0", "exec-0"}, {"task_1", "exec-1"}}, ParentsCount: 2,
		Position: "route.star:2:5", Backtrace: "Traceback",
		Source: &Excerpt{File: "route.star", Line: 2, Col: 5, Lines: []Line{
			{Number: 1, Text: "def plan(plan_input):"},
			{Number: 2, Text: `    fail("no")`, Here: true, Before: "    "},
		}},
		Warnings: []string{string(execution.WarnNameMismatch)}, InputSize: len(rec.Value), OutputSize: len(out.Value),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Find differs (-want +got):\n%s", diff)
	}
	if payloads != nil {
		t.Errorf("payloads = %v without Options.Payloads, want none", payloads)
	}
	if x, _ := h.Find("nobody"); x != nil {
		t.Errorf("Find(nobody) = %v, want nil", x)
	}
}

func TestExecutions(t *testing.T) {
	h := New(Options{})
	// 300 executions of which every hundredth failed, plans in turn.
	for i := range 300 {
		rec := record(int64(i), input(t, 0))
		name := []string{"a", "b"}[i%2]
		if i%100 == 0 {
			h.Add(rec, failed(t, rec, name), nil)
		} else {
			h.Add(rec, succeeded(t, rec, name), nil)
		}
	}
	for _, test := range []struct {
		filter      Filter
		want        int
		first, last uint64
	}{
		{Filter{}, 200, 300, 101},
		{Filter{Limit: 5}, 5, 300, 296},
		{Filter{Plan: "a"}, 100, 299, 101},
		{Filter{Plan: "b", Limit: 2}, 2, 300, 298},
		{Filter{Plan: "c"}, 0, 0, 0},
		{Filter{After: 297}, 3, 300, 298},
		{Filter{After: 300}, 0, 0, 0},
		{Filter{Status: Succeeded, Limit: 100}, 100, 300, 200},
		{Filter{Status: Failed}, 3, 201, 1},
		{Filter{Status: Failed, Plan: "a", After: 1}, 2, 201, 101},
	} {
		got := h.Executions(test.filter)
		var first, last uint64
		if len(got) > 0 {
			first, last = got[0].Seq, got[len(got)-1].Seq
		}
		if len(got) != test.want || first != test.first || last != test.last {
			t.Errorf("Executions(%+v) = %d, from %d to %d, want %d, from %d to %d", test.filter, len(got), first, last, test.want, test.first, test.last)
		}
	}
}

func TestLongLists(t *testing.T) {
	h := New(Options{})
	rec := record(1, input(t, 150))
	names := make([]string, 120)
	for i := range names {
		names[i] = strings.Repeat("ä", 300)
	}
	h.Add(rec, succeeded(t, rec, "route", names...), nil)
	x := h.Executions(Filter{})[0]
	if len(x.Parents) != maxNames || x.ParentsCount != 150 || len(x.Next) != maxNames || x.NextCount != 120 {
		t.Errorf("kept %d of %d parents and %d of %d next tasks, want 100 of 150 and 100 of 120", len(x.Parents), x.ParentsCount, len(x.Next), x.NextCount)
	}
	if want := strings.Repeat("ä", maxName) + "…"; x.Next[0] != want {
		t.Errorf("a name of 300 characters is %d bytes long, want it cut to %d characters", len(x.Next[0]), maxName)
	}
}

// TestPayloads checks what is kept, and that no more than so many bytes are.
func TestPayloads(t *testing.T) {
	h := New(Options{Payloads: true})
	rec := record(1, input(t, 1))
	out := succeeded(t, rec, "route", "next")
	out.Prints = []string{"route.star:1:1: hello"}
	h.Add(rec, out, nil)
	rec.Value[0] ^= 0xff // The bytes of the record are somebody else's by now, once they were decoded.
	_, p := h.Find(out.ExecID)
	if p == nil || len(p.Input) == 0 || string(p.Output) != string(out.Value) || !cmp.Equal(p.Prints, out.Prints) {
		t.Fatalf("payloads = %+v, want input, output and prints", p)
	}
	first := p.Input[0]
	rec.Value[0] ^= 0xff
	if _, again := h.Find(out.ExecID); again.Input[0] != first {
		t.Error("the input changes with the record's bytes; want a copy")
	}

	big := record(2, append(input(t, 0), make([]byte, maxPayload)...))
	h.Add(big, execution.Fail("acme", big, execution.ReasonTimeout, "slow"), nil)
	if x := h.Executions(Filter{})[0]; x.InputSize != len(big.Value) {
		t.Errorf("InputSize = %d, want %d", x.InputSize, len(big.Value))
	}
	if _, p := h.Find(execution.ID(big)); p == nil || p.Input != nil || len(p.Output) == 0 {
		t.Errorf("payloads of a large input = %+v, want the output alone", p)
	}
}

func TestPayloadsAreBounded(t *testing.T) {
	h := New(Options{Payloads: true})
	value := append(input(t, 0), protoField(900<<10)...)
	for i := range 100 {
		rec := record(int64(i), value)
		if i%10 == 0 {
			h.Add(rec, failed(t, rec, "route"), nil)
		} else {
			h.Add(rec, succeeded(t, rec, "route"), nil)
		}
		if h.waiting > maxPayloads+2*len(value) {
			t.Fatalf("after %d executions %d bytes wait to be decoded, want %d at most", i+1, h.waiting, maxPayloads)
		}
	}
	kept, size := 0, 0
	for _, x := range h.Executions(Filter{}) {
		if _, p := h.Find(x.ExecID); p != nil {
			if size == 0 && x.Seq != 100 {
				t.Errorf("the newest payload is that of %d, want 100", x.Seq)
			}
			kept++
			size += p.size()
		}
	}
	if size > maxPayloads || kept < 17 {
		t.Errorf("%d payloads of %d bytes are kept, want about 18 in at most %d", kept, size, maxPayloads)
	}
	if h.waiting != 0 {
		t.Errorf("%d bytes wait after everything was decoded, want 0", h.waiting)
	}
}

// protoField is an unknown field of n bytes, which protobuf keeps.
func protoField(n int) []byte {
	b := []byte{0xfa, 0x3f} // Field 1023, bytes.
	for v := n; ; v >>= 7 {
		if v < 0x80 {
			b = append(b, byte(v))
			break
		}
		b = append(b, byte(v)|0x80)
	}
	return append(b, make([]byte, n)...)
}

// TestNothingIsHeld checks that a record's bytes are let go without anybody looking.
func TestNothingIsHeld(t *testing.T) {
	h := New(Options{})
	rec := record(1, input(t, 1))
	h.Add(rec, failed(t, rec, "route"), &plan.Source{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	h.opts.Lag = func() Lag { cancel(); return Lag{} } // Asked before decoding, so the first turn of Run is the last.
	go func() {
		h.Run(ctx)
		close(done)
	}()
	<-done
	for _, r := range []*ring{&h.last, &h.failed} {
		e := r.entries[0]
		if e.out.Value != nil || e.view == nil {
			t.Errorf("the entry still holds %+v", e)
		}
	}
}

// TestCorrect withdraws an answer that turned out to be too large.
func TestCorrect(t *testing.T) {
	for _, looked := range []bool{false, true} {
		c := newClock()
		h := New(Options{Now: c.time})
		older := record(1, input(t, 0))
		h.Add(older, succeeded(t, older, "route"), nil)
		rec := record(2, input(t, 1))
		h.Add(rec, succeeded(t, rec, "route", "next"), nil)
		if looked {
			h.Executions(Filter{})
		}
		out := answer(t, rec).Fail(execution.ReasonTooLarge, "too large")
		out.Plan = "route"
		h.Correct(rec, out)
		got := h.Executions(Filter{})
		if len(got) != 2 || got[0].Status != Failed || got[0].Reason != execution.ReasonTooLarge || got[0].Steps != 18 || got[1].ExecID != execution.ID(older) {
			t.Errorf("looked=%v: executions are %+v, want the failed one and the older", looked, got)
		}
		if got := h.Executions(Filter{Status: Failed}); len(got) != 1 {
			t.Errorf("looked=%v: %d failed, want 1", looked, len(got))
		}
		c.now = c.now.Add(Interval)
		if total := h.Totals()["route"]; total.Executions != 2 || total.Failures != 1 {
			t.Errorf("looked=%v: total = %+v, want 2 executions and 1 failure", looked, total)
		}
		if h.waiting != 0 {
			t.Errorf("looked=%v: %d bytes wait, want 0", looked, h.waiting)
		}
	}
}

// TestConcurrently is for the race detector.
func TestConcurrently(t *testing.T) {
	h := New(Options{Payloads: true, Lag: func() Lag { return Lag{Records: 1} }})
	rec := record(1, input(t, 3))
	good, bad := succeeded(t, rec, "a", "x"), failed(t, rec, "b")
	ctx, cancel := context.WithCancel(t.Context())
	var run, wg sync.WaitGroup
	run.Go(func() { h.Run(ctx) })
	for range 4 {
		wg.Go(func() {
			for range 2000 {
				h.Add(rec, good, nil)
				h.Add(rec, bad, nil)
			}
		})
	}
	wg.Go(func() {
		for range 200 {
			h.Executions(Filter{Status: Failed})
			h.Find(good.ExecID)
			h.Graphs("a")
			h.Totals()
			h.Correct(rec, bad)
		}
	})
	wg.Wait()
	cancel()
	run.Wait()
	if got, want := h.Last(), uint64(4*2000*2+200); got != want {
		t.Errorf("Last() = %d, want %d", got, want)
	}
	if got := len(h.Executions(Filter{Status: Failed})); got != Executions {
		t.Errorf("%d failed executions are remembered, want %d", got, Executions)
	}
}

// BenchmarkAdd is what a record pays for being remembered.
func BenchmarkAdd(b *testing.B) {
	rec := record(1, input(b, 2))
	good := succeeded(b, rec, "route", "next")
	bad := failed(b, rec, "route")
	for _, bench := range []struct {
		name     string
		payloads bool
		out      execution.Outcome
	}{{"succeeded", false, good}, {"failed", false, bad}, {"payloads", true, good}} {
		b.Run(bench.name, func(b *testing.B) {
			h := New(Options{Payloads: bench.payloads})
			ctx, cancel := context.WithCancel(b.Context())
			var wg sync.WaitGroup
			wg.Go(func() { h.Run(ctx) })
			b.ReportAllocs()
			for b.Loop() {
				h.Add(rec, bench.out, nil)
			}
			cancel()
			wg.Wait()
		})
	}
}

package processor

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"starplan/plan/execution"
)

func TestPauseGrowsWithTransactions(t *testing.T) {
	for _, tt := range []struct {
		delivery Delivery
		answers  int
		troubled bool
		want     time.Duration
	}{
		{AtLeastOnce, 0, false, 5 * time.Millisecond},
		{AtLeastOnce, 1000, false, 5 * time.Millisecond},
		{AtLeastOnce, 1000, true, 100 * time.Millisecond},
		{ExactlyOnce, 0, false, 5 * time.Millisecond},
		{ExactlyOnce, 10, false, 5400 * time.Microsecond},
		{ExactlyOnce, 500, false, 25 * time.Millisecond},
		{ExactlyOnce, 100_000, false, 50 * time.Millisecond},
		{ExactlyOnce, 10, true, 100 * time.Millisecond},
	} {
		c := committer{Processor: &Processor{opts: Options{Delivery: tt.delivery}}, troubled: tt.troubled}
		if got := c.pause(tt.answers); got != tt.want {
			t.Errorf("%s: pause after %d answers, troubled %t, is %v, want %v", tt.delivery, tt.answers, tt.troubled, got, tt.want)
		}
	}
}

// resting is a committer that owns three records and may be ahead by so many.
func resting(t *testing.T, ahead int) *committer {
	t.Helper()
	o := Options{Delivery: ExactlyOnce, MaxAheadRecords: ahead, MaxAheadBytes: 1 << 20}
	return &committer{Processor: &Processor{core: ours(t, 3), opts: o}}
}

// rests reports whether c rests for the whole of a pause. It is called in a bubble of
// synctest, where an hour takes no time.
func rests(t *testing.T, c *committer) bool {
	t.Helper()
	began := time.Now()
	c.rest(t.Context(), time.Hour)
	return time.Since(began) == time.Hour
}

func TestRestEndsWhenHalfOfWhatMayBeAheadWaits(t *testing.T) {
	synctest.Test(t, testRestEndsWhenHalfWaits)
}

func testRestEndsWhenHalfWaits(t *testing.T) {
	t.Helper()
	c := resting(t, 4)
	c.core.openSession()
	answer := func(offset int64) {
		e, p, ok := c.core.submit(0, offset, func(error) {})
		if !ok || !c.core.finish(p, e, execution.Outcome{}) {
			t.Fatalf("record %d was not answered", offset)
		}
	}
	answer(0)
	if !rests(t, c) {
		t.Error("with 1 of 4 records answered the pause ended, want it to last")
	}
	answer(1)
	if rests(t, c) {
		t.Error("with 2 of 4 records answered the pause lasted, want it to end")
	}
}

func TestRestEndsWhenThePollLoopWaits(t *testing.T) {
	synctest.Test(t, testRestEndsWhenThePollLoopWaits)
}

func testRestEndsWhenThePollLoopWaits(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := resting(t, 10)
	c.makeRoom(ctx)
	if !rests(t, c) {
		t.Error("with room for another poll the pause ended, want it to last")
	}
	c = resting(t, 3)
	c.makeRoom(ctx)
	if rests(t, c) {
		t.Error("without room for another poll the pause lasted, want it to end")
	}
	c.core.balance(3, 1<<20, true)
	c.core.wakeCommitter()
	if !rests(t, c) {
		t.Error("once partitions were paused for want of room the pause ended, want it to last")
	}
}

func TestCommitFailsOnlyWithSomethingToCommit(t *testing.T) {
	c := cluster(t, 1)
	p := start(t, optionsFor(t, c, ExactlyOnce, &fakeRunner{}))
	p.stop()
	c.Close()
	committer := committer{Processor: p.Processor}
	failed := p.metrics.kafkaErrors.WithLabelValues("commit")
	before := testutil.ToFloat64(failed)
	committer.transact(t.Context(), nil)
	if n := testutil.ToFloat64(failed) - before; n != 0 {
		t.Errorf("without an answer and a broker %v commits failed, want 0", n)
	}
	committer.transact(t.Context(), []*entry{{}})
	if n := testutil.ToFloat64(failed) - before; n != 1 {
		t.Errorf("with an answer and without a broker %v commits failed, want 1", n)
	}
}

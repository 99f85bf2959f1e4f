package processor

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/plan/execution"
	"starplan/processor/ledger"
)

// ours makes a core that owns partition 0 with n records, all of one key.
func ours(t *testing.T, n int) *core {
	t.Helper()
	c := newCore()
	c.assign(context.Background(), []int32{0})
	c.settle(0, placement{})
	var arrivals []arrival
	for i := range n {
		arrivals = append(arrivals, arrival{record: &kgo.Record{Topic: inputs, Key: []byte("k"), Offset: int64(i)}})
	}
	if in := c.ingest(0, arrivals, bounds{0, int64(n)}); in != (intake{}) {
		t.Fatal("ingest() did not take all records")
	}
	return c
}

func TestSessionEndReleasesAndRefuses(t *testing.T) {
	c := ours(t, 3)
	released := 0
	release := func(err error) {
		if err != nil {
			t.Errorf("released with %v, which would end goka's processor", err)
		}
		released++
	}
	if _, _, ok := c.submit(0, 0, release); ok {
		t.Error("a record was taken on without a session")
	}
	c.openSession()
	e, p, ok := c.submit(0, 0, release)
	if !ok {
		t.Fatal("submit() = false")
	}
	c.closeSession()
	if released != 1 {
		t.Errorf("%d records released at the end of the session, want 1", released)
	}
	if _, _, ok := c.submit(0, 1, release); ok {
		t.Error("a callback that was under way took on a record after the end of the session")
	}
	// The run goes on, and the next session feeds what was not taken over.
	c.openSession()
	if got := c.newFeed(p).take(); len(got) != 2 || got[0].Offset != 1 {
		t.Errorf("the next session is fed %d records, want those at 1 and 2", len(got))
	}
	if !c.finish(p, e, execution.Outcome{}) {
		t.Error("the answer of a run that outlived its session was refused")
	}
	c.done(c.take(nil))
	if released != 1 {
		t.Errorf("a record was released %d times, want once", released)
	}
}

func TestDeadPartitionsAnswersAreDropped(t *testing.T) {
	c := ours(t, 2)
	c.openSession()
	nothing := func(error) {}
	first, p, _ := c.submit(0, 0, nothing)
	second, _, _ := c.submit(0, 1, nothing)
	c.finish(p, first, execution.Outcome{})
	c.kill([]int32{0})
	if p.ctx.Err() == nil {
		t.Error("runs of a dead partition go on")
	}
	// The same partition comes back as another object.
	c.assign(context.Background(), []int32{0})
	c.settle(0, placement{})
	if c.finish(p, second, execution.Outcome{}) {
		t.Error("an answer for a dead partition was taken")
	}
	if batch := c.take(nil); len(batch) != 0 {
		t.Errorf("%d answers of a dead partition go to the committer, want none", len(batch))
	}
	if batch := c.take([]*entry{second}); len(batch) != 0 {
		t.Errorf("%d answers of a dead partition are tried again, want none", len(batch))
	}
	c.done([]*entry{first}) // acknowledged after the partition's death: no harm
}

func TestSealedPartitionsTakeNoAnswers(t *testing.T) {
	c := ours(t, 2)
	c.openSession()
	nothing := func(error) {}
	early, p, _ := c.submit(0, 0, nothing)
	late, _, _ := c.submit(0, 1, nothing)
	if !c.finish(p, early, execution.Outcome{}) {
		t.Fatal("an answer was refused before the partition was sealed")
	}
	c.freeze([]int32{0})
	c.seal([]int32{0})
	if c.finish(p, late, execution.Outcome{}) {
		t.Error("a sealed partition took an answer, whose offset nobody may commit in time")
	}
	batch := c.take(nil)
	if len(batch) != 1 || batch[0] != early {
		t.Errorf("%d answers to emit, want the one from before", len(batch))
	}
	c.done(batch)
	c.cycled()
	c.committed(c.commits(), map[int32]bool{0: true})
	if !c.quiet([]int32{0}, false) {
		t.Error("the partition did not come to rest")
	}
}

func TestFrozenPartitionsAreNotFed(t *testing.T) {
	c := ours(t, 2)
	c.openSession()
	p := c.freeze([]int32{0})[0]
	if got := c.newFeed(p).take(); len(got) != 0 {
		t.Errorf("a frozen partition is fed %d records, want none", len(got))
	}
	if _, _, ok := c.submit(0, 0, func(error) {}); ok {
		t.Error("a run began on a frozen partition")
	}
}

func TestShareOfTheBounds(t *testing.T) {
	c := newCore()
	c.assign(context.Background(), []int32{0, 1})
	for n := range int32(2) {
		c.settle(n, placement{})
	}
	add := func(n int32, from, to int64, size int) {
		var arrivals []arrival
		for o := from; o < to; o++ {
			arrivals = append(arrivals, arrival{record: &kgo.Record{Key: []byte("k"), Value: make([]byte, size), Offset: o}})
		}
		c.ingest(n, arrivals, bounds{0, to})
	}
	check := func(what string, wantRoom bool, wantPause, wantResume int) {
		t.Helper()
		if got := c.room(100, 10_000); got != wantRoom {
			t.Errorf("%s: room() = %v, want %v", what, got, wantRoom)
		}
		pause, resume := c.balance(100, 10_000, true)
		if len(pause) != wantPause || len(resume) != wantResume {
			t.Errorf("%s: balance() = %v, %v, want %d to pause and %d to resume", what, pause, resume, wantPause, wantResume)
		}
	}
	add(0, 0, 90, 0)
	check("one partition may take what nobody wants", true, 0, 0)
	add(1, 0, 20, 0)
	check("the one over its share is paused", false, 1, 0)
	check("and only once", true, 0, 0)
	add(1, 20, 60, 0)
	check("the other has its share, too", false, 1, 0)
	c.kill([]int32{0})
	check("both are resumed: the dead one may come back, the other has room", true, 0, 2)
	c.kill([]int32{1})
	c.assign(context.Background(), []int32{0})
	c.settle(0, placement{})
	add(0, 0, 2, 6000)
	check("bytes count", false, 1, 0)
	add(0, 2, ledger.Window+2, 0)
	check("the window is said first", true, 0, 0)
	if got := c.parts[0].blocked; got != blockWindow {
		t.Errorf("blocked for %q, want %q", got, blockWindow)
	}
}

func TestBackoffIsBounded(t *testing.T) {
	for fails := -1; fails < 200; fails++ {
		if d := backoff(fails); d < 80*time.Millisecond || d > 1200*time.Millisecond {
			t.Errorf("backoff(%d) = %v, want 80ms to 1.2s", fails, d)
		}
	}
}

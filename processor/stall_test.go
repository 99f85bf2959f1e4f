package processor

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestStall(t *testing.T) { each(t, testStall) }

func testStall(t *testing.T, d Delivery) {
	c := cluster(t, 1)
	log := newLines(t, "nothing moves although")
	o := optionsFor(t, c, d, &fakeRunner{})
	o.stallAfter = 500 * time.Millisecond
	o.Logger = newLogger(log)
	p := start(t, o)
	eventually(t, "readiness", func() bool { return p.Status().Ready })
	// The brokers answer, but take no executions.
	fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: outputs, Err: kerr.NotEnoughReplicas, Count: -1})
	sent := sendAnew(t, c, "plan", 5)
	eventually(t, "the reason", func() bool {
		return mentions(p.Status().Reasons, "5 records of lag on partitions [0], no plan running")
	})
	if n := log.count("lag_records=5"); n != 1 {
		t.Errorf("%d lines about it, want 1: %q", n, *log.got)
	}
	fault.Remove()
	eventually(t, "no stall", func() bool { return !mentions(p.Status().Reasons, "no progress") })
	checkAnswers(t, sent, read(t, c, outputs).count(5), d == AtLeastOnce)
}

func TestStallTurns(t *testing.T) {
	begin := time.Unix(0, 0)
	w := stall{after: 45 * time.Second, since: begin}
	for _, step := range []struct {
		name string
		at   int // seconds
		s    standing
		away bool
		want stallTurn
	}{
		{"nothing to do", 100, standing{moves: 1}, false, stallNone},
		{"still nothing to do", 200, standing{moves: 1}, false, stallNone},
		{"records arrive", 201, standing{moves: 2, lag: 5}, false, stallNone},
		{"a plan runs", 300, standing{moves: 2, lag: 5, running: 1}, false, stallNone},
		{"it runs on", 400, standing{moves: 2, lag: 5, running: 1}, false, stallNone},
		{"it has ended, and its answer waits", 440, standing{moves: 3, lag: 5}, false, stallNone},
		{"it waits", 484, standing{moves: 3, lag: 5}, false, stallNone},
		{"it waits too long", 485, standing{moves: 3, lag: 5}, false, stallBegins},
		{"and longer", 486, standing{moves: 3, lag: 6}, false, stallLasts},
		{"something moves", 490, standing{moves: 4, lag: 4}, false, stallEnds},
		{"not for long", 534, standing{moves: 4, lag: 4}, false, stallNone},
		{"the brokers are away", 600, standing{moves: 4, lag: 4}, true, stallNone},
		{"they are back", 610, standing{moves: 4, lag: 4}, false, stallNone},
		{"but nothing comes of it", 645, standing{moves: 4, lag: 4}, false, stallBegins},
		{"somebody else has the partitions", 650, standing{moves: 4}, false, stallEnds},
	} {
		if _, got := w.look(begin.Add(time.Duration(step.at)*time.Second), step.s, step.away); got != step.want {
			t.Errorf("%s: got turn %d, want %d", step.name, got, step.want)
		}
	}
}

func TestStandingOfManyPartitions(t *testing.T) {
	s := standing{}
	for n := range int32(13) {
		s.partitions = append(s.partitions, partitionStanding{Partition: n})
	}
	if got, want := s.text(), "[0 1 2 3 4 5 6 7 8 9] and 3 more"; got != want {
		t.Errorf("text() = %q, want %q", got, want)
	}
}

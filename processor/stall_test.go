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
	sent := plain(t, c, "plan", 5)
	eventually(t, "the reason", func() bool {
		return mentions(p.Status().Reasons, "5 records of lag on partitions [0], no plan running")
	})
	if n := log.count("lag_records=5"); n != 1 {
		t.Errorf("%d lines about it, want 1: %q", n, *log.got)
	}
	fault.Remove()
	eventually(t, "readiness", func() bool { return p.Status().Ready })
	checkAnswers(t, sent, read(t, c, outputs).count(5), d == AtLeastOnce)
}

func TestNoStall(t *testing.T) {
	c := cluster(t, 1)
	log := newLines(t, "nothing moves although")
	g := newGate("slow")
	o := options(t, c, &fakeRunner{run: g.run})
	o.stallAfter = 100 * time.Millisecond
	o.Logger = newLogger(log)
	p := start(t, o)
	sent := plain(t, c, "plan", 5)
	read(t, c, outputs).count(5)
	// There is lag while a plan runs for long. A second of it is ten times the limit.
	slow := input("slow", "1")
	send(t, client(t, c), slow)
	eventually(t, "the run", func() bool { return g.held.Load() == 1 })
	began := time.Now()
	eventually(t, "a second", func() bool { return time.Since(began) > time.Second })
	if !p.Status().Ready {
		t.Errorf("not ready while a plan runs: %v", p.Status().Reasons)
	}
	close(g.open)
	checkAnswers(t, append(sent, slow), read(t, c, outputs).count(6), false)
	// And there is none while there is nothing to do.
	began = time.Now()
	eventually(t, "a second", func() bool { return time.Since(began) > time.Second })
	if !p.Status().Ready || log.count("") != 0 {
		t.Errorf("a stall was seen where there is none: %v, %q", p.Status().Reasons, *log.got)
	}
}

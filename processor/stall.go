package processor

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// stallAfter is how long nothing may move while there is something to do. It is
// longer than any wait that is part of the work: a rebalance, the broker's
// recovery, a transaction that times out.
const stallAfter = 45 * time.Second

// watchStall notices when there is lag, no plan runs, and nothing moves: then
// something is wrong that nothing else has noticed, be it in here, in the brokers,
// or with a producer of inputs that left a transaction open. It says so in the log
// and in Status, until something moves again; it changes nothing.
func (p *Processor) watchStall(ctx context.Context) {
	defer p.membership.set(func(m *membership) { m.stalled = "" })
	every := p.opts.stallAfter / 45
	tick := time.NewTicker(every)
	defer tick.Stop()
	w := stall{after: p.opts.stallAfter, since: time.Now()}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		s := p.core.standing()
		// While no broker answers, that is what is wrong.
		away := p.consumerContact.status(now, p.opts.SessionTimeout).State != StateUp
		still, turn := w.look(now, s, away)
		switch turn {
		case stallBegins:
			p.log.Error("nothing moves although there are records to answer and no plan runs",
				"stands_still", still, "lag_records", s.lag, "partitions", s.partitions[:min(len(s.partitions), 20)])
			fallthrough
		case stallLasts:
			reason := fmt.Sprintf("no progress for %v: %d records of lag on partitions %s, no plan running", still.Round(every), s.lag, s.text())
			p.membership.set(func(m *membership) { m.stalled = reason })
		case stallEnds:
			p.log.Info("records are processed again", "stood_still", still)
			p.membership.set(func(m *membership) { m.stalled = "" })
		case stallNone:
		}
	}
}

// stall decides whether a standstill is one.
type stall struct {
	after   time.Duration
	since   time.Time // When something last moved, or nothing had to.
	moves   uint64
	stalled bool
}

// stallTurn is what one look at a stall brings.
type stallTurn int

const (
	stallNone stallTurn = iota
	stallBegins
	stallLasts
	stallEnds
)

// look takes how things stand at now, and whether the brokers are away. It gives
// for how long nothing has moved.
func (w *stall) look(now time.Time, s standing, away bool) (still time.Duration, turn stallTurn) {
	still = now.Sub(w.since)
	switch {
	case s.moves != w.moves || s.lag == 0 || s.running > 0 || away:
		if w.stalled {
			turn = stallEnds
		}
		w.moves, w.since, w.stalled = s.moves, now, false
	case still < w.after:
	case w.stalled:
		turn = stallLasts
	default:
		w.stalled = true
		turn = stallBegins
	}
	return still, turn
}

// standing is how things stand, in numbers.
type standing struct {
	moves      uint64
	lag        int64
	running    int
	partitions []partitionStanding // Those with lag, in order.
}

// partitionStanding is for whoever reads the log.
type partitionStanding struct {
	Partition int32 `json:"partition"`
	// Position is the first unanswered offset, Head that after the last that was
	// delivered, End that after the partition's last.
	Position int64 `json:"position"`
	Head     int64 `json:"head"`
	End      int64 `json:"end"`
	// Released answers wait to be written.
	Released int    `json:"released"`
	Blocked  string `json:"blocked,omitempty"`
	Frozen   bool   `json:"frozen,omitempty"`
}

// text names the partitions, the first of many.
func (s standing) text() string {
	const most = 10
	numbers := make([]int32, len(s.partitions))
	for i, p := range s.partitions {
		numbers[i] = p.Partition
	}
	if len(numbers) <= most {
		return fmt.Sprint(numbers)
	}
	return fmt.Sprintf("%v and %d more", numbers[:most], len(numbers)-most)
}

func (c *core) standing() standing {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := standing{moves: c.moves}
	for n, p := range c.parts {
		if p.books == nil {
			continue
		}
		s.running += p.books.Running()
		position := p.books.Position()
		if lag := p.highWater - position; lag > 0 {
			s.lag += lag
			s.partitions = append(s.partitions, partitionStanding{n, position, p.books.Head(), p.highWater, p.books.Released(), p.blocked, p.frozen})
		}
	}
	slices.SortFunc(s.partitions, func(a, b partitionStanding) int { return int(a.Partition - b.Partition) })
	return s
}

package processor

import (
	"context"
	"time"
)

const (
	// cyclePause is the least time from the end of one cycle to the begin of the
	// next, in which answers gather to share produce requests and commits.
	cyclePause = 5 * time.Millisecond
	// cycleFull is the number of answers that cut the pause short.
	cycleFull = 1000
	// idleCommit is how often offsets are committed that no answer moved: of
	// skipped records, and after a commit that failed.
	idleCommit = 200 * time.Millisecond
	// produceBackoff is how long answers rest that the broker refused.
	produceBackoff = 100 * time.Millisecond
)

// committer owns the producer and every commit. It works in cycles, strictly one
// after the other: take the answers that were released, produce them, wait until
// the broker has acknowledged them, note them as done, commit offsets. A failed
// answer stays in front of all that come after it. For exactly once the same is
// done within a transaction; see transact.
type committer struct {
	*Processor
	// left is what the last cycle could not emit.
	left []*entry
	// txn is the state of exactly-once delivery.
	txn transactor
}

// run works until ctx ends. Cycles use ctx, too: what it cuts off was not
// committed and is answered again by the partition's next owner.
func (c *committer) run(ctx context.Context) {
	idle := time.NewTicker(idleCommit)
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.core.kick:
		case <-idle.C:
		}
		c.cycle(ctx)
		pause := cyclePause
		if len(c.left) > 0 {
			pause = produceBackoff
		}
		c.rest(ctx, pause)
	}
}

// rest pauses between cycles, shorter where many answers wait. A kick that it
// takes is passed on.
func (c *committer) rest(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	kicked := len(c.left) > 0
	for {
		select {
		case <-timer.C:
			if kicked {
				c.core.wakeCommitter()
			}
			return
		case <-ctx.Done():
			return
		case <-c.core.kick:
			kicked = true
			if len(c.left) == 0 && c.core.waiting() >= cycleFull {
				c.core.wakeCommitter()
				return
			}
		}
	}
}

// cycle emits what was released and commits what has moved.
func (c *committer) cycle(ctx context.Context) {
	batch := c.core.take(c.left)
	defer c.core.cycled()
	if c.opts.Delivery == ExactlyOnce {
		c.left = c.transact(ctx, batch)
	} else {
		emitted, failed := c.emit(ctx, batch)
		c.left = failed
		c.finished(emitted)
	}
	c.commit(ctx)
	c.flow(false)
}

// finished notes answers that are on the output topic for good.
func (c *committer) finished(emitted []*entry) {
	now := time.Now()
	for _, e := range emitted {
		// The delay that counts is that of the answer, whoever owns the partition now.
		c.metrics.delay.Observe(max(0, now.Sub(e.Data.record.Timestamp).Seconds()))
	}
	c.core.done(emitted)
}

package processor

import (
	"context"
	"time"
)

const (
	// cyclePause is the time from the end of one cycle to the begin of the next, in
	// which answers gather to share produce requests and commits.
	cyclePause = 5 * time.Millisecond
	// pausePerAnswer makes it longer for each answer of the cycle before, up to
	// mostPause, where a cycle is a transaction. One costs the broker as much as some
	// hundred answers do: marks of its state, markers in each partition, requests to
	// itself. Where a topic is being caught up with, its answers share few of them; at
	// some hundred a second the pause stays what it was.
	pausePerAnswer = 40 * time.Microsecond
	mostPause      = 50 * time.Millisecond
	// cycleFull and transactionFull are the numbers of answers that cut the pause
	// short, though not below leastPause: a transaction that begins while the markers
	// of the one before are still being written is held up for longer than that.
	cycleFull       = 1000
	transactionFull = 4000
	leastPause      = 2 * time.Millisecond
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
	// left is what the last cycle did not emit; troubled, that the broker is why.
	left     []*entry
	troubled bool
	// refused counts the records of a cycle that were not acknowledged; the first
	// of them went to refusedTopic and met refusedErr.
	refused      int
	refusedTopic string
	refusedErr   error
	// tooLarge: the broker refused a batch for its size.
	tooLarge bool
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
		c.rest(ctx, c.pause(c.cycle(ctx)))
	}
}

// pause is how long to rest after a cycle that took so many answers.
func (c *committer) pause(answers int) time.Duration {
	switch {
	case c.troubled:
		return produceBackoff
	case c.opts.Delivery == ExactlyOnce:
		return min(cyclePause+time.Duration(answers)*pausePerAnswer, mostPause)
	}
	return cyclePause
}

// full is the number of waiting answers for which a pause ends early. It is no more
// than half of what may be ahead: the other half is being run in the meantime.
func (c *committer) full() int {
	full := cycleFull
	if c.opts.Delivery == ExactlyOnce {
		full = transactionFull
	}
	return min(full, c.opts.MaxAheadRecords/2)
}

// rest pauses between cycles, shorter where many answers wait. A kick that it
// takes is passed on.
func (c *committer) rest(ctx context.Context, pause time.Duration) {
	kicked := len(c.left) > 0
	least := time.NewTimer(leastPause)
	defer least.Stop()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for rested := false; ; {
		select {
		case <-least.C:
			rested = true
		case <-timer.C:
			if kicked {
				c.core.wakeCommitter()
			}
			return
		case <-ctx.Done():
			return
		case <-c.core.kick:
			kicked = true
		}
		if rested && kicked && !c.troubled && c.core.due(c.full()-len(c.left)) {
			c.core.wakeCommitter()
			return
		}
	}
}

// cycle emits what was released and commits what has moved. It gives the number of
// answers that it took.
func (c *committer) cycle(ctx context.Context) (answers int) {
	c.troubled = false
	batch := c.core.take(c.left)
	defer c.core.cycled()
	if c.opts.Delivery == ExactlyOnce {
		c.left = c.transact(ctx, batch)
		c.troubled = len(c.left) > 0
	} else {
		emitted, left := c.emit(ctx, batch)
		c.left = left
		c.finished(emitted)
	}
	c.commit(ctx)
	c.flow(false)
	return len(batch)
}

// finished notes answers that are on the output topic for good.
func (c *committer) finished(emitted []*entry) {
	now := time.Now()
	for _, e := range emitted {
		// The delay that counts is that of the answer, whoever owns the partition now.
		c.metrics.emitted(now.Sub(e.Data.record.Timestamp))
	}
	c.core.done(emitted)
}

package processor

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"starplan/processor/ledger"
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
	produceBackoff = 250 * time.Millisecond
)

// committer owns the producer and every commit. It works in cycles, strictly one
// after the other: take the answers that were released, produce them, wait until
// the broker has acknowledged them, note them as done, commit offsets. A failed
// answer stays in front of all that come after it.
type committer struct {
	*Processor
	// left is what the last cycle could not emit.
	left []*entry
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
	emitted, failed := c.emit(ctx, batch)
	c.left = failed
	c.observe(emitted)
	c.core.done(emitted)
	c.commit(ctx)
	c.flow(false)
}

// answer is one entry of a batch with the records that it puts on topics.
type answer struct {
	entry   *entry
	records []*kgo.Record
	errs    []error
}

// emit produces answers and waits for all acknowledgements. It returns the
// entries that are done with, and in order those to try again.
func (c *committer) emit(ctx context.Context, batch []*entry) (emitted, failed []*entry) {
	if len(batch) == 0 {
		return nil, nil
	}
	answers := make([]answer, len(batch))
	var acks sync.WaitGroup
	for i, e := range batch {
		a := &answers[i]
		a.entry = e
		a.records = c.records(e)
		a.errs = make([]error, len(a.records))
		for j, r := range a.records {
			acks.Add(1)
			c.producer.Produce(ctx, r, func(_ *kgo.Record, err error) {
				a.errs[j] = err
				acks.Done()
			})
		}
	}
	acks.Wait()
	emitted, failed = batch[:0], nil
	for i := range answers {
		if c.settled(ctx, &answers[i]) {
			emitted = append(emitted, answers[i].entry)
		} else {
			failed = append(failed, answers[i].entry)
		}
	}
	return emitted, failed
}

// settled looks at the acknowledgements of one answer and reports whether the
// entry is done with.
func (c *committer) settled(ctx context.Context, a *answer) bool {
	ok := true
	for j, err := range a.errs {
		r := a.records[j]
		letter := r.Topic == c.opts.DeadLetterTopic
		switch {
		case err == nil:
			if letter && !a.entry.Data.deadLettered {
				a.entry.Data.deadLettered = true
				c.metrics.deadLetters.WithLabelValues(string(a.entry.Data.outcome.Reason)).Inc()
			}
		case errors.Is(err, kerr.MessageTooLarge) && letter:
			// It will never fit. Its execution says what was wrong with it.
			a.entry.Data.deadLettered = true
			c.kafkaError("dead_letter", "dead letter is larger than its topic takes; dropped", err, coordinates(a.entry.Data.record)...)
		case errors.Is(err, kerr.MessageTooLarge):
			if c.replace(a.entry, len(r.Value)) {
				ok = false
			}
		default:
			ok = false
			if ctx.Err() == nil {
				c.produceFailed(r.Topic, err)
			}
		}
	}
	return ok
}

// produceFailed notes an error that franz-go did not retry, or not any more.
func (c *committer) produceFailed(topic string, err error) {
	if fatal(err) {
		c.fail(newAccessError("produce to topic "+topic, err))
		return
	}
	c.kafkaError("produce", "produce failed; trying again", err, "topic", topic)
}

// commit sends the positions that have moved. A failure is no loss: they stay
// dirty, and the next cycle tries again.
func (c *committer) commit(ctx context.Context) {
	commits := c.core.commits()
	if len(commits) == 0 {
		return
	}
	member, generation := c.consumer.GroupMetadata()
	if member == "" || generation < 0 {
		// The broker would accept it without checking whose the partitions are.
		c.core.committed(commits, nil)
		return
	}
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = c.opts.Group
	req.MemberID = member
	req.Generation = generation
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic = c.input
	topic.TopicID = c.inputID()
	for p, at := range commits {
		part := kmsg.NewOffsetCommitRequestTopicPartition()
		part.Partition = p.number
		part.Offset = at.offset
		part.Metadata = kmsg.StringPtr(at.metadata)
		topic.Partitions = append(topic.Partitions, part)
	}
	req.Topics = append(req.Topics, topic)
	ctx, cancel := context.WithTimeout(ctx, c.opts.SessionTimeout)
	defer cancel()
	resp, err := req.RequestWith(ctx, c.consumer)
	if err != nil {
		c.core.committed(commits, nil)
		c.commitFailed(ctx, err)
		return
	}
	ok := make(map[int32]bool)
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				c.commitFailed(ctx, err)
			} else {
				ok[p.Partition] = true
			}
		}
	}
	c.core.committed(commits, ok)
}

// commitFailed is silent about what a rebalance brings with it.
func (c *committer) commitFailed(ctx context.Context, err error) {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
	case errors.Is(err, kerr.RebalanceInProgress), errors.Is(err, kerr.IllegalGeneration), errors.Is(err, kerr.UnknownMemberID):
		c.log.Debug("commit refused in a rebalance", "error", err)
	case fatal(err):
		c.fail(newAccessError("commit offsets of group "+c.opts.Group, err))
	default:
		c.kafkaError("commit", "commit failed; trying again", err, "group", c.opts.Group)
	}
}

// commits gives what has moved since it was committed, and regards it as clean.
func (c *core) commits() map[*partition]commit {
	c.mu.Lock()
	defer c.mu.Unlock()
	var commits map[*partition]commit
	for _, p := range c.parts {
		if !p.dirty || p.books == nil {
			continue
		}
		position, finished := p.books.Snapshot(nil)
		at := commit{position, ledger.Encode(position, finished, "")}
		p.dirty = false
		if at == p.committed {
			continue
		}
		if commits == nil {
			commits = make(map[*partition]commit)
		}
		commits[p] = at
	}
	return commits
}

// committed notes which partitions' commits the broker took; the others are
// dirty again.
func (c *core) committed(commits map[*partition]commit, ok map[int32]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, at := range commits {
		if ok[p.number] {
			p.committed = at
		} else {
			p.dirty = true
		}
	}
}

// observe measures how long records took from their timestamp to here.
func (c *committer) observe(emitted []*entry) {
	now := time.Now()
	for _, e := range emitted {
		c.metrics.delay.Observe(max(0, now.Sub(e.Data.record.Timestamp).Seconds()))
	}
}

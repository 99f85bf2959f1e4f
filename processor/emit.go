package processor

import (
	"context"
	"errors"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// answer is one entry of a batch with the records that it puts on topics.
type answer struct {
	entry   *entry
	records []*kgo.Record
	errs    []error
}

// prepare makes the records of a batch, anew for each time that they are tried.
func (c *committer) prepare(batch []*entry) []answer {
	answers := make([]answer, len(batch))
	for i, e := range batch {
		answers[i] = answer{entry: e, records: c.records(e)}
		answers[i].errs = make([]error, len(answers[i].records))
	}
	return answers
}

// produce puts the records of answers on their topics, in order, and waits until
// each is acknowledged or given up. Where ctx ends first it closes the client,
// because records that are under way cannot be taken back otherwise.
func produce(ctx context.Context, client *kgo.Client, answers []answer) {
	var acks sync.WaitGroup
	for i := range answers {
		a := &answers[i]
		for j, r := range a.records {
			acks.Add(1)
			client.Produce(ctx, r, func(_ *kgo.Record, err error) {
				a.errs[j] = err
				acks.Done()
			})
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = client.Flush(ctx) // What it could not flush, its promises tell.
		acks.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		client.Close()
		<-done
	}
}

// emit produces answers at least once. It returns the entries that are done with,
// and in order those to try again, or for the first time in the next cycle.
//
// It takes no more than fits into one record batch, so that what a partition gets
// in one cycle is one batch. A batch is taken or refused as a whole: were there
// two, the broker might refuse the first and take the second, and a key's answers
// would be out of order for good.
func (c *committer) emit(ctx context.Context, batch []*entry) (emitted, left []*entry) {
	if len(batch) == 0 {
		return nil, nil
	}
	n := c.fitting(batch)
	rest := batch[n:]
	batch = batch[:n]
	answers := c.prepare(batch)
	produce(ctx, c.producer, answers)
	var failed []*entry
	emitted = batch[:0]
	for i := range answers {
		a := &answers[i]
		if c.acknowledged(a, len(answers) == 1) {
			emitted = append(emitted, a.entry)
			c.countLetter(a)
		} else {
			failed = append(failed, a.entry)
		}
	}
	c.reportRefused(ctx)
	c.troubled = len(failed) > 0
	return emitted, append(failed, rest...)
}

// fitting is the number of entries whose answers certainly fit into one record
// batch, and at least one.
func (c *committer) fitting(batch []*entry) int {
	room := c.maxRecord()
	for i, e := range batch {
		t := &e.Data
		room -= len(t.record.Key) + len(t.outcome.Value) + overhead
		if c.letterDue(t) {
			room -= size(t.record) + letterOverhead
		}
		if room < 0 && i > 0 {
			return i
		}
	}
	return len(batch)
}

// acknowledged looks at what became of one answer's records, and reports whether
// nothing of it has to be tried again. What is certainly too large for its topic
// is replaced, or given up, on the spot: the broker refuses a batch as a whole, so
// one of several records need not be what is too large in it.
func (c *committer) acknowledged(a *answer, alone bool) bool {
	ok := true
	for j, err := range a.errs {
		r := a.records[j]
		letter := r.Topic == c.opts.DeadLetterTopic
		switch {
		case err == nil:
		case errors.Is(err, kerr.MessageTooLarge) && letter:
			// It will never fit. Its execution says what was wrong with it.
			a.entry.Data.letterDropped = true
			ok = ok && c.opts.Delivery == AtLeastOnce // A transaction is begun anew without it.
			c.kafkaError("dead_letter", "dead letter is larger than its topic takes; dropped", err, coordinates(a.entry.Data.record)...)
		case errors.Is(err, kerr.MessageTooLarge):
			ok = false
			if alone {
				c.replace(a.entry, len(r.Value))
			} else {
				c.tooLarge = true
			}
		default:
			ok = false
			if c.refused == 0 {
				c.refusedTopic, c.refusedErr = r.Topic, err
			}
			c.refused++
		}
	}
	return ok
}

// countLetter counts the dead letter of an answer that was emitted, if it has one.
func (c *committer) countLetter(a *answer) {
	for j, r := range a.records {
		if r.Topic == c.opts.DeadLetterTopic && a.errs[j] == nil {
			c.metrics.deadLetters.WithLabelValues(string(a.entry.Data.outcome.Reason)).Inc()
		}
	}
}

// reportRefused reports, once a cycle, the records that franz-go did not get onto
// their topics, or not any more.
func (c *committer) reportRefused(ctx context.Context) {
	if c.tooLarge && ctx.Err() == nil {
		c.tooLarge = false
		c.shrink(ctx)
	}
	n := c.refused
	c.refused = 0
	switch {
	case n == 0 || ctx.Err() != nil:
	case fatal(c.refusedErr):
		c.fail(c.accessError("produce to topic "+c.refusedTopic, c.refusedTopic, c.refusedErr))
	default:
		if doubtful(c.refusedErr) {
			c.doubtTopics()
		}
		c.kafkaError("produce", "produce failed; trying again", c.refusedErr, "topic", c.refusedTopic, "records", n)
	}
}

// shrink learns anew what the output topic takes, after the broker has refused a
// batch that should have fitted: the topic's max.message.bytes was lowered. Where
// it does not say, half of what was assumed is tried. What alone exceeds that is
// replaced when it is tried again.
func (c *committer) shrink(ctx context.Context) {
	before := c.maxRecord()
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	c.learnMaxBytes(ctx)
	if c.maxRecord() >= before {
		c.maxBytes.Store(int64(before / 2))
	}
	c.closeTransactions() // The client keeps the limit of its beginning.
	c.log.Warn("the output topic takes less than it did", "topic", c.output, "max_message_bytes", c.maxRecord(), "before", before)
}

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
// and in order those to try again.
func (c *committer) emit(ctx context.Context, batch []*entry) (emitted, failed []*entry) {
	if len(batch) == 0 {
		return nil, nil
	}
	answers := c.prepare(batch)
	produce(ctx, c.producer, answers)
	emitted = batch[:0]
	for i := range answers {
		a := &answers[i]
		if c.acknowledged(ctx, a) {
			emitted = append(emitted, a.entry)
			c.countLetter(a)
		} else {
			failed = append(failed, a.entry)
		}
	}
	return emitted, failed
}

// acknowledged looks at what became of one answer's records, and reports whether
// nothing of it has to be tried again. What is too large for its topic is
// replaced, or given up, on the spot.
func (c *committer) acknowledged(ctx context.Context, a *answer) bool {
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
			c.replace(a.entry, len(r.Value))
			ok = false
		default:
			ok = false
			if ctx.Err() == nil {
				c.produceFailed(r.Topic, err)
			}
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

// produceFailed notes an error that franz-go did not retry, or not any more.
func (c *committer) produceFailed(topic string, err error) {
	if fatal(err) {
		c.fail(newAccessError("produce to topic "+topic, err))
		return
	}
	c.kafkaError("produce", "produce failed; trying again", err, "topic", topic)
}

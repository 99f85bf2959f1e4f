package processor

import (
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/plan/execution"
)

// Headers of a dead letter, beside those of the record itself.
const (
	HeaderReason    = "starplan.error.reason"
	HeaderMessage   = "starplan.error.message"
	HeaderTopic     = "starplan.error.topic"
	HeaderPartition = "starplan.error.partition"
	HeaderOffset    = "starplan.error.offset"
	HeaderTimestamp = "starplan.error.timestamp"
	// HeaderPlanDigest is the digest of the plan that was to run; missing where none
	// is loaded.
	HeaderPlanDigest = "starplan.error.plan.digest"
)

// Headers of an execution. A record that is executed again gets the same ones.
const (
	// HeaderDigest is the digest of the plan that ran; missing where none did.
	HeaderDigest = "starplan.plan.digest"
	// HeaderSteps is how many steps it took; missing where that is not the same each
	// time, as for an execution that was stopped by the clock.
	HeaderSteps = "starplan.steps"
)

// overhead is more than a record batch of one record takes beside key and value
// (61 bytes for the batch, up to 40 for the record, up to 750 for its headers).
const overhead = 860

// letterOverhead is more than the headers of a dead letter take, the message of up
// to 1,000 characters included.
const letterOverhead = 5000

// records gives what the answer to an entry puts on topics: a dead letter where
// one is due, and the execution. It gives none where there is no way to answer,
// because the record's key alone is larger than the output topic takes.
func (c *committer) records(e *entry) []*kgo.Record {
	t := &e.Data
	if c.excess(t) && !t.unanswerable {
		c.replace(e, len(t.outcome.Value))
	}
	if t.unanswerable {
		return nil
	}
	out := &kgo.Record{Topic: c.output, Key: t.record.Key, Value: t.outcome.Value, Headers: headers(t.record, t.outcome)}
	if !c.letterDue(t) {
		return []*kgo.Record{out}
	}
	return []*kgo.Record{deadLetter(c.opts.DeadLetterTopic, t.record, t.outcome), out}
}

// headers are those of an execution.
func headers(in *kgo.Record, o execution.Outcome) []kgo.RecordHeader {
	list := traceHeaders(in, o.ExecID)
	if o.Digest == "" {
		return list
	}
	list = append(list, kgo.RecordHeader{Key: HeaderDigest, Value: []byte(o.Digest)})
	if o.Reason == "" || o.Reason.Deterministic() {
		list = append(list, kgo.RecordHeader{Key: HeaderSteps, Value: strconv.AppendUint(nil, o.Steps, 10)})
	}
	return list
}

// letterDue reports whether a dead letter goes with the answer.
func (c *committer) letterDue(t *task) bool {
	return c.opts.DeadLetterTopic != "" && t.outcome.Reason == execution.ReasonDecode && !t.letterDropped
}

// excess reports whether an answer is larger than the output topic takes, as far
// as that is known.
func (c *committer) excess(t *task) bool {
	return len(t.record.Key)+len(t.outcome.Value)+overhead > c.maxRecord()
}

// replace answers an entry whose execution of size bytes is too large with one
// that says so. Where that is too large as well, the entry is unanswerable.
func (c *committer) replace(e *entry, size int) {
	t := &e.Data
	if !t.replaced {
		t.replaced = true
		limit := max(0, c.maxRecord()-overhead-len(t.record.Key))
		message := fmt.Sprintf("Execution of %d bytes exceeds the %d bytes that topic %s takes; raise its max.message.bytes or return less", size, limit, c.output)
		rec := toRecord(t.record)
		t.outcome = c.opts.Runner.Fail(rec, execution.ReasonTooLarge, message)
		if c.opts.Observer != nil {
			c.opts.Observer.Corrected(rec, t.outcome)
		}
		c.metrics.failed(t.outcome)
		c.logFailure(t.record, t.outcome)
		if !c.excess(t) {
			return
		}
	}
	t.unanswerable = true
	c.kafkaError("produce", "record cannot be answered: its key leaves no room for an execution", errTooLarge, coordinates(t.record)...)
}

// deadLetter is a record for the dead-letter topic: what came, and why it is there.
func deadLetter(topic string, r *kgo.Record, outcome execution.Outcome) *kgo.Record {
	headers := make([]kgo.RecordHeader, 0, len(r.Headers)+7)
	headers = append(headers, r.Headers...)
	add := func(key, value string) {
		headers = append(headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
	}
	add(HeaderReason, string(outcome.Reason))
	add(HeaderMessage, outcome.Message)
	add(HeaderTopic, r.Topic)
	add(HeaderPartition, strconv.Itoa(int(r.Partition)))
	add(HeaderOffset, strconv.FormatInt(r.Offset, 10))
	add(HeaderTimestamp, r.Timestamp.UTC().Format(time.RFC3339Nano))
	if outcome.Digest != "" {
		add(HeaderPlanDigest, outcome.Digest)
	}
	return &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value, Headers: headers}
}

// toRecord is a record as the plan side sees it.
func toRecord(r *kgo.Record) execution.Record {
	return execution.Record{
		Topic:       r.Topic,
		Partition:   r.Partition,
		Offset:      r.Offset,
		Timestamp:   r.Timestamp,
		Key:         r.Key,
		Value:       r.Value,
		Traceparent: header(r, execution.HeaderTraceparent),
		Tracestate:  header(r, execution.HeaderTracestate),
	}
}

// coordinates are the log attributes of a record.
func coordinates(r *kgo.Record) []any {
	return []any{"topic", r.Topic, "partition", r.Partition, "offset", r.Offset}
}

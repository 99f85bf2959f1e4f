package processor

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/plan/execution"
	"starplan/processor/ledger"
)

// poll takes records from the broker until ctx ends. From a poll that brought
// records until AllowRebalance nothing in it blocks: that would block a
// rebalance, for which a commit may be waiting that makes room.
func (p *Processor) poll(ctx context.Context) {
	for ctx.Err() == nil {
		p.makeRoom(ctx)
		fetches := p.consumer.PollRecords(ctx, maxPoll)
		fetches.EachError(func(topic string, partition int32, err error) { p.fetchError(ctx, topic, partition, err) })
		fetches.EachPartition(p.receive)
		// From here on callbacks of the group may run.
		p.consumer.AllowRebalance()
	}
}

// receive sorts the records of one partition and takes them on.
func (p *Processor) receive(f kgo.FetchTopicPartition) {
	if len(f.Records) == 0 {
		return
	}
	arrivals := make([]arrival, len(f.Records))
	received := 0
	for i, r := range f.Records {
		if r.Attrs.IsControl() {
			// The end of a producer's transaction is nobody's record, but it is an offset:
			// without it one would be missing from the position for good.
			arrivals[i] = arrival{r, true}
			continue
		}
		received++
		skip := p.opts.Runner.Accept(r.Key)
		if skip == "" && len(r.Value) == 0 {
			skip = execution.SkipEmpty
		}
		if skip != "" {
			p.metrics.skipped.WithLabelValues(string(skip)).Inc()
		}
		arrivals[i] = arrival{r, skip != ""}
	}
	p.metrics.received.WithLabelValues(p.input).Add(float64(received))
	in := p.core.ingest(f.Partition, arrivals, bounds{f.LogStartOffset, f.HighWatermark})
	if in.repeated > 0 {
		p.log.Debug("records were answered by an earlier owner", "partition", f.Partition, "records", in.repeated)
	}
	p.deleted(f.Partition, in.deleted)
	if in.rewound {
		p.rewound(f, arrivals)
	}
}

// deleted reports records that are gone, and will never be answered.
func (p *Processor) deleted(partition int32, n int64) {
	if n == 0 {
		return
	}
	p.metrics.deleted.Add(float64(n))
	p.log.Error("the broker has deleted records before they were answered; raise retention.ms or retention.bytes of the topic, or add members",
		"topic", p.input, "partition", partition, "offsets", n)
}

// rewound begins a partition anew whose log went back behind what was delivered:
// it was truncated, or the topic was made anew. The offsets stand for other
// records now, so nothing that is known about them counts.
func (p *Processor) rewound(f kgo.FetchTopicPartition, arrivals []arrival) {
	at := f.Records[0].Offset
	p.kafkaError("fetch", "the partition's log went back; beginning anew", errRewound, "partition", f.Partition, "offset", at)
	numbers := []int32{f.Partition}
	p.turn(func() {
		note := p.core.noteOf(f.Partition)
		p.core.kill(numbers)
		p.core.assign(p.runs, numbers)
		p.core.settle(f.Partition, placement{commit: commit{offset: at, epoch: -1}, note: note, fresh: true})
	})
	p.core.ingest(f.Partition, arrivals, bounds{f.LogStartOffset, f.HighWatermark})
}

// noteOf gives what a partition's commits note.
func (c *core) noteOf(number int32) ledger.Note {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.parts[number]; p != nil {
		return p.note
	}
	return ledger.Note{}
}

var errRewound = errors.New("an offset was delivered a second time")

// fetchError sorts errors that franz-go does not deal with alone.
func (p *Processor) fetchError(ctx context.Context, topic string, partition int32, err error) {
	var group *kgo.ErrGroupSession
	var access *AccessError
	switch {
	case ctx.Err() != nil, errors.Is(err, kgo.ErrClientClosed):
	case p.instanceTaken(err):
	case errors.Is(err, kerr.InconsistentGroupProtocol):
		p.fail(&GroupMismatchError{Group: p.opts.Group, Serving: Assignor(p.opts.Serving), Err: err})
	case errors.As(err, &access):
		p.fail(access)
	case errors.As(err, &group) && fatal(err):
		p.fail(p.accessError("join group "+p.opts.Group, p.input, err))
	case errors.As(err, &group):
		p.kafkaError("group", "group session ended; joining again", err, "group", p.opts.Group)
	case fatal(err):
		p.fail(p.accessError("fetch from topic "+topic, topic, err))
	default:
		if doubtful(err) {
			p.doubtTopics()
		}
		p.kafkaError("fetch", "fetch failed", err, "topic", topic, "partition", partition)
	}
}

// instanceTaken ends the processor where the broker says that its instance id is
// somebody else's now.
func (p *Processor) instanceTaken(err error) bool {
	if !errors.Is(err, kerr.FencedInstanceID) {
		return false
	}
	p.fail(&InstanceTakenError{Group: p.opts.Group, InstanceID: p.opts.InstanceID, Err: err})
	return true
}

package processor

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/plan/execution"
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
	p.metrics.received.WithLabelValues(p.input).Add(float64(len(f.Records)))
	arrivals := make([]arrival, len(f.Records))
	for i, r := range f.Records {
		skip := p.opts.Runner.Accept(r.Key)
		if skip == "" && len(r.Value) == 0 {
			skip = execution.SkipEmpty
		}
		if skip != "" {
			p.metrics.skipped.WithLabelValues(string(skip)).Inc()
		}
		arrivals[i] = arrival{r, skip != ""}
	}
	repeated, ok := p.core.ingest(f.Partition, arrivals, f.HighWatermark)
	if repeated > 0 {
		p.log.Debug("records were answered by an earlier owner", "partition", f.Partition, "records", repeated)
	}
	if !ok {
		p.rewound(f, arrivals)
	}
}

// rewound begins a partition anew whose log went back behind what was delivered:
// it was truncated, or the topic was made anew. The offsets stand for other
// records now, so nothing that is known about them counts.
func (p *Processor) rewound(f kgo.FetchTopicPartition, arrivals []arrival) {
	at := f.Records[0].Offset
	p.kafkaError("fetch", "the partition's log went back; beginning anew", errRewound, "partition", f.Partition, "offset", at)
	numbers := []int32{f.Partition}
	p.turn(func() {
		p.core.kill(numbers)
		p.core.assign(p.runs, numbers)
		p.core.settle(f.Partition, commit{offset: at}, nil, true)
	})
	p.core.ingest(f.Partition, arrivals, f.HighWatermark)
}

var errRewound = errors.New("an offset was delivered a second time")

// fetchError sorts errors that franz-go does not deal with alone.
func (p *Processor) fetchError(ctx context.Context, topic string, partition int32, err error) {
	var group *kgo.ErrGroupSession
	var access *AccessError
	switch {
	case ctx.Err() != nil, errors.Is(err, kgo.ErrClientClosed):
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
		p.kafkaError("fetch", "fetch failed", err, "topic", topic, "partition", partition)
	}
}

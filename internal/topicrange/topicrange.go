// Package topicrange reads what lies between two bounds of a topic, for commands
// that look at recorded traffic. It reads what is committed, joins no group and
// writes nothing. Where reading ends is settled before it begins, so that it ends
// on a topic that grows, too.
package topicrange

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Range is a part of a topic: from From inclusive to To exclusive, by partition.
type Range struct {
	Topic    string
	From, To map[int32]int64
}

// Records is an upper bound of the records in the range: transactions and
// compaction leave offsets without one.
func (r Range) Records() int64 {
	var n int64
	for p, to := range r.To {
		n += max(0, to-r.From[p])
	}
	return n
}

// Partitions lists the partitions of the range, in order.
func (r Range) Partitions() []int32 { return slices.Sorted(maps.Keys(r.From)) }

// Only restricts the range to one partition; without effect where that is not
// among them.
func (r Range) Only(partition int32) Range {
	only := Range{Topic: r.Topic, From: make(map[int32]int64), To: make(map[int32]int64)}
	if from, ok := r.From[partition]; ok {
		only.From[partition], only.To[partition] = from, r.To[partition]
	}
	return only
}

// Bound is an edge of a range: "oldest", "latest", an offset, which then counts in
// every partition, or an RFC 3339 time.
type Bound string

// Find gives the range between two bounds of a topic, within what the topic has.
// The error names the topic and the bound.
func Find(ctx context.Context, admin *kadm.Client, topic string, from, to Bound) (Range, error) {
	r := Range{Topic: topic}
	var err error
	if r.From, err = from.offsets(ctx, admin, topic); err != nil {
		return Range{}, fmt.Errorf("from: %s: %w", topic, err)
	}
	if r.To, err = to.offsets(ctx, admin, topic); err != nil {
		return Range{}, fmt.Errorf("to: %s: %w", topic, err)
	}
	return r, nil
}

// offsets gives the bound in each partition, within what the topic has.
func (b Bound) offsets(ctx context.Context, admin *kadm.Client, topic string) (map[int32]int64, error) {
	start, err := listed(admin.ListStartOffsets(ctx, topic))
	if err != nil {
		return nil, err
	}
	// Behind the last committed record there may be those of a transaction that is
	// under way, or was left behind. Nobody can read them yet.
	end, err := listed(admin.ListCommittedOffsets(ctx, topic))
	if err != nil {
		return nil, err
	}
	var at kadm.ListedOffsets
	fixed := int64(-1)
	switch b {
	case "oldest":
		at = start
	case "latest":
		at = end
	default:
		if fixed, err = strconv.ParseInt(string(b), 10, 64); err == nil && fixed >= 0 {
			break
		}
		t, err := time.Parse(time.RFC3339, string(b))
		if err != nil {
			return nil, fmt.Errorf("want oldest, latest, an offset or an RFC 3339 time, got %q", string(b))
		}
		if at, err = listed(admin.ListOffsetsAfterMilli(ctx, t.UnixMilli(), topic)); err != nil {
			return nil, err
		}
	}
	offsets := make(map[int32]int64)
	for p, first := range start[topic] {
		last := end[topic][p].Offset
		o := fixed
		if at != nil {
			o = at[topic][p].Offset
		}
		offsets[p] = min(max(o, first.Offset), last)
	}
	return offsets, nil
}

func listed(l kadm.ListedOffsets, err error) (kadm.ListedOffsets, error) {
	if err == nil {
		err = l.Error()
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		err = errors.New("topic does not exist; check the tenant")
	}
	return l, err
}

// How much is read ahead, in all and of a partition. These are bytes as the broker
// keeps them, often a tenth of what they are in memory; the client's own 50 MiB are
// for those who have nothing else to do with theirs.
const (
	fetchBytes          = 4 << 20
	fetchPartitionBytes = 256 << 10
)

// Reader reads a range. It is for one goroutine.
type Reader struct {
	client *kgo.Client
	r      Range
	open   map[int32]bool // Partitions that are being read.
	later  []int32        // Partitions that are read after them.
}

// Open connects to read a range, with the options of a client, the brokers among
// them. Partitions are read one after the other, in order; where together is set,
// all at the same time. Within a partition the order is that of the offsets.
func Open(opts []kgo.Opt, r Range, together bool) (*Reader, error) {
	rd := &Reader{r: r, open: make(map[int32]bool)}
	for _, p := range r.Partitions() {
		if r.From[p] < r.To[p] {
			rd.later = append(rd.later, p)
		}
	}
	first := make(map[int32]kgo.Offset)
	for len(rd.later) > 0 && (together || len(first) == 0) {
		maps.Copy(first, rd.begin())
	}
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.Topic: first}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// The last offsets of a topic may be markers of transactions. They must be
		// seen to know that the end was reached.
		kgo.KeepControlRecords(),
		// They would save little for so few partitions, and in franz-go 1.22.2 the end of one,
		// in Close, races with a fetch that an assignment under way begins.
		kgo.DisableFetchSessions(),
		kgo.FetchMaxBytes(fetchBytes),
		kgo.FetchMaxPartitionBytes(fetchPartitionBytes),
	}, opts...)...)
	if err != nil {
		return nil, err
	}
	rd.client = client
	return rd, nil
}

// begin opens the next partition and gives where to begin there.
func (rd *Reader) begin() map[int32]kgo.Offset {
	p := rd.later[0]
	rd.later = rd.later[1:]
	rd.open[p] = true
	return map[int32]kgo.Offset{p: kgo.NewOffset().At(rd.r.From[p])}
}

// Next gives some records; none when the range was read to its end. Faults that the
// client mends itself are not reported; the error is ctx's, or one that will not go
// away.
func (rd *Reader) Next(ctx context.Context) ([]*kgo.Record, error) {
	var records []*kgo.Record
	for len(records) == 0 {
		if len(rd.open) == 0 {
			if len(rd.later) == 0 {
				return nil, nil
			}
			rd.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{rd.r.Topic: rd.begin()})
		}
		fetches := rd.client.PollRecords(ctx, 1000)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for _, fault := range fetches.Errors() {
			if !kerr.IsRetriable(fault.Err) && !kgo.IsRetryableBrokerErr(fault.Err) {
				return nil, fmt.Errorf("read %s/%d: %w", fault.Topic, fault.Partition, fault.Err)
			}
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			to := rd.r.To[rec.Partition]
			if rec.Offset < to && !rec.Attrs.IsControl() {
				records = append(records, rec)
			}
			if rec.Offset+1 >= to && rd.open[rec.Partition] {
				delete(rd.open, rec.Partition)
				rd.client.RemoveConsumePartitions(map[string][]int32{rd.r.Topic: {rec.Partition}})
			}
		})
	}
	return records, nil
}

// Close disconnects.
func (rd *Reader) Close() { rd.client.Close() }

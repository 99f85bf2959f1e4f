package replay

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// span is what is read of a topic: from inclusive, to exclusive, by partition.
type span struct {
	topic    string
	from, to map[int32]int64
}

// records is an upper bound of the records in the span: transactions and
// compaction leave offsets without one.
func (s span) records() int64 {
	var n int64
	for p, to := range s.to {
		n += max(0, to-s.from[p])
	}
	return n
}

// Bound is an edge of what is replayed: "oldest", "latest", an offset, which
// then counts in every partition, or an RFC 3339 time.
type Bound string

// offsets gives the bound in each partition, within what the topic has.
func (b Bound) offsets(ctx context.Context, admin *kadm.Client, topic string) (map[int32]int64, error) {
	start, err := listed(admin.ListStartOffsets(ctx, topic))
	if err != nil {
		return nil, err
	}
	end, err := listed(admin.ListEndOffsets(ctx, topic))
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

// reader reads a span, in order by partition. It is for one goroutine.
type reader struct {
	client *kgo.Client
	span   span
	open   map[int32]bool // Partitions with something left.
}

func newReader(opts []kgo.Opt, s span) (*reader, error) {
	r := &reader{span: s, open: make(map[int32]bool)}
	offsets := make(map[int32]kgo.Offset)
	for p, from := range s.from {
		if from < s.to[p] {
			r.open[p] = true
			offsets[p] = kgo.NewOffset().At(from)
		}
	}
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.topic: offsets}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// The last offsets of a topic may be markers of transactions. They must be
		// seen to know that the end was reached.
		kgo.KeepControlRecords(),
	}, opts...)...)
	if err != nil {
		return nil, err
	}
	r.client = client
	return r, nil
}

// next gives some records; none when the span was read to its end.
func (r *reader) next(ctx context.Context) ([]*kgo.Record, error) {
	var records []*kgo.Record
	for len(records) == 0 && len(r.open) > 0 {
		fetches := r.client.PollRecords(ctx, 1000)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for _, fault := range fetches.Errors() {
			if !kerr.IsRetriable(fault.Err) && !kgo.IsRetryableBrokerErr(fault.Err) {
				return nil, fmt.Errorf("read %s/%d: %w", fault.Topic, fault.Partition, fault.Err)
			}
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			to := r.span.to[rec.Partition]
			if rec.Offset+1 >= to {
				delete(r.open, rec.Partition)
			}
			if rec.Offset < to && !rec.Attrs.IsControl() {
				records = append(records, rec)
			}
		})
	}
	return records, nil
}

func (r *reader) close() { r.client.Close() }

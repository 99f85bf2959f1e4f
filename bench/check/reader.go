package check

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Reader reads an output topic from its beginning, as a consumer downstream does.
// It survives brokers that come and go.
type Reader struct {
	client *kgo.Client
	topic  string
	each   func(Answer)

	mu       sync.Mutex
	position map[int32]int64 // next offset by partition
	moved    chan struct{}   // closed and replaced when a position moves
}

// ReaderOptions say what to read.
type ReaderOptions struct {
	// Brokers to connect to first.
	Brokers []string
	// Topic to read; it exists.
	Topic string
	// Committed leaves out what belongs to a transaction that is open or was aborted.
	Committed bool
	// Each is called for each record, by the goroutine of Run.
	Each func(Answer)
}

// NewReader makes a Reader; Run starts it.
func NewReader(opts ReaderOptions) (*Reader, error) {
	isolation := kgo.ReadUncommitted()
	if opts.Committed {
		isolation = kgo.ReadCommitted()
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(opts.Brokers...), kgo.ConsumeTopics(opts.Topic),
		kgo.FetchIsolationLevel(isolation), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		// A position is known only when the markers of transactions are seen, too.
		kgo.KeepControlRecords(),
		kgo.FetchMaxWait(100*time.Millisecond), kgo.MetadataMinAge(250*time.Millisecond), kgo.DialTimeout(2*time.Second))
	if err != nil {
		return nil, fmt.Errorf("check: reader: %w", err)
	}
	return &Reader{client: client, topic: opts.Topic, each: opts.Each, position: make(map[int32]int64), moved: make(chan struct{})}, nil
}

// Run reads until ctx ends and then gives back what the Reader holds. It is called once.
func (r *Reader) Run(ctx context.Context) {
	defer r.client.Close()
	for ctx.Err() == nil {
		// Errors are those of a broker that is away: the client tries again.
		fetches := r.client.PollFetches(ctx)
		fetches.EachRecord(func(rec *kgo.Record) {
			if !rec.Attrs.IsControl() {
				r.each(Answer{Partition: rec.Partition, Offset: rec.Offset, Key: rec.Key, Value: rec.Value})
			}
		})
		r.mu.Lock()
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if n := len(p.Records); n > 0 {
				r.position[p.Partition] = p.Records[n-1].Offset + 1
			}
		})
		close(r.moved)
		r.moved = make(chan struct{})
		r.mu.Unlock()
	}
}

// CatchUp returns when everything that is on the topic when it is called was
// read, while Run runs. A transaction that is still open is waited for.
func (r *Reader) CatchUp(ctx context.Context) error {
	ends, err := kadm.NewClient(r.client).ListEndOffsets(ctx, r.topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("check: end of %s: %w", r.topic, err)
	}
	for {
		r.mu.Lock()
		behind, moved := "", r.moved
		ends.Each(func(end kadm.ListedOffset) {
			if at := r.position[end.Partition]; at < end.Offset {
				behind = fmt.Sprintf("partition %d at %d of %d", end.Partition, at, end.Offset)
			}
		})
		r.mu.Unlock()
		if behind == "" {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("check: %s is not read to its end, %s: %w", r.topic, behind, context.Cause(ctx))
		}
	}
}

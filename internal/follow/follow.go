// Package follow reads the executions of a tenant as they come, for commands
// that show them. It joins no group and commits nothing.
package follow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"starplan/proto/planpb"
)

// Execution is one record of the topic.
type Execution struct {
	Record *kgo.Record
	// Message is what the record's value holds; nil where it is no PlanExecution.
	Message *planpb.PlanExecution
}

// Options say what to read.
type Options struct {
	Topic string
	// From is "oldest", "latest" or an RFC 3339 time.
	From string
	// Client are the options of the Kafka client, the brokers among them.
	Client []kgo.Opt
}

// Reader reads executions. It is for one goroutine at a time.
type Reader struct {
	client  *kgo.Client
	pending []*kgo.Record
}

// Open connects and settles where reading begins: whatever is written to the
// topic after Open returns is read, also with From "latest".
func Open(ctx context.Context, opts Options) (*Reader, error) {
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	}, opts.Client...)...)
	if err != nil {
		return nil, fmt.Errorf("follow %s: %w", opts.Topic, err)
	}
	offsets, err := begin(ctx, kadm.NewClient(client), opts)
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("follow %s: %w", opts.Topic, err)
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{opts.Topic: offsets})
	return &Reader{client: client}, nil
}

// begin gives the offset at which to begin in each partition.
func begin(ctx context.Context, admin *kadm.Client, opts Options) (map[int32]kgo.Offset, error) {
	var listed kadm.ListedOffsets
	var err error
	switch opts.From {
	case "oldest":
		listed, err = admin.ListStartOffsets(ctx, opts.Topic)
	case "latest":
		listed, err = admin.ListEndOffsets(ctx, opts.Topic)
	default:
		at, perr := time.Parse(time.RFC3339, opts.From)
		if perr != nil {
			return nil, fmt.Errorf("want oldest, latest or an RFC 3339 time, got %q", opts.From)
		}
		listed, err = admin.ListOffsetsAfterMilli(ctx, at.UnixMilli(), opts.Topic)
	}
	if err == nil {
		err = listed.Error()
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) || err == nil && len(listed[opts.Topic]) == 0 {
		return nil, errors.New("topic does not exist; check the tenant, or create it")
	}
	if err != nil {
		return nil, err
	}
	offsets := make(map[int32]kgo.Offset)
	for p, o := range listed[opts.Topic] {
		offsets[p] = kgo.NewOffset().At(o.Offset)
	}
	return offsets, nil
}

// Next waits for the next execution. The order is that of the topic within each
// partition. Faults that the client mends itself are not reported; the error is
// ctx's, or one that will not go away.
func (r *Reader) Next(ctx context.Context) (Execution, error) {
	for len(r.pending) == 0 {
		fetches := r.client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return Execution{}, err
		}
		if fetches.IsClientClosed() {
			return Execution{}, kgo.ErrClientClosed
		}
		for _, fault := range fetches.Errors() {
			if !kerr.IsRetriable(fault.Err) && !kgo.IsRetryableBrokerErr(fault.Err) {
				return Execution{}, fmt.Errorf("follow %s/%d: %w", fault.Topic, fault.Partition, fault.Err)
			}
		}
		r.pending = fetches.Records()
	}
	rec := r.pending[0]
	r.pending = r.pending[1:]
	msg := new(planpb.PlanExecution)
	if proto.Unmarshal(rec.Value, msg) != nil {
		msg = nil
	}
	return Execution{Record: rec, Message: msg}, nil
}

// Close disconnects.
func (r *Reader) Close() { r.client.Close() }

package replay

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"starplan/internal/topicrange"
	"starplan/plan"
	"starplan/plan/execution"
	"starplan/processor"
)

const (
	// window is how many inputs are run at the same time.
	window = 1024
	// maxWaiting bounds what waits for its counterpart, on each side. The service
	// answers no input of a partition before one that is more than 20,000 offsets
	// older.
	maxWaiting = 20_000
	// enoughAhead is how many executions are read before anybody waits for them.
	enoughAhead = 2 * window
	// clockSkew is how far an execution's timestamp may lie before its input's.
	clockSkew = 10 * time.Minute
	// maxExamples bounds the examples of each kind in a report.
	maxExamples = 3
)

// Options say what is replayed.
type Options struct {
	// Client are the options of the Kafka clients, the brokers among them.
	Client []kgo.Opt
	Tenant string
	// Plan is the changed plan. Inputs whose key names it are replayed.
	Plan *plan.Source
	// Against is run beside Plan instead of reading recorded executions; may be nil.
	Against *plan.Source
	// Graph restricts the inputs to those of one graph; empty means all.
	Graph string
	// From and To bound the inputs; empty means oldest and latest.
	From, To topicrange.Bound
	// Limit ends after so many inputs of the plan; 0 means all.
	Limit int
	// Engine runs the plans, for Tenant.
	Engine plan.Engine
	// Progress is told now and then how far the inputs are read; may be nil.
	Progress func(read, total int64)
}

// replay is one run.
type replay struct {
	Options
	report *Report
	// aligned: an execution lies in the partition that its input has.
	aligned bool
	// sem bounds the runs under way.
	sem     chan struct{}
	results chan pair
	// recorded brings executions; nil with Against.
	recorded chan recorded
	// unreadable counts records that are no execution, until the report does.
	unreadable atomic.Int64
}

// pair is one input that was run.
type pair struct {
	rec execution.Record
	id  string
	// before is empty where it must come from the topic.
	before, after []byte
}

// recorded is one execution of the topic.
type recorded struct {
	partition int32
	id        string
	value     []byte
}

// Run replays and reports. It joins no group and writes to no topic. The error is
// ctx's, or one of reading; that executions differ is no error.
func Run(ctx context.Context, opts Options) (*Report, error) {
	if opts.From == "" {
		opts.From = "oldest"
	}
	if opts.To == "" {
		opts.To = "latest"
	}
	r := &replay{
		Options: opts, report: newReport(opts.Plan.Label()),
		sem: make(chan struct{}, window), results: make(chan pair, window),
	}
	if err := r.run(ctx); err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	r.report.finish(r.unreadable.Load())
	return r.report, nil
}

func (r *replay) run(ctx context.Context) error {
	inputs, executions, err := r.ranges(ctx)
	if err != nil {
		return err
	}
	// A key has the same partition in both topics if they have as many of them.
	r.aligned = r.Against != nil || len(inputs.From) == len(executions.From)
	group, ctx := errgroup.WithContext(ctx)
	reading, enough := context.WithCancel(ctx)
	defer enough()
	if r.Against == nil {
		r.recorded = make(chan recorded, window)
		group.Go(func() error {
			err := r.readExecutions(reading, executions)
			if reading.Err() != nil && ctx.Err() == nil {
				return nil // Nobody waits for any more of them.
			}
			return err
		})
	}
	group.Go(func() error { return r.runInputs(ctx, inputs) })
	group.Go(func() error {
		defer enough()
		return r.join(ctx)
	})
	return group.Wait()
}

// ranges finds out what to read. Executions are written after their inputs, so
// those from the time of the earliest input on are enough.
func (r *replay) ranges(ctx context.Context) (inputs, executions topicrange.Range, err error) {
	client, err := kgo.NewClient(r.Client...)
	if err != nil {
		return inputs, executions, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if inputs, err = topicrange.Find(ctx, admin, processor.InputTopic(r.Tenant), r.From, r.To); err != nil || r.Against != nil {
		return inputs, executions, err
	}
	since := topicrange.Bound("oldest")
	if t, err := time.Parse(time.RFC3339, string(r.From)); err == nil {
		since = topicrange.Bound(t.Add(-clockSkew).Format(time.RFC3339))
	}
	executions, err = topicrange.Find(ctx, admin, processor.OutputTopic(r.Tenant), since, "latest")
	return inputs, executions, err
}

// wanted reports whether a record's key names the plan.
func (r *replay) wanted(key []byte) bool {
	k, ok := execution.ParseKey(key)
	return ok && k.Plan == r.Plan.Name && (r.Graph == "" || k.Graph == "" || k.Graph == r.Graph)
}

// runInputs reads the inputs and runs the plan on them.
func (r *replay) runInputs(ctx context.Context, inputs topicrange.Range) error {
	in, err := topicrange.Open(r.Client, inputs, !r.aligned)
	if err != nil {
		return err
	}
	defer in.Close()
	read, total := int64(0), inputs.Records()
	for n := 0; ; {
		records, err := in.Next(ctx)
		if err != nil {
			return err
		}
		for _, rec := range records {
			if !r.wanted(rec.Key) || len(rec.Value) == 0 {
				continue
			}
			if err := r.start(ctx, rec); err != nil {
				return err
			}
			if n++; n == r.Limit {
				return r.drain(ctx)
			}
		}
		read += int64(len(records))
		if r.Progress != nil {
			r.Progress(read, total)
		}
		if len(records) == 0 {
			return r.drain(ctx)
		}
	}
}

// start runs the plan, and the other one with Against, on one input.
func (r *replay) start(ctx context.Context, kr *kgo.Record) error {
	select {
	case r.sem <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	rec := execution.Record{Topic: kr.Topic, Partition: kr.Partition, Offset: kr.Offset, Timestamp: kr.Timestamp, Key: kr.Key, Value: kr.Value}
	p := pair{rec: rec, id: execution.ID(rec)}
	finish := func() {
		// What waits for its execution needs no input, which holds on to the whole
		// batch of records that it came in.
		p.rec.Key, p.rec.Value = nil, nil
		// It never blocks: there is a place for each run under way.
		r.results <- p
	}
	r.Engine.Start(ctx, r.Plan, rec, func(out execution.Outcome) {
		p.after = out.Value
		if r.Against == nil {
			finish()
			return
		}
		r.Engine.Start(ctx, r.Against, rec, func(out execution.Outcome) {
			p.before = out.Value
			finish()
		})
	})
	return nil
}

// drain waits for the runs under way and closes the results.
func (r *replay) drain(ctx context.Context) error {
	for range window {
		select {
		case r.sem <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	close(r.results)
	return nil
}

// readExecutions reads the executions of the plan.
func (r *replay) readExecutions(ctx context.Context, executions topicrange.Range) error {
	in, err := topicrange.Open(r.Client, executions, !r.aligned)
	if err != nil {
		return err
	}
	defer in.Close()
	for {
		records, err := in.Next(ctx)
		if err != nil {
			return err
		}
		if len(records) == 0 {
			close(r.recorded)
			return nil
		}
		for _, rec := range records {
			if !r.wanted(rec.Key) {
				continue
			}
			id, err := execID(rec.Value)
			if err != nil {
				r.unreadable.Add(1)
				continue
			}
			select {
			case r.recorded <- recorded{rec.Partition, id, rec.Value}:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

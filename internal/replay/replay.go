package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"starplan/plan"
	"starplan/plan/execution"
	"starplan/processor"
)

const (
	// window is how many inputs are run at the same time.
	window = 1024
	// maxWaiting bounds what waits for its counterpart, on each side.
	maxWaiting = 20_000
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
	From, To Bound
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
	// sem bounds the runs under way.
	sem     chan struct{}
	results chan pair
	// recorded brings executions; nil with Against.
	recorded chan recorded
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
	id    string
	value []byte
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
	inputs, executions, err := r.spans(ctx)
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	if opts.Against == nil {
		r.recorded = make(chan recorded, window)
		group.Go(func() error { return r.readExecutions(ctx, executions) })
	}
	group.Go(func() error { return r.runInputs(ctx, inputs) })
	group.Go(func() error { return r.join(ctx) })
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	r.report.Unreadable = r.report.unreadable.Load()
	return r.report, nil
}

// spans finds out what to read. Executions are written after their inputs, so
// those from the time of the earliest input on are enough.
func (r *replay) spans(ctx context.Context) (inputs, executions span, err error) {
	client, err := kgo.NewClient(r.Client...)
	if err != nil {
		return span{}, span{}, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	inputs = span{topic: processor.InputTopic(r.Tenant)}
	executions = span{topic: processor.OutputTopic(r.Tenant)}
	if inputs.from, err = r.From.offsets(ctx, admin, inputs.topic); err != nil {
		return span{}, span{}, fmt.Errorf("from: %s: %w", inputs.topic, err)
	}
	if inputs.to, err = r.To.offsets(ctx, admin, inputs.topic); err != nil {
		return span{}, span{}, fmt.Errorf("to: %s: %w", inputs.topic, err)
	}
	if r.Against != nil {
		return inputs, executions, nil
	}
	since := Bound("oldest")
	if t, err := time.Parse(time.RFC3339, string(r.From)); err == nil {
		since = Bound(t.Add(-clockSkew).Format(time.RFC3339))
	}
	if executions.from, err = since.offsets(ctx, admin, executions.topic); err != nil {
		return span{}, span{}, fmt.Errorf("%s: %w", executions.topic, err)
	}
	executions.to, err = Bound("latest").offsets(ctx, admin, executions.topic)
	return inputs, executions, err
}

// wanted reports whether a record's key names the plan.
func (r *replay) wanted(key []byte) bool {
	k, ok := execution.ParseKey(key)
	return ok && k.Plan == r.Plan.Name && (r.Graph == "" || k.Graph == "" || k.Graph == r.Graph)
}

// runInputs reads the inputs and runs the plan on them.
func (r *replay) runInputs(ctx context.Context, s span) error {
	in, err := newReader(r.Client, s)
	if err != nil {
		return err
	}
	defer in.close()
	read, total := int64(0), s.records()
	for n := 0; ; {
		records, err := in.next(ctx)
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
func (r *replay) readExecutions(ctx context.Context, s span) error {
	in, err := newReader(r.Client, s)
	if err != nil {
		return err
	}
	defer in.close()
	for {
		records, err := in.next(ctx)
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
				r.report.unreadable.Add(1)
				continue
			}
			select {
			case r.recorded <- recorded{id, rec.Value}:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// join brings together what belongs together. It is the only goroutine that
// touches the report's counts.
func (r *replay) join(ctx context.Context) error {
	waiting := make(map[string]pair) // Inputs without their execution.
	executions := newQueue()         // Executions without their input.
	results, stream := r.results, r.recorded
	for results != nil || stream != nil && len(waiting) > 0 {
		// The side that is far ahead waits. Executions that answer inputs outside of
		// what is replayed never find one; when both sides are full, the oldest of
		// those go.
		from, recorded := results, stream
		if len(waiting) >= maxWaiting && stream != nil {
			from = nil
		}
		if executions.len() >= maxWaiting {
			if from == nil {
				executions.drop()
			} else {
				recorded = nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case p, ok := <-from:
			if !ok {
				results = nil
				continue
			}
			<-r.sem
			if r.Against == nil {
				if p.before, ok = executions.take(p.id); !ok {
					waiting[p.id] = p
					continue
				}
			}
			r.report.add(p)
		case e, ok := <-recorded:
			if !ok {
				stream = nil
				continue
			}
			if p, ok := waiting[e.id]; ok {
				delete(waiting, e.id)
				p.before = e.value
				r.report.add(p)
				continue
			}
			executions.put(e)
		}
	}
	for _, p := range waiting {
		r.report.addMissing(p)
	}
	return r.finishReading(ctx, stream)
}

// finishReading lets the reader of executions end where nobody waits for any.
func (r *replay) finishReading(ctx context.Context, stream <-chan recorded) error {
	for stream != nil {
		select {
		case _, ok := <-stream:
			if !ok {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// errNoID is an execution that nothing can be compared with.
var errNoID = errors.New("execution has no exec_id")

// Package load puts PlanInputs on a tenant's input topic, at a rate, in a mixture
// of good ones and of all that can be wrong with a record, and tells the checker of
// each that the broker acknowledged.
//
// The mixture is drawn from a seed: two runs with the same Options produce the same
// keys and values in the same order. Every run is bounded, in count and in time.
package load

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"starplan/bench/check"
	"starplan/proto/planpb"
)

// Plan is the source of a plan that answers these inputs as the checker is told:
// it fails where an input asks for it, and takes its time where an input asks for that.
//
//go:embed plan.star
var Plan string

// Kind is a kind of record.
type Kind int

// The kinds of records.
const (
	// Good is answered SUCCEEDED.
	Good Kind = iota
	// Failing is an input on which the plan fails.
	Failing
	// Slow is a good one on which the plan loops Options.SlowLoops times.
	Slow
	// Undecodable is a value that is no PlanInput; answered FAILED.
	Undecodable
	// Foreign is a key of a plan that is not served here; skipped.
	Foreign
	// Tombstone is a record without a value, or with one of no bytes; skipped.
	Tombstone
	// NoKey is a record without a key, or with one that is no UTF-8; skipped.
	NoKey
	kinds
)

// String is for messages.
func (k Kind) String() string {
	return [...]string{"good", "failing", "slow", "undecodable", "foreign", "tombstone", "no key"}[k]
}

// want is what becomes of a record.
func (k Kind) want() check.Want {
	switch k {
	case Good, Slow:
		return check.Succeeded
	case Failing, Undecodable:
		return check.Failed
	default:
		return check.Unanswered
	}
}

// ForeignPlan is the plan that foreign keys name.
const ForeignPlan = "served_elsewhere"

// Options say what to produce.
type Options struct {
	// Brokers to connect to first.
	Brokers []string
	// Topic to write to; it exists.
	Topic string
	// Plans are the names that keys are made of; at least one.
	Plans []string
	// Graphs is the number of graphs that each plan occurs in: keys are then
	// "{graph}:{plan}" and there are Graphs times Plans of them. 0 means keys that
	// are the plan's name alone.
	Graphs int
	// Count of records, all kinds together; at least 1.
	Count int
	// Rate in records a second; 0 means as fast as the broker takes them.
	Rate float64
	// Timeout bounds the run; 0 means DefaultTimeout.
	Timeout time.Duration
	// Share of Count for kinds other than Good, from 0 to 1 together.
	Share map[Kind]float64
	// SlowLoops is how often a plan loops on a Slow input; see Loops.
	SlowLoops int
	// Seed of the mixture.
	Seed uint64
	// Produced is called for each acknowledged record, by one goroutine at a time;
	// may be nil.
	Produced func(check.Input)
}

// DefaultTimeout bounds a run where Options do not.
const DefaultTimeout = 10 * time.Minute

// Stats are what came of a run.
type Stats struct {
	// Produced is the number of acknowledged records by kind.
	Produced map[Kind]int
	// Elapsed is the time from the first record to the last acknowledgement.
	Elapsed time.Duration
}

// Total is the number of acknowledged records.
func (s Stats) Total() int {
	n := 0
	for _, k := range s.Produced {
		n += k
	}
	return n
}

func (o *Options) validate() error {
	if o.Count < 1 || len(o.Plans) == 0 || o.Topic == "" {
		return fmt.Errorf("load: got count %d, %d plans and topic %q, want at least one of each", o.Count, len(o.Plans), o.Topic)
	}
	sum := 0.0
	for k, s := range o.Share {
		if s < 0 || k <= Good || k >= kinds {
			return fmt.Errorf("load: share of %d: got %v", k, s)
		}
		sum += s
	}
	if sum > 1 {
		return fmt.Errorf("load: shares: got %v together, want at most 1", sum)
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	return nil
}

// Mixture gives the kind of each record in turn. The number of each kind is exact.
func (o *Options) Mixture() []Kind {
	mix := make([]Kind, 0, o.Count)
	for k := Good + 1; k < kinds; k++ {
		for range int(math.Round(o.Share[k] * float64(o.Count))) {
			if len(mix) < o.Count {
				mix = append(mix, k)
			}
		}
	}
	mix = append(mix, make([]Kind, o.Count-len(mix))...) // Good
	r := rand.New(rand.NewPCG(o.Seed, 0))
	r.Shuffle(len(mix), func(i, j int) { mix[i], mix[j] = mix[j], mix[i] })
	return mix
}

// Run produces the records and returns when all are acknowledged. When ctx ends
// it stops early and still waits for those under way, within the bounds of
// Timeout, so that the caller knows of every record that may be on the topic.
func Run(ctx context.Context, opts Options) (Stats, error) {
	if err := opts.validate(); err != nil {
		return Stats{}, err
	}
	// The producer is idempotent, as it is by default: order in a partition is kept
	// and nothing is written twice, also over broken connections.
	client, err := kgo.NewClient(kgo.SeedBrokers(opts.Brokers...), kgo.DefaultProduceTopic(opts.Topic),
		kgo.ProducerLinger(time.Millisecond), kgo.MetadataMinAge(250*time.Millisecond), kgo.DialTimeout(2*time.Second))
	if err != nil {
		return Stats{}, fmt.Errorf("load: %w", err)
	}
	defer client.Close()
	whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), opts.Timeout)
	defer cancel()
	p := &producing{opts: opts, client: client, stats: Stats{Produced: make(map[Kind]int)}}
	start := time.Now()
	p.send(ctx, whole)
	if err := client.Flush(whole); err != nil {
		p.fail(fmt.Errorf("%d records of unknown fate: %w", client.BufferedProduceRecords(), err))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Elapsed = time.Since(start)
	if p.err != nil {
		return p.stats, fmt.Errorf("load: %w", p.err)
	}
	return p.stats, nil
}

type producing struct {
	opts   Options
	client *kgo.Client

	mu    sync.Mutex
	stats Stats
	err   error
}

func (p *producing) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
}

// send hands the records to the client, each when its time has come, until ctx
// or whole ends.
func (p *producing) send(ctx, whole context.Context) {
	draw := rand.New(rand.NewPCG(p.opts.Seed, 1))
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i, kind := range p.opts.Mixture() {
		rec := p.opts.record(i, kind, draw)
		due := time.Duration(0)
		if p.opts.Rate > 0 {
			due = time.Duration(float64(i) / p.opts.Rate * float64(time.Second))
		}
		// Timers are coarse: what is due within a millisecond goes at once.
		if wait := due - time.Since(start); wait > time.Millisecond {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
			case <-whole.Done():
			}
		}
		if ctx.Err() != nil {
			return
		}
		if whole.Err() != nil {
			p.fail(fmt.Errorf("%d of %d records in %v: %w", i, p.opts.Count, p.opts.Timeout, whole.Err()))
			return
		}
		// The record's context is that of the whole run: one that is under way when
		// ctx ends is still delivered.
		p.client.Produce(whole, rec, func(rec *kgo.Record, err error) { p.acknowledged(rec, kind, err) })
	}
}

func (p *producing) acknowledged(rec *kgo.Record, kind Kind, err error) {
	if err != nil {
		p.fail(errors.Join(fmt.Errorf("produce to %s", p.opts.Topic), err))
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Produced[kind]++
	if p.opts.Produced != nil {
		p.opts.Produced(check.Input{Topic: rec.Topic, Partition: rec.Partition, Offset: rec.Offset, Timestamp: rec.Timestamp, Key: rec.Key, Want: kind.want()})
	}
}

// record makes the i-th record.
func (o *Options) record(i int, kind Kind, draw *rand.Rand) *kgo.Record {
	plan := o.Plans[draw.IntN(len(o.Plans))]
	if kind == Foreign {
		plan = ForeignPlan
	}
	graph, key := "", plan
	if o.Graphs > 0 {
		graph = fmt.Sprintf("graph-%d", draw.IntN(o.Graphs))
		key = graph + ":" + plan
	}
	rec := &kgo.Record{Key: []byte(key), Value: o.value(i, kind, graph, plan)}
	switch kind {
	case Undecodable:
		// Field 3 with a length that goes beyond the end.
		rec.Value = []byte{0x1a, 0x7f, 'n', 'o'}
	case Tombstone:
		rec.Value = nil
		if i%2 == 0 {
			rec.Value = []byte{}
		}
	case NoKey:
		rec.Key = nil
		if i%2 == 0 {
			rec.Key = []byte("not\xffutf-8")
		}
	}
	return rec
}

// value is a PlanInput with the results of two tasks.
func (o *Options) value(i int, kind Kind, graph, plan string) []byte {
	id := fmt.Sprintf("ok-%07d", i)
	switch kind {
	case Failing:
		id = fmt.Sprintf("fail-%07d", i)
	case Slow:
		id = fmt.Sprintf("slow-%d-%07d", o.SlowLoops, i)
	}
	in := &planpb.PlanInput{InputId: id, PlanName: plan, GraphId: graph, LifetimeId: "lifetime-1"}
	for task := range 2 {
		in.TaskExecutions = append(in.TaskExecutions, o.task(i, task, graph, plan))
	}
	return must(proto.MarshalOptions{Deterministic: true}.Marshal(in))
}

func (o *Options) task(i, task int, graph, plan string) *planpb.TaskExecution {
	data := must(anypb.New(wrapperspb.String(fmt.Sprintf("result %d of input %d", task, i))))
	return &planpb.TaskExecution{
		Header: &planpb.ExecutionHeader{
			Name: fmt.Sprintf("task-%d", task), ExecId: fmt.Sprintf("%08d-%d", i, task), GraphId: graph, LifetimeId: "lifetime-1",
			Attempt: 1, CreatedAt: "2026-01-02T03:04:05.678Z", Status: planpb.ExecutionStatus_EXECUTION_STATUS_SUCCEEDED,
		},
		ParentPlanName: plan,
		Result:         &planpb.TaskResult{Id: fmt.Sprintf("r-%d", task), Data: &planpb.TaskResult_InlineData{InlineData: data}},
	}
}

// must is for what cannot fail: all strings above are UTF-8.
func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("load: %v", err))
	}
	return v
}

package processor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/internal/carrier"
	"starplan/internal/rights"
	"starplan/internal/sloglimit"
)

// Processor answers the records of one tenant's input topic, as one member of a
// consumer group. It runs once. Its methods are safe for concurrent use.
type Processor struct {
	opts Options
	log  *slog.Logger
	// faults is for what a broker that is away makes clients say over and over;
	// faultLimit holds the most of it back.
	faults     *slog.Logger
	faultLimit *sloglimit.Handler

	input  string
	output string

	// incarnation names this start of the process; transactionalID is made of it.
	incarnation     string
	transactionalID string

	core       *core
	metrics    *metrics
	membership membership
	bridge     *carrier.Bridge

	consumerContact contact
	producerContact contact

	started atomic.Bool
	// maxBytes is max.message.bytes of the output topic, as far as it is known.
	maxBytes atomic.Int64
	// topics are those that the clients began with; nil until they were seen.
	topics atomic.Pointer[map[string]topicState]
	// remade: the input topic was deleted while this process had it. Nothing of what
	// comes under its name was there when the group began.
	remade bool
	// doubt has a token when the topics should be looked at.
	doubt chan struct{}

	// The clients and what goes with them. There is one set at a time: serve makes it,
	// before anything that uses it.
	consumer *kgo.Client
	producer *kgo.Client
	admin    *kadm.Client
	// runs is the context that executions descend from.
	runs context.Context
	// fail ends the set of clients with an error.
	fail context.CancelCauseFunc
	// fetched belongs to the goroutine of the group's callbacks.
	fetched map[int32]commit

	flowMu sync.Mutex
}

// defaultMaxBytes is what a topic takes where nothing else is said.
const defaultMaxBytes = 1 << 20

// New checks opts and makes a Processor. The error names everything that is
// wrong. It contacts nobody.
func New(opts Options) (*Processor, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	p := &Processor{
		opts:   opts,
		log:    opts.Logger,
		input:  InputTopic(opts.Tenant),
		output: OutputTopic(opts.Tenant),
		core:   newCore(),
		doubt:  make(chan struct{}, 1),
		bridge: carrier.NewBridge(opts.Logger),
		fail:   func(error) {},
	}
	p.faultLimit = sloglimit.New(opts.Logger.Handler(), sloglimit.Options{Keys: faultKeys})
	p.faults = slog.New(p.faultLimit)
	p.incarnation = newIncarnation()
	p.transactionalID = rights.TransactionalPrefix(p.opts.Group) + cmp.Or(p.opts.InstanceID, p.incarnation)
	p.maxBytes.Store(defaultMaxBytes)
	m, err := newMetrics(opts.Registerer, newCollector(p.core, p.input), opts.StepLimit)
	if err != nil {
		return nil, fmt.Errorf("processor: metrics: %w", err)
	}
	p.metrics = m
	failed := func() { p.metrics.kafkaErrors.WithLabelValues("connect").Inc() }
	p.consumerContact.failed, p.producerContact.failed = failed, failed
	p.membership.waiting = "not started"
	return p, nil
}

// SetPlans says which plans are loaded. Their series are there from now on, with
// zeroes; those of plans that are gone are deleted, and what still ends of them
// is counted under the empty name.
func (p *Processor) SetPlans(names []string) { p.metrics.setPlans(names) }

// MaxExecutionBytes is the size of the largest PlanExecution that the output
// topic takes, with some room left for a key. It is learned when Run begins.
func (p *Processor) MaxExecutionBytes() int { return p.maxRecord() - overhead - keyRoom }

// keyRoom is left for the key in MaxExecutionBytes. A longer one is allowed for
// when the execution is produced.
const keyRoom = 1024

func (p *Processor) maxRecord() int { return int(p.maxBytes.Load()) }

// pause is d, or less where a test is in a hurry.
func (p *Processor) pause(d time.Duration) time.Duration {
	if hurry := p.opts.lookPause; hurry > 0 {
		return min(d, hurry)
	}
	return d
}

// Run answers records until ctx ends. Then it takes on no more, finishes what is
// in flight within the stop timeout, commits, leaves the group and returns nil.
// While no broker can be reached, or a topic is missing, it keeps trying, and
// log and status say so. It ends of itself, with an error, only for a
// [GroupMismatchError], an [InstanceTakenError] and an [AccessError].
func (p *Processor) Run(ctx context.Context) error {
	if !p.started.CompareAndSwap(false, true) {
		return errors.New("processor: Run: it has been run already")
	}
	defer p.faultLimit.Close()
	defer p.membership.set(func(m *membership) { m.joined, m.stopping, m.waiting = false, false, "stopped" })
	for {
		err := p.serve(ctx)
		if ctx.Err() != nil {
			return nil
		}
		var gone *topicGoneError
		if !errors.As(err, &gone) {
			return err
		}
		if gone.topic == p.input {
			p.remade = true
		}
		p.kafkaError("topic", "beginning anew: what was in flight is dropped, and executed again where its input is still there", err)
	}
}

// serve answers records with one set of clients. It ends with ctx, or for a
// reason, which is its error.
func (p *Processor) serve(ctx context.Context) error {
	run, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	p.fail = fail
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	p.runs = hard
	p.membership.set(func(m *membership) { m.joined = false })

	if err := p.openProducer(); err != nil {
		return err
	}
	defer p.closeProducer()
	if err := p.probe(run); err != nil {
		return err
	}
	c := &committer{Processor: p}
	defer c.closeTransactions()
	if p.opts.Delivery == ExactlyOnce {
		if err := c.prove(run); err != nil {
			return err
		}
	}
	if err := p.openConsumer(); err != nil {
		return err
	}
	var background sync.WaitGroup
	background.Go(func() { p.runGoka(hard) })
	background.Go(func() { c.run(hard) })
	background.Go(func() { p.watchBounds(run) })
	background.Go(func() { p.watchTopics(run) })
	background.Go(func() { p.watchStall(run) })
	p.poll(run)
	if ctx.Err() != nil {
		p.membership.set(func(m *membership) { m.stopping = true })
		p.drain(hard)
	}
	p.closeConsumer()
	p.core.clear()
	cancel()
	// A batch that the broker does not acknowledge holds up the committer.
	p.closeProducer()
	background.Wait()
	return context.Cause(run)
}

// drain waits, within the stop timeout, until what runs is answered and committed.
func (p *Processor) drain(ctx context.Context) {
	p.core.freeze(nil)
	ctx, cancel := context.WithTimeout(ctx, max(p.opts.StopTimeout, 0))
	defer cancel()
	p.core.wakeCommitter()
	if !p.core.wait(ctx, func() bool { return p.core.quiet(nil, true) }) {
		s := p.core.stats(time.Now())
		p.log.Warn("stopping with records in flight; they will be answered by the next owner of their partitions",
			"running", s.running, "waited", p.opts.StopTimeout)
	}
}

// quiet reports, under the mutex, that the committer has nothing to do for the
// partitions, all where numbers is nil; with runs, that nothing runs either.
func (c *core) quiet(numbers []int32, runs bool) bool {
	if c.cycling {
		return false
	}
	for n, p := range c.parts {
		if p.books == nil || numbers != nil && !contains(numbers, n) {
			continue
		}
		if p.books.Released() > 0 || p.dirty || runs && p.books.Running() > 0 {
			return false
		}
	}
	return true
}

package processor

import (
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

	started  atomic.Bool
	consumer *kgo.Client // set by Run before what uses it
	producer *kgo.Client
	admin    *kadm.Client
	// maxBytes is max.message.bytes of the output topic, as far as it is known.
	maxBytes atomic.Int64
	topicID  atomic.Pointer[kadm.TopicID]
	// runs is the context that executions descend from.
	runs context.Context
	// fail ends Run with an error.
	fail context.CancelCauseFunc

	// fetched belongs to the goroutine of the group's callbacks.
	fetched map[int32]commit

	flowMu sync.Mutex
	closed sync.Once // guards the producer
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
		bridge: carrier.NewBridge(opts.Logger),
		fail:   func(error) {},
	}
	p.faultLimit = sloglimit.New(opts.Logger.Handler(), sloglimit.Options{Keys: faultKeys})
	p.faults = slog.New(p.faultLimit)
	p.incarnation = newIncarnation()
	p.transactionalID = rights.TransactionalPrefix(p.opts.Group) + p.incarnation
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

func (p *Processor) inputID() [16]byte {
	if id := p.topicID.Load(); id != nil {
		return *id
	}
	return [16]byte{}
}

// Run answers records until ctx ends. Then it takes on no more, finishes what is
// in flight within the stop timeout, commits, leaves the group and returns nil.
// While no broker can be reached, or a topic is missing, it keeps trying, and
// log and status say so. It ends of itself, with an error, only for a
// [GroupMismatchError] and an [AccessError].
func (p *Processor) Run(ctx context.Context) error {
	if !p.started.CompareAndSwap(false, true) {
		return errors.New("processor: Run: it has been run already")
	}
	defer p.faultLimit.Close()
	run, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	p.fail = fail
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	p.runs = hard
	defer p.membership.set(func(m *membership) { m.joined, m.stopping, m.waiting = false, false, "stopped" })

	if err := p.openProducer(); err != nil {
		return err
	}
	defer p.closeProducer()
	if err := p.probe(run); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	c := &committer{Processor: p}
	defer c.closeTransactions()
	if p.opts.Delivery == ExactlyOnce {
		if err := c.prove(run); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
	if err := p.openConsumer(); err != nil {
		return err
	}
	var background sync.WaitGroup
	background.Go(func() { p.runGoka(hard) })
	background.Go(func() { c.run(hard) })
	background.Go(func() { p.watchEnds(run) })
	p.poll(run)
	err := context.Cause(run)
	if ctx.Err() != nil {
		err = nil
	}
	p.membership.set(func(m *membership) { m.stopping = true })
	if err == nil {
		p.drain(hard)
	}
	p.closeConsumer()
	p.core.kill(nil)
	cancel()
	// A batch that the broker does not acknowledge holds up the committer.
	p.closeProducer()
	background.Wait()
	return err
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

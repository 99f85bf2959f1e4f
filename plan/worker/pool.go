package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"starplan/plan"
	"starplan/plan/execution"
)

// Options configure a Pool.
type Options struct {
	// Tenant is the tenant_id of all executions.
	Tenant string
	// Limits bound each execution; zero fields mean the defaults of package plan.
	Limits plan.Limits
	// Workers is how many records run at a time, those not counted that have run
	// for long; 0 means GOMAXPROCS.
	Workers int
	// RequireSandbox makes NewPool fail where a protection is missing.
	RequireSandbox bool
	// Logger gets what operators should know; nil discards it.
	Logger *slog.Logger
	// Registerer gets the pool's metrics; nil registers none. A pool unregisters
	// them when it closes.
	Registerer prometheus.Registerer

	// env is added to a worker's environment, for tests.
	env []string
	// silence is how long a worker may keep quiet before it begins a record that
	// it was given; 0 means defaultSilence.
	silence time.Duration
}

// complete fills what is zero with its default.
func (o *Options) complete() error {
	if o.Workers < 0 {
		return fmt.Errorf("option Workers: want 0 or more, got %d", o.Workers)
	}
	o.Workers = cmp.Or(o.Workers, runtime.GOMAXPROCS(0))
	o.silence = cmp.Or(o.silence, defaultSilence)
	lim := &o.Limits
	lim.Timeout = cmp.Or(lim.Timeout, plan.DefaultTimeout)
	lim.MaxSteps = cmp.Or(lim.MaxSteps, plan.DefaultMaxSteps)
	lim.MaxMemory = cmp.Or(lim.MaxMemory, plan.DefaultMaxMemory)
	lim.MaxExecution = cmp.Or(lim.MaxExecution, plan.DefaultMaxExecution)
	if lim.Timeout < 0 || lim.MaxMemory < 0 || lim.MaxExecution < 0 {
		return fmt.Errorf("option Limits: want no negative ones, got %+v", *lim)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// hello is what workers are told first.
func (o *Options) hello() hello {
	return hello{version: version(), tenant: o.Tenant, limits: o.Limits}
}

// answerLimit caps a frame from a worker, beside what the record itself may
// bring back into its execution.
func (o *Options) answerLimit() int { return o.Limits.MaxExecution + roomInAnswer }

// sandboxed tells why workers with these protections may not be used.
func (o *Options) sandboxed(p Protections) error {
	if !o.RequireSandbox || p.Complete() {
		return nil
	}
	return fmt.Errorf("sandbox is required and not complete: %s; in force: %s", strings.Join(p.Missing, "; "), p)
}

const (
	// window is how many records a worker has at hand at most.
	window = 64
	// windowWork is how much work that is, by the estimate of the plans' runs. A
	// record beyond it waits in the pool, where any worker can take it.
	windowWork = 2 * time.Millisecond
	// windowBytes is how many bytes of records that is, unless it is one record.
	windowBytes = 512 << 10
	// quickRun is the estimate up to which a plan's records may share a worker's
	// window with others, and use the last free worker.
	quickRun = 10 * time.Millisecond
	// stuckAfter is how long a record runs before those behind it are given to
	// other workers.
	stuckAfter = 5 * time.Millisecond
	// probeSlice is how much processor time a record may take to show that its plan
	// is quick, where there is no room for it otherwise, and maxProbe how much time.
	probeSlice = 2 * quickRun
	maxProbe   = 300 * time.Millisecond
	// slowAfter is how long a record runs before its worker stops counting against
	// Options.Workers.
	slowAfter = 100 * time.Millisecond
	// maxSlow is how many workers may be so in all, maxSlowPlan for one plan.
	maxSlow     = 16
	maxSlowPlan = maxSlow / 2
	// idleAfter is how long a worker that is not needed is kept.
	idleAfter = 30 * time.Second
	// defaultSilence is far beyond what an overloaded machine delays a worker by.
	defaultSilence = 10 * time.Second
	// maxLoad bounds the wall clock of loading a plan.
	maxLoad = 10 * time.Second
)

// ErrClosed is the error of using a pool that is closed.
var ErrClosed = errors.New("worker pool is closed")

// Pool runs plans in worker processes. It implements [plan.Engine] and is safe
// for concurrent use.
type Pool struct {
	opts   Options
	log    *slog.Logger
	hello  hello
	ctx    context.Context // Ends when the pool closes.
	cancel context.CancelFunc
	wg     sync.WaitGroup // All goroutines.
	solo   chan struct{}  // Holds a token for each worker that runs one record alone.
	wake   chan struct{}  // Of capacity 1: the watch must look again.

	unregister func()

	mu          sync.Mutex
	closed      bool
	protections Protections
	workers     []*worker
	starting    int
	failures    int       // To start a worker, in a row.
	startAfter  time.Time // No start before.
	startErr    error
	plans       map[planKey]*planState
	active      []*planState // Those with records in their queue.
	order       uint64       // Of the last record that came in.
	seq         uint64       // Of the last frame.
	sawQuick    bool         // A plan was known to be quick at some time.
	slow        int          // Workers that do not count against Options.Workers.
	nextTick    time.Time    // When the watch looks next; zero when only woken.
	alone       map[*process]struct{}
	deadCPU     time.Duration
	restarts    map[reason]uint64
}

// NewPool starts a pool and Options.Workers workers. It fails where none can be
// started, or where RequireSandbox is set and a protection is missing, naming it.
// ctx bounds the start only; the pool runs until Close.
func NewPool(ctx context.Context, opts Options) (*Pool, error) {
	if err := opts.complete(); err != nil {
		return nil, fmt.Errorf("worker pool: %w", err)
	}
	p := &Pool{
		opts:     opts,
		log:      opts.Logger,
		hello:    opts.hello(),
		solo:     make(chan struct{}, max(2, opts.Workers)),
		wake:     make(chan struct{}, 1),
		plans:    make(map[planKey]*planState),
		alone:    make(map[*process]struct{}),
		restarts: make(map[reason]uint64),
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if err := p.open(ctx); err != nil {
		p.shut()
		return nil, fmt.Errorf("worker pool: %w", err)
	}
	return p, nil
}

// open starts the first workers and the watch.
func (p *Pool) open(ctx context.Context) error {
	for range p.opts.Workers {
		proc, err := start(ctx, p.hello, p.opts.env, p.opts.answerLimit())
		if err != nil {
			return err
		}
		p.mu.Lock()
		p.protections = proc.protections
		p.adopt(proc, time.Now())
		p.mu.Unlock()
	}
	if err := p.opts.sandboxed(p.protections); err != nil {
		return err
	}
	unregister, err := p.register()
	if err != nil {
		return err
	}
	p.unregister = unregister
	p.wg.Go(p.watch)
	p.log.Info("plan workers started", "workers", p.opts.Workers, "protections", p.protections.String())
	for _, missing := range p.protections.Missing {
		p.log.Warn("plan workers lack a protection", "missing", missing)
	}
	return nil
}

// Sandbox is what the workers have applied to themselves.
func (p *Pool) Sandbox() Protections {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.protections
}

// Close kills all workers and waits until they and all goroutines of the pool
// have ended, or ctx has. Records that are not answered yet stay unanswered:
// their done is not called.
func (p *Pool) Close(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		p.shut()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close worker pool: %w", ctx.Err())
	}
}

func (p *Pool) shut() {
	p.mu.Lock()
	p.closed = true
	for _, w := range p.workers {
		w.kill(reasonRetired)
	}
	unregister := p.unregister
	p.unregister = nil
	p.mu.Unlock()
	p.cancel()
	p.wg.Wait()
	if unregister != nil {
		unregister()
	}
}

// Start implements [plan.Engine]. done is called from a goroutine that serves a
// worker, and must not block: no more of that worker's answers are taken until it
// returns. Nothing happens once the pool is closed.
func (p *Pool) Start(ctx context.Context, src *plan.Source, rec execution.Record, done func(execution.Outcome)) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.order++
	p.enqueue(&job{ctx: ctx, plan: p.stateOf(src, now), rec: rec, done: done, order: p.order})
	p.dispatch(now)
}

package plan

import (
	"context"
	"errors"
	"runtime"
	"sync"

	"starplan/plan/execution"
)

// maxCached bounds the programs that an InProcess keeps compiled.
const maxCached = 1024

// InProcess is an [Engine] without isolation: plans run in goroutines of this
// process, as many at once as there are CPUs. It enforces the limits of steps and
// of execution size, but neither wall clock nor memory, so a hostile plan can
// take the process with it. It is for tests, for plans that are one's own, and as
// the baseline that the worker is measured against.
type InProcess struct {
	tenant string
	limits Limits
	slots  chan struct{}

	mu       sync.Mutex
	programs map[programKey]*compiled
}

// programKey identifies a compiled plan. The label is part of it, since two plans
// may have the same text.
type programKey struct{ label, digest string }

// compiled is a plan that is compiled once, by whoever needs it first.
type compiled struct {
	once sync.Once
	prog *Program
	err  error
}

var _ Engine = (*InProcess)(nil)

// NewInProcess makes an engine that answers for tenant. Zero limits mean their
// defaults.
func NewInProcess(tenant string, limits Limits) *InProcess {
	return &InProcess{
		tenant:   tenant,
		limits:   limits.withDefaults(),
		slots:    make(chan struct{}, runtime.GOMAXPROCS(0)),
		programs: make(map[programKey]*compiled),
	}
}

// Load compiles src. It does not observe ctx while the top level runs.
func (e *InProcess) Load(ctx context.Context, src *Source) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := e.program(src)
	return err
}

// Start implements [Engine]. It does not observe ctx once plan() runs.
func (e *InProcess) Start(ctx context.Context, src *Source, rec execution.Record, done func(execution.Outcome)) {
	go func() {
		select {
		case e.slots <- struct{}{}:
			defer func() { <-e.slots }()
		case <-ctx.Done():
			return
		}
		prog, err := e.program(src)
		if err != nil {
			done(LoadFailure(e.tenant, rec, err))
			return
		}
		done(prog.Run(e.tenant, rec))
	}()
}

// program compiles src, or gives what an earlier call compiled.
func (e *InProcess) program(src *Source) (*Program, error) {
	key := programKey{src.Label(), src.Digest}
	e.mu.Lock()
	c := e.programs[key]
	if c == nil {
		if len(e.programs) >= maxCached {
			clear(e.programs)
		}
		c = new(compiled)
		e.programs[key] = c
	}
	e.mu.Unlock()
	c.once.Do(func() { c.prog, c.err = Compile(src, e.limits) })
	return c.prog, c.err
}

// LoadFailure answers a record whose plan cannot be loaded. err is what Compile,
// ReadFile or Engine.Load gave.
func LoadFailure(tenant string, rec execution.Record, err error) execution.Outcome {
	out := execution.Fail(tenant, rec, execution.ReasonLoad, "Plan could not be loaded: "+err.Error())
	var fault *LoadError
	if errors.As(err, &fault) && out.Reason == execution.ReasonLoad {
		out.Position = fault.Position()
		out.Backtrace = fault.Backtrace
	}
	return out
}

package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"starplan/plan"
)

// The codes of a *plan.LoadError that a plan's worker tells of, beside those that
// compiling tells of.
const (
	codeMemory  = "limit-memory"
	codeTimeout = "limit-time"
	codeCrash   = "worker-crash"
)

// Load implements [plan.Engine]: it compiles the plan and runs its top level in a
// fresh worker, in min(Limits.Timeout, 10 s) and Limits.MaxMemory. A plan that
// runs out of either, or crashes its worker twice, has a fault too.
func (p *Pool) Load(ctx context.Context, src *plan.Source) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return ErrClosed
	}
	p.wg.Add(1)
	p.mu.Unlock()
	defer p.wg.Done()

	limit := min(p.opts.Limits.Timeout, maxLoad)
	var dead *deathError
	for range 2 {
		err := p.check(ctx, src, limit)
		if !errors.As(err, &dead) {
			return err
		}
		p.count(dead.reason)
	}
	fault := &plan.LoadError{Code: codeCrash, File: src.Entry, Message: "the plan crashed its worker while it was loaded: " + dead.cause}
	if dead.reason == reasonMemory {
		fault = &plan.LoadError{
			Code: codeMemory, File: src.Entry,
			Message: ranOut(p.opts.Limits.MaxMemory) + " while the plan was loaded; do less at the top level, or raise PLAN_MAX_MEMORY",
		}
	}
	return fault
}

// check loads a plan once. The error is a *deathError where the worker died.
func (p *Pool) check(ctx context.Context, src *plan.Source, limit time.Duration) error {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	stop := context.AfterFunc(p.ctx, cancel)
	defer stop()
	reply, err := p.runAlone(bounded, src, func(e *encoder) { e.check(1, 1) }, kindChecked, 0)
	switch {
	case err == nil:
		_, fault, err := decodeChecked(reply)
		if err != nil {
			return &deathError{reason: reasonProtocol, cause: err.Error()}
		}
		if fault != nil {
			return fault
		}
		return nil
	case p.ctx.Err() != nil:
		return ErrClosed
	case ctx.Err() != nil:
		return fmt.Errorf("load plan %q: %w", src.Label(), ctx.Err())
	case bounded.Err() != nil:
		p.count(reasonTimeout)
		return &plan.LoadError{
			Code: codeTimeout, File: src.Entry,
			Message: fmt.Sprintf("loading takes longer than %v; do less at the top level", limit),
		}
	default:
		var dead *deathError
		if errors.As(err, &dead) {
			return dead
		}
		return fmt.Errorf("load plan %q: %w", src.Label(), err)
	}
}

// maxKilled is how many workers may be killed from outside over one thing they
// were alone with. A plan cannot send signals, so it is not to blame; but nor may
// what somebody hunts be tried for ever.
const maxKilled = 4

// runAlone starts a worker, loads a plan, asks one thing, and gives the payload
// of the reply, a frame of kind want. The worker does not outlive the call; when
// ctx ends it is killed. extra is how large the reply may be beyond an execution.
// Where the worker is killed from outside, another one is asked.
// The error is a *deathError where the worker was started and gave no reply.
func (p *Pool) runAlone(ctx context.Context, src *plan.Source, ask func(*encoder), want kind, extra int) ([]byte, error) {
	for killed := 1; ; killed++ {
		reply, err := p.runOnce(ctx, src, ask, want, extra)
		var dead *deathError
		if !errors.As(err, &dead) || !dead.outside || killed == maxKilled || ctx.Err() != nil {
			return reply, err
		}
		p.count(dead.reason)
		p.log.Warn("plan worker ended", "reason", string(dead.reason), "cause", dead.cause, "plan", src.Label())
	}
}

// runOnce is runAlone in one worker.
func (p *Pool) runOnce(ctx context.Context, src *plan.Source, ask func(*encoder), want kind, extra int) ([]byte, error) {
	proc, err := start(ctx, p.hello, p.opts.env, p.opts.answerLimit()+extra)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.alone[proc] = struct{}{}
	p.mu.Unlock()
	stop := context.AfterFunc(ctx, proc.kill)
	var e encoder
	e.load(1, src)
	ask(&e)
	// A write that fails says that the process has ended, which reading finds too.
	_, _ = proc.stdin.Write(e.buf)
	var quiet atomic.Bool
	silence := time.AfterFunc(p.opts.silence, func() {
		quiet.Store(true)
		proc.kill()
	})
	reply, fault := awaitReply(proc.frames, want, silence)
	silence.Stop()
	stop()
	proc.kill()
	d := proc.wait()
	p.mu.Lock()
	delete(p.alone, proc)
	p.deadCPU += d.cpu
	p.mu.Unlock()
	if fault != nil {
		r := judge(fault, d)
		if quiet.Load() {
			r = reasonProtocol
		}
		return nil, &deathError{r, causeOf(r, fault, d), d.outside() && !quiet.Load()}
	}
	return reply, nil
}

// awaitReply reads up to the one frame that is wanted. Its number must be 1. The
// worker's announcement that it begins stops the timer of silence.
func awaitReply(frames *splitter, want kind, silence *time.Timer) ([]byte, error) {
	for {
		k, payload, err := frames.next()
		switch {
		case err != nil:
			return nil, err
		case k == want:
			if d := (decoder{b: payload}); d.uint() != 1 {
				return nil, &frameError{"reply to something that was not asked"}
			}
			return slices.Clone(payload), nil
		case k == kindBegin:
			silence.Stop()
		default:
			return nil, &frameError{fmt.Sprintf("unexpected kind %q", byte(k))}
		}
	}
}

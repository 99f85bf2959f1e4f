package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"starplan/plan"
	"starplan/plan/execution"
	"starplan/plan/inspect"
)

// Inspector looks into runs of plans, one after the other, in a worker that is kept
// from one to the next. That is confined as those of a [Pool] are. It is for one
// goroutine at a time.
type Inspector struct {
	opts Options
	proc *process // Nil while none runs.
	src  *plan.Source
	seq  uint64 // Of the last request; the plan in the worker has the number of the request that brought it.
	id   uint64
}

// StoppedError says that a run did not end while it was looked into.
type StoppedError struct{ Message string }

func (e *StoppedError) Error() string { return e.Message }

// NewInspector makes an Inspector, which starts no worker yet. Of the options
// Tenant, Limits and RequireSandbox count.
func NewInspector(opts Options) (*Inspector, error) {
	if err := opts.complete(); err != nil {
		return nil, fmt.Errorf("inspector: %w", err)
	}
	return &Inspector{opts: opts}, nil
}

// Inspect runs src on rec and calls seen with what it sees, while the run goes on.
// The error is a *plan.LoadError where the plan does not load, and a *StoppedError
// where the run ended by wall clock, memory or crash; what was seen until then has
// been told.
func (i *Inspector) Inspect(ctx context.Context, src *plan.Source, rec execution.Record, what inspect.Options, seen func(inspect.Event)) error {
	var e encoder
	if err := i.ready(ctx, src, &e); err != nil {
		return fmt.Errorf("inspect plan %q: %w", src.Label(), err)
	}
	i.seq++
	e.inspect(i.seq, i.id, what, rec)
	runs := time.Duration(1)
	if what.Locals {
		runs++
	}
	bounded, cancel := context.WithTimeout(ctx, runs*i.opts.Limits.Timeout)
	defer cancel()
	proc := i.proc
	stop := context.AfterFunc(bounded, proc.kill)
	defer stop()
	// A write that fails says that the process has ended, which reading finds too.
	_, _ = proc.stdin.Write(e.buf)
	fault, err := i.await(proc.frames, seen)
	switch {
	case err == nil && fault != nil:
		return fault
	case err == nil:
		return nil
	}
	d := i.end()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case bounded.Err() != nil:
		return &StoppedError{timedOut(i.opts.Limits.Timeout)}
	}
	r := judge(err, d)
	if r == reasonMemory {
		return &StoppedError{"Execution " + ranOut(i.opts.Limits.MaxMemory)}
	}
	return &StoppedError{"Execution crashed its worker: " + causeOf(r, err, d)}
}

// ready sees to it that there is a worker, and writes what it lacks of the plan.
func (i *Inspector) ready(ctx context.Context, src *plan.Source, e *encoder) error {
	if i.proc == nil {
		proc, err := start(ctx, i.opts.hello(), i.opts.env, i.opts.answerLimit())
		if err != nil {
			return err
		}
		i.proc, i.src = proc, nil
		if err := i.opts.sandboxed(proc.protections); err != nil {
			i.Close()
			return err
		}
	}
	if i.src == src {
		return nil
	}
	if i.src != nil {
		e.number(kindDrop, i.id)
	}
	i.seq++
	i.src, i.id = src, i.seq
	e.load(i.id, src)
	return nil
}

// await reads up to the end of a run. The error is one of reading.
func (i *Inspector) await(frames *splitter, seen func(inspect.Event)) (*plan.LoadError, error) {
	for {
		k, payload, err := frames.next()
		if err != nil {
			return nil, err
		}
		var seq uint64
		var event inspect.Event
		var fault *plan.LoadError
		switch k {
		case kindBegin:
			seq, err = decodeNumber(k, payload)
		case kindSeen:
			seq, event, err = decodeSeen(payload)
		case kindChecked:
			seq, fault, err = decodeChecked(payload)
		default:
			err = fmt.Errorf("unexpected kind %q", byte(k))
		}
		if err == nil && seq != i.seq {
			err = errors.New("reply to something that was not asked")
		}
		if err != nil {
			return nil, &frameError{err.Error()}
		}
		switch k {
		case kindSeen:
			seen(event)
		case kindChecked:
			return fault, nil
		}
	}
}

// end ends the worker and tells how it ended.
func (i *Inspector) end() death {
	i.proc.kill()
	d := i.proc.wait()
	i.proc, i.src = nil, nil
	return d
}

// Close ends the worker, if there is one. The Inspector may be used again.
func (i *Inspector) Close() {
	if i.proc != nil {
		i.end()
	}
}

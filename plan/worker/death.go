package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"starplan/plan/execution"
)

// maxDeaths is how many workers may die with a record at hand that they had not
// announced, before the record is suspected itself.
const maxDeaths = 3

// bury takes a worker that has ended off the books. What it was running gets a
// verdict or another try, what was behind that is run again elsewhere. fault is
// why its frames were not read further.
func (p *Pool) bury(w *worker, fault error, d death) {
	now := time.Now()
	p.mu.Lock()
	p.workers = slices.DeleteFunc(p.workers, func(x *worker) bool { return x == w })
	p.deadCPU += d.cpu
	if p.closed {
		p.mu.Unlock()
		return
	}
	r := w.ending
	if r == "" {
		r = judge(fault, d)
	}
	if r != reasonRetired {
		p.restarts[r]++
	}
	culprit := p.clear(w, r)
	p.refill(now)
	p.dispatch(now)
	p.mu.Unlock()
	switch {
	case culprit == nil && (r == reasonRetired || r == reasonAbandoned || r == reasonPreempted):
	case culprit == nil:
		p.log.Warn("plan worker ended", "reason", string(r), "cause", causeOf(r, fault, d))
	default:
		p.blame(culprit, r, causeOf(r, fault, d), now)
	}
}

// judge tells deaths apart that the pool did not cause.
func judge(fault error, d death) reason {
	switch {
	case errors.Is(fault, errFrame):
		return reasonProtocol
	case d.outOfMemory():
		return reasonMemory
	default:
		return reasonCrash
	}
}

// causeOf describes a death for messages and the log.
func causeOf(r reason, fault error, d death) string {
	switch {
	case r == reasonProtocol && fault != nil && errors.Is(fault, errFrame):
		return fault.Error()
	case r == reasonProtocol:
		return "it did not begin its record"
	default:
		return d.cause()
	}
}

// clear empties a dead worker's books. It gives the job that the death is blamed
// on, nil where there is none. The pool is locked.
func (p *Pool) clear(w *worker, r reason) (culprit *job) {
	for first := true; w.count() > 0; first = false {
		e := w.pop()
		if first && e.begun {
			p.finished(w, e.job.plan)
			switch {
			case e.job.dead():
			case r == reasonPreempted:
				e.job.begun = time.Time{}
				p.enqueue(e.job)
			default:
				culprit = e.job
			}
			continue
		}
		if e.job.dead() || e.job.queued {
			continue
		}
		if r == reasonMemory || r == reasonCrash || r == reasonProtocol {
			e.job.careful = true
			e.job.deaths++
			if e.job.deaths >= maxDeaths && culprit == nil {
				culprit = e.job
				continue
			}
		}
		if e.recall == 0 {
			p.enqueue(e.job)
		}
	}
	return culprit
}

// expire answers a record whose time is up. Nobody waits until its worker has
// really ended, which may take a moment when that has a lot of memory to give back.
func (p *Pool) expire(j *job, now time.Time) {
	p.mu.Lock()
	begun := j.begun
	p.mu.Unlock()
	p.log.Warn("plan ended its worker", j.attrs(reasonTimeout, "killed at its deadline")...)
	p.conclude(j, p.verdict(j, reasonTimeout, "", now.Sub(begun)))
}

// blame gives the record that a worker has died of a second try.
func (p *Pool) blame(j *job, r reason, cause string, now time.Time) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	if j.begun.IsZero() {
		j.begun = now
	}
	begun := j.begun
	pause := j.plan.killed(now)
	j.plan.inflight++
	p.wg.Go(func() { p.retry(j, r, cause, begun) })
	p.mu.Unlock()
	attrs := j.attrs(r, cause)
	if pause > 0 {
		attrs = append(attrs, "back_off", pause.String())
	}
	p.log.Warn("plan ended its worker", attrs...)
}

// attrs are the coordinates of a record and what became of its worker, for the log.
func (j *job) attrs(r reason, cause string) []any {
	return []any{
		"reason", string(r), "cause", cause, "plan", j.plan.src.Label(),
		"topic", j.rec.Topic, "partition", j.rec.Partition, "offset", j.rec.Offset,
	}
}

// verdict is the FAILED execution of a record that ended its worker.
func (p *Pool) verdict(j *job, r reason, cause string, ran time.Duration) execution.Outcome {
	var out execution.Outcome
	switch r {
	case reasonTimeout:
		out = execution.Fail(p.opts.Tenant, j.rec, execution.ReasonTimeout, timedOut(p.opts.Limits.Timeout))
	case reasonMemory:
		out = execution.Fail(p.opts.Tenant, j.rec, execution.ReasonMemory, "Execution "+ranOut(p.opts.Limits.MaxMemory))
	default:
		out = execution.Fail(p.opts.Tenant, j.rec, execution.ReasonCrash, "Execution crashed its worker: "+cause)
	}
	out.Plan, out.Digest, out.Duration = j.plan.src.Label(), j.plan.src.Digest, ran
	return out
}

func timedOut(limit time.Duration) string {
	return "Execution timed out after " + strconv.FormatFloat(limit.Seconds(), 'f', -1, 64) + " seconds"
}

func ranOut(limit int64) string {
	return "ran out of memory: limit of " + strconv.FormatFloat(float64(limit)/(1<<20), 'f', -1, 64) + " MiB"
}

// conclude hands an outcome to the one who waits for it, unless he has one or
// does not wait any more.
func (p *Pool) conclude(j *job, out execution.Outcome) {
	p.mu.Lock()
	dead := j.dead() || p.closed
	j.answered = true
	p.mu.Unlock()
	if !dead {
		j.done(out)
	}
}

// retry runs a record alone in a fresh worker, within what is left of its time.
// A worker that died of a neighbour is so forgiven; what dies again by itself has
// shown that it is at fault.
func (p *Pool) retry(j *job, first reason, firstCause string, begun time.Time) {
	deadline := begun.Add(p.opts.Limits.Timeout)
	ctx, cancel := context.WithDeadline(p.ctx, deadline)
	defer cancel()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		j.plan.inflight--
		p.dispatch(time.Now())
	}()
	expired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(expired)
		if p.ctx.Err() == nil {
			p.conclude(j, p.verdict(j, reasonTimeout, "", time.Since(begun)))
		}
	})
	defer func() {
		if !stop() {
			<-expired
		}
	}()
	select {
	case p.solo <- struct{}{}:
		defer func() { <-p.solo }()
	case <-ctx.Done():
		return
	}
	if j.ctx.Err() != nil {
		return
	}
	reply, err := p.runAlone(ctx, j.plan.src, func(e *encoder) { e.run(1, 1, true, j.rec) }, kindAnswer, j.size())
	var dead *deathError
	switch {
	case err == nil:
		_, out, work, err := decodeAnswer(reply)
		if err != nil {
			p.conclude(j, p.verdict(j, reasonProtocol, err.Error(), time.Since(begun)))
			return
		}
		p.mu.Lock()
		deliver := p.settle(j, &out, work)
		p.mu.Unlock()
		if deliver {
			j.done(out)
		}
	case p.ctx.Err() != nil:
	case ctx.Err() != nil:
		p.count(reasonTimeout)
	case errors.As(err, &dead):
		p.count(dead.reason)
		p.mu.Lock()
		j.plan.killed(time.Now())
		p.mu.Unlock()
		p.conclude(j, p.verdict(j, dead.reason, dead.cause, time.Since(begun)))
	default:
		// No second worker could be started: the first verdict stands.
		p.log.Error("plan worker cannot be started", "error", err)
		p.conclude(j, p.verdict(j, first, firstCause, time.Since(begun)))
	}
}

func (p *Pool) count(r reason) {
	p.mu.Lock()
	p.restarts[r]++
	p.mu.Unlock()
}

// deathError is the end of a worker that was to do one thing.
type deathError struct {
	reason  reason
	cause   string
	outside bool // It was killed by somebody else than the pool and the kernel.
}

func (e *deathError) Error() string { return fmt.Sprintf("worker died: %s: %s", e.reason, e.cause) }

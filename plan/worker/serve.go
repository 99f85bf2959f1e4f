package worker

import (
	"fmt"
	"time"

	"starplan/plan/execution"
)

// event is a decoded frame from a worker.
type event struct {
	kind kind
	seq  uint64
	out  execution.Outcome // Of an answer, as is work, its processor time.
	work time.Duration
	job  *job // That is to be told of it; nil where nobody waits.
}

// adopt takes a process that is ready into the pool. The pool is locked.
func (p *Pool) adopt(proc *process, now time.Time) {
	w := newWorker(proc, now)
	p.workers = append(p.workers, w)
	p.wg.Go(func() { p.writeLoop(w) })
	p.wg.Go(func() {
		err := p.readLoop(w)
		w.proc.kill()
		d := w.proc.wait()
		close(w.gone)
		p.bury(w, err, d)
	})
}

// maxStarting is how many workers start at the same time.
const maxStarting = 2

// startOne starts a worker in the background, unless enough are on their way or
// the last ones failed to start a moment ago. The pool is locked.
func (p *Pool) startOne(now time.Time) {
	if p.closed || p.starting >= maxStarting {
		return
	}
	if now.Before(p.startAfter) {
		p.wakeBy(p.startAfter)
		return
	}
	p.starting++
	p.wg.Go(func() {
		proc, err := start(p.ctx, p.hello, p.opts.env, p.opts.answerLimit())
		now := time.Now()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.starting--
		p.startErr = err
		switch {
		case err == nil && p.closed:
			p.adopt(proc, now)
			p.workers[len(p.workers)-1].kill(reasonRetired)
		case err == nil:
			p.failures = 0
			p.adopt(proc, now)
			p.refill(now)
			p.dispatch(now)
		case !p.closed:
			p.failures++
			p.startAfter = now.Add(min(backOffMin<<min(p.failures, 20), backOffMax))
			p.log.Error("plan worker cannot be started", "error", err, "failures", p.failures, "retry_in", p.startAfter.Sub(now).String())
			p.wakeBy(p.startAfter)
		}
	})
}

// refill starts a worker where there are fewer than Options.Workers that take
// records. The pool is locked.
func (p *Pool) refill(now time.Time) {
	c := p.census()
	if c.idle+c.quick+c.other < p.opts.Workers {
		p.startOne(now)
	}
}

// readLoop takes in a worker's frames until its pipe ends or it cannot be trusted.
func (p *Pool) readLoop(w *worker) error {
	var events []event
	frames := w.proc.frames
	for {
		frames.limit = p.opts.answerLimit() + int(w.largest.Load())
		k, payload, ok, err := frames.buffered()
		if err == nil && ok {
			var ev event
			if ev, err = decodeEvent(k, payload); err == nil {
				events = append(events, ev)
				continue
			}
		}
		// What came before a frame that makes no sense is good all the same.
		if fault := p.handle(w, events); fault != nil {
			return fault
		}
		if err != nil {
			return err
		}
		clear(events)
		events = events[:0]
		if err := frames.fill(); err != nil {
			return err
		}
	}
}

func decodeEvent(k kind, payload []byte) (ev event, err error) {
	ev.kind = k
	switch k {
	case kindBegin:
		ev.seq, err = decodeNumber(k, payload)
	case kindAnswer:
		ev.seq, ev.out, ev.work, err = decodeAnswer(payload)
	case kindRecalled:
		d := decoder{b: payload}
		err = d.end(k)
	default:
		err = &frameError{fmt.Sprintf("unexpected kind %q", byte(k))}
	}
	return ev, err
}

// handle takes in what a worker has said and calls those who wait. All of it was
// read at once and so has one time.
func (p *Pool) handle(w *worker, events []event) error {
	if len(events) == 0 {
		return nil
	}
	now := time.Now()
	p.mu.Lock()
	w.heard = now
	var err error
	for i := range events {
		ev := &events[i]
		switch ev.kind {
		case kindBegin:
			err = w.begin(ev.seq, now)
			p.wakeBy(now.Add(stuckAfter))
		case kindRecalled:
			err = w.recalled()
		case kindAnswer:
			var e entry
			if e, err = w.answered(ev.seq); err == nil {
				p.finished(w, e.job.plan)
				if p.settle(e.job, &ev.out, ev.work) {
					ev.job = e.job
					w.delivering = true
				}
			}
		}
		if err != nil {
			break
		}
	}
	if err == nil {
		p.retireSurplus(w)
		p.dispatch(now)
		w.flush(false)
	}
	delivering := w.delivering
	p.mu.Unlock()
	if delivering {
		for i := range events {
			if ev := &events[i]; ev.job != nil {
				ev.job.done(ev.out)
			}
		}
		p.mu.Lock()
		w.delivering = false
		p.mu.Unlock()
	}
	return err
}

// settle takes an answer from a worker into the books, and reports whether it is
// to be delivered. The first answer to a job counts, later ones are the same. The
// pool is locked.
func (p *Pool) settle(j *job, out *execution.Outcome, work time.Duration) bool {
	s := j.plan
	s.observe(work)
	p.sawQuick = p.sawQuick || s.quick()
	if j.dead() {
		return false
	}
	j.answered = true
	out.Digest = s.src.Digest
	if out.Reason != execution.ReasonLoad {
		out.Plan = s.src.Label()
	}
	return true
}

// finished notes that a worker's record is over. The pool is locked.
func (p *Pool) finished(w *worker, s *planState) {
	w.stuck, w.measured = false, false
	if w.slow {
		w.slow = false
		s.slow--
		p.slow--
	}
	if w.nice {
		// Low priority cannot be taken back.
		w.kill(reasonRetired)
	}
}

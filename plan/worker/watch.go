package worker

import "time"

// watch is the pool's clock: it sees to records that run for long. It sleeps
// while nothing runs.
func (p *Pool) watch() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		p.mu.Lock()
		now := time.Now()
		next, expired := p.tick(now)
		p.nextTick = next
		p.mu.Unlock()
		for _, j := range expired {
			p.expire(j, now)
		}
		var due <-chan time.Time
		if !next.IsZero() {
			timer.Reset(next.Sub(now))
			due = timer.C
		}
		select {
		case <-due:
		case <-p.wake:
		case <-p.ctx.Done():
			return
		}
	}
}

// wakeBy makes the watch look at t at the latest. The pool is locked.
func (p *Pool) wakeBy(t time.Time) {
	if !p.nextTick.IsZero() && !p.nextTick.After(t) {
		return
	}
	p.nextTick = t
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// earliest is a time that only moves closer.
type earliest struct{ time.Time }

func (e *earliest) by(t time.Time) {
	if e.IsZero() || t.Before(e.Time) {
		e.Time = t
	}
}

// tick looks at every worker and gives the time to look again, zero where only
// new work can change anything, and the records whose time is up. The pool is
// locked.
func (p *Pool) tick(now time.Time) (again time.Time, expired []*job) {
	var next earliest
	if p.closed {
		return next.Time, nil
	}
	for _, w := range p.workers {
		switch {
		case w.dying():
		case w.count() == 0:
			p.tickIdle(w, now, &next)
		case w.delivering:
			// What it said meanwhile is not read yet.
			next.by(now.Add(stuckAfter))
		default:
			if j := p.tickBusy(w, now, &next); j != nil {
				expired = append(expired, j)
			}
		}
	}
	for _, s := range p.active {
		if s.inflight == 0 && now.Before(s.notBefore) {
			next.by(s.notBefore)
		}
	}
	if now.Before(p.startAfter) {
		next.by(p.startAfter)
	}
	p.refill(now)
	p.dispatch(now)
	return next.Time, expired
}

// tickIdle retires a worker beyond those that are configured once it has had
// nothing to do for long.
func (p *Pool) tickIdle(w *worker, now time.Time, next *earliest) {
	if c := p.census(); c.idle+c.quick+c.other <= p.opts.Workers {
		return
	}
	if retire := w.heard.Add(idleAfter); now.Before(retire) {
		next.by(retire)
		return
	}
	w.kill(reasonRetired)
}

// tickBusy looks at the record that a worker runs. It gives the record if its time
// is up; its worker is being killed then.
func (p *Pool) tickBusy(w *worker, now time.Time, next *earliest) (expired *job) {
	e := w.front()
	if !e.begun {
		// It must announce what it was given, however long that takes to run.
		quiet := w.heard.Add(p.opts.silence)
		if !now.Before(quiet) {
			w.kill(reasonProtocol)
			return nil
		}
		next.by(quiet)
		return nil
	}
	ran := now.Sub(e.at)
	switch {
	case ran >= p.opts.Limits.Timeout:
		w.kill(reasonTimeout)
		if !e.job.dead() {
			return e.job
		}
		return nil
	case ran >= slowAfter && e.job.dead():
		w.kill(reasonAbandoned)
		return nil
	}
	next.by(e.at.Add(p.opts.Limits.Timeout))
	if ran < stuckAfter {
		next.by(e.at.Add(stuckAfter))
		return nil
	}
	p.tickLong(w, ran, now, next)
	return nil
}

// tickLong looks at a record that has run for more than stuckAfter by the clock.
// What it costs is told by processor time: where that is short, its worker was kept
// waiting for the processor.
func (p *Pool) tickLong(w *worker, ran time.Duration, now time.Time, next *earliest) {
	_, cpu := usage(w.proc.pid())
	if !w.measured {
		w.measured, w.cpuAt = true, cpu
	}
	e, used := w.front(), cpu-w.cpuAt
	s := e.job.plan
	if w.probe && !p.tickProbe(w, ran, used) {
		return
	}
	w.stuck = true
	s.estimate = max(s.estimate, used)
	p.recall(w)
	if ran < slowAfter {
		if w.probe {
			next.by(now.Add(stuckAfter))
		}
		next.by(e.at.Add(slowAfter))
		return
	}
	if !w.slow && p.slow < maxSlow && s.slow < maxSlowPlan {
		w.slow = true
		s.slow++
		p.slow++
	}
	if w.slow && !w.nice && used >= slowAfter/4 {
		w.nice = true
		lowerPriority(w.proc.pid())
	}
	// Its record may be abandoned, or a slow worker of the plan may become free.
	next.by(now.Add(slowAfter / 2))
}

// tickProbe looks at a record that tries out its plan. When its time is up it goes
// on only if there is a slot for it by now; otherwise it is run again in its turn.
func (p *Pool) tickProbe(w *worker, ran, used time.Duration) (goOn bool) {
	if used < probeSlice && ran < maxProbe {
		return true
	}
	w.front().job.plan.probed = true
	w.probe = false
	if p.slotForOther(p.census()) {
		return true
	}
	w.kill(reasonPreempted)
	return false
}

// recall takes the records behind the running one back into their queues, where
// other workers find them. Those that the worker begins all the same, before it
// has read the recall, are run twice at worst; the first answer counts. The pool
// is locked.
func (p *Pool) recall(w *worker) {
	number, asked := w.recalls+1, false
	for i := w.first + 1; i < len(w.inflight); i++ {
		e := &w.inflight[i]
		if e.recall > 0 {
			continue
		}
		e.recall, asked = number, true
		if !e.job.dead() && !e.job.queued {
			p.enqueue(e.job)
		}
	}
	if asked {
		w.recalls = number
		w.write(order{kind: kindRecall})
	}
}

// retireSurplus ends a worker that has become idle where there are so many that
// no burst will need it soon. The pool is locked.
func (p *Pool) retireSurplus(w *worker) {
	if w.count() > 0 {
		return
	}
	if c := p.census(); c.idle > p.opts.Workers+maxSlowPlan {
		w.kill(reasonRetired)
	}
}

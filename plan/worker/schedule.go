package worker

import (
	"context"
	"slices"
	"time"

	"starplan/plan"
	"starplan/plan/execution"
)

// planKey tells plans apart: the same text may serve under two names.
type planKey struct{ name, graph, digest string }

// job is a record that is to be answered. All of it but ctx, plan, rec, done and
// order is guarded by the pool's mutex.
type job struct {
	ctx   context.Context
	plan  *planState
	rec   execution.Record
	done  func(execution.Outcome)
	order uint64 // Of arrival.

	answered bool
	queued   bool
	careful  bool      // A worker died with it at hand.
	deaths   int       // Of workers that had not begun it for all we know.
	begun    time.Time // First of all times; zero before.
}

// dead reports whether nobody waits for the job's answer.
func (j *job) dead() bool { return j.answered || j.ctx.Err() != nil }

func (j *job) size() int { return len(j.rec.Key) + len(j.rec.Value) }

// planState is what the pool knows of a plan, guarded by the pool's mutex.
type planState struct {
	key      planKey
	src      *plan.Source
	queue    []*job // By order of arrival.
	estimate time.Duration
	runs     int // Answers seen.
	inflight int // Records at workers, those that run alone included.
	slow     int // Workers that run it and do not count against Options.Workers.
	used     time.Time

	probed    bool      // It has had its chance to show that it is quick.
	kills     int       // Of workers, since the last answer.
	notBefore time.Time // Back-off.
}

// careful is how many first runs of a plan are announced before they start. By
// then a plan that kills its worker at once has shown itself.
const carefulRuns = 8

// carefulRun is the estimate from which on an announcement of each run is too
// cheap to matter.
const carefulRun = 200 * time.Microsecond

func (s *planState) careful() bool {
	return s.runs < carefulRuns || s.kills > 0 || s.estimate >= carefulRun
}

// quick reports whether the plan's records are known to be over soon. Only such
// records share a worker with others, and only they may take the last worker.
func (s *planState) quick() bool { return s.runs > 0 && s.kills == 0 && s.estimate <= quickRun }

// observe takes the processor time of a run into the estimate. One run at most
// doubles it: a plan that really became slow shows that to the watch.
func (s *planState) observe(d time.Duration) {
	if s.runs == 0 {
		s.estimate = d
	}
	s.estimate += (min(d, 8*s.estimate) - s.estimate) / 8
	s.estimate = max(s.estimate, time.Microsecond)
	s.runs++
	s.kills, s.notBefore = 0, time.Time{}
}

// Back-off of a plan that keeps killing workers.
const (
	backOffFrom = 3 // Kills in a row.
	backOffMin  = 50 * time.Millisecond
	backOffMax  = 5 * time.Second
)

// killed counts a worker that died of the plan, and gives the pause that follows.
func (s *planState) killed(now time.Time) time.Duration {
	s.kills++
	if s.kills < backOffFrom {
		return 0
	}
	pause := min(backOffMin<<min(s.kills-backOffFrom, 20), backOffMax)
	s.notBefore = now.Add(pause)
	return pause
}

// held reports whether back-off keeps the plan's records waiting. A plan in
// back-off is tried with one record at a time.
func (s *planState) held(now time.Time) bool {
	return s.kills >= backOffFrom && (s.inflight > 0 || now.Before(s.notBefore))
}

// Bounds of what is remembered of plans that are not in use.
const (
	manyPlans  = 256
	forgetPlan = 10 * time.Minute
)

// stateOf finds or makes the state of a plan. The pool is locked.
func (p *Pool) stateOf(src *plan.Source, now time.Time) *planState {
	key := planKey{src.Name, src.Graph, src.Digest}
	s := p.plans[key]
	if s == nil {
		if len(p.plans) >= manyPlans {
			for k, old := range p.plans {
				if len(old.queue) == 0 && old.inflight == 0 && now.Sub(old.used) > forgetPlan {
					delete(p.plans, k)
				}
			}
		}
		s = &planState{key: key, src: src}
		p.plans[key] = s
	}
	s.used = now
	return s
}

// enqueue puts a job where its order of arrival belongs, which is the end unless
// it was at a worker already. The pool is locked.
func (p *Pool) enqueue(j *job) {
	s := j.plan
	if len(s.queue) == 0 {
		p.active = append(p.active, s)
	}
	i := len(s.queue)
	if i > 0 && s.queue[i-1].order > j.order {
		i, _ = slices.BinarySearchFunc(s.queue, j.order, func(q *job, order uint64) int {
			if q.order < order {
				return -1
			}
			return 1
		})
	}
	s.queue = slices.Insert(s.queue, i, j)
	j.queued = true
}

// head gives the oldest job of the plan that somebody waits for, nil where there
// is none. The pool is locked.
func (p *Pool) head(s *planState) *job {
	for len(s.queue) > 0 {
		if j := s.queue[0]; !j.dead() {
			return j
		}
		p.unqueue(s)
	}
	return nil
}

// unqueue takes the first job off the plan's queue. The pool is locked.
func (p *Pool) unqueue(s *planState) {
	s.queue[0].queued = false
	s.queue[0] = nil
	s.queue = s.queue[1:]
	if len(s.queue) == 0 {
		s.queue = nil
		if i := slices.Index(p.active, s); i >= 0 {
			p.active = slices.Delete(p.active, i, i+1)
		}
	}
}

// census counts the workers by what they do.
type census struct {
	idle  int // Ready and without work.
	quick int // Working off a window of quick records.
	other int // Running a record of a plan that is not known to be quick.
	probe int // Finding out whether a plan is quick, beside Options.Workers.
}

func (p *Pool) census() census {
	var c census
	for _, w := range p.workers {
		switch {
		case w.slow || w.dying():
		case w.count() == 0:
			c.idle++
		case w.quick:
			c.quick++
		case w.probe:
			c.probe++
		default:
			c.other++
		}
	}
	return c
}

// dispatch gives records to workers as far as there is room: first those of plans
// not known to be quick, each on an idle worker, then the quick ones, in order of
// arrival within each class.
//
// The two classes cannot starve each other. What is not quick never takes the
// last of Options.Workers, so a quick record waits for quick ones only; and while
// a slot of the others is free but no worker is idle, the quick ones leave the
// emptiest worker alone until it is. A plan that is new is tried out beside them,
// one at a time. The pool is locked.
func (p *Pool) dispatch(now time.Time) {
	if len(p.active) == 0 || p.closed {
		return
	}
	drain := false
	var c census
	if slices.ContainsFunc(p.active, func(s *planState) bool { return !s.quick() }) {
		c = p.census()
		p.dispatchProbe(now, &c)
		drain = p.dispatchOthers(now, &c)
	}
	for {
		j := p.oldest(now, true)
		if j == nil {
			return
		}
		w := p.roomiest(j, drain)
		if w == nil {
			c = p.census()
			if c.idle == 0 {
				if p.slotForQuick(c) {
					p.startOne(now)
				}
				return
			}
			if !p.slotForQuick(c) {
				return
			}
			w = p.idleWorker(j.plan)
		}
		p.send(w, j, now)
	}
}

// dispatchOthers dispatches records of plans not known to be quick. It reports
// whether one waits for want of an idle worker only.
func (p *Pool) dispatchOthers(now time.Time, c *census) (waiting bool) {
	for {
		j := p.oldest(now, false)
		if j == nil || !p.slotForOther(*c) {
			return false
		}
		if p.spare(*c) == 0 {
			if p.opts.Workers == 1 || c.quick+c.other < p.opts.Workers {
				p.startOne(now)
				return false
			}
			return true
		}
		p.send(p.idleWorker(j.plan), j, now)
		c.idle--
		c.other++
	}
}

// dispatchProbe runs one record of a plan that never ran, which would have to wait
// for slow ones otherwise, and they can take minutes. It has probeSlice to show
// that the plan is quick. The plan that came last goes first: those before it have
// their turn in the order of arrival, and a crowd of them must not keep this one
// waiting.
func (p *Pool) dispatchProbe(now time.Time, c *census) {
	if c.probe > 0 || c.other == 0 && c.idle > 0 {
		return
	}
	var newest *job
	for i := 0; i < len(p.active); i++ {
		s := p.active[i]
		if s.runs > 0 || s.probed || s.inflight > 0 || s.held(now) {
			continue
		}
		j := p.head(s)
		if j == nil {
			i-- // head has removed s.
			continue
		}
		if newest == nil || j.order > newest.order {
			newest = j
		}
	}
	if newest == nil {
		return
	}
	if p.spare(*c) == 0 {
		p.startOne(now)
		return
	}
	w := p.idleWorker(newest.plan)
	p.send(w, newest, now)
	w.probe = true
	c.idle--
	c.probe++
}

// spare is how many idle workers those that are not quick may take. Where quick
// plans are known and no worker is at theirs, one stays ready: to start another
// takes much longer than their runs.
func (p *Pool) spare(c census) int {
	if p.sawQuick && c.quick == 0 {
		return max(0, c.idle-1)
	}
	return c.idle
}

// slotForOther: all slots but one, and one at least.
func (p *Pool) slotForOther(c census) bool { return c.other < max(1, p.opts.Workers-1) }

// slotForQuick: what is left; where there is but one slot, one beside it.
func (p *Pool) slotForQuick(c census) bool {
	return c.quick+c.other < p.opts.Workers || c.quick == 0
}

// oldest finds the job that has waited longest among the plans of a class that
// may run now. The pool is locked.
func (p *Pool) oldest(now time.Time, quick bool) *job {
	var best *job
	for i := 0; i < len(p.active); i++ {
		s := p.active[i]
		if s.quick() != quick || p.capped(s) {
			continue
		}
		if s.held(now) {
			if s.inflight == 0 {
				p.wakeBy(s.notBefore)
			}
			continue
		}
		j := p.head(s)
		if j == nil {
			i-- // head has removed s.
			continue
		}
		if best == nil || j.order < best.order {
			best = j
		}
	}
	return best
}

// capped reports whether a plan has as many slow workers as it may: more of it
// would take the slots that count from other plans, so it leaves at least one of
// those for plans that are not quick either.
func (p *Pool) capped(s *planState) bool {
	if s.slow < maxSlowPlan {
		return false
	}
	return p.census().other+1 >= max(1, p.opts.Workers-1)
}

// idleWorker picks an idle worker, one that has the plan loaded if there is.
func (p *Pool) idleWorker(s *planState) *worker {
	var idle *worker
	for _, w := range p.workers {
		if w.count() > 0 || w.dying() {
			continue
		}
		if _, ok := w.loaded[s]; ok {
			return w
		}
		idle = w
	}
	return idle
}

// roomiest picks the worker of quick records with the least work at hand that has
// room for the job. Where another class waits for a worker, the one that will be
// idle first is left to it.
func (p *Pool) roomiest(j *job, drain bool) *worker {
	var best, emptiest *worker
	for _, w := range p.workers {
		if w.slow || w.dying() || w.count() == 0 || !w.quick {
			continue
		}
		if emptiest == nil || w.work < emptiest.work {
			emptiest = w
		}
	}
	for _, w := range p.workers {
		if w.slow || w.dying() || w.count() == 0 || !w.quick || w.stuck || drain && w == emptiest {
			continue
		}
		full := w.count() >= window || w.work+j.plan.estimate > windowWork || w.bytes+j.size() > windowBytes
		if !full && (best == nil || w.work < best.work) {
			best = w
		}
	}
	return best
}

// send moves a job from its queue to a worker. The pool is locked.
func (p *Pool) send(w *worker, j *job, now time.Time) {
	s := j.plan
	p.unqueue(s)
	s.inflight++
	if w.count() == 0 {
		w.quick, w.probe, w.heard = s.quick(), false, now
	}
	p.seq++
	w.give(entry{job: j, seq: p.seq, work: s.estimate, careful: j.careful || s.careful()})
	p.wakeBy(now.Add(stuckAfter))
}

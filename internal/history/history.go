// Package history remembers what a service did last, for the status page: the
// last executions, and fifteen minutes of rate, failures, latency and lag.
//
// It lies on the path of every record, so noting one is an append under a mutex
// and no more: the execution is neither decoded nor copied. What is still
// remembered when somebody looks, or when a second has passed, is decoded then;
// at a thousand records a second that is one in five, and at a hundred thousand
// one in five hundred. Everything is bounded: 200 executions, another 200 that
// failed, so that a rare failure is not swept away by a busy plan, 16 MiB of
// payloads, and 180 intervals of five seconds for each plan.
package history

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"starplan/plan"
	"starplan/plan/execution"
)

// The bounds of a history.
const (
	// Executions is how many executions are remembered, and how many failed ones.
	Executions = 200
	// Interval is the width of a point of the graphs.
	Interval = 5 * time.Second
	// Points is how many of them a graph has: fifteen minutes.
	Points = 180

	// maxPayloads bounds the bytes of inputs and outputs, maxPayload those of one.
	maxPayloads = 16 << 20
	maxPayload  = 1 << 20
	// maxPlans bounds the plans that have graphs of their own.
	maxPlans = 500
)

// Lag is how far the service is behind.
type Lag struct {
	// Records is the number of records that wait in all partitions.
	Records int64
	// Age is that of the oldest record that was taken on and not answered.
	Age time.Duration
}

// Options are what a History is made of.
type Options struct {
	// Payloads keeps inputs and outputs.
	Payloads bool
	// Lag is asked once an interval by [History.Run]; nil for no lag.
	Lag func() Lag
	// Now tells the time; nil means time.Now.
	Now func() time.Time
}

// History is safe for concurrent use.
type History struct {
	opts Options
	now  func() time.Time
	// settling serializes the decoding.
	settling sync.Mutex
	version  atomic.Uint64

	mu      sync.Mutex
	seq     uint64
	last    ring
	failed  ring
	waiting int // Bytes that are referred to by entries not decoded yet.
	total   series
	plans   map[string]*series
	lag     lagSeries
	// stats are the totals as of an interval; they are computed once for it.
	stats     map[string]Total
	statsTick int64
}

// New makes an empty history.
func New(opts Options) *History {
	h := &History{opts: opts, now: opts.Now, plans: make(map[string]*series)}
	if h.now == nil {
		h.now = time.Now
	}
	return h
}

// Run does what is due with time until ctx ends: it decodes what was noted, so
// that no record's bytes are held for longer than a second, and samples the lag.
func (h *History) Run(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		h.sampleLag()
		h.settle()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (h *History) sampleLag() {
	if h.opts.Lag == nil {
		return
	}
	lag := h.opts.Lag()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lag.add(tick(h.now()), lag)
}

// Add notes that rec was answered with out. src is the plan that failed on it, to
// show the lines around its position; nil where it did not fail or is not known.
// Neither may be changed afterwards.
func (h *History) Add(rec execution.Record, out execution.Outcome, src *plan.Source) {
	now := h.now()
	h.mu.Lock()
	at := tick(now)
	failed := out.Reason != ""
	h.total.add(at, out.Duration, failed)
	if s := h.seriesOf(out.Plan); s != nil {
		s.add(at, out.Duration, failed)
	}
	over := h.note(now, &rec, &out, src)
	h.mu.Unlock()
	if over {
		h.settle()
	}
}

// Correct replaces the outcome of a record that was answered before, as when its
// execution turned out to be too large for the broker.
func (h *History) Correct(rec execution.Record, out execution.Outcome) {
	now := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	at := tick(now)
	h.total.fail(at)
	if s := h.seriesOf(out.Plan); s != nil {
		s.fail(at)
	}
	if e := h.last.find(func(e *entry) bool { return e.execID() == out.ExecID }); e != nil {
		if e.view != nil {
			out.Duration, out.Steps = e.view.Duration, e.view.Steps
		} else {
			out.Duration, out.Steps = e.out.Duration, e.out.Steps
		}
		h.waiting -= e.forget()
	}
	h.note(now, &rec, &out, nil)
}

// note puts an entry into the rings. It reports that the entries refer to more
// bytes than they should. It is called with the mutex held.
func (h *History) note(now time.Time, rec *execution.Record, out *execution.Outcome, src *plan.Source) (over bool) {
	h.seq++
	e, freed := h.last.next()
	*e = entry{seq: h.seq, at: now, rec: *rec, out: *out, src: src, inputSize: len(rec.Value)}
	if !h.opts.Payloads {
		e.rec.Value = nil
	}
	h.waiting += e.bytes() - freed
	if out.Reason != "" {
		f, freed := h.failed.next()
		*f = *e
		h.waiting += e.bytes() - freed
	}
	h.version.Store(h.seq)
	return h.waiting > maxPayloads
}

// seriesOf gives the graphs of a plan; nil where there are too many plans already.
func (h *History) seriesOf(name string) *series {
	s := h.plans[name]
	if s == nil && len(h.plans) < maxPlans {
		s = new(series)
		h.plans[name] = s
	}
	return s
}

// Last is the number of the newest execution; 0 before the first. It costs nothing.
func (h *History) Last() uint64 { return h.version.Load() }

// Filter chooses executions. The zero value chooses all.
type Filter struct {
	// Plan is a plan's label, or what the key of a record names where no plan is loaded.
	Plan string
	// Status is [Succeeded], [Failed] or empty for both.
	Status Status
	// After leaves out those whose Seq is not above it.
	After uint64
	// Limit bounds the number; 0 means no bound.
	Limit int
}

// Executions gives the newest executions first. Where only failed ones are asked
// for they reach further back.
func (h *History) Executions(f Filter) []*Execution {
	h.settle()
	h.mu.Lock()
	defer h.mu.Unlock()
	r := &h.last
	if f.Status == Failed {
		r = &h.failed
	}
	found := make([]*Execution, 0, min(Executions, cmp.Or(max(f.Limit, 0), Executions)))
	r.newest(func(e *entry) bool {
		if e.seq <= f.After || f.Limit > 0 && len(found) >= f.Limit {
			return false
		}
		if x := e.view; x != nil && x.Seq != 0 && (f.Plan == "" || x.Plan == f.Plan) && (f.Status == "" || x.Status == f.Status) {
			found = append(found, x)
		}
		return true
	})
	return found
}

// Find gives the execution of that exec_id, the newest where it was redelivered;
// nil where it is not remembered any more. The payloads are nil where they are not
// kept.
func (h *History) Find(execID string) (*Execution, *Payloads) {
	h.settle()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range []*ring{&h.last, &h.failed} {
		if e := r.find(func(e *entry) bool { return e.execID() == execID }); e != nil && e.view != nil {
			return e.view, e.payloads
		}
	}
	return nil, nil
}

// settle decodes what was noted and is still remembered. The decoding is done
// outside of the mutex, so that no record waits for it.
func (h *History) settle() {
	h.settling.Lock()
	defer h.settling.Unlock()
	h.mu.Lock()
	var fresh []entry
	for _, r := range []*ring{&h.last, &h.failed} {
		r.newest(func(e *entry) bool {
			if e.view == nil {
				fresh = append(fresh, *e)
			}
			return true
		})
	}
	h.mu.Unlock()
	if len(fresh) == 0 {
		return
	}
	settled := make(map[uint64]*entry, len(fresh))
	for i := range fresh {
		e := &fresh[i]
		if settled[e.seq] == nil {
			e.decode(h.opts.Payloads)
			settled[e.seq] = e
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range []*ring{&h.last, &h.failed} {
		r.newest(func(e *entry) bool {
			if s := settled[e.seq]; s != nil && e.view == nil {
				h.waiting -= e.bytes()
				*e = *s
			}
			return true
		})
	}
	h.boundPayloads()
}

// boundPayloads drops the oldest payloads beyond the bound.
func (h *History) boundPayloads() {
	if !h.opts.Payloads {
		return
	}
	entries := make(map[uint64][]*entry)
	for _, r := range []*ring{&h.last, &h.failed} {
		r.newest(func(e *entry) bool {
			if e.payloads != nil {
				entries[e.seq] = append(entries[e.seq], e)
			}
			return true
		})
	}
	seqs := make([]uint64, 0, len(entries))
	for seq := range entries {
		seqs = append(seqs, seq)
	}
	slices.SortFunc(seqs, func(a, b uint64) int { return cmp.Compare(b, a) })
	size := 0
	for _, seq := range seqs {
		size += entries[seq][0].payloads.size()
		if size > maxPayloads {
			for _, e := range entries[seq] {
				e.payloads = nil
			}
		}
	}
}

package worker

import (
	"fmt"
	"sync/atomic"
	"time"

	"starplan/plan/execution"
)

// reason is why a worker ended: a closed set, the label of a metric.
type reason string

const (
	reasonTimeout   reason = "timeout"   // A record ran beyond Limits.Timeout.
	reasonMemory    reason = "memory"    // It ran out of memory.
	reasonCrash     reason = "crash"     // It died otherwise.
	reasonProtocol  reason = "protocol"  // It said what no worker says, or nothing.
	reasonAbandoned reason = "abandoned" // Nobody waits for what it runs.
	reasonPreempted reason = "preempted" // It tried out a plan that is not quick.
	reasonRetired   reason = "retired"   // It is not needed any more. Not a restart.
)

// reasons lists those that count as restarts, in a stable order.
func reasons() []reason {
	return []reason{reasonTimeout, reasonMemory, reasonCrash, reasonProtocol, reasonAbandoned, reasonPreempted}
}

// entry is a job at a worker.
type entry struct {
	job     *job
	seq     uint64
	work    time.Duration // What it was estimated at when it was sent.
	careful bool
	begun   bool
	at      time.Time // Of its beginning.
	recall  uint64    // The recall that gave it back to its queue; it may have begun all the same.
}

// order is a frame that is to be sent to a worker.
type order struct {
	kind    kind
	number  uint64 // Of the record, or of the plan to be dropped.
	plan    uint64
	load    *planState
	rec     execution.Record
	careful bool
}

// worker is a process that takes records, as the pool's books have it. All but
// proc, kick, gone and largest is guarded by the pool's mutex.
//
// Two goroutines belong to each: one writes what is due, so that a pipe that is
// full blocks nobody else, the other reads and, once the process has ended, buries it.
type worker struct {
	proc    *process
	kick    chan struct{} // Of capacity 1: there is something to write.
	gone    chan struct{} // Closed when the process has ended.
	largest atomic.Int64  // Size of the largest record that it was given.

	due      []order
	dueRuns  int     // Of due, those that are records.
	inflight []entry // In the order sent, which is the order of running; from first on.
	first    int
	work     time.Duration // Estimate of what is in flight.
	bytes    int

	loaded map[*planState]uint64
	recent []*planState // Those in loaded, least recently used first.
	nextID uint64

	quick      bool // What it works off is quick.
	probe      bool // It finds out whether its record's plan is.
	stuck      bool // Its record runs for longer than stuckAfter.
	slow       bool // Its record runs for longer than slowAfter and it is not counted.
	nice       bool // It has low priority.
	measured   bool // cpuAt is its processor time when its record became stuck.
	cpuAt      time.Duration
	recalls    uint64    // Those that were asked for.
	confirmed  uint64    // Of these.
	delivering bool      // Its reader is in callbacks, and does not listen.
	heard      time.Time // Of it last, or given work while idle.
	ending     reason    // Why it was killed; empty while it was not.
}

// maxLoaded is how many plans a worker keeps compiled.
const maxLoaded = 64

func newWorker(proc *process, now time.Time) *worker {
	return &worker{
		proc:   proc,
		kick:   make(chan struct{}, 1),
		gone:   make(chan struct{}),
		loaded: make(map[*planState]uint64),
		heard:  now,
	}
}

// count is the number of records in flight.
func (w *worker) count() int { return len(w.inflight) - w.first }

func (w *worker) dying() bool { return w.ending != "" }

// front is the record that runs or is next to; the worker must have one.
func (w *worker) front() *entry { return &w.inflight[w.first] }

// kill ends the process for a reason. The first reason counts.
func (w *worker) kill(r reason) {
	if w.ending == "" {
		w.ending = r
		w.proc.kill()
	}
}

// give sends a record, after its plan where the worker does not have that.
func (w *worker) give(e entry) {
	id := w.plan(e.job.plan)
	if w.first > 0 && len(w.inflight) == cap(w.inflight) {
		n := copy(w.inflight, w.inflight[w.first:])
		clear(w.inflight[n:])
		w.inflight, w.first = w.inflight[:n], 0
	}
	w.inflight = append(w.inflight, e)
	w.work += e.work
	w.bytes += e.job.size()
	if n := int64(e.job.size()); n > w.largest.Load() {
		w.largest.Store(n)
	}
	w.write(order{kind: kindRun, number: e.seq, plan: id, rec: e.job.rec, careful: e.careful})
}

// plan gives the number under which the worker has a plan, loading it first if
// need be. Frames are taken in order, so a plan that is dropped after records of
// it were sent is dropped too late to harm them.
func (w *worker) plan(s *planState) uint64 {
	id, ok := w.loaded[s]
	if ok {
		if last := len(w.recent) - 1; w.recent[last] != s {
			w.touch(s)
		}
		return id
	}
	if len(w.recent) >= maxLoaded {
		old := w.recent[0]
		w.recent = w.recent[1:]
		w.write(order{kind: kindDrop, number: w.loaded[old]})
		delete(w.loaded, old)
	}
	w.nextID++
	w.loaded[s] = w.nextID
	w.recent = append(w.recent, s)
	w.write(order{kind: kindLoad, plan: w.nextID, load: s})
	return w.nextID
}

// touch makes a plan the most recently used one.
func (w *worker) touch(s *planState) {
	for i, r := range w.recent {
		if r == s {
			copy(w.recent[i:], w.recent[i+1:])
			w.recent[len(w.recent)-1] = s
			return
		}
	}
}

// write has a frame sent.
func (w *worker) write(o order) {
	w.due = append(w.due, o)
	if o.kind == kindRun {
		w.dueRuns++
	}
	w.flush(o.kind == kindRecall)
}

// batch is how many records or answers are sent by one write while the other side
// has enough to do. A write, the reader's wake-up and its read cost as much
// together as many a plan.
const batch = window / 2

// flush has what is due written, unless it pays to gather more: the worker has
// work at hand, and will be short of it only after its next answers.
func (w *worker) flush(now bool) {
	if len(w.due) == 0 || !now && w.dueRuns < batch && w.count()-w.dueRuns >= batch {
		return
	}
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// pop removes the front.
func (w *worker) pop() entry {
	e := w.inflight[w.first]
	w.inflight[w.first] = entry{}
	w.first++
	if w.first == len(w.inflight) {
		w.inflight, w.first = w.inflight[:0], 0
	}
	w.forget(e)
	return e
}

// forget takes what is no longer in flight off the books.
func (w *worker) forget(e entry) {
	w.work -= e.work
	w.bytes -= e.job.size()
	e.job.plan.inflight--
}

// begin notes that the record has begun. It must be the next one in order.
func (w *worker) begin(seq uint64, now time.Time) error {
	if w.count() == 0 || w.front().begun || w.front().seq != seq {
		return &frameError{fmt.Sprintf("record %d begins out of order", seq)}
	}
	e := w.front()
	e.begun, e.at = true, now
	if e.job.begun.IsZero() {
		e.job.begun = now
	}
	return nil
}

// answered takes the record off that an answer is for. It must be the running one.
func (w *worker) answered(seq uint64) (entry, error) {
	if w.count() == 0 || !w.front().begun || w.front().seq != seq {
		return entry{}, &frameError{fmt.Sprintf("answer to record %d, which is not running", seq)}
	}
	return w.pop(), nil
}

// recalled drops the records that the worker has confirmed to have forgotten. A
// record that was sent after this recall may have begun already, though the next one
// names it.
func (w *worker) recalled() error {
	if w.confirmed == w.recalls {
		return &frameError{"confirms a recall that was not asked for"}
	}
	w.confirmed++
	kept := w.inflight[w.first:w.first]
	for _, e := range w.inflight[w.first:] {
		if 0 < e.recall && e.recall <= w.confirmed && !e.begun {
			w.forget(e)
		} else {
			kept = append(kept, e)
		}
	}
	clear(w.inflight[w.first+len(kept):])
	w.inflight = w.inflight[:w.first+len(kept)]
	return nil
}

// writeLoop encodes and writes what is due until the process ends.
func (p *Pool) writeLoop(w *worker) {
	var enc encoder
	var orders []order
	for {
		select {
		case <-w.kick:
		case <-w.gone:
			return
		}
		p.mu.Lock()
		orders, w.due, w.dueRuns = w.due, orders[:0], 0
		p.mu.Unlock()
		for i := range orders {
			encodeOrder(&enc, &orders[i])
			if last := i == len(orders)-1; last || len(enc.buf) >= flushSize {
				if _, err := w.proc.stdin.Write(enc.buf); err != nil {
					// The process has ended or is being killed, which its reader learns.
					return
				}
				enc.buf = enc.buf[:0]
			}
		}
		clear(orders)
		if cap(enc.buf) > keepBuffer {
			enc.buf = nil
		}
	}
}

func encodeOrder(enc *encoder, o *order) {
	switch o.kind {
	case kindRun:
		enc.run(o.number, o.plan, o.careful, o.rec)
	case kindLoad:
		enc.load(o.plan, o.load.src)
	case kindDrop:
		enc.number(kindDrop, o.number)
	case kindRecall:
		enc.open(kindRecall)
		enc.close()
	}
}

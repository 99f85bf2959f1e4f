package worker

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"starplan/plan"
	"starplan/plan/execution"
	"starplan/plan/inspect"
)

// marker is argv[0] and argv[1] of a worker.
const marker = "starplan-worker"

// Divert turns this process into a worker and never returns, when a [Pool] has
// started it as one; otherwise it returns at once. It is the first thing that
// main does, and TestMain of every test binary that makes a Pool, since the pool
// starts its own executable again.
func Divert() { divert(compilePlan) }

// program is a compiled plan.
type program interface {
	Run(tenant string, rec execution.Record) execution.Outcome
}

// compiler makes a program. The error is a *plan.LoadError.
type compiler func(src *plan.Source, lim plan.Limits) (program, error)

func compilePlan(src *plan.Source, lim plan.Limits) (program, error) {
	p, err := plan.Compile(src, lim)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// diverted reports whether this process was started as a worker.
func diverted() bool {
	return len(os.Args) == 2 && os.Args[0] == marker && os.Args[1] == marker
}

func divert(compile compiler) {
	if !diverted() {
		return
	}
	in, out := claimPipes()
	c := &child{compile: compile, in: in, out: newOutbox(out), wake: make(chan struct{}, 1)}
	if err := c.serve(); err != nil {
		fmt.Fprintln(os.Stderr, "starplan-worker:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child is the worker's side: one goroutine reads frames, one runs records, one
// sees to it that announcements leave in time.
type child struct {
	compile compiler
	in      io.Reader
	out     *outbox
	tenant  string
	limits  plan.Limits

	plans map[uint64]*childPlan // Owned by the reading goroutine.

	cpu time.Duration // When it was asked for; owned by the running goroutine.

	mu    sync.Mutex
	queue []task
	wake  chan struct{} // Of capacity 1: the queue was empty and is not.
}

// childPlan is a plan as a worker has it. The top level runs when the plan's
// first record does, and so under that record's deadline.
type childPlan struct {
	src      *plan.Source
	compiled bool // Owned by the running goroutine, as are the next three.
	program  program
	err      error
	inspect  *inspect.Inspector // Nil until a record is looked into.
}

// task is a record to run or to look into, or a plan to check.
type task struct {
	seq     uint64
	plan    *childPlan
	check   bool
	inspect *inspect.Options // Nil for a record that is run.
	careful bool
	rec     execution.Record
}

// serve configures and seals the process and runs records until stdin ends.
func (c *child) serve() error {
	frames := newSplitter(c.in, maxToWorker)
	k, payload, err := frames.next()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	if k != kindHello {
		return fmt.Errorf("first frame: got %q, want hello", byte(k))
	}
	h, err := decodeHello(payload)
	if err != nil {
		return err
	}
	if own := version(); h.version != own {
		return fmt.Errorf("version: this executable is %q, its parent %q; it was replaced while the parent ran, which must be restarted", own, h.version)
	}
	c.tenant, c.limits, c.plans = h.tenant, h.limits, make(map[uint64]*childPlan)
	protections := seal(h.limits.MaxMemory)
	c.out.put(func(e *encoder) { e.ready(h.version, protections) })
	c.out.flush()
	go c.out.flushInTime()
	go func() {
		// The pool is gone, or cannot be understood: either way nobody waits for
		// what is running. Exiting here stops a plan in the middle.
		err := c.read(frames)
		if errors.Is(err, io.EOF) {
			os.Exit(0)
		}
		fmt.Fprintln(os.Stderr, "starplan-worker:", err)
		os.Exit(1)
	}()
	for {
		c.step(c.next())
	}
}

// read takes frames in and hands tasks on, all that have arrived at once.
func (c *child) read(frames *splitter) error {
	var batch []task
	var topic string
	for {
		k, payload, ok, err := frames.buffered()
		if err != nil {
			return err
		}
		if !ok {
			c.enqueue(batch)
			clear(batch)
			batch = batch[:0]
			if err := frames.fill(); err != nil {
				return err
			}
			continue
		}
		switch k {
		case kindRun:
			// The payload is the splitter's: the record outlives it.
			f, err := decodeRun(append([]byte(nil), payload...), topic)
			if err != nil {
				return err
			}
			topic = f.rec.Topic
			batch = append(batch, task{seq: f.seq, plan: c.plans[f.id], careful: f.careful, rec: f.rec})
		case kindCheck:
			seq, id, err := decodeCheck(payload)
			if err != nil {
				return err
			}
			batch = append(batch, task{seq: seq, plan: c.plans[id], check: true, careful: true})
		case kindInspect:
			f, err := decodeInspect(append([]byte(nil), payload...))
			if err != nil {
				return err
			}
			batch = append(batch, task{seq: f.seq, plan: c.plans[f.id], inspect: &f.what, careful: true, rec: f.rec})
		case kindLoad:
			id, src, err := decodeLoad(payload)
			if err != nil {
				return err
			}
			c.plans[id] = &childPlan{src: src}
		case kindDrop:
			id, err := decodeNumber(k, payload)
			if err != nil {
				return err
			}
			delete(c.plans, id)
		case kindRecall:
			batch = batch[:0]
			c.recall()
		default:
			return fmt.Errorf("frame of unknown kind %q", byte(k))
		}
		if n := len(batch); n > 0 && batch[n-1].plan == nil {
			return errors.New("frame names a plan that is not loaded")
		}
	}
}

func (c *child) enqueue(batch []task) {
	if len(batch) == 0 {
		return
	}
	c.mu.Lock()
	c.queue = append(c.queue, batch...)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// recall forgets the queue. The running goroutine announces a record while it
// holds the queue's lock, so that every announcement is before the confirmation
// or never comes.
func (c *child) recall() {
	c.mu.Lock()
	c.queue = nil
	c.out.put(func(e *encoder) { e.open(kindRecalled); e.close() })
	c.mu.Unlock()
	c.out.flush()
}

// next takes and announces the next task. What is written so far is flushed
// before waiting.
func (c *child) next() task {
	for {
		c.mu.Lock()
		if len(c.queue) > 0 {
			t := c.queue[0]
			c.queue[0] = task{}
			c.queue = c.queue[1:]
			c.out.begin(t.seq)
			c.mu.Unlock()
			if t.careful {
				c.out.flush()
			}
			return t
		}
		c.mu.Unlock()
		c.out.flush()
		<-c.wake
		c.cpu = processCPU()
	}
}

// step runs one task and writes its answer.
func (c *child) step(t task) {
	defer func() {
		if r := recover(); r != nil {
			// A fault of this program. The pool tells it from other deaths by the
			// text, and tries once more.
			fmt.Fprintf(os.Stderr, "panic: %v\n%s", r, debug.Stack())
			os.Exit(2)
		}
	}()
	p := t.plan
	if t.inspect != nil {
		c.inspect(t)
		return
	}
	var loading time.Duration
	if !p.compiled {
		begin := time.Now()
		p.program, p.err = c.compile(p.src, c.limits)
		p.compiled = true
		loading = time.Since(begin)
	}
	if t.check {
		c.out.put(func(e *encoder) { e.checked(t.seq, asLoadError(p.err)) })
		return
	}
	var out execution.Outcome
	if p.err != nil {
		out = loadFailed(c.tenant, t.rec, p.err)
		out.Duration = loading
	} else {
		out = p.program.Run(c.tenant, t.rec)
	}
	c.out.answer(t.seq, out, c.work(out.Duration+loading))
}

// inspect looks into the run of a record.
func (c *child) inspect(t task) {
	if t.plan.inspect == nil {
		t.plan.inspect = inspect.New(t.plan.src, c.limits)
	}
	err := t.plan.inspect.Inspect(c.tenant, t.rec, *t.inspect, func(event inspect.Event) { c.out.seen(t.seq, event) })
	c.out.put(func(e *encoder) { e.checked(t.seq, asLoadError(err)) })
}

// longRun is the duration from which on a run's processor time is measured. To ask
// for it costs more than to run a small plan.
const longRun = time.Millisecond

// work bounds the processor time of a run that took d by the clock: it is no more
// than what was used since it was asked for last, when the queue was empty or a run
// had been long.
func (c *child) work(d time.Duration) time.Duration {
	if d < longRun {
		return d
	}
	before := c.cpu
	c.cpu = processCPU()
	return max(0, min(d, c.cpu-before))
}

// loadFailed answers a record whose plan does not load.
func loadFailed(tenant string, rec execution.Record, err error) execution.Outcome {
	return execution.Fail(tenant, rec, execution.ReasonLoad, "Plan could not be loaded: "+err.Error())
}

func asLoadError(err error) *plan.LoadError {
	if err == nil {
		return nil
	}
	var fault *plan.LoadError
	if errors.As(err, &fault) {
		return fault
	}
	return &plan.LoadError{Code: plan.CodeInit, Message: err.Error()}
}

// flushDelay bounds how long an announcement or answer stays in a worker.
const flushDelay = time.Millisecond

// flushSize is how much is gathered before it is written.
const flushSize = 32 << 10

// outbox gathers frames to the pool. One write carries the answers to many
// records, since a write and the reader's wake-up cost more than a small run.
type outbox struct {
	w io.Writer

	mu    sync.Mutex
	enc   encoder
	held  int  // Answers in enc.
	armed bool // The timer goroutine will flush.
	arm   chan struct{}
}

func newOutbox(w io.Writer) *outbox {
	return &outbox{w: w, arm: make(chan struct{}, 1)}
}

// put appends a frame.
func (o *outbox) put(write func(*encoder)) {
	o.mu.Lock()
	write(&o.enc)
	o.mu.Unlock()
}

// begin appends the announcement of a record and has it sent in time, however
// long the record runs.
func (o *outbox) begin(seq uint64) {
	o.mu.Lock()
	o.enc.number(kindBegin, seq)
	if !o.armed {
		o.armed = true
		o.arm <- struct{}{}
	}
	o.mu.Unlock()
}

// seen appends something that was seen in a run. What a plan does is sent at once,
// since it may bring the process to its end with the next step.
func (o *outbox) seen(seq uint64, event inspect.Event) {
	o.mu.Lock()
	o.enc.seen(seq, event)
	if event.Sample == nil || len(o.enc.buf) >= flushSize {
		o.write()
	}
	o.mu.Unlock()
}

func (o *outbox) answer(seq uint64, out execution.Outcome, work time.Duration) {
	o.mu.Lock()
	o.enc.answer(seq, out, work)
	o.held++
	if o.held >= batch || len(o.enc.buf) >= flushSize {
		o.write()
	}
	o.mu.Unlock()
}

func (o *outbox) flush() {
	o.mu.Lock()
	o.write()
	o.mu.Unlock()
}

// write sends what is gathered. A pool that does not read any more has ended, or
// is about to kill this process.
func (o *outbox) write() {
	if len(o.enc.buf) == 0 {
		return
	}
	if _, err := o.w.Write(o.enc.buf); err != nil {
		os.Exit(0)
	}
	if cap(o.enc.buf) > keepBuffer {
		o.enc.buf = nil
	}
	o.enc.buf, o.held = o.enc.buf[:0], 0
}

// flushInTime flushes flushDelay after each time it is armed.
func (o *outbox) flushInTime() {
	timer := time.NewTimer(0)
	<-timer.C
	for range o.arm {
		timer.Reset(flushDelay)
		<-timer.C
		o.mu.Lock()
		o.armed = false
		o.write()
		o.mu.Unlock()
	}
}

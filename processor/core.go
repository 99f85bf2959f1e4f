package processor

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/plan/execution"
	"starplan/processor/ledger"
)

// task is what the processor keeps with a record until it is done.
type task struct {
	part    *partition
	record  *kgo.Record
	release func(error) // goka's DeferCommit; nil after it was called
	outcome execution.Outcome
	// letterDropped: the dead letter is larger than its topic takes.
	letterDropped bool
	// replaced: the answer was too large and says so instead. unanswerable: even
	// that is too large.
	replaced, unanswerable bool
}

// entry is a record in the books.
type entry = ledger.Entry[task]

// partition is one assignment of one partition. It is an identity token: when a
// partition is revoked and assigned again, that is another object, and whatever
// still refers to the old one finds it dead. Its fields belong to core.mu.
type partition struct {
	number int32
	// books are nil until the committed offset is known.
	books *ledger.Ledger[task]
	// ctx is that of the partition's runs; it ends when the partition dies.
	ctx    context.Context
	cancel context.CancelFunc
	// wake has a token when there may be something to feed.
	wake chan struct{}
	// frozen partitions are fed no more; dead ones are not ours any more.
	frozen, dead bool
	// sealed partitions are about to die and take no answers any more.
	sealed bool
	// blocked says why the partition is not fetched; empty when it is.
	blocked string
	// dirty: position or metadata may differ from what was committed.
	dirty     bool
	committed commit
	highWater int64
	// note goes into the metadata of each commit.
	note ledger.Note
	// epoch is the leader epoch of the last record that was delivered, or -1.
	epoch int32
	// headSeen is where the books' head was at the last look at the partition's start.
	headSeen int64
}

// commit is what the broker keeps for a partition. A negative offset stands for
// no commit.
type commit struct {
	offset   int64
	metadata string
	// epoch is the leader epoch that a record before the offset, or near it, was
	// written in; -1 for unknown. By it the next owner notices, before it fetches,
	// that the log was cut off below the offset and grew again (KIP-320).
	epoch int32
}

// noted is the commit of a position with what is done beyond it.
func (p *partition) noted(position int64, finished ledger.Set, nonce string) commit {
	note := p.note
	note.Nonce = nonce
	return commit{position, ledger.Encode(position, finished, note), p.epoch}
}

func (p *partition) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// core is the state that the poll loop, goka's callbacks, the runner's answers,
// the committer and the group's callbacks share. Nothing blocks under its mutex.
type core struct {
	mu    sync.Mutex
	parts map[int32]*partition
	// ready are released answers in the order in which they must be emitted.
	ready []*entry
	// open: a goka session runs and may take on records.
	open bool
	// cycling: the committer has taken a batch and is not through with it.
	cycling bool
	// crowded: the poll loop found no room when it last looked.
	crowded bool
	// changed is closed, and made anew, when something happened that a waiter in
	// [core.wait] may be waiting for.
	changed chan struct{}
	// kick has a token when there is something for the committer.
	kick chan struct{}
	// paused is what was asked not to be fetched. It outlives assignments, as it
	// does in franz-go.
	paused map[int32]bool
	// stopCycle cuts a cycle of transactions off; nil outside of one.
	stopCycle context.CancelFunc
	// processed is when the last record was done.
	processed time.Time
	// moves counts everything that is progress, for [Processor.watchStall].
	moves uint64
}

func newCore() *core {
	return &core{
		parts:   make(map[int32]*partition),
		changed: make(chan struct{}),
		kick:    make(chan struct{}, 1),
		paused:  make(map[int32]bool),
	}
}

// assign makes partitions that are ours from now on. Runs descend from ctx.
func (c *core) assign(ctx context.Context, numbers []int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range numbers {
		p := &partition{number: n, wake: make(chan struct{}, 1), committed: commit{offset: -1}, epoch: -1, headSeen: -1}
		p.ctx, p.cancel = context.WithCancel(ctx)
		if old := c.parts[n]; old != nil {
			c.killLocked(old)
		}
		c.parts[n] = p
	}
	c.moves++
	c.broadcast()
}

// settle gives a partition its books. A position that the group has not committed
// is committed soon, so that it stays where it is over a restart.
func (c *core) settle(number int32, at placement) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.parts[number]
	if p == nil || p.books != nil {
		return
	}
	p.books = ledger.New[task](at.offset, at.finished)
	p.note, p.epoch = at.note, at.epoch
	p.dirty = at.fresh
	c.moves++
	if !at.fresh {
		p.committed = at.commit
	}
	p.poke()
}

// freeze stops the feeding of partitions; all of them where numbers is nil.
func (c *core) freeze(numbers []int32) []*partition {
	c.mu.Lock()
	defer c.mu.Unlock()
	var frozen []*partition
	for n, p := range c.parts {
		if numbers == nil || contains(numbers, n) {
			p.frozen = true
			frozen = append(frozen, p)
		}
	}
	return frozen
}

// seal lets no further answer in. A partition that is revoked has to come to rest:
// an answer that arrived between the last commit and the partition's death would
// be emitted without its offset, and the next owner would emit it again.
func (c *core) seal(numbers []int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n, p := range c.parts {
		if contains(numbers, n) {
			p.sealed = true
		}
	}
}

// kill gives partitions up: runs are cancelled, answers will be dropped.
func (c *core) kill(numbers []int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n, p := range c.parts {
		if numbers == nil || contains(numbers, n) {
			c.killLocked(p)
			delete(c.parts, n)
		}
	}
	c.broadcast()
}

// clear gives everything up, as the client's memory of what is paused goes with it.
func (c *core) clear() {
	c.kill(nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.paused)
	clear(c.ready)
	c.ready = c.ready[:0]
}

func (c *core) killLocked(p *partition) {
	p.dead = true
	p.cancel()
}

func contains(numbers []int32, n int32) bool {
	for _, x := range numbers {
		if x == n {
			return true
		}
	}
	return false
}

// arrival is a record as the poll loop has sorted it.
type arrival struct {
	record *kgo.Record
	skip   bool
}

// bounds are the offsets of the first record of a partition, and after its last.
type bounds struct{ start, end int64 }

// intake is what became of records that arrived.
type intake struct {
	// repeated is how many were answered by an earlier owner.
	repeated int
	// deleted is how many offsets before them the broker has deleted unanswered.
	deleted int64
	// rewound: the log went back, the records are ones that the books have seen.
	rewound bool
}

// ingest takes on records of one partition in order.
func (c *core) ingest(number int32, arrivals []arrival, log bounds) (in intake) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.parts[number]
	if p == nil || p.books == nil {
		return intake{}
	}
	p.highWater = log.end
	if len(arrivals) > 0 {
		c.moves++
	}
	if head := p.books.Head(); len(arrivals) > 0 && log.start > head {
		in.deleted = min(log.start, arrivals[0].record.Offset) - head
	}
	for _, a := range arrivals {
		r := a.record
		p.epoch = max(p.epoch, r.LeaderEpoch)
		if a.skip {
			if !p.books.Skip(r.Offset) {
				in.rewound = true
				return in
			}
			p.dirty = true
			continue
		}
		_, verdict := p.books.Add(r.Offset, string(r.Key), size(r), task{part: p, record: r})
		switch verdict {
		case ledger.Stale:
			in.rewound = true
			return in
		case ledger.Finished:
			p.dirty = true
			in.repeated++
		case ledger.Queued:
		}
	}
	p.poke()
	return in
}

// size is the bytes that a record keeps in memory.
func size(r *kgo.Record) int {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// feed gives the records of one partition to one goka session.
type feed struct {
	core *core
	part *partition
	buf  []*entry
	from int64
}

func (c *core) newFeed(p *partition) *feed {
	return &feed{core: c, part: p, buf: make([]*entry, 0, 64)}
}

// Next implements carrier.Feed.
func (f *feed) Next(ctx context.Context) []*kgo.Record {
	for {
		if records := f.take(); len(records) > 0 {
			return records
		}
		select {
		case <-f.part.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

func (f *feed) take() []*kgo.Record {
	f.core.mu.Lock()
	defer f.core.mu.Unlock()
	p := f.part
	if p.dead || p.frozen || p.books == nil {
		return nil
	}
	entries := p.books.Next(f.buf[:0], f.from)
	if len(entries) == 0 {
		return nil
	}
	records := make([]*kgo.Record, len(entries))
	for i, e := range entries {
		records[i] = e.Data.record
	}
	f.from = entries[len(entries)-1].Offset + 1
	return records
}

// submit notes that a record's run begins. It reports false where the record must
// not be run: the session is over, the partition is frozen or gone, or the record
// is taken care of. Only then the caller keeps release.
func (c *core) submit(number int32, offset int64, release func(error)) (*entry, *partition, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.parts[number]
	if !c.open || p == nil || p.frozen || p.books == nil {
		return nil, nil, false
	}
	e, ok := p.books.Submit(offset)
	if !ok {
		return nil, nil, false
	}
	e.Data.release = release
	c.moves++
	return e, p, true
}

// finish takes a run's answer. It reports false for one that comes too late or a
// second time.
func (c *core) finish(p *partition, e *entry, outcome execution.Outcome) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.dead || p.sealed || !e.Running() {
		return false
	}
	e.Data.outcome = outcome
	c.moves++
	n := len(c.ready)
	c.ready = p.books.Finish(c.ready, e)
	if len(c.ready) > n {
		c.wakeCommitter()
	}
	c.broadcastIfIdle(p)
	return true
}

func (c *core) broadcastIfIdle(p *partition) {
	if p.frozen && p.books.Running() == 0 {
		c.broadcast()
	}
}

func (c *core) wakeCommitter() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// take gives everything that may be emitted, in order: first what is left of the
// batch before, then what was released since. It begins a cycle.
func (c *core) take(left []*entry) []*entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cycling = true
	batch := append(left, c.ready...)
	clear(c.ready)
	c.ready = c.ready[:0]
	return alive(batch)
}

// alive drops in place the entries whose partitions are gone.
func alive(batch []*entry) []*entry {
	kept := batch[:0]
	for _, e := range batch {
		if !e.Data.part.dead {
			kept = append(kept, e)
		}
	}
	clear(batch[len(kept):])
	return kept
}

// due reports that the committer has rested enough: full answers wait for it, or
// the poll loop waits for the room that it makes.
func (c *core) due(full int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.crowded || len(c.ready) >= full
}

// done notes that answers are on the output topic, and releases goka's records.
func (c *core) done(batch []*entry) {
	if len(batch) == 0 {
		return
	}
	releases := make([]func(error), 0, len(batch))
	c.mu.Lock()
	for _, e := range batch {
		p := e.Data.part
		if p.dead {
			continue
		}
		if e.Data.release != nil {
			releases = append(releases, e.Data.release)
		}
		p.books.Done(e)
		p.dirty = true
		p.poke()
	}
	c.processed = time.Now()
	c.moves++
	c.mu.Unlock()
	for _, release := range releases {
		release(nil)
	}
}

// cycled ends a cycle.
func (c *core) cycled() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cycling = false
	c.broadcast()
}

func (c *core) broadcast() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// wait returns true when cond holds; it is called under the mutex, at first and
// after each change. It returns false when ctx ends first.
func (c *core) wait(ctx context.Context, cond func() bool) bool {
	for {
		c.mu.Lock()
		ok, changed := cond(), c.changed
		c.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// openSession lets goka's callbacks take on records.
func (c *core) openSession() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = true
}

// closeSession releases everything that goka waits for. Runs go on; their
// partitions hold them, not the session.
func (c *core) closeSession() {
	c.mu.Lock()
	c.open = false
	var releases []func(error)
	for _, p := range c.parts {
		if p.books == nil {
			continue
		}
		for e := range p.books.All() {
			if e.Data.release != nil {
				releases = append(releases, e.Data.release)
				e.Data.release = nil
			}
		}
	}
	c.mu.Unlock()
	for _, release := range releases {
		release(nil)
	}
}

// live gives our partitions in no order.
func (c *core) live() []*partition {
	c.mu.Lock()
	defer c.mu.Unlock()
	parts := make([]*partition, 0, len(c.parts))
	for _, p := range c.parts {
		parts = append(parts, p)
	}
	return parts
}

// beginCycle gives the context of one attempt of the committer, which ends early
// when the group has gone on without us: a broker that is away would hold up the
// partitions that come next.
func (c *core) beginCycle(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopCycle = cancel
	return ctx, cancel
}

// cutCycle ends that context.
func (c *core) cutCycle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopCycle != nil {
		c.stopCycle()
	}
}

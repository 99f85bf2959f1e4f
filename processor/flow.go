package processor

import (
	"context"
	"sort"
	"strconv"
	"time"
)

// Why a partition is not fetched.
const (
	blockRecords = "records"
	blockBytes   = "bytes"
	blockWindow  = "window"
)

var blockReasons = []string{blockBytes, blockRecords, blockWindow}

// hurry is how long the poll loop waits for room before it has partitions paused.
const hurry = 50 * time.Millisecond

// makeRoom waits until execution is not too far ahead for another poll. Under
// load the committer makes room within milliseconds, and to wait is all it
// takes: a pause would throw away what the client has fetched. Where it does not
// come, something runs for long, and flow pauses whose partition that is.
func (p *Processor) makeRoom(ctx context.Context) {
	room := func() bool { return p.core.room(p.opts.MaxAheadRecords, p.opts.MaxAheadBytes) }
	hurried, cancel := context.WithTimeout(ctx, hurry)
	defer cancel()
	if !p.core.wait(hurried, room) && ctx.Err() == nil {
		p.flow(true)
	}
}

// flow resumes partitions that have room again; those that have run ahead as far
// as they may it pauses, if so asked.
func (p *Processor) flow(pauseToo bool) {
	p.flowMu.Lock()
	defer p.flowMu.Unlock()
	pause, resume := p.core.balance(p.opts.MaxAheadRecords, p.opts.MaxAheadBytes, pauseToo)
	if len(pause) > 0 {
		p.consumer.PauseFetchPartitions(map[string][]int32{p.input: pause})
	}
	if len(resume) > 0 {
		p.consumer.ResumeFetchPartitions(map[string][]int32{p.input: resume})
	}
}

// load is how far execution is ahead in the process.
type load struct {
	records, partitions int64
	bytes               int64
}

func (c *core) load() load {
	l := load{partitions: int64(len(c.parts))}
	for _, p := range c.parts {
		if p.books != nil {
			_, held := p.books.Held()
			l.records += int64(p.books.Ahead())
			l.bytes += held
		}
	}
	return l
}

// over says whether a partition is to be paused, and why: the process is at num
// of den of a bound, and the partition at as much of its share. So one with a
// slow record does not take the room of all, and since a partition within its
// share is never paused for a bound, the process holds at most twice the bound.
func (l load) over(p *partition, maxRecords int, maxBytes, num, den int64) string {
	_, held := p.books.Held()
	switch {
	case p.books.Full():
		return blockWindow
	case l.records*den >= int64(maxRecords)*num && int64(p.books.Ahead())*l.partitions*den >= int64(maxRecords)*num:
		return blockRecords
	case l.bytes*den >= maxBytes*num && held*l.partitions*den >= maxBytes*num:
		return blockBytes
	}
	return ""
}

// room reports, under the mutex, that nothing has to be paused before a poll. Where
// it turns out that something has to be, the committer is woken: it may be resting,
// for more answers than there can be.
func (c *core) room(maxRecords int, maxBytes int64) bool {
	before := c.crowded
	c.crowded = c.overfull(c.load(), maxRecords, maxBytes)
	if c.crowded && !before {
		c.wakeCommitter()
	}
	return !c.crowded
}

// overfull reports that a partition that is fetched is to be paused.
func (c *core) overfull(l load, maxRecords int, maxBytes int64) bool {
	for _, p := range c.parts {
		if p.books != nil && p.blocked == "" && l.over(p, maxRecords, maxBytes, 1, 1) != "" {
			return true
		}
	}
	return false
}

// balance decides which partitions to pause and which to resume. One is resumed
// at four fifths of what it was paused for, so that it does not flicker.
func (c *core) balance(maxRecords int, maxBytes int64, pauseToo bool) (pause, resume []int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if pauseToo {
		c.crowded = false // The poll loop waits no longer.
	}
	l := c.load()
	for _, p := range c.parts {
		if p.books == nil || p.blocked == "" && !pauseToo {
			continue
		}
		if p.blocked == "" {
			p.blocked = l.over(p, maxRecords, maxBytes, 1, 1)
		} else {
			p.blocked = l.over(p, maxRecords, maxBytes, 4, 5)
		}
		if p.blocked != "" && !c.paused[p.number] {
			pause = append(pause, p.number)
			c.paused[p.number] = true
		}
	}
	for n := range c.paused {
		if p := c.parts[n]; p == nil || p.blocked == "" {
			resume = append(resume, n)
			delete(c.paused, n)
		}
	}
	return pause, resume
}

// stats are what the collector and Status read.
type stats struct {
	inFlight   int
	running    int
	lag        time.Duration
	partitions []partitionStats
	blocked    map[string]int
	processed  time.Time
}

type partitionStats struct {
	number int32
	label  string
	lag    int64
	// placed: it is known where the partition begins.
	placed bool
}

// stats reads the books. Partitions come in order.
func (c *core) stats(now time.Time) stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := stats{blocked: make(map[string]int), processed: c.processed}
	for n, p := range c.parts {
		ps := partitionStats{number: n, label: strconv.Itoa(int(n))}
		if p.books != nil {
			ps.placed = true
			held, _ := p.books.Held()
			s.inFlight += held
			s.running += p.books.Running()
			ps.lag = max(0, p.highWater-p.books.Position())
			if e := p.books.First(); e != nil {
				s.lag = max(s.lag, now.Sub(e.Data.record.Timestamp))
			}
		}
		if p.blocked != "" {
			s.blocked[p.blocked]++
		}
		s.partitions = append(s.partitions, ps)
	}
	sort.Slice(s.partitions, func(i, j int) bool { return s.partitions[i].number < s.partitions[j].number })
	return s
}

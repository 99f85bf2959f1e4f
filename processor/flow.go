package processor

import (
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

// flow stops the fetching of partitions that have run ahead as far as they may
// and resumes that of others. The bounds are the process's; what counts is a
// partition's share of them, so that one with a slow record does not take the
// room of all. A blocked partition is resumed at four fifths, so that it does
// not flicker.
func (p *Processor) flow() {
	p.flowMu.Lock()
	defer p.flowMu.Unlock()
	pause, resume := p.core.balance(p.opts.MaxAheadRecords, p.opts.MaxAheadBytes)
	if len(pause) > 0 {
		p.consumer.PauseFetchPartitions(map[string][]int32{p.input: pause})
	}
	if len(resume) > 0 {
		p.consumer.ResumeFetchPartitions(map[string][]int32{p.input: resume})
	}
}

// balance decides which partitions to pause and which to resume.
func (c *core) balance(maxRecords int, maxBytes int64) (pause, resume []int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var records int
	var bytes int64
	for _, p := range c.parts {
		if p.books != nil {
			_, held := p.books.Held()
			records += p.books.Ahead()
			bytes += held
		}
	}
	n := len(c.parts)
	for _, p := range c.parts {
		if p.books == nil {
			continue
		}
		_, held := p.books.Held()
		over := func(num, den int64) string {
			switch {
			case p.books.Full():
				return blockWindow
			case int64(records)*den >= int64(maxRecords)*num && int64(p.books.Ahead()*n)*den >= int64(maxRecords)*num:
				return blockRecords
			case bytes*den >= maxBytes*num && held*int64(n)*den >= maxBytes*num:
				return blockBytes
			}
			return ""
		}
		if p.blocked == "" {
			p.blocked = over(1, 1)
		} else {
			p.blocked = over(4, 5)
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
}

// stats reads the books. Partitions come in order.
func (c *core) stats(now time.Time) stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := stats{blocked: make(map[string]int), processed: c.processed}
	for n, p := range c.parts {
		ps := partitionStats{number: n, label: strconv.Itoa(int(n))}
		if p.books != nil {
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

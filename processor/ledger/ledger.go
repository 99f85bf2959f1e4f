package ledger

import (
	"fmt"
	"iter"
	"slices"
	"sort"
)

// state is where an entry stands; see the package comment.
type state uint8

const (
	queued state = iota
	running
	finished
	released
	done
)

// Entry is one record that was taken on. T is whatever its owner keeps with it.
type Entry[T any] struct {
	// Offset of the record in its partition.
	Offset int64
	// Bytes that the owner holds for the record until it is done.
	Bytes int
	// Data belongs to the owner. It is set to its zero value when the entry is done.
	Data T

	state state
	key   string
	next  *Entry[T] // the next record of the same key
}

// chain is the records of one key that are not released, in input order.
type chain[T any] struct{ first, last *Entry[T] }

// Ledger keeps the books of one partition for one owner. It is not safe for
// concurrent use.
type Ledger[T any] struct {
	// entries are ascending by offset. The first, where there is one, is not done.
	entries []*Entry[T]
	// head is the offset after the last that was delivered; before the first
	// delivery it is where delivery begins.
	head int64
	// carried is what an earlier owner did beyond head.
	carried Set
	chains  map[string]*chain[T]

	held      int
	heldBytes int64
	running   int
	released  int
}

// New begins the books of a partition whose first record to be delivered is at
// offset position or beyond. finished is what earlier owners did beyond it; it
// may be nil. The ledger keeps the set and changes it.
func New[T any](position int64, finished Set) *Ledger[T] {
	l := &Ledger[T]{head: position, carried: finished, chains: make(map[string]*chain[T])}
	l.drop(position)
	return l
}

// drop forgets what is carried below offset.
func (l *Ledger[T]) drop(offset int64) {
	for len(l.carried) > 0 && l.carried[0].To <= offset {
		l.carried = l.carried[1:]
	}
	if len(l.carried) > 0 && l.carried[0].From < offset {
		l.carried[0].From = offset
	}
}

// Verdict says what becomes of a record that was delivered.
type Verdict uint8

const (
	// Queued is a record to execute.
	Queued Verdict = iota
	// Finished is a record that an earlier owner answered.
	Finished
	// Stale is a record from before the head, which was delivered already. It
	// changes nothing. The log went back, or the owner mixed up two partitions.
	Stale
)

// Add takes on the record at offset. Records come in ascending order of offset;
// holes are allowed. The entry is nil unless the verdict is Queued.
func (l *Ledger[T]) Add(offset int64, key string, bytes int, data T) (*Entry[T], Verdict) {
	if offset < l.head {
		return nil, Stale
	}
	if l.carried.Contains(offset) {
		l.advance(offset)
		if len(l.entries) > 0 {
			l.entries = append(l.entries, &Entry[T]{Offset: offset, state: done})
		}
		return nil, Finished
	}
	l.advance(offset)
	e := &Entry[T]{Offset: offset, Bytes: bytes, Data: data, key: key}
	l.entries = append(l.entries, e)
	c := l.chains[key]
	if c == nil {
		l.chains[key] = &chain[T]{first: e, last: e}
	} else {
		c.last.next = e
		c.last = e
	}
	l.held++
	l.heldBytes += int64(bytes)
	return e, Queued
}

// Skip passes over the record at offset: it needs no answer. It reports false
// for an offset from before the head.
func (l *Ledger[T]) Skip(offset int64) bool {
	if offset < l.head {
		return false
	}
	l.advance(offset)
	return true
}

func (l *Ledger[T]) advance(offset int64) {
	l.head = offset + 1
	l.drop(l.head)
}

// find gives the index of the first entry at offset or beyond.
func (l *Ledger[T]) find(offset int64) int {
	// Offsets are contiguous most of the time.
	if len(l.entries) > 0 {
		if i := offset - l.entries[0].Offset; i >= 0 && i < int64(len(l.entries)) && l.entries[i].Offset == offset {
			return int(i)
		}
	}
	return sort.Search(len(l.entries), func(i int) bool { return l.entries[i].Offset >= offset })
}

// Next appends to buf the queued records from offset from on, in order, until
// buf is full to its capacity. It gives none beyond the [Window].
func (l *Ledger[T]) Next(buf []*Entry[T], from int64) []*Entry[T] {
	limit := l.Position() + Window
	for i := l.find(from); i < len(l.entries) && len(buf) < cap(buf); i++ {
		e := l.entries[i]
		if e.Offset >= limit {
			break
		}
		if e.state == queued {
			buf = append(buf, e)
		}
	}
	return buf
}

// Submit notes that the execution of the record at offset begins. It reports
// false where the record is not queued (any more) or not known.
func (l *Ledger[T]) Submit(offset int64) (*Entry[T], bool) {
	i := l.find(offset)
	if i == len(l.entries) {
		return nil, false
	}
	e := l.entries[i]
	if e.Offset != offset || e.state != queued {
		return nil, false
	}
	e.state = running
	l.running++
	return e, true
}

// Finish notes that e has its answer. It appends to buf the entries whose answers
// may be emitted now, in the order in which they must be: none, e alone, or e
// and later ones of its key that waited for it. It changes nothing where e is
// not running, as when an answer comes twice.
func (l *Ledger[T]) Finish(buf []*Entry[T], e *Entry[T]) []*Entry[T] {
	if e.state != running {
		return buf
	}
	e.state = finished
	l.running--
	c := l.chains[e.key]
	for c.first != nil && c.first.state == finished {
		first := c.first
		first.state = released
		l.released++
		buf = append(buf, first)
		c.first, first.next = first.next, nil
	}
	if c.first == nil {
		delete(l.chains, e.key)
	}
	return buf
}

// Done notes that the answer of e, which was released, is on the output topic.
func (l *Ledger[T]) Done(e *Entry[T]) {
	if e.state != released {
		panic(fmt.Sprintf("ledger: record %d is done without having been released", e.Offset))
	}
	e.state = done
	l.released--
	l.held--
	l.heldBytes -= int64(e.Bytes)
	var zero T
	e.Data = zero
	i := 0
	for i < len(l.entries) && l.entries[i].state == done {
		l.entries[i] = nil
		i++
	}
	l.entries = l.entries[i:]
}

// Position is the offset to commit: that of the first record without an answer
// or, where there is none, the one after the last that was delivered.
func (l *Ledger[T]) Position() int64 {
	if len(l.entries) > 0 {
		return l.entries[0].Offset
	}
	return l.head
}

// Head is the offset after the last record that was delivered.
func (l *Ledger[T]) Head() int64 { return l.head }

// Snapshot gives what to commit if the entries of batch, all of them released,
// were done: the position, and what is done beyond it. batch may be nil.
func (l *Ledger[T]) Snapshot(batch []*Entry[T]) (position int64, finished Set) {
	for _, e := range batch {
		e.state = done
	}
	defer func() {
		for _, e := range batch {
			e.state = released
		}
	}()
	position = l.head
	i := 0
	for ; i < len(l.entries); i++ {
		if l.entries[i].state != done {
			position = l.entries[i].Offset
			break
		}
	}
	for ; i < len(l.entries); i++ {
		if e := l.entries[i]; e.state == done {
			finished = finished.add(e.Offset, e.Offset+1)
		}
	}
	for _, r := range l.carried {
		finished = finished.add(r.From, r.To)
	}
	return position, finished
}

// First gives the first record without an answer, or nil.
func (l *Ledger[T]) First() *Entry[T] {
	if len(l.entries) > 0 {
		return l.entries[0]
	}
	return nil
}

// Ahead is the number of records from the position on, done ones included.
func (l *Ledger[T]) Ahead() int { return len(l.entries) }

// Held is the number of records that are not done, and their bytes.
func (l *Ledger[T]) Held() (records int, bytes int64) { return l.held, l.heldBytes }

// Running is the number of records whose execution has begun and not ended.
func (l *Ledger[T]) Running() int { return l.running }

// Released is the number of answers that were released and are not done.
func (l *Ledger[T]) Released() int { return l.released }

// Full reports that the ledger takes no more records for the [Window].
func (l *Ledger[T]) Full() bool { return l.head-l.Position() >= Window }

// All gives the entries from the position on, in order, also those that are done.
func (l *Ledger[T]) All() iter.Seq[*Entry[T]] { return slices.Values(l.entries) }

// Running reports whether the record's execution has begun and not ended.
func (e *Entry[T]) Running() bool { return e.state == running }

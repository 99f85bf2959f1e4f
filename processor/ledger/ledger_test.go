package ledger

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// world is a partition's log and what has come out of it, over all owners. It is
// the model that a Ledger is held against.
type world struct {
	keys    map[int64]string // by offset; holes and skipped records are absent
	skipped map[int64]bool
	end     int64

	emitted   map[int64]int    // how often each record was emitted
	first     map[string]int64 // highest offset first emitted of each key
	committed int64
	metadata  string
}

// owner is one owner of the partition, from assignment to revocation or crash.
type owner struct {
	w       *world
	l       *Ledger[int64]
	next    int64 // next offset to be delivered
	running []*Entry[int64]
	ready   []*Entry[int64]
	ended   map[int64]bool // whose runs have ended
	emitted map[int64]bool
	given   map[int64]bool // what the metadata of the assignment listed
	last    int64          // highest position seen
}

func (w *world) assign(t *rapid.T) *owner {
	finished, _, _ := Decode(w.committed, w.metadata)
	o := &owner{w: w, next: w.committed, ended: map[int64]bool{}, emitted: map[int64]bool{}, given: map[int64]bool{}, last: w.committed}
	for _, r := range finished {
		for off := r.From; off < r.To; off++ {
			o.given[off] = true
			if w.emitted[off] == 0 {
				t.Fatalf("metadata lists record %d, which was never emitted", off)
			}
		}
	}
	o.l = New[int64](w.committed, finished)
	return o
}

// deliver is a poll: some records, in order, with holes.
func (o *owner) deliver(t *rapid.T) {
	for range rapid.IntRange(1, 6).Draw(t, "poll") {
		if o.next >= o.w.end {
			return
		}
		off := o.next
		o.next++
		key, isRecord := o.w.keys[off]
		switch {
		case isRecord:
			e, v := o.l.Add(off, key, 1, off)
			want := Queued
			if o.given[off] {
				want = Finished
			}
			if v != want || (e != nil) != (want == Queued) {
				t.Fatalf("Add(%d) = %v, want %v", off, v, want)
			}
		case o.w.skipped[off]:
			if !o.l.Skip(off) {
				t.Fatalf("Skip(%d) = false", off)
			}
		}
	}
}

func (o *owner) submit(t *rapid.T) {
	buf := make([]*Entry[int64], 0, 4)
	for _, e := range o.l.Next(buf, rapid.Int64Range(0, o.next).Draw(t, "from")) {
		if rapid.Bool().Draw(t, "taken over") {
			got, ok := o.l.Submit(e.Offset)
			if !ok || got != e {
				t.Fatalf("Submit(%d) = %v, %v", e.Offset, got, ok)
			}
			if _, again := o.l.Submit(e.Offset); again {
				t.Fatalf("Submit(%d) twice", e.Offset)
			}
			o.running = append(o.running, e)
		}
	}
}

func (o *owner) finish(t *rapid.T) {
	if len(o.running) == 0 {
		return
	}
	i := rapid.IntRange(0, len(o.running)-1).Draw(t, "which")
	e := o.running[i]
	o.running = append(o.running[:i], o.running[i+1:]...)
	o.ended[e.Offset] = true
	o.ready = o.l.Finish(o.ready, e)
	o.ready = o.l.Finish(o.ready, e) // an answer that comes twice
	for _, r := range o.ready {
		if !o.ended[r.Offset] {
			t.Fatalf("Finish(%d) releases record %d, whose run has not ended", e.Offset, r.Offset)
		}
	}
}

// emit is a cycle of the committer: a batch is emitted, or refused as a whole.
func (o *owner) emit(t *rapid.T) {
	if rapid.Bool().Draw(t, "refused") {
		return
	}
	n := rapid.IntRange(0, len(o.ready)).Draw(t, "batch")
	batch := o.ready[:n]
	asIf, asIfSet := o.l.Snapshot(batch)
	for _, e := range batch {
		off := e.Offset
		if o.emitted[off] || o.given[off] {
			t.Fatalf("record %d is emitted twice by one owner", off)
		}
		o.emitted[off] = true
		key := o.w.keys[off]
		if o.w.emitted[off] == 0 {
			if last, ok := o.w.first[key]; ok && last > off {
				t.Fatalf("record %d of key %s is first emitted after record %d", off, key, last)
			}
			o.w.first[key] = off
		}
		o.w.emitted[off]++
		o.l.Done(e)
	}
	o.ready = append([]*Entry[int64](nil), o.ready[n:]...)
	position, set := o.l.Snapshot(nil)
	if position != asIf || !cmp.Equal(set, asIfSet) {
		t.Fatalf("Snapshot() = %d, %v, want what it said before the batch was done: %d, %v", position, set, asIf, asIfSet)
	}
}

// check holds the books against the world, and may commit.
func (o *owner) check(t *rapid.T) {
	position, set := o.l.Snapshot(nil)
	if position != o.l.Position() || position < o.last {
		t.Fatalf("position %d after %d; Position() = %d", position, o.last, o.l.Position())
	}
	o.last = position
	for off := range o.w.keys {
		answered := o.w.emitted[off] > 0
		if off < position && !answered {
			t.Fatalf("position %d passed record %d, which has no answer", position, off)
		}
		mine := o.emitted[off] || o.given[off]
		if got, want := set.Contains(off), off >= position && mine; got != want {
			t.Fatalf("set %v lists record %d: %v, want %v", set, off, got, want)
		}
	}
	if rapid.Bool().Draw(t, "commit") {
		o.w.committed, o.w.metadata = position, Encode(position, set, Note{})
	}
}

func TestLedgerAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{keys: map[int64]string{}, skipped: map[int64]bool{}, emitted: map[int64]int{}, first: map[string]int64{}}
		n := rapid.IntRange(1, 60).Draw(t, "offsets")
		for range n {
			switch rapid.SampledFrom([]string{"record", "record", "record", "skip", "hole"}).Draw(t, "kind") {
			case "record":
				w.keys[w.end] = rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")
			case "skip":
				w.skipped[w.end] = true
			}
			w.end++
		}
		o := w.assign(t)
		t.Repeat(map[string]func(*rapid.T){
			"deliver":  o.deliver,
			"submit":   o.submit,
			"finish":   o.finish,
			"emit":     o.emit,
			"reassign": func(t *rapid.T) { *o = *w.assign(t) },
			"":         o.check,
		})
		// A last owner that nothing happens to answers everything.
		*o = *w.assign(t)
		for o.next < w.end {
			o.deliver(t)
		}
		for _, e := range o.l.Next(make([]*Entry[int64], 0, n), 0) {
			if _, ok := o.l.Submit(e.Offset); ok {
				o.ready = o.l.Finish(o.ready, e)
			}
		}
		for _, e := range o.ready {
			o.w.emitted[e.Offset]++
			o.l.Done(e)
		}
		for off := range w.keys {
			if w.emitted[off] == 0 {
				t.Fatalf("record %d was never emitted", off)
			}
		}
		if h, b := o.l.Held(); h != 0 || b != 0 || o.l.Ahead() != 0 || o.l.Running() != 0 || o.l.Released() != 0 {
			t.Fatalf("books after all is done: held %d, %d bytes, ahead %d", h, b, o.l.Ahead())
		}
		if got, want := o.l.Position(), o.l.Head(); got != want {
			t.Fatalf("Position() = %d after all is done, want the head %d", got, want)
		}
	})
}

func TestWindowStopsFeeding(t *testing.T) {
	l := New[int](0, nil)
	for o := range int64(Window + 10) {
		l.Add(o, fmt.Sprint(o), 1, 0)
	}
	if !l.Full() {
		t.Errorf("Full() = false with %d offsets ahead", l.Head())
	}
	got := l.Next(make([]*Entry[int], 0, Window+10), 0)
	if len(got) != Window {
		t.Fatalf("Next() gives %d records, want %d", len(got), Window)
	}
	e, _ := l.Submit(0)
	l.Done(l.Finish(nil, e)[0])
	if got := l.Next(make([]*Entry[int], 0, 10), Window); len(got) != 1 || got[0].Offset != Window {
		t.Errorf("Next() after the first record is done gives %d records, want the one at %d", len(got), Window)
	}
}

func TestHolesDoNotHoldUpTheWindow(t *testing.T) {
	l := New[int](0, nil)
	l.Add(5, "a", 1, 0)
	l.Add(5+3*Window, "b", 1, 0)
	if got := l.Next(make([]*Entry[int], 0, 2), 0); len(got) != 1 {
		t.Fatalf("Next() gives %d records, want the one within the window", len(got))
	}
	e, _ := l.Submit(5)
	l.Done(l.Finish(nil, e)[0])
	if got := l.Next(make([]*Entry[int], 0, 2), 0); len(got) != 1 || got[0].Offset != 5+3*Window {
		t.Errorf("Next() gives %v, want the record beyond the hole", got)
	}
}

func TestStale(t *testing.T) {
	l := New[int](10, nil)
	l.Add(12, "a", 1, 0)
	for _, o := range []int64{9, 10, 12} {
		if _, v := l.Add(o, "a", 1, 0); v != Stale {
			t.Errorf("Add(%d) = %v, want Stale", o, v)
		}
		if l.Skip(o) {
			t.Errorf("Skip(%d) = true, want false", o)
		}
	}
}

func BenchmarkLedger(b *testing.B) {
	b.ReportAllocs()
	l := New[int](0, nil)
	keys := []string{"a", "b", "c", "d"}
	var buf []*Entry[int]
	for i := range int64(b.N) {
		l.Add(i, keys[i%4], 100, 0)
		e, _ := l.Submit(i)
		buf = l.Finish(buf[:0], e)
		for _, e := range buf {
			l.Done(e)
		}
	}
}

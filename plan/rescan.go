package plan

import (
	"context"
	"sync"
	"time"
)

const (
	// rescanPause is the least time from the end of one rescan to the next.
	rescanPause = time.Second
	// maxWaiting bounds the records that wait for a rescan. Beyond it they are
	// answered with the plans that are known.
	maxWaiting = 1000
)

// rescanner reads the plans again when a record asks for one that is not there,
// at most once in rescanPause, for all records that wait at that time together.
//
// A record is answered after a rescan that began when the record was waiting
// already, never after an earlier one: a plan that was put in place before its
// first record was sent is always found.
type rescanner struct {
	rescan func(context.Context)
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	waiting []func()
	running bool
	closed  bool
	done    sync.WaitGroup
	last    time.Time // Owned by the running goroutine.
}

func newRescanner(rescan func(context.Context)) *rescanner {
	r := &rescanner{rescan: rescan}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// add calls answer after the next rescan. It does not block. Once the rescanner
// is closed answer is never called.
func (r *rescanner) add(answer func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if len(r.waiting) >= maxWaiting {
		r.done.Go(answer)
		return
	}
	r.waiting = append(r.waiting, answer)
	if !r.running {
		r.running = true
		r.done.Go(r.run)
	}
}

// run serves all who wait, and ends when nobody does.
func (r *rescanner) run() {
	for {
		if !r.pause() {
			return
		}
		r.mu.Lock()
		batch := r.waiting
		r.waiting = nil
		if len(batch) == 0 {
			r.running = false
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		r.rescan(r.ctx)
		r.last = time.Now()
		if r.ctx.Err() != nil {
			return
		}
		for _, answer := range batch {
			answer()
		}
	}
}

// pause waits until the next rescan is due, and reports false when closed.
func (r *rescanner) pause() bool {
	due := time.NewTimer(rescanPause - time.Since(r.last))
	defer due.Stop()
	select {
	case <-due.C:
		return r.ctx.Err() == nil
	case <-r.ctx.Done():
		return false
	}
}

// close ends the rescanner and waits for its goroutine.
func (r *rescanner) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.done.Wait()
}

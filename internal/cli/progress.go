package cli

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progress shows how far long work is, on a terminal; elsewhere it does nothing.
// It is safe for concurrent use.
type progress struct {
	w    io.Writer // Nil where it is no terminal.
	what string

	mu    sync.Mutex
	begin time.Time
	last  time.Time
}

// The first line appears after progressDelay, and then not more often than every
// progressPause: quick work shows nothing.
const (
	progressDelay = 500 * time.Millisecond
	progressPause = 100 * time.Millisecond
)

func newProgress(w io.Writer, what string) *progress {
	if !isTerminal(w) {
		w = nil
	}
	return &progress{w: w, what: what, begin: time.Now()}
}

// set shows that done of total are done.
func (p *progress) set(done, total int) {
	if p.w == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.Sub(p.begin) < progressDelay || now.Sub(p.last) < progressPause {
		return
	}
	p.last = now
	fmt.Fprintf(p.w, "\r\x1b[K%d/%d %s", done, total, p.what)
}

// clear takes the line away.
func (p *progress) clear() {
	if p.w == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.last.IsZero() {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// Package sloglimit keeps a log readable while a fault repeats.
//
// A broker that is away makes its clients complain several times a second, each
// time with the same words. [New] wraps a [slog.Handler] so that the first lines
// of a fault pass; those that follow within a window are held back, and at its end
// the last of them is written with the attribute [Repeated], which says for how
// many it stands:
//
//	level=WARN msg="waiting for kafka" reason="connection refused"
//	level=WARN msg="waiting for kafka" reason="connection refused"
//	level=WARN msg="waiting for kafka" reason="connection refused"
//	level=WARN msg="waiting for kafka" reason="connection refused" repeated=19
//
// A fault that goes on gives one such line a window, and one that ended gives its
// last line when the window does: no line is lost without being counted.
//
// Lines are of the same fault when level, message and the values of
// [Options.Keys] are equal. The error is left out as a rule, because many hold a
// port or an address that differs each time. Lines below warning are no faults and
// always pass.
package sloglimit

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Repeated is the attribute of a line that stands for several: how many they
// are, itself included.
const Repeated = "repeated"

// Defaults of Options.
const (
	DefaultBurst  = 3
	DefaultWindow = time.Minute
)

// maxFaults bounds how many faults are told apart at a time. Those beyond are
// counted as one.
const maxFaults = 1000

// Options say what is held back.
type Options struct {
	// Burst is how many lines of one fault pass in a window; 0 means [DefaultBurst].
	Burst int
	// Window is how long lines are held back; 0 means [DefaultWindow].
	Window time.Duration
	// Keys name attributes whose values tell faults of the same message apart. Only
	// attributes outside of groups are looked at. Their values should be few.
	Keys []string
}

// Handler is a [slog.Handler] that holds repeated lines back. It is safe for
// concurrent use, and so are all handlers made from it, which count together.
type Handler struct {
	next   slog.Handler
	prefix string // what WithAttrs said of the keys
	group  bool
	*limiter
}

// limiter is what a handler shares with those made from it.
type limiter struct {
	opts Options

	mu     sync.Mutex
	faults map[string]*fault
	closed bool
}

// fault is one that was logged in the current window.
type fault struct {
	passed, held int
	last         slog.Record  // of those held back
	to           slog.Handler // where it goes
	timer        *time.Timer
}

// New gives a handler in front of next. Close it when nothing is logged any more.
func New(next slog.Handler, opts Options) *Handler {
	if opts.Burst == 0 {
		opts.Burst = DefaultBurst
	}
	if opts.Window == 0 {
		opts.Window = DefaultWindow
	}
	return &Handler{next: next, limiter: &limiter{opts: opts, faults: make(map[string]*fault)}}
}

// Enabled implements [slog.Handler].
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// WithAttrs implements [slog.Handler].
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.next = h.next.WithAttrs(attrs)
	if !h.group {
		for _, a := range attrs {
			c.prefix += h.part(a)
		}
	}
	return &c
}

// WithGroup implements [slog.Handler].
func (h *Handler) WithGroup(name string) slog.Handler {
	c := *h
	c.next = h.next.WithGroup(name)
	c.group = c.group || name != ""
	return &c
}

// Handle implements [slog.Handler].
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn || h.pass(r) {
		return h.next.Handle(ctx, r)
	}
	return nil
}

// Close writes what is held back and holds nothing back from then on. When it
// returns, no line is written but by whoever logs one. It may be called twice.
func (h *Handler) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, f := range h.faults {
		f.timer.Stop()
		f.write()
	}
	clear(h.faults)
}

// pass decides about one line, and keeps it where it does not pass.
func (h *Handler) pass(r slog.Record) bool {
	key := h.key(r)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return true
	}
	f := h.faults[key]
	if f == nil && len(h.faults) >= maxFaults {
		key = ""
		f = h.faults[key]
	}
	if f == nil {
		f = new(fault)
		h.faults[key] = f
		f.timer = time.AfterFunc(h.opts.Window, func() { h.turn(key, f) })
	}
	if f.passed < h.opts.Burst {
		f.passed++
		return true
	}
	f.held++
	f.last, f.to = r.Clone(), h.next
	return false
}

// turn ends a window. It holds the mutex while it writes, so that Close can wait
// for it.
func (l *limiter) turn(key string, f *fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if f.held == 0 {
		delete(l.faults, key)
		return
	}
	f.write()
	// The fault goes on, as far as one can tell: nothing passes in the next window
	// but the line at its end.
	f.timer.Reset(l.opts.Window)
}

// write writes the last line that was held back, if there is one.
func (f *fault) write() {
	if f.held == 0 {
		return
	}
	r := f.last.Clone()
	if f.held > 1 {
		r.AddAttrs(slog.Int(Repeated, f.held))
	}
	f.held, f.last = 0, slog.Record{}
	_ = f.to.Handle(context.Background(), r) // There is nobody to tell that the log cannot be written.
}

// key names a line's fault.
func (h *Handler) key(r slog.Record) string {
	var b strings.Builder
	b.WriteString(r.Level.String())
	b.WriteByte(0)
	b.WriteString(r.Message)
	b.WriteString(h.prefix)
	if !h.group {
		r.Attrs(func(a slog.Attr) bool {
			b.WriteString(h.part(a))
			return true
		})
	}
	return b.String()
}

// part is what an attribute adds to the key.
func (h *Handler) part(a slog.Attr) string {
	for _, key := range h.opts.Keys {
		if a.Key == key {
			return "\x00" + key + "=" + a.Value.Resolve().String()
		}
	}
	return ""
}

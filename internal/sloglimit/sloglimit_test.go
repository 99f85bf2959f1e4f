package sloglimit_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"starplan/internal/sloglimit"
)

// recorder keeps what is logged, a line each, without the time.
type recorder struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(p)
}

// take gives the lines since the last call.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := strings.TrimSuffix(r.buf.String(), "\n")
	r.buf.Reset()
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

func newLogger(opts sloglimit.Options) (*slog.Logger, *sloglimit.Handler, *recorder) {
	out := new(recorder)
	h := sloglimit.New(slog.NewTextHandler(out, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}), opts)
	return slog.New(h), h, out
}

func want(t *testing.T, out *recorder, when string, lines ...string) {
	t.Helper()
	if diff := cmp.Diff(lines, out.take()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

func TestRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, h, out := newLogger(sloglimit.Options{Burst: 2, Window: time.Minute})
		defer h.Close()
		for i := range 5 {
			log.Warn("no broker", "port", i)
		}
		want(t, out, "the first lines", `level=WARN msg="no broker" port=0`, `level=WARN msg="no broker" port=1`)

		time.Sleep(61 * time.Second) //nolint:forbidigo // The clock is synctest's.
		want(t, out, "after the window", `level=WARN msg="no broker" port=4 repeated=3`)

		log.Warn("no broker", "port", 5)
		want(t, out, "in the next window")
		time.Sleep(time.Minute) //nolint:forbidigo // The clock is synctest's.
		want(t, out, "after the next window", `level=WARN msg="no broker" port=5`)

		// A window in which nothing happened ends it: the fault is a new one.
		time.Sleep(2 * time.Minute) //nolint:forbidigo // The clock is synctest's.
		log.Warn("no broker", "port", 6)
		want(t, out, "after quiet", `level=WARN msg="no broker" port=6`)
	})
}

func TestFaultsApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, h, out := newLogger(sloglimit.Options{Burst: 1, Keys: []string{"op"}})
		defer h.Close()
		bound := log.With("op", "commit", "n", 1)
		log.Warn("failed", "op", "fetch", "error", errors.New("a"))
		log.Warn("failed", "op", "fetch", "error", errors.New("b"))
		log.Warn("failed", "op", "produce")
		log.Error("failed", "op", "fetch")
		log.Warn("other", "op", "fetch")
		log.Info("no fault", "op", "fetch")
		log.Info("no fault", "op", "fetch")
		bound.Warn("failed")
		bound.Warn("failed")
		log.WithGroup("g").Warn("failed", "op", "grouped")
		log.WithGroup("g").Warn("failed", "op", "another")
		want(t, out, "faults",
			`level=WARN msg=failed op=fetch error=a`,
			`level=WARN msg=failed op=produce`,
			`level=ERROR msg=failed op=fetch`,
			`level=WARN msg=other op=fetch`,
			`level=INFO msg="no fault" op=fetch`,
			`level=INFO msg="no fault" op=fetch`,
			`level=WARN msg=failed op=commit n=1`,
			`level=WARN msg=failed g.op=grouped`,
		)
	})
}

// TestClose: what is held back is written, once, and nothing is held back or
// written by a timer afterwards.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, h, out := newLogger(sloglimit.Options{Burst: 1})
		for range 3 {
			log.Warn("fault")
		}
		h.Close()
		h.Close()
		want(t, out, "after Close", `level=WARN msg=fault`, `level=WARN msg=fault repeated=2`)
		log.Warn("fault")
		log.Warn("fault")
		want(t, out, "later", `level=WARN msg=fault`, `level=WARN msg=fault`)
		time.Sleep(time.Hour) //nolint:forbidigo // The clock is synctest's.
		want(t, out, "an hour later")
	})
}

// TestBounded: faults without end are counted together.
func TestBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, h, out := newLogger(sloglimit.Options{Burst: 1})
		for i := range 5000 {
			log.Warn(fmt.Sprint("fault ", i)) //nolint:sloglint // What is tested is messages without end.
		}
		h.Close()
		lines := out.take()
		if len(lines) != 1002 || !strings.Contains(lines[1001], "repeated=3999") {
			t.Errorf("%d lines, the last %q; want 1002, the last for 3999", len(lines), lines[len(lines)-1])
		}
	})
}

// TestConcurrent: no line is lost uncounted, whoever logs.
func TestConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, h, out := newLogger(sloglimit.Options{Burst: 3, Window: time.Millisecond})
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 200 {
					log.Warn("fault")
					time.Sleep(100 * time.Microsecond) //nolint:forbidigo // The clock is synctest's.
				}
			})
		}
		wg.Wait()
		h.Close()
		total := 0
		for _, line := range out.take() {
			n := 1
			if _, after, ok := strings.Cut(line, "repeated="); ok {
				if _, err := fmt.Sscan(after, &n); err != nil {
					t.Fatal(err)
				}
			}
			total += n
		}
		if total != 1600 {
			t.Errorf("%d lines are accounted for, want 1600", total)
		}
	})
}

func BenchmarkHeldBack(b *testing.B) {
	log, h, _ := newLogger(sloglimit.Options{Burst: 1, Window: time.Hour, Keys: []string{"op"}})
	defer h.Close()
	b.ReportAllocs()
	for b.Loop() {
		log.Warn("fault", "op", "fetch", "error", "refused")
	}
}

package execution

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestParseTrace(t *testing.T) {
	full := Trace{
		ID:     [16]byte{0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36},
		Parent: [8]byte{0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7}, Flags: 1,
	}
	with := func(flags byte, state string) Trace {
		t := full
		t.Flags, t.State = flags, state
		return t
	}
	for _, test := range []struct {
		name, traceparent, tracestate string
		want                          Trace
	}{
		{"as usual", parent, "", full},
		{"with a state", parent, "a=1,b=2", with(1, "a=1,b=2")},
		{"not sampled", parent[:53] + "00", "", with(0, "")},
		{"flags that are not defined yet", parent[:53] + "ff", "", with(3, "")},
		{"a later version", "01" + parent[2:] + "-more", "", full},
		{"a later version as long as ours", "cc" + parent[2:], "", full},
		{"a state as long as it may be", parent, "a=" + strings.Repeat("x", 510), with(1, "a="+strings.Repeat("x", 510))},
		{"a state that is too long", parent, "a=" + strings.Repeat("x", 511), full},
		{"a state with control characters", parent, "a=\x1b[2J", full},
		{"a state that is no UTF-8", parent, "a=\xff", full},
		{"none", "", "a=1", Trace{}},
		{"too long", parent + "-", "", Trace{}},
		{"a later version, glued", "01" + parent[2:] + "x", "", Trace{}},
		{"too short", parent[:54], "", Trace{}},
		{"the version that is none", "ff" + parent[2:], "", Trace{}},
		{"upper case", strings.ToUpper(parent), "", Trace{}},
		{"no hex", parent[:10] + "g" + parent[11:], "", Trace{}},
		{"another separator", strings.ReplaceAll(parent, "-", "_"), "", Trace{}},
		{"no trace", "00-" + strings.Repeat("0", 32) + parent[35:], "", Trace{}},
		{"no span", parent[:36] + strings.Repeat("0", 16) + "-01", "", Trace{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, ok := ParseTrace([]byte(test.traceparent), []byte(test.tracestate))
			if diff := cmp.Diff(test.want, got); diff != "" || ok != (test.want != Trace{}) {
				t.Errorf("ParseTrace = %v; it differs (-want +got):\n%s", ok, diff)
			}
		})
	}
}

// TestTraceparent: the execution takes the parent's place, and the same each time.
func TestTraceparent(t *testing.T) {
	trace, _ := ParseTrace([]byte(parent), nil)
	const execID = "f81d4fae-7dec-51d0-a765-00a0c91e6bf6"
	got := string(trace.Traceparent(execID))
	if want := fmt.Sprintf("%s%x-01", parent[:36], SpanID(execID)); got != want || got == parent {
		t.Errorf("Traceparent = %s, want %s", got, want)
	}
	again, ok := ParseTrace([]byte(got), nil)
	if !ok || again.ID != trace.ID || again.Parent != SpanID(execID) || again.Flags != trace.Flags {
		t.Errorf("ParseTrace(%s) = %+v, %v", got, again, ok)
	}
}

// TestIDs: identifiers of different executions differ, and those of traces are
// spread as samplers want them: the last 56 bits decide.
func TestIDs(t *testing.T) {
	const n = 4000
	spans, low := make(map[[8]byte]bool), 0
	for i := range n {
		id := ID(Record{Topic: "plan-inputs-acme", Offset: int64(i)})
		spans[SpanID(id)] = true
		trace := TraceID(id)
		for _, half := range [][]byte{trace[8:], trace[9:]} { // TraceIDRatioBased's bits, and those of W3C's.
			if half[0] < 64 {
				low++
			}
		}
	}
	if len(spans) != n {
		t.Errorf("%d executions have %d spans", n, len(spans))
	}
	if share := float64(low) / (2 * n); share < 0.22 || share > 0.28 {
		t.Errorf("%.3f of the traces are in the first quarter, want 0.25", share)
	}
}

// FuzzParseTrace: what is read is written again in the standard's form, whatever
// comes.
func FuzzParseTrace(f *testing.F) {
	f.Add([]byte(parent), []byte("a=1"))
	f.Add([]byte("01"+parent[2:]+"-x"), []byte("\xff"))
	f.Fuzz(func(t *testing.T, traceparent, tracestate []byte) {
		trace, ok := ParseTrace(traceparent, tracestate)
		if !ok {
			if (trace != Trace{}) {
				t.Errorf("ParseTrace(%q) = %+v, false", traceparent, trace)
			}
			return
		}
		out := trace.Traceparent("x")
		again, ok := ParseTrace(out, []byte(trace.State))
		if !ok || again.ID != trace.ID || again.Flags != trace.Flags || again.State != trace.State {
			t.Errorf("ParseTrace(%q) = %+v, and what it writes, %q, is %+v, %v", traceparent, trace, out, again, ok)
		}
	})
}

package execution

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
)

// The headers of W3C Trace Context (https://www.w3.org/TR/trace-context/), in
// records as in HTTP.
const (
	HeaderTraceparent = "traceparent"
	HeaderTracestate  = "tracestate"
)

// maxTracestate is how much of a tracestate has to be passed on, in bytes. A longer
// one is left out as a whole, which the standard allows.
const maxTracestate = 512

// Trace is what a record says of the trace that it belongs to.
type Trace struct {
	// ID is the trace's; never all zeros.
	ID [16]byte
	// Parent is the span that put the record on its topic; never all zeros.
	Parent [8]byte
	// Flags are those that the standard defines: 1 for sampled, 2 for an ID that is
	// random.
	Flags byte
	// State is the tracestate as it came; empty where there is none, or none to pass on.
	State string
}

// traceFlags are the bits of the flags that the standard gives a meaning.
const traceFlags = 0b11

// ParseTrace reads the headers of a record; either may be nil. It reports false
// where traceparent is not as the standard wants it. Of versions to come it reads
// what it knows.
func ParseTrace(traceparent, tracestate []byte) (Trace, bool) {
	const length = len("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")
	var t Trace
	var version, flags [1]byte
	p := traceparent
	if len(p) < length || p[2] != '-' || p[35] != '-' || p[52] != '-' ||
		!lowerHex(version[:], p[:2]) || !lowerHex(t.ID[:], p[3:35]) || !lowerHex(t.Parent[:], p[36:52]) || !lowerHex(flags[:], p[53:55]) ||
		version[0] == 0xff || version[0] == 0 && len(p) > length || len(p) > length && p[length] != '-' ||
		t.ID == [16]byte{} || t.Parent == [8]byte{} {
		return Trace{}, false
	}
	t.Flags = flags[0] & traceFlags
	if len(tracestate) <= maxTracestate && !bytes.ContainsFunc(tracestate, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.State = string(tracestate)
	}
	return t, true
}

// lowerHex decodes src, which must be of lower case.
func lowerHex(dst, src []byte) bool {
	if bytes.ContainsAny(src, "ABCDEF") {
		return false
	}
	n, err := hex.Decode(dst, src)
	return err == nil && n == len(dst)
}

// Traceparent is the header of the execution of that exec_id: the record's, with
// the execution's span in the place of the parent.
func (t Trace) Traceparent(execID string) []byte {
	span := SpanID(execID)
	b := append(make([]byte, 0, 55), "00-"...)
	b = hex.AppendEncode(b, t.ID[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, span[:])
	b = append(b, '-')
	return hex.AppendEncode(b, []byte{t.Flags})
}

// SpanID identifies the span of an execution. It is the same whenever the record
// is executed, and whether or not anybody hears of the span, so that headers can
// name it.
func SpanID(execID string) [8]byte {
	sum := sha256.Sum256([]byte(execID))
	return [8]byte(sum[:8])
}

// TraceID identifies the trace that begins with an execution whose record belongs
// to none.
func TraceID(execID string) [16]byte {
	sum := sha256.Sum256([]byte(execID))
	return [16]byte(sum[8:24])
}

package worker

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"starplan/plan"
	"starplan/plan/execution"
	"starplan/plan/inspect"
)

// split gives the payload of the only frame in b.
func split(t require, b []byte, want kind) []byte {
	k, payload, err := newSplitter(bytes.NewReader(b), maxToWorker).next()
	if err != nil || k != want {
		t.Fatalf("next() = %q, %v, want %q", byte(k), err, byte(want))
	}
	return payload
}

// require is what *testing.T and *rapid.T have in common.
type require interface {
	Fatalf(format string, args ...any)
}

func TestRunFrame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		optional := rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.Just([]byte(nil)))
		want := execution.Record{
			Topic:     rapid.String().Draw(t, "topic"),
			Partition: rapid.Int32().Draw(t, "partition"),
			Offset:    rapid.Int64().Draw(t, "offset"),
			Timestamp: time.UnixMilli(rapid.Int64Range(-1<<40, 1<<45).Draw(t, "ms")).UTC(),
			Key:       optional.Draw(t, "key"),
			Value:     optional.Draw(t, "value"),
		}
		seq, id := rapid.Uint64().Draw(t, "seq"), rapid.Uint64().Draw(t, "id")
		careful := rapid.Bool().Draw(t, "careful")
		var e encoder
		e.run(seq, id, careful, want)
		got, err := decodeRun(split(t, e.buf, kindRun), "")
		if err != nil {
			t.Fatalf("decodeRun: %v", err)
		}
		if diff := cmp.Diff(want, got.rec); diff != "" || got.seq != seq || got.id != id || got.careful != careful {
			t.Fatalf("run(%d, %d, %v) came back as %d, %d, %v (-want +got):\n%s", seq, id, careful, got.seq, got.id, got.careful, diff)
		}
	})
}

func TestAnswerFrame(t *testing.T) {
	for _, want := range []execution.Outcome{
		{Value: []byte("v")},
		{
			Value: []byte{0}, Reason: execution.ReasonPlan, Message: "m", ExecID: "id", Position: "p:1:2", Backtrace: "b\nc",
			Steps: 1 << 40, Duration: time.Hour, Warnings: []execution.Warning{execution.WarnBlankGraph, execution.WarnMessageCut},
			Prints: []string{"a", ""},
		},
		{Value: bytes.Repeat([]byte("x"), 1<<20), PlanError: true, Message: "reported"},
	} {
		var e encoder
		e.answer(7, want, time.Second)
		seq, got, work, err := decodeAnswer(split(t, e.buf, kindAnswer))
		if err != nil || seq != 7 || work != time.Second {
			t.Fatalf("decodeAnswer = %d, %v, %v, want 7, 1s", seq, work, err)
		}
		// Byte by byte, as cmp does by itself, a megabyte takes ten seconds.
		if diff := cmp.Diff(want, got, cmp.Comparer(bytes.Equal)); diff != "" {
			t.Errorf("answer differs (-want +got):\n%s", diff)
		}
	}
}

func TestAnswerIsNotTrusted(t *testing.T) {
	for name, out := range map[string]execution.Outcome{
		"no execution":      {},
		"foreign reason":    {Value: []byte("v"), Reason: "made up"},
		"negative duration": {Value: []byte("v"), Duration: -1},
	} {
		var e encoder
		e.answer(1, out, 0)
		if _, _, _, err := decodeAnswer(split(t, e.buf, kindAnswer)); !errors.Is(err, errFrame) {
			t.Errorf("decodeAnswer(%s) = %v, want a malformed frame", name, err)
		}
	}
}

func TestOtherFrames(t *testing.T) {
	var e encoder
	h := hello{version: "v", tenant: "t", limits: plan.Limits{MaxSteps: 1, Timeout: 2, MaxMemory: 3, MaxExecution: 4}}
	e.hello(h)
	if got, err := decodeHello(split(t, e.buf, kindHello)); err != nil || got != h {
		t.Errorf("decodeHello = %+v, %v, want %+v", got, err, h)
	}

	e = encoder{}
	protections := Protections{Memory: true, Seccomp: true, Landlock: 7, NoNewPrivileges: true, Missing: []string{"a: b"}}
	e.ready("v", protections)
	v, got, err := decodeReady(split(t, e.buf, kindReady))
	if diff := cmp.Diff(protections, got); diff != "" || v != "v" || err != nil {
		t.Errorf("decodeReady = %q, %v, want \"v\" (-want +got):\n%s", v, err, diff)
	}

	e = encoder{}
	src := &plan.Source{Name: "n", Graph: "g", Entry: "e", Digest: "d", Files: map[string]string{"e": "text", "f": ""}}
	e.load(9, src)
	id, gotSrc, err := decodeLoad(split(t, e.buf, kindLoad))
	if diff := cmp.Diff(src, gotSrc); diff != "" || id != 9 || err != nil {
		t.Errorf("decodeLoad = %d, %v, want 9 (-want +got):\n%s", id, err, diff)
	}

	fault := &plan.LoadError{Code: "c", File: "f", Line: 1, Col: 2, Message: "m", Hint: "h", Backtrace: "b"}
	for _, want := range []*plan.LoadError{nil, fault} {
		e = encoder{}
		e.checked(3, want)
		seq, got, err := decodeChecked(split(t, e.buf, kindChecked))
		if diff := cmp.Diff(want, got); diff != "" || seq != 3 || err != nil {
			t.Errorf("decodeChecked = %d, %v, want 3 (-want +got):\n%s", seq, err, diff)
		}
	}
}

func TestInspectFrames(t *testing.T) {
	want := inspectFrame{
		seq: 3, id: 4, what: inspect.Options{Lines: 5, Profile: true, Locals: true},
		rec: execution.Record{Topic: "t", Partition: 1, Offset: 2, Timestamp: time.UnixMilli(7).UTC(), Key: []byte("k"), Value: []byte("v")},
	}
	var e encoder
	e.inspect(want.seq, want.id, want.what, want.rec)
	got, err := decodeInspect(split(t, e.buf, kindInspect))
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(inspectFrame{})); diff != "" || err != nil {
		t.Errorf("decodeInspect: %v (-want +got):\n%s", err, diff)
	}
	place := inspect.Place{Function: "f", Module: "m", Line: 2, Start: 1}
	for _, want := range []inspect.Event{
		{Line: &inspect.Line{Place: place, Depth: 2}},
		{Changed: &inspect.Changed{Depth: 1, Vars: []inspect.Variable{{Name: "x", Text: "\"<&>\u2028\""}}, More: 3}},
		{Skipped: 9},
		{Sample: &inspect.Sample{Stack: []inspect.Place{place, place}, Steps: 1 << 40}},
		{Frame: &inspect.Frame{Place: place, Col: 4, Vars: []inspect.Variable{{Name: "y"}}, More: 1}},
	} {
		e = encoder{}
		e.seen(8, want)
		seq, got, err := decodeSeen(split(t, e.buf, kindSeen))
		if diff := cmp.Diff(want, got); diff != "" || seq != 8 || err != nil {
			t.Errorf("decodeSeen = %d, %v, want 8 (-want +got):\n%s", seq, err, diff)
		}
	}
}

func TestSplitterTakesAnyChunks(t *testing.T) {
	var e encoder
	for i := range uint64(1000) {
		e.number(kindBegin, i)
	}
	e.answer(1, execution.Outcome{Value: make([]byte, 3<<20)}, 0)
	e.number(kindBegin, 1000)
	for name, r := range map[string]io.Reader{
		"whole":  bytes.NewReader(e.buf),
		"halves": iotest.HalfReader(bytes.NewReader(e.buf)),
		"bytes":  iotest.OneByteReader(bytes.NewReader(e.buf)),
	} {
		s := newSplitter(r, 4<<20)
		n := 0
		for {
			_, _, err := s.next()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Errorf("%s: %v", name, err)
				}
				break
			}
			n++
		}
		if n != 1002 {
			t.Errorf("%s: frames = %d, want 1002", name, n)
		}
	}
}

func TestSplitterRefusesLengths(t *testing.T) {
	for _, test := range []struct {
		name string
		b    []byte
	}{
		{"none", []byte{0, 0, 0, 0, 'a'}},
		{"beyond the cap", []byte{0, 0, 16, 0, 'a'}},
		{"giant", []byte{0xff, 0xff, 0xff, 0xff, 'a'}},
	} {
		if _, _, err := newSplitter(bytes.NewReader(test.b), 1<<20-1).next(); !errors.Is(err, errFrame) {
			t.Errorf("length %s: %v, want a malformed frame", test.name, err)
		}
	}
}

// FuzzFrames feeds any bytes to the splitter and all decoders. None may panic, or
// make more of them than a small multiple.
func FuzzFrames(f *testing.F) {
	var e encoder
	e.hello(hello{version: "v"})
	e.ready("v", Protections{})
	e.load(1, &plan.Source{Name: "n", Files: map[string]string{"a": "b"}})
	e.run(1, 1, true, execution.Record{Topic: "t", Key: []byte("k"), Value: []byte("v")})
	e.answer(1, execution.Outcome{Value: []byte("v"), Prints: []string{"p"}}, 1)
	e.checked(1, &plan.LoadError{Message: "m"})
	e.number(kindBegin, 1)
	e.inspect(1, 1, inspect.Options{Lines: 1}, execution.Record{Topic: "t"})
	e.seen(1, inspect.Event{Line: &inspect.Line{Depth: 1}})
	f.Add(e.buf)
	f.Add([]byte{5, 0, 0, 0, 'a', 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newSplitter(bytes.NewReader(b), 1<<20)
		for {
			k, payload, err := s.next()
			if err != nil {
				return
			}
			// Whatever a frame claims to be, each decoder must stand it.
			for _, decode := range []func([]byte) error{
				func(b []byte) error { _, err := decodeHello(b); return err },
				func(b []byte) error { _, _, err := decodeReady(b); return err },
				func(b []byte) error { _, _, err := decodeLoad(b); return err },
				func(b []byte) error { _, err := decodeRun(b, "t"); return err },
				func(b []byte) error { _, _, err := decodeCheck(b); return err },
				func(b []byte) error { _, _, err := decodeChecked(b); return err },
				func(b []byte) error { _, err := decodeEvent(k, b); return err },
				func(b []byte) error { _, _, _, err := decodeAnswer(b); return err },
				func(b []byte) error { _, err := decodeInspect(b); return err },
				func(b []byte) error { _, _, err := decodeSeen(b); return err },
			} {
				if err := decode(payload); err != nil && !errors.Is(err, errFrame) {
					t.Errorf("decode %q: %v, want a malformed frame", payload, err)
				}
			}
			if seq, out, work, err := decodeAnswer(payload); err == nil {
				var e encoder
				e.answer(seq, out, work)
				_, again, _, err := decodeAnswer(e.buf[headerSize+1:])
				if diff := cmp.Diff(out, again); diff != "" || err != nil {
					t.Errorf("answer does not survive: %v\n%s", err, diff)
				}
			}
		}
	})
}

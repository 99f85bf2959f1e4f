package processor

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/plan/execution"
)

func TestHeaders(t *testing.T) {
	const (
		parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
		execID = "6b1a7f0e-6b1a-5f0e-8b1a-7f0e6b1a7f0e"
		// The span is the execution's: printf EXEC_ID | sha256sum, the first 16 digits.
		child = "00-4bf92f3577b34da6a3ce929d0e0e4736-cadc5947ee57da94-01"
	)
	state := "a=1,b=" + strings.Repeat("2", 506)
	digest := strings.Repeat("d", 64)
	header := func(key, value string) kgo.RecordHeader { return kgo.RecordHeader{Key: key, Value: []byte(value)} }
	for _, test := range []struct {
		name    string
		in      []kgo.RecordHeader
		outcome execution.Outcome
		want    []kgo.RecordHeader
	}{
		{"no plan ran", nil, execution.Outcome{Reason: execution.ReasonDecode, Steps: 1}, nil},
		{
			"success", nil, execution.Outcome{Digest: digest, Steps: 18446744073709551615},
			[]kgo.RecordHeader{header(HeaderDigest, digest), header(HeaderSteps, "18446744073709551615")},
		},
		{
			"step limit", nil, execution.Outcome{Digest: digest, Steps: 1000, Reason: execution.ReasonSteps},
			[]kgo.RecordHeader{header(HeaderDigest, digest), header(HeaderSteps, "1000")},
		},
		{
			"clock", nil, execution.Outcome{Digest: digest, Steps: 1000, Reason: execution.ReasonTimeout},
			[]kgo.RecordHeader{header(HeaderDigest, digest)},
		},
		{
			"traced", []kgo.RecordHeader{header("other", "x"), header("traceparent", parent), header("traceparent", parent)}, execution.Outcome{ExecID: execID, Digest: digest},
			[]kgo.RecordHeader{header("traceparent", child), header(HeaderDigest, digest), header(HeaderSteps, "0")},
		},
		{
			"with a state", []kgo.RecordHeader{header("tracestate", state), header("traceparent", parent)}, execution.Outcome{ExecID: execID, Digest: digest, Steps: 18446744073709551615},
			[]kgo.RecordHeader{header("traceparent", child), header("tracestate", state), header(HeaderDigest, digest), header(HeaderSteps, "18446744073709551615")},
		},
		{"a state of no trace", []kgo.RecordHeader{header("tracestate", state)}, execution.Outcome{ExecID: execID}, nil},
		{"traced, and no plan ran", []kgo.RecordHeader{header("traceparent", parent)}, execution.Outcome{ExecID: execID}, []kgo.RecordHeader{header("traceparent", child)}},
		{"not as it should be", []kgo.RecordHeader{header("traceparent", strings.ToUpper(parent)), header("traceparent", parent+"-"+strings.Repeat("x", 1<<20))}, execution.Outcome{}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := headers(&kgo.Record{Headers: test.in}, test.outcome)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("headers differ (-want +got):\n%s", diff)
			}
			size := 0
			for _, h := range got {
				size += len(h.Key) + len(h.Value) + 4 // Two lengths of up to two bytes.
			}
			if size > 750 {
				t.Errorf("headers take %d bytes, want 750 at most, which overhead allows for", size)
			}
		})
	}
}

// TestHeadersArrive: the headers are on the topic.
func TestHeadersArrive(t *testing.T) { each(t, testHeadersArrive) }

func testHeadersArrive(t *testing.T, d Delivery) {
	c := cluster(t, 1)
	in := input("route", "v")
	in.Headers = []kgo.RecordHeader{
		{Key: execution.HeaderTraceparent, Value: []byte("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")},
		{Key: execution.HeaderTracestate, Value: []byte("vendor=x")},
	}
	send(t, client(t, c), in)
	start(t, optionsFor(t, c, d, new(fakeRunner)))
	out := read(t, c, outputs).count(1)[0]
	const noID = "" // The fake runner gives executions none.
	if diff := cmp.Diff(traceHeaders(in, noID), out.Headers); diff != "" || len(out.Headers) != 2 {
		t.Errorf("headers on the topic (-want +got):\n%s", diff)
	}
}

package processor

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/plan/execution"
)

func TestHeaders(t *testing.T) {
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
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
			"traced", []kgo.RecordHeader{header("other", "x"), header("traceparent", parent), header("traceparent", parent)}, execution.Outcome{Digest: digest},
			[]kgo.RecordHeader{header("traceparent", parent), header(HeaderDigest, digest), header(HeaderSteps, "0")},
		},
		{"traced, and no plan ran", []kgo.RecordHeader{header("traceparent", parent)}, execution.Outcome{}, []kgo.RecordHeader{header("traceparent", parent)}},
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
			if size > 200 {
				t.Errorf("headers take %d bytes, want 200 at most, which overhead allows for", size)
			}
		})
	}
}

// TestHeadersArrive: the headers are on the topic.
func TestHeadersArrive(t *testing.T) { each(t, testHeadersArrive) }

func testHeadersArrive(t *testing.T, d Delivery) {
	c := cluster(t, 1)
	in := input("route", "v")
	in.Headers = []kgo.RecordHeader{{Key: HeaderTraceparent, Value: []byte("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")}}
	send(t, client(t, c), in)
	start(t, optionsFor(t, c, d, new(fakeRunner)))
	out := read(t, c, outputs).count(1)[0]
	if diff := cmp.Diff(in.Headers, out.Headers); diff != "" {
		t.Errorf("headers on the topic (-want +got):\n%s", diff)
	}
}

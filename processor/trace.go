package processor

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/plan/execution"
)

// header is the value of a record's first header of that name; nil for none.
func header(r *kgo.Record, name string) []byte {
	for _, h := range r.Headers {
		if h.Key == name {
			return h.Value
		}
	}
	return nil
}

// traceHeaders carry a trace on from a record to its execution. They depend on the
// record alone, not on whether anybody listens to this process's spans: members
// that differ in that still give the same bytes.
func traceHeaders(in *kgo.Record, execID string) []kgo.RecordHeader {
	trace, ok := execution.ParseTrace(header(in, execution.HeaderTraceparent), header(in, execution.HeaderTracestate))
	if !ok {
		return nil
	}
	list := []kgo.RecordHeader{{Key: execution.HeaderTraceparent, Value: trace.Traceparent(execID)}}
	if trace.State != "" {
		list = append(list, kgo.RecordHeader{Key: execution.HeaderTracestate, Value: []byte(trace.State)})
	}
	return list
}

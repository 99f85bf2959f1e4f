package service_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"starplan/internal/config"
	"starplan/internal/tracing"
	"starplan/internal/tracing/tracetest"
	"starplan/processor"
)

const (
	traceID   = "4bf92f3577b34da6a3ce929d0e0e4736"
	callersID = "00f067aa0ba902b7"
)

// traced configures a service by the variables that are set.
func traced(t *testing.T) func(*config.Config) {
	return func(c *config.Config) {
		var err error
		if c.Tracing, err = tracing.FromEnv(os.Getenv); err != nil {
			t.Fatal(err)
		}
	}
}

// ask sends an input that belongs to a trace and gives the record of its execution.
func (r *running) ask(name, traceparent string) *kgo.Record {
	r.t.Helper()
	rec := &kgo.Record{
		Topic: processor.InputTopic(tenant), Key: []byte(name), Value: []byte("\x0a\x01i\x12\x05route"),
		Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte(traceparent)}, {Key: "tracestate", Value: []byte("vendor=x")}},
	}
	if err := r.client.ProduceSync(r.t.Context(), rec).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	e, err := r.reader.Next(ctx)
	if err != nil {
		r.t.Fatalf("no execution: %v", err)
	}
	return e.Record
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// TestTraces: a collector hears of what a service does, and whoever reads an
// execution finds its span in the headers.
func TestTraces(t *testing.T) {
	for protocol, start := range map[string]func(testing.TB) *tracetest.Collector{tracing.ProtocolHTTP: tracetest.HTTP, tracing.ProtocolGRPC: tracetest.GRPC} {
		t.Run(protocol, func(t *testing.T) { testTraces(t, protocol, start(t)) })
	}
}

func testTraces(t *testing.T, protocol string, c *tracetest.Collector) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
	r := start(t, traced(t))
	write(t, r.dir, "broken.star", "def plan(plan_input):\n    fail(\"no such order\")\n")
	good := r.ask("route", "00-"+traceID+"-"+callersID+"-01")
	bad := r.ask("broken", "00-"+traceID+"-"+callersID+"-01")
	unsampled := r.ask("route", "00-"+traceID+"-"+callersID+"-00")
	if err := r.stop(); err != nil { // That sends what waits.
		t.Fatal(err)
	}
	spans := c.Spans()
	if len(spans) != 2 {
		t.Fatalf("the collector has %d spans, want 2", len(spans))
	}
	for i, test := range []struct {
		record *kgo.Record
		name   string
		code   tracepb.Status_StatusCode
		want   map[string]string
	}{
		{good, "execute route", tracepb.Status_STATUS_CODE_UNSET, map[string]string{"starplan.status": "succeeded", "messaging.kafka.message.key": "route", "messaging.destination.name": "plan-inputs-acme"}},
		{bad, "execute broken", tracepb.Status_STATUS_CODE_ERROR, map[string]string{"starplan.status": "failed", "starplan.reason": "plan", "error.type": "plan"}},
	} {
		span := spans[i]
		if got := fmt.Sprintf("%x below %x", span.GetTraceId(), span.GetParentSpanId()); got != traceID+" below "+callersID {
			t.Errorf("%s is %s, want it below the input's span", test.name, got)
		}
		if span.GetName() != test.name || span.GetStatus().GetCode() != test.code {
			t.Errorf("span is %q with status %v, want %q, %v", span.GetName(), span.GetStatus(), test.name, test.code)
		}
		attributes := span.Attributes()
		for key, want := range test.want {
			if attributes[key] != want {
				t.Errorf("%s of %s = %q, want %q", key, test.name, attributes[key], want)
			}
		}
		if got, want := attributes["starplan.steps"], header(test.record, processor.HeaderSteps); got != want {
			t.Errorf("steps of %s = %s, want %s", test.name, got, want)
		}
		if got, want := header(test.record, "traceparent"), fmt.Sprintf("00-%s-%x-01", traceID, span.GetSpanId()); got != want {
			t.Errorf("traceparent of the execution = %s, want %s", got, want)
		}
		if got := header(test.record, "tracestate"); got != "vendor=x" {
			t.Errorf("tracestate of the execution = %q, want the input's", got)
		}
	}
	if got := header(unsampled, "traceparent"); !strings.HasSuffix(got, "-00") {
		t.Errorf("traceparent of what is not sampled = %s, want it not sampled", got)
	}
}

// TestTracesChangeNothing: one member that sends traces and one that does not give
// the same bytes for a record, headers included.
func TestTracesChangeNothing(t *testing.T) {
	c := tracetest.HTTP(t)
	r := start(t, func(c *config.Config) { c.GroupID = "without" })
	first := r.ask("route", "00-"+traceID+"-"+callersID+"-01")
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if n := len(c.Spans()); n != 0 {
		t.Errorf("the collector has %d spans of a service that was not told of it", n)
	}

	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	cfg := r.config
	cfg.GroupID = "with"
	traced(t)(&cfg)
	r.run(cfg)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	second, err := r.reader.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Value, second.Record.Value) {
		t.Error("the values differ")
	}
	if diff := cmp.Diff(first.Headers, second.Record.Headers); diff != "" || header(first, "traceparent") == "" {
		t.Errorf("the headers differ (-without traces +with):\n%s", diff)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if n := len(c.Spans()); n != 1 {
		t.Errorf("the collector has %d spans, want 1", n)
	}
}

// TestCollectorAway: without a collector the service answers, and ends in time.
func TestCollectorAway(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
	r := start(t, traced(t))
	for range 20 {
		r.ask("route", "00-"+traceID+"-"+callersID+"-01")
	}
	begin := time.Now()
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("stopping took %v, want it bounded", took)
	}
	if !strings.Contains(r.log.String(), "traces were not exported") {
		t.Error("the log does not say that traces were not exported")
	}
}

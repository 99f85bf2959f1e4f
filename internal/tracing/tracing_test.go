package tracing_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"

	"starplan/internal/tracing"
	"starplan/internal/tracing/tracetest"
	"starplan/plan/execution"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// goka links sarama, whose metrics start this once a process.
		goleak.IgnoreAnyFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"),
	)
}

const (
	traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	sampled = "00-" + traceID + "-00f067aa0ba902b7-01"
	dropped = "00-" + traceID + "-00f067aa0ba902b7-00"
)

// fake is a runner that answers at once.
type fake struct{ out execution.Outcome }

func (fake) Accept([]byte) execution.Skip { return "" }

func (f fake) Start(_ context.Context, rec execution.Record, done func(execution.Outcome)) {
	out := f.out
	out.ExecID = execution.ID(rec)
	done(out)
}

func (f fake) Fail(rec execution.Record, reason execution.Reason, message string) execution.Outcome {
	return execution.Outcome{ExecID: execution.ID(rec), Reason: reason, Message: message}
}

func record(traceparent string) execution.Record {
	rec := execution.Record{
		Topic: "plan-inputs-acme", Partition: 3, Offset: 42, Timestamp: time.UnixMilli(1_700_000_000_000), Key: []byte("orders:route"), Value: []byte("12345"),
	}
	if traceparent != "" {
		rec.Traceparent, rec.Tracestate = []byte(traceparent), []byte("vendor=x")
	}
	return rec
}

// start makes a tracer by the variables that are set.
func start(t testing.TB, log *slog.Logger) *tracing.Tracer {
	t.Helper()
	settings, err := tracing.FromEnv(os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	tracer, err := tracing.New(t.Context(), tracing.Options{Settings: settings, Group: "executors-acme", Version: "v1.2.3", Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

// run executes records one after the other, and gives what the collector was sent.
func run(t *testing.T, c *tracetest.Collector, out execution.Outcome, records ...execution.Record) []tracetest.Span {
	t.Helper()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	tracer := start(t, slog.New(slog.NewTextHandler(t.Output(), nil)))
	runner := tracer.Runner(fake{out})
	for _, rec := range records {
		runner.Start(t.Context(), rec, func(execution.Outcome) {})
	}
	if err := tracer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c.Spans()
}

// TestSpan: a span says what was executed, over each protocol.
func TestSpan(t *testing.T) {
	for protocol, collector := range map[string]func(testing.TB) *tracetest.Collector{tracing.ProtocolHTTP: tracetest.HTTP, tracing.ProtocolGRPC: tracetest.GRPC} {
		t.Run(protocol, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
			t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
			rec := record(sampled)
			spans := run(t, collector(t), execution.Outcome{Plan: "orders:route", Digest: "d1", Steps: 20, Duration: 1500 * time.Microsecond}, rec)
			if len(spans) != 1 {
				t.Fatalf("the collector has %d spans, want 1", len(spans))
			}
			span, execID := spans[0], execution.ID(rec)
			identity := []string{span.GetName(), span.GetKind().String(), fmt.Sprintf("%x", span.GetTraceId()), fmt.Sprintf("%x", span.GetSpanId()), fmt.Sprintf("%x", span.GetParentSpanId()), span.GetTraceState(), span.GetStatus().String()}
			if diff := cmp.Diff([]string{"execute orders:route", "SPAN_KIND_CONSUMER", traceID, fmt.Sprintf("%x", execution.SpanID(execID)), "00f067aa0ba902b7", "vendor=x", ""}, identity); diff != "" {
				t.Errorf("span (-want +got):\n%s", diff)
			}
			if span.GetEndTimeUnixNano() < span.GetStartTimeUnixNano() || time.Since(time.Unix(0, int64(span.GetStartTimeUnixNano()))) > time.Minute {
				t.Errorf("span from %d to %d, want it now", span.GetStartTimeUnixNano(), span.GetEndTimeUnixNano())
			}
			want := map[string]string{
				"messaging.system": "kafka", "messaging.operation.name": "execute", "messaging.operation.type": "process",
				"messaging.consumer.group.name": "executors-acme", "messaging.destination.name": "plan-inputs-acme",
				"messaging.destination.partition.id": "3", "messaging.kafka.offset": "42", "messaging.kafka.message.key": "orders:route", "messaging.message.body.size": "5",
				"starplan.exec_id": execID, "starplan.plan.name": "orders:route", "starplan.plan.digest": "d1", "starplan.steps": "20",
				"starplan.run_seconds": "0.0015", "starplan.status": "succeeded",
			}
			if diff := cmp.Diff(want, span.Attributes()); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
			for key, want := range map[string]string{"service.name": "starplan", "service.version": "v1.2.3", "deployment.environment.name": "test", "telemetry.sdk.language": "go"} {
				if got := span.Resource[key]; got != want {
					t.Errorf("resource %s = %q, want %q", key, got, want)
				}
			}
		})
	}
}

// TestFailure: status, reason and an event with the place.
func TestFailure(t *testing.T) {
	c := tracetest.HTTP(t)
	t.Setenv("OTEL_SERVICE_NAME", "plans-of-acme")
	span := run(t, c, execution.Outcome{
		Plan: "route", Digest: "d1", Reason: execution.ReasonPlan, Message: "no such order", Position: "route.star:2:9", Backtrace: "Traceback …", Warnings: []execution.Warning{execution.WarnNameMismatch},
	}, record(sampled))[0]
	if s := span.GetStatus(); s.GetCode() != tracepb.Status_STATUS_CODE_ERROR || s.GetMessage() != "no such order" {
		t.Errorf("status = %v, want an error with the message", s)
	}
	attributes := span.Attributes()
	for key, want := range map[string]string{"starplan.status": "failed", "starplan.reason": "plan", "error.type": "plan"} {
		if attributes[key] != want {
			t.Errorf("%s = %q, want %q", key, attributes[key], want)
		}
	}
	var events []map[string]string
	for _, e := range span.GetEvents() {
		event := tracetest.Texts(e.GetAttributes())
		event["name"] = e.GetName()
		events = append(events, event)
	}
	want := []map[string]string{
		{"name": "flaw", "starplan.flaw": string(execution.WarnNameMismatch)},
		{"name": "exception", "exception.type": "plan", "exception.message": "no such order", "exception.stacktrace": "Traceback …", "starplan.position": "route.star:2:9"},
	}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if got := span.Resource["service.name"]; got != "plans-of-acme" {
		t.Errorf("service.name = %q, want OTEL_SERVICE_NAME", got)
	}
}

// TestSampling: whoever began the trace decides, unless the variables say otherwise.
func TestSampling(t *testing.T) {
	for _, test := range []struct {
		name, sampler, arg, traceparent string
		want                            int
	}{
		{"sampled above", "", "", sampled, 1},
		{"not sampled above", "", "", dropped, 0},
		{"nobody above", "", "", "", 1},
		{"what is above is no trace", "", "", strings.ToUpper(sampled), 1},
		{"never, but above", "parentbased_always_off", "", sampled, 1},
		{"never", "always_off", "", sampled, 0},
		{"always", "always_on", "", dropped, 1},
		{"none of the new ones", "parentbased_traceidratio", "0", "", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("OTEL_TRACES_SAMPLER", test.sampler)
			t.Setenv("OTEL_TRACES_SAMPLER_ARG", test.arg)
			if spans := run(t, tracetest.HTTP(t), execution.Outcome{Plan: "route"}, record(test.traceparent)); len(spans) != test.want {
				t.Errorf("%d spans, want %d", len(spans), test.want)
			}
		})
	}
}

// TestRoot: a record without a trace begins one, whose identifiers follow from
// exec_id, so that a record executed again gives the same span.
func TestRoot(t *testing.T) {
	rec := record("")
	spans := run(t, tracetest.HTTP(t), execution.Outcome{Plan: "route"}, rec, rec)
	if len(spans) != 2 {
		t.Fatalf("%d spans, want 2", len(spans))
	}
	trace, id := execution.TraceID(execution.ID(rec)), execution.SpanID(execution.ID(rec))
	for _, span := range spans {
		if !bytes.Equal(span.GetTraceId(), trace[:]) || !bytes.Equal(span.GetSpanId(), id[:]) || len(span.GetParentSpanId()) != 0 {
			t.Errorf("span is %x/%x below %x, want %x/%x below none", span.GetTraceId(), span.GetSpanId(), span.GetParentSpanId(), trace, id)
		}
	}
}

// TestReplaced: an answer that was withdrawn has a span of its own.
func TestReplaced(t *testing.T) {
	for _, test := range []struct{ name, traceparent string }{{"in a trace", sampled}, {"in none", ""}} {
		t.Run(test.name, func(t *testing.T) {
			c := tracetest.HTTP(t)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
			tracer := start(t, nil)
			runner, rec := tracer.Runner(fake{execution.Outcome{Plan: "route"}}), record(test.traceparent)
			runner.Start(t.Context(), rec, func(execution.Outcome) {})
			if out := runner.Fail(rec, execution.ReasonTooLarge, "too large"); out.Reason != execution.ReasonTooLarge {
				t.Errorf("Fail = %+v, want what the runner below answers", out)
			}
			if err := tracer.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			spans := c.Spans()
			if len(spans) != 2 {
				t.Fatalf("%d spans, want 2", len(spans))
			}
			first, second := spans[0], spans[1]
			if !bytes.Equal(first.GetTraceId(), second.GetTraceId()) || bytes.Equal(first.GetSpanId(), second.GetSpanId()) {
				t.Errorf("spans are %x/%x and %x/%x, want one trace and two spans", first.GetTraceId(), first.GetSpanId(), second.GetTraceId(), second.GetSpanId())
			}
			if test.traceparent != "" && !bytes.Equal(second.GetParentSpanId(), first.GetSpanId()) {
				t.Errorf("the second span is below %x, want %x", second.GetParentSpanId(), first.GetSpanId())
			}
			if second.GetName() != "replace too_large" || second.GetStatus().GetMessage() != "too large" {
				t.Errorf("second span = %v", second)
			}
		})
	}
}

// TestHostile: whatever plans and records say arrives, cut and as valid UTF-8.
func TestHostile(t *testing.T) {
	hostile := "<script>\x00\x1b[2J\xff" + strings.Repeat("é", 1<<20)
	rec := record(sampled)
	rec.Key, rec.Tracestate = []byte(strings.Repeat("k", 1<<20)), []byte("no state")
	spans := run(t, tracetest.HTTP(t), execution.Outcome{
		Plan: hostile, Reason: execution.ReasonPlan, Message: hostile, Position: hostile, Backtrace: hostile,
	}, rec)
	if len(spans) != 1 {
		t.Fatalf("%d spans, want 1: protobuf refuses a batch with a text that is no UTF-8", len(spans))
	}
	texts := spans[0].Attributes()
	for _, e := range spans[0].GetEvents() {
		for key, value := range tracetest.Texts(e.GetAttributes()) {
			texts[key] = value
		}
	}
	texts["name"], texts["status"] = spans[0].GetName(), spans[0].GetStatus().GetMessage()
	for key, value := range texts {
		if !utf8.ValidString(value) || len(value) > 40<<10 {
			t.Errorf("%s has %d bytes, valid %v", key, len(value), utf8.ValidString(value))
		}
	}
	if got := spans[0].GetTraceState(); got != "" {
		t.Errorf("tracestate = %q, want none of what is none", got)
	}
}

// TestOff: where nothing asks for traces nothing stands before the runner.
func TestOff(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	tracer := start(t, nil)
	if tracer != nil {
		t.Fatal("New gives a tracer, want nil")
	}
	next := fake{}
	if got := tracer.Runner(next); !cmp.Equal(got, next, cmp.AllowUnexported(fake{})) {
		t.Errorf("Runner = %v, want the one given", got)
	}
	if err := tracer.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// hanging sets the endpoint to one that takes connections and never answers.
func hanging(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+ln.Addr().String())
}

// TestCloseEnds: a collector that does not answer holds up the end no longer than
// the context of Close lasts.
func TestCloseEnds(t *testing.T) {
	hanging(t)
	log := new(lockedBuffer)
	tracer := start(t, slog.New(slog.NewTextHandler(log, nil)))
	tracer.Runner(fake{execution.Outcome{Plan: "route"}}).Start(t.Context(), record(sampled), func(execution.Outcome) {})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if err := tracer.Close(ctx); err != nil {
		t.Errorf("Close = %v, want nil: it is logged", err)
	}
	if took := time.Since(begin); took > 5*time.Second { // The exporter's own patience is 10 s.
		t.Errorf("Close took %v, want it to end with its context", took)
	}
	if !strings.Contains(log.String(), "did not answer before the service ended") {
		t.Errorf("log = %s, want what became of the last spans", log)
	}
}

// TestCollectorAway: records go on, and the log says so, but not once for each span.
func TestCollectorAway(t *testing.T) {
	hanging(t)
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "50")
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "64")
	t.Setenv("OTEL_BSP_EXPORT_TIMEOUT", "60")
	log := new(lockedBuffer)
	tracer := start(t, slog.New(slog.NewTextHandler(log, nil)))
	runner := tracer.Runner(fake{execution.Outcome{Plan: "route"}})
	answered := 0
	begin := time.Now()
	for range 10_000 {
		runner.Start(t.Context(), record(sampled), func(execution.Outcome) { answered++ })
	}
	if took := time.Since(begin); answered != 10_000 || took > 10*time.Second {
		t.Errorf("%d of 10000 records were answered in %v", answered, took)
	}
	if err := tracer.Close(t.Context()); err != nil {
		t.Errorf("Close = %v, want nil: it is logged", err)
	}
	text := log.String()
	if n := strings.Count(text, "traces were not exported"); n == 0 || n > 5 || !strings.Contains(text, "repeated=") {
		t.Errorf("the log has %d lines, want a few and one for the others:\n%s", n, text)
	}
}

// lockedBuffer keeps what is logged.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

package tracing

import (
	"context"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"starplan/plan/execution"
	"starplan/processor"
)

// operation is what is done with a record, and begins the name of its span.
const operation = "execute"

// Bounds of attributes, in characters. Like all that comes from outside they are
// made valid UTF-8, without which protobuf would refuse a whole batch.
const (
	maxText      = 200
	maxBacktrace = 16 << 10
)

// Runner gives a runner that does what next does, and makes a span of each
// execution. On nil it gives next itself.
func (t *Tracer) Runner(next processor.Runner) processor.Runner {
	if t == nil {
		return next
	}
	return &runner{Runner: next, tracer: t}
}

type runner struct {
	processor.Runner
	tracer *Tracer
}

// Start implements processor.Runner. The span is made when the execution has ended
// and its answer is under way, so that no record waits for it.
func (r *runner) Start(ctx context.Context, rec execution.Record, done func(execution.Outcome)) {
	begin := time.Now()
	r.Runner.Start(ctx, rec, func(out execution.Outcome) {
		end := time.Now()
		done(out)
		r.tracer.executed(rec, out, begin, end)
	})
}

// Fail implements processor.Runner. The span of the answer that is withdrawn has
// ended: another below it says what took its place.
func (r *runner) Fail(rec execution.Record, reason execution.Reason, message string) execution.Outcome {
	out := r.Runner.Fail(rec, reason, message)
	r.tracer.replaced(rec, out, time.Now())
	return out
}

// executed makes the span of an execution.
func (t *Tracer) executed(rec execution.Record, out execution.Outcome, begin, end time.Time) {
	name := operation
	if out.Plan != "" {
		name += " " + execution.Cut(out.Plan, maxText)
	}
	ids := derived{execution.TraceID(out.ExecID), execution.SpanID(out.ExecID)}
	_, span := t.tracer.Start(ids.in(parent(rec)), name, trace.WithTimestamp(begin), trace.WithSpanKind(trace.SpanKindConsumer))
	if span.IsRecording() {
		t.describe(span, rec, out)
		judge(span, out, end)
	}
	span.End(trace.WithTimestamp(end))
}

// replaced makes the span that tells of an answer which was withdrawn: below the
// execution's own where the record belongs to a trace, else beside it, so that the
// sampler decides about both alike.
func (t *Tracer) replaced(rec execution.Record, out execution.Outcome, at time.Time) {
	ctx := parent(rec)
	if above := trace.SpanContextFromContext(ctx); above.IsValid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, above.WithSpanID(execution.SpanID(out.ExecID)))
	}
	ids := derived{execution.TraceID(out.ExecID), execution.SpanID(out.ExecID + "/" + string(out.Reason))}
	_, span := t.tracer.Start(ids.in(ctx), "replace "+string(out.Reason), trace.WithTimestamp(at))
	if span.IsRecording() {
		t.describe(span, rec, out)
		judge(span, out, at)
	}
	span.End(trace.WithTimestamp(at))
}

// describe says what was executed.
func (t *Tracer) describe(span trace.Span, rec execution.Record, out execution.Outcome) {
	list := make([]attribute.KeyValue, 0, len(t.always)+13)
	list = append(list, t.always...)
	list = append(list,
		semconv.MessagingDestinationName(rec.Topic),
		semconv.MessagingDestinationPartitionID(strconv.Itoa(int(rec.Partition))),
		semconv.MessagingKafkaOffsetKey.Int64(rec.Offset),
		semconv.MessagingKafkaMessageKey(text(string(rec.Key[:min(len(rec.Key), 4*maxText)]))),
		semconv.MessagingMessageBodySize(len(rec.Value)),
		attribute.String("starplan.exec_id", out.ExecID),
		attribute.Int64("starplan.steps", int64(min(out.Steps, 1<<63-1))),
		// The rest of the span is waiting for a worker.
		attribute.Float64("starplan.run_seconds", out.Duration.Seconds()),
	)
	if out.Plan != "" {
		list = append(list, attribute.String("starplan.plan.name", text(out.Plan)), attribute.String("starplan.plan.digest", out.Digest))
	}
	status := "succeeded"
	if out.Reason != "" {
		status = "failed"
		list = append(list, semconv.ErrorTypeKey.String(string(out.Reason)), attribute.String("starplan.reason", string(out.Reason)))
	}
	list = append(list, attribute.String("starplan.status", status))
	if out.PlanError {
		list = append(list, attribute.String("starplan.plan.error", out.Message))
	}
	span.SetAttributes(list...)
}

// judge says how it ended: what failed, where, and what was remarkable.
func judge(span trace.Span, out execution.Outcome, at time.Time) {
	for _, w := range out.Warnings {
		span.AddEvent("flaw", trace.WithTimestamp(at), trace.WithAttributes(attribute.String("starplan.flaw", string(w))))
	}
	if out.Reason == "" {
		return
	}
	message := execution.Cut(out.Message, execution.MaxMessage)
	span.SetStatus(codes.Error, message)
	what := []attribute.KeyValue{semconv.ExceptionType(string(out.Reason)), semconv.ExceptionMessage(message)}
	if out.Backtrace != "" {
		what = append(what, semconv.ExceptionStacktrace(execution.Cut(out.Backtrace, maxBacktrace)))
	}
	if out.Position != "" {
		what = append(what, attribute.String("starplan.position", text(out.Position)))
	}
	span.AddEvent(semconv.ExceptionEventName, trace.WithTimestamp(at), trace.WithAttributes(what...))
}

func text(s string) string { return execution.Cut(s, maxText) }

// parent is a context with the span that put rec on its topic, if rec tells of one.
func parent(rec execution.Record) context.Context {
	t, ok := execution.ParseTrace(rec.Traceparent, rec.Tracestate)
	if !ok {
		return context.Background()
	}
	state, _ := trace.ParseTraceState(t.State) // What is none is left out, as the standard has it.
	return trace.ContextWithRemoteSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: t.ID, SpanID: t.Parent, TraceFlags: trace.TraceFlags(t.Flags), TraceState: state, Remote: true,
	}))
}

// derived are the identifiers of a span; trace counts where it begins one.
type derived struct {
	trace [16]byte
	span  [8]byte
}

type derivedKey struct{}

func (d derived) in(ctx context.Context) context.Context {
	return context.WithValue(ctx, derivedKey{}, d)
}

// generator gives the identifiers that stand in a context.
type generator struct{}

// NewIDs implements sdktrace.IDGenerator.
func (generator) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	d, _ := ctx.Value(derivedKey{}).(derived) // No span here is made without.
	return d.trace, d.span
}

// NewSpanID implements sdktrace.IDGenerator.
func (generator) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	d, _ := ctx.Value(derivedKey{}).(derived)
	return d.span
}

package tracing

import (
	"context"
	"errors"
	"log/slog"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// exporter sends spans by another one, and logs what that one cannot send: nobody
// else could do anything about it.
type exporter struct {
	sdktrace.SpanExporter
	log *slog.Logger
	// ctx is that of all sending.
	ctx   context.Context
	abort context.CancelFunc
}

func newExporter(to sdktrace.SpanExporter, log *slog.Logger) *exporter {
	e := &exporter{SpanExporter: to, log: log}
	e.ctx, e.abort = context.WithCancel(context.Background())
	return e
}

// ExportSpans implements sdktrace.SpanExporter.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(e.ctx, func() { cancel(errStopping) })
	defer stop()
	if err := e.SpanExporter.ExportSpans(ctx, spans); err != nil {
		if errors.Is(context.Cause(ctx), errStopping) {
			err = errStopping
		}
		e.log.Warn("traces were not exported", "spans", len(spans), "error", err)
	}
	return nil
}

var errStopping = errors.New("the collector did not answer before the service ended")

// report logs what the SDK tells of nowhere else.
func (e *exporter) report(err error) { e.log.Warn("traces", "error", err) }

// Package tracing tells an OpenTelemetry collector of executions: each is a span,
// a child of the span that put its record on the topic.
//
// It is set by the standard's variables and off without them
// (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/);
// [FromEnv] says which are understood. The SDK makes the batches and sends them as
// OTLP, over gRPC or HTTP.
//
// Identifiers are not random. A span's is derived from exec_id, and so is the trace's
// where the record belongs to none (see [execution.SpanID]): the processor writes
// the same span into the headers of the execution without asking this package, so
// that whoever reads it goes on below our span, and a redelivered record gives the
// same bytes. A record that is executed again gives a span with the same
// identifiers again.
//
// Nothing waits for a collector. Spans queue up to OTEL_BSP_MAX_QUEUE_SIZE; those
// beyond are dropped. What goes wrong is logged, with repetitions held back, and
// [Tracer.Close] gives what is queued as long as its context lasts.
package tracing

import (
	"context"
	"fmt"
	"log/slog"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"starplan/internal/sloglimit"
)

// Options are what a Tracer is made of.
type Options struct {
	Settings Settings
	// Group is the consumer group that records are taken in.
	Group string
	// Version is the program's; may be empty.
	Version string
	// Logger hears of what goes wrong; nil for none.
	Logger *slog.Logger
}

// Tracer makes spans and sends them away. It is safe for concurrent use.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	exporter *exporter
	limit    *sloglimit.Handler
	// always are the attributes that every span has.
	always []attribute.KeyValue
}

// New makes a Tracer. It connects to nobody yet: a collector that is away is no
// error. It gives nil where the settings ask for none.
func New(ctx context.Context, opts Options) (*Tracer, error) {
	if !opts.Settings.Enabled {
		return nil, nil
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	client := otlptracehttp.NewClient()
	if opts.Settings.Protocol == ProtocolGRPC {
		client = otlptracegrpc.NewClient()
	}
	otlp, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	res, err := newResource(ctx, opts.Version)
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	t := &Tracer{
		limit: sloglimit.New(opts.Logger.Handler(), sloglimit.Options{}),
		always: []attribute.KeyValue{
			semconv.MessagingSystemKafka, semconv.MessagingOperationName(operation), semconv.MessagingOperationTypeProcess,
			semconv.MessagingConsumerGroupName(opts.Group),
		},
	}
	t.exporter = newExporter(otlp, slog.New(t.limit))
	// The SDK tells of what it does not return as an error, such as spans that the
	// collector took in part, to this function of the whole process only.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(t.exporter.report))
	t.provider = sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(t.exporter), sdktrace.WithResource(res), sdktrace.WithIDGenerator(generator{}))
	t.tracer = t.provider.Tracer("starplan", trace.WithInstrumentationVersion(opts.Version), trace.WithSchemaURL(semconv.SchemaURL))
	return t, nil
}

// newResource says who we are; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES come
// last, and so win.
func newResource(ctx context.Context, version string) (*resource.Resource, error) {
	known := []attribute.KeyValue{semconv.ServiceName("starplan")}
	if version != "" {
		known = append(known, semconv.ServiceVersion(version))
	}
	return resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(), resource.WithAttributes(known...), resource.WithFromEnv())
}

// Close sends what is queued and ends, at the latest when ctx does. Nothing may be
// executed any more. It may be called on nil.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	stop := context.AfterFunc(ctx, t.exporter.abort)
	defer stop()
	// The end is waited for without ctx: it cuts the sending off, and then the
	// goroutines of the SDK end by themselves.
	err := t.provider.Shutdown(context.WithoutCancel(ctx))
	t.exporter.abort()
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {}))
	t.limit.Close()
	return err
}

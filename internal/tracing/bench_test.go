package tracing_test

import (
	"context"
	"os"
	"testing"
	"time"

	"starplan/internal/tracing"
	"starplan/internal/tracing/tracetest"
	"starplan/plan/execution"
)

// BenchmarkRunner is what a record pays for its span: nothing where traces are off,
// little where they are on and the record is not sampled. The collector answers in
// the same process, which is part of what "sampled" shows.
func BenchmarkRunner(b *testing.B) {
	out := execution.Outcome{Plan: "route", Digest: "d1", Steps: 20, Duration: 20 * time.Microsecond}
	for _, bench := range []struct {
		name, traceparent string
		on                bool
	}{{"off", sampled, false}, {"not sampled", dropped, true}, {"sampled", sampled, true}} {
		b.Run(bench.name, func(b *testing.B) {
			endpoint := ""
			if bench.on {
				endpoint = tracetest.HTTP(b).URL
			}
			b.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
			settings, err := tracing.FromEnv(os.Getenv)
			if err != nil {
				b.Fatal(err)
			}
			tracer, err := tracing.New(b.Context(), tracing.Options{Settings: settings})
			if err != nil {
				b.Fatal(err)
			}
			runner, rec := tracer.Runner(answered{out}), record(bench.traceparent)
			done := func(execution.Outcome) {}
			b.ReportAllocs()
			for b.Loop() {
				runner.Start(context.Background(), rec, done)
			}
			if err := tracer.Close(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// answered is a runner that answers at once and allocates nothing.
type answered struct{ out execution.Outcome }

func (answered) Accept([]byte) execution.Skip { return "" }

func (a answered) Start(_ context.Context, _ execution.Record, done func(execution.Outcome)) {
	done(a.out)
}

func (a answered) Fail(execution.Record, execution.Reason, string) execution.Outcome { return a.out }

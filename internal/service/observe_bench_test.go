//go:build unix

package service

import (
	"context"
	"syscall"
	"testing"
	"time"

	"starplan/internal/history"
	"starplan/plan/execution"
	"starplan/processor"
)

// BenchmarkObserve compares the CPU time of a record with and without the
// history, in the process that serves Kafka. The plan does next to nothing, so the
// share of the history is the largest that there is.
func BenchmarkObserve(b *testing.B) {
	plans, _ := catalog(b, "def plan(plan_input):\n    return PlanResult(next_task_names = [\"next\"])\n")
	h := history.New(history.Options{})
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan struct{})
	go func() {
		h.Run(ctx)
		close(ended)
	}()
	rec := routeRecord(b, 1)
	for _, bench := range []struct {
		name   string
		runner processor.Runner
	}{{"plain", plans}, {"observed", &observed{plans, h, plans.Source}}} {
		b.Run(bench.name, func(b *testing.B) {
			before := cpu(b)
			done := make(chan struct{}, 1)
			for b.Loop() {
				bench.runner.Start(ctx, rec, func(execution.Outcome) { done <- struct{}{} })
				<-done
			}
			b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
	cancel()
	<-ended
}

// cpu is the processor time of this process.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

package processor

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"starplan/plan/execution"
)

// BenchmarkMetrics is what a record pays for being counted, in a processor that does
// nothing else. BenchmarkObserving of package bench tells its share of all that a
// record takes.
func BenchmarkMetrics(b *testing.B) {
	m, err := newMetrics(prometheus.NewRegistry(), newCollector(newCore(), "plan-inputs-acme"), 1e9)
	if err != nil {
		b.Fatal(err)
	}
	m.setPlans([]string{"route"})
	out := execution.Outcome{Plan: "route", ExecID: "060fbe2b-bebc-5c7f-b58d-f8f087dfa3a4", Steps: 20, Duration: 20 * time.Microsecond}
	before := cpu(b)
	for b.Loop() {
		m.ended(out)
		m.delay.Observe(0.005)
	}
	b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

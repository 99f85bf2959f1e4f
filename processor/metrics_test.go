package processor

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"starplan/plan/execution"
)

func testMetrics(t testing.TB) (*metrics, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	m, err := newMetrics(reg, newCollector(newCore(), "plan-inputs-acme"), 1e6)
	if err != nil {
		t.Fatal(err)
	}
	return m, reg
}

func TestStepBuckets(t *testing.T) {
	for limit, want := range map[uint64][]float64{
		0:             {1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10},
		6_000_000_000: {1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 3e9, 4.8e9, 6e9},
		1000:          {1e2, 500, 800, 1000},
		200:           {100, 160, 200},
		1:             {0.5, 0.8, 1},
	} {
		if diff := cmp.Diff(want, stepBuckets(limit)); diff != "" {
			t.Errorf("stepBuckets(%d) (-want +got):\n%s", limit, diff)
		}
	}
}

func TestLint(t *testing.T) {
	m, reg := testMetrics(t)
	m.setPlans([]string{"a"})
	m.ended(execution.Outcome{Plan: "a", ExecID: "x", Duration: time.Millisecond})
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestPlanGone: a plan's series end with the plan, and what still ends of it is
// counted under the empty name.
func TestPlanGone(t *testing.T) {
	m, reg := testMetrics(t)
	m.setPlans([]string{"a", "b"})
	m.ended(execution.Outcome{Plan: "a", Duration: 1, Steps: 1})
	m.setPlans([]string{"b"})
	m.ended(execution.Outcome{Plan: "a", Duration: 1, Steps: 1})
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, s := range f.GetMetric() {
			for _, l := range s.GetLabel() {
				if l.GetName() == "plan" && l.GetValue() == "a" {
					t.Errorf("%s still has a series of the plan that is gone", f.GetName())
				}
			}
		}
	}
	if got := testutil.ToFloat64(m.executions.WithLabelValues("")); got != 1 {
		t.Errorf("executions of no plan = %v, want 1", got)
	}
}

// TestExemplars: OpenMetrics shows the exec_id of a slow execution, and of some
// others.
func TestExemplars(t *testing.T) {
	m, reg := testMetrics(t)
	m.exemplarPause = time.Hour
	m.ended(execution.Outcome{Plan: "a", ExecID: "first", Duration: 3 * time.Millisecond})
	for i := range 10 {
		m.ended(execution.Outcome{Plan: "a", ExecID: fmt.Sprint("quick", i), Duration: 20 * time.Millisecond})
	}
	m.ended(execution.Outcome{Plan: "a", ExecID: "slow", Duration: 20 * time.Second})
	req := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	req.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP(answer, req)
	text := answer.Body.String()
	for _, want := range []string{`le="0.005"} 1 # {exec_id="first"} 0.003 `, `le="30.0"} 12 # {exec_id="slow"} 20.0 `} {
		if !strings.Contains(text, want) {
			t.Errorf("the scrape has no %q", want)
		}
	}
	if strings.Contains(text, `exec_id="quick`) {
		t.Error("quick executions leave exemplars without a pause")
	}
}

func BenchmarkEnded(b *testing.B) {
	m, _ := testMetrics(b)
	m.setPlans([]string{"a"})
	o := execution.Outcome{Plan: "a", ExecID: "1b4e28ba-2fa1-51d2-883f-0016d3cca427", Duration: 50 * time.Microsecond, Steps: 1000}
	b.ReportAllocs()
	for b.Loop() {
		m.ended(o)
	}
}

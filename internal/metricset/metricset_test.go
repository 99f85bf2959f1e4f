package metricset_test

import (
	"bytes"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/goleak"

	"starplan/internal/metricset"
	"starplan/plan/worker"
)

var update = flag.Bool("update", false, "write docs/metrics.md anew")

func TestMain(m *testing.M) {
	worker.Divert()
	goleak.VerifyTestMain(m,
		// goka links sarama, whose metrics start this once a process.
		goleak.IgnoreAnyFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"),
	)
}

// TestLive looks at the metrics of a running service: their form, and that
// docs/metrics.md tells of them.
func TestLive(t *testing.T) {
	set, text, err := metricset.Live(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("lint: %s: %s", p.Metric, p.Text)
	}
	sentence := regexp.MustCompile(`^[A-Z].*\.$`)
	for _, m := range set.Own() {
		if !sentence.MatchString(m.Help) && m.Name != "starplan_build_info" {
			t.Errorf("help of %s = %q, want a sentence", m.Name, m.Help)
		}
	}
	for _, name := range []string{"go_goroutines", "process_cpu_seconds_total", "starplan_build_info"} {
		if _, ok := set.Find(name); !ok {
			t.Errorf("the scrape has no %s", name)
		}
	}

	want, err := set.Markdown()
	if err != nil {
		t.Fatal(err)
	}
	const page = "../../docs/metrics.md"
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(string(got), "\n")); diff != "" {
		t.Errorf("docs/metrics.md differs from the code; run go test ./internal/metricset -update (-code +page):\n%s", diff)
	}
}

const scrape = `# HELP a_total As.
# TYPE a_total counter
a_total{reason="x",op="q"} 1
a_total{reason="b",op="q"} 0
# HELP h_seconds Hs.
# TYPE h_seconds histogram
h_seconds_bucket{le="1"} 1
h_seconds_bucket{le="+Inf"} 1
h_seconds_sum 1
h_seconds_count 1
`

func TestParse(t *testing.T) {
	got, err := metricset.Parse(strings.NewReader(scrape))
	if err != nil {
		t.Fatal(err)
	}
	want := metricset.Set{
		{Name: "a_total", Type: "counter", Help: "As.", Series: 2, Labels: []metricset.Label{{Name: "op", Values: []string{"q"}}, {Name: "reason", Values: []string{"b", "x"}}}},
		{Name: "h_seconds", Type: "histogram", Help: "Hs.", Series: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Parse differs (-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{
		"a_total": "a_total", "h_seconds": "h_seconds", "h_seconds_bucket": "h_seconds", "h_seconds_count": "h_seconds",
		"a_total_sum": "", "h_seconds_max": "", "h": "",
	} {
		if m, ok := got.Find(name); m.Name != want || ok != (want != "") {
			t.Errorf("Find(%q) = %q, %v, want %q", name, m.Name, ok, want)
		}
	}
	if _, err := metricset.Parse(strings.NewReader("{")); err == nil {
		t.Error("Parse of no scrape = nil, want an error")
	}
	if _, err := got.Markdown(); err == nil || !strings.Contains(err.Error(), "no metric starplan_") {
		t.Errorf("Markdown = %v, want an error that names the metric that is not there", err)
	}
}

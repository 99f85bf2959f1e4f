package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"starplan/internal/metricset"
	"starplan/plan/worker"
)

var update = flag.Bool("update", false, "write the dashboards anew")

func TestMain(m *testing.M) {
	worker.Divert()
	os.Exit(m.Run())
}

func live(t *testing.T) metricset.Set {
	t.Helper()
	set, _, err := metricset.Live(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// TestUpToDate: the dashboards are those that the metrics of a live scrape give.
func TestUpToDate(t *testing.T) {
	if *update {
		if err := write(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want, err := generate(live(t))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir(), "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(want) {
		t.Errorf("%d dashboards are there, want %d", len(files), len(want))
	}
	for name, text := range want {
		got, err := os.ReadFile(filepath.Join(dir(), name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Split(string(text), "\n"), strings.Split(string(got), "\n")); diff != "" {
			t.Errorf("%s is not up to date; run go run ./deploy/grafana/gen (-want +got):\n%s", name, diff)
		}
	}
}

// TestForm: what Grafana does not tell about when a dashboard is loaded.
func TestForm(t *testing.T) {
	files, err := generate(live(t))
	if err != nil {
		t.Fatal(err)
	}
	uids := make(map[string]bool)
	for name, text := range files {
		var d dashboard
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatal(err)
		}
		if uids[d.UID] || d.UID == "" || d.Title == "" {
			t.Errorf("%s: uid %q, title %q, want both, and the uid unique", name, d.UID, d.Title)
		}
		uids[d.UID] = true
		taken := make(map[[2]int]string)
		var titles []string
		for i, p := range d.Panels {
			if p.ID != i+1 {
				t.Errorf("%s: panel %q has id %d, want %d", name, p.Title, p.ID, i+1)
			}
			if p.Type != "row" && slices.Contains(titles, p.Title) {
				t.Errorf("%s: two panels %q", name, p.Title)
			}
			if p.Type != "row" {
				titles = append(titles, p.Title)
			}
			if p.Type != "row" && (p.Description == "" || len(p.Targets) == 0) {
				t.Errorf("%s: panel %q has no description or shows nothing", name, p.Title)
			}
			for x := range p.GridPos.W {
				for y := range p.GridPos.H {
					at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
					if taken[at] != "" || at[0] >= width {
						t.Fatalf("%s: panel %q lies over %q, or beyond the edge", name, p.Title, taken[at])
					}
					taken[at] = p.Title
				}
			}
			for _, q := range p.Targets {
				if strings.Count(q.Expr, "(") != strings.Count(q.Expr, ")") || strings.Count(q.Expr, "{") != strings.Count(q.Expr, "}") {
					t.Errorf("%s: %q: brackets do not match in %s", name, p.Title, q.Expr)
				}
			}
		}
	}
}

// TestMistakes: metrics and labels that no service has are found.
func TestMistakes(t *testing.T) {
	set := live(t)
	for expr, want := range map[string]string{
		`rate(starplan_execution_total[5m])`:                                  "no service has starplan_execution_total",
		`starplan_workers{plan="x"}`:                                          "starplan_workers has no label plan",
		`rate(starplan_execution_duration_seconds_buckets{job="$job"}[5m])`:   "no service has starplan_execution_duration_seconds_buckets",
		`sum(rate(starplan_execution_failures_total{cause=~"steps"}[5m]))`:    "starplan_execution_failures_total has no label cause",
		`starplan_workers{job="$job"} + rate(process_cpu_second_total{}[5m])`: "no service has process_cpu_second_total",
	} {
		b := newBoard(set)
		b.add(series("x", "short"), 8, line{expr: expr})
		if _, err := b.json(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", expr, err, want)
		}
	}
	few := slices.DeleteFunc(slices.Clone(set), func(m metricset.Metric) bool { return m.Name == "starplan_workers" })
	if _, err := generate(few); err == nil {
		t.Error("generate without starplan_workers = nil, want an error")
	}
	more := append(slices.Clone(set), metricset.Metric{Name: "starplan_new_total", Type: "counter"})
	if _, err := generate(more); err == nil || !strings.Contains(err.Error(), "no dashboard shows starplan_new_total") {
		t.Errorf("generate with a new metric = %v, want an error that names it", err)
	}
}

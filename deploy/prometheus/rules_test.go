// Package prometheus_test holds the rules of this directory to the metrics that a
// service has, to docs/runbooks.md and to their own tests. What the rules say is
// tested with promtool and a real Prometheus; see prometheus_test.go.
package prometheus_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"starplan/internal/metricset"
	"starplan/plan/worker"
)

func TestMain(m *testing.M) {
	worker.Divert()
	os.Exit(m.Run())
}

var (
	metricName = regexp.MustCompile(`[a-z_:]*\bstarplan_[a-z0-9_:]*|[a-z_]+:starplan_[a-z0-9_:]*`)
	recordRule = regexp.MustCompile(`(?m)^ *- record: (\S+)$`)
	alertRule  = regexp.MustCompile(`(?m)^ *- alert: (\S+)$`)
	selector   = regexp.MustCompile(`(starplan_[a-z0-9_]+)\{([^}]*)\}`)
	labelName  = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)`)
)

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// names gives what a pattern's first group matches.
func names(pattern *regexp.Regexp, text string) map[string]bool {
	found := make(map[string]bool)
	for _, m := range pattern.FindAllStringSubmatch(text, -1) {
		found[m[1]] = true
	}
	return found
}

// TestMetricsExist: every metric and label that a rule, its tests or a runbook
// names is there in a scrape, or recorded.
func TestMetricsExist(t *testing.T) {
	set, _, err := metricset.Live(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	recorded := names(recordRule, read(t, "rules.yml"))
	files, err := filepath.Glob("tests/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, "rules.yml", "alerts.yml", "../../docs/runbooks.md")
	for _, file := range files {
		text := read(t, file)
		found := metricName.FindAllString(text, -1)
		if len(found) == 0 && !strings.Contains(text, "up{") {
			t.Errorf("%s names no metric; is it still read as it should be?", file)
		}
		for _, name := range found {
			if strings.Contains(name, ":") {
				if !recorded[name] {
					t.Errorf("%s names %s, which is not recorded", file, name)
				}
			} else if _, ok := set.Find(name); !ok {
				t.Errorf("%s names %s, which no service has", file, name)
			}
		}
		for _, m := range selector.FindAllStringSubmatch(text, -1) {
			metric, _ := set.Find(m[1])
			for label := range names(labelName, m[2]) {
				if label != "job" && label != "instance" && label != "le" && !metric.Has(label) {
					t.Errorf("%s selects %s by %s, which is no label of it", file, m[1], label)
				}
			}
		}
	}
}

// TestEveryAlert: each alert has its section in the runbooks, leads there, and has
// a test in which it fires and one in which it does not.
func TestEveryAlert(t *testing.T) {
	alerts := read(t, "alerts.yml")
	runbooks := read(t, "../../docs/runbooks.md")
	sections := names(regexp.MustCompile(`(?m)^## (\S+)$`), runbooks)
	for _, rule := range strings.Split(alerts, "- alert: ")[1:] {
		alert, _, _ := strings.Cut(rule, "\n")
		if !sections[alert] {
			t.Errorf("docs/runbooks.md has no section %s", alert)
		}
		delete(sections, alert)
		if want := "runbook_url: docs/runbooks.md#" + strings.ToLower(alert) + "\n"; !strings.Contains(rule, want) {
			t.Errorf("%s does not lead to its runbook: want %s", alert, want)
		}
		for _, part := range []string{"severity: ", "summary: ", "description: "} {
			if !strings.Contains(rule, part) {
				t.Errorf("%s has no %s", alert, strings.TrimSuffix(part, ": "))
			}
		}
		fires, quiet := false, false
		for _, test := range strings.Split(read(t, filepath.Join("tests", alert+".yml")), "  - name: ")[1:] {
			if strings.Contains(test, "alertname: "+alert) && strings.Contains(test, "exp_labels") {
				fires = true
			} else if strings.Contains(test, "alertname: "+alert) {
				quiet = true
			}
		}
		if !fires || !quiet {
			t.Errorf("tests of %s: fires %v, does not fire %v, want one of each", alert, fires, quiet)
		}
	}
	for section := range sections {
		t.Errorf("docs/runbooks.md tells of %s, which is no alert", section)
	}
	if n := len(names(alertRule, alerts)); n < 10 {
		t.Errorf("%d alerts were found; is the file still read as it should be?", n)
	}
}

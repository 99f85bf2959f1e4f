//go:build prometheus

package prometheus_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"starplan/internal/kafkatest"
	"starplan/internal/metricset"
)

// prometheus is a running Prometheus.
type prometheus struct {
	url string
	// config is its file; reload has it read again.
	config string
	reload func() error
	// fired are the alerts that have ever been seen firing.
	fired map[string]bool
}

// faster is the rules with less patience: ranges and ages are sixty times shorter
// (half an hour and more are a quarter of a minute), and what has to hold for minutes has to
// hold for two seconds. Nothing else is changed.
func faster(t *testing.T, file string) string {
	t.Helper()
	text := read(t, file)
	shorter := func(in, pattern, with string) {
		re := regexp.MustCompile(pattern)
		if file != in {
			return
		}
		if !re.MatchString(text) {
			t.Fatalf("%s has nothing of the form %s", file, pattern)
		}
		text = re.ReplaceAllString(text, with)
	}
	shorter("rules.yml", `\[30m\]`, `[15s]`)
	shorter("rules.yml", `\[(\d+)m\]`, `[${1}s]`)
	shorter("alerts.yml", `\[(\d+)m\]`, `[${1}s]`)
	shorter("alerts.yml", `\[1h\]`, `[15s]`)
	shorter("alerts.yml", `for: \d+m`, `for: 2s`)
	shorter("alerts.yml", `(starplan_consumer_lag_seconds:max) > 60`, `${1} > 1`)
	shorter("alerts.yml", `, 120\)`, `, 2)`)
	return text
}

func startPrometheus(ctx context.Context, t *testing.T, target string) *prometheus {
	t.Helper()
	dir := t.TempDir()
	for _, file := range []string{"rules.yml", "alerts.yml"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(faster(t, file)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := &prometheus{config: filepath.Join(dir, "prometheus.yml"), reload: func() error { return nil }, fired: make(map[string]bool)}
	p.target(t, target)
	port, err := kafkatest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	out := new(lockedBuffer)
	cmd := exec.Command(tool(t, "prometheus"),
		"--config.file="+p.config, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		fmt.Sprintf("--web.listen-address=127.0.0.1:%d", port), "--enable-feature=exemplar-storage")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // It may have ended.
		_ = cmd.Wait()         // It was killed.
		if t.Failed() {
			t.Logf("output of prometheus:\n%s", out)
		}
	})
	p.url = fmt.Sprintf("http://127.0.0.1:%d", port)
	p.reload = func() error { return cmd.Process.Signal(syscall.SIGHUP) }
	p.await(ctx, t, "prometheus", func() bool {
		_, err := metricset.Scrape(ctx, p.url+"/-/ready")
		return err == nil
	})
	return p
}

// target says which services to look at.
func (p *prometheus) target(t *testing.T, addrs ...string) {
	t.Helper()
	configuration := strings.NewReplacer("15s", "1s", "localhost:8080", strings.Join(addrs, ", ")).Replace(read(t, "prometheus.yml"))
	if err := os.WriteFile(p.config, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.reload(); err != nil {
		t.Fatal(err)
	}
}

// await asks again and again until something holds.
func (p *prometheus) await(ctx context.Context, t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("in vain awaited %s", what)
		}
	}
}

// get asks the API and gives what it answers.
func (p *prometheus) get(ctx context.Context, t *testing.T, path string, query url.Values, data any) {
	t.Helper()
	text, err := metricset.Scrape(ctx, p.url+path+"?"+query.Encode())
	if err != nil {
		t.Fatal(err)
	}
	answer := struct {
		Status string
		Data   any
	}{Data: data}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Status != "success" {
		t.Fatalf("%s %v = %s: %v", path, query, text, err)
	}
}

type sample struct {
	Metric map[string]string
	Value  [2]any
}

func (p *prometheus) query(ctx context.Context, t *testing.T, expr string) []sample {
	t.Helper()
	var data struct{ Result []sample }
	p.get(ctx, t, "/api/v1/query", url.Values{"query": {expr}}, &data)
	return data.Result
}

// value gives the first value of an expression; 0 where there is none.
func (p *prometheus) value(ctx context.Context, t *testing.T, expr string) float64 {
	t.Helper()
	samples := p.query(ctx, t, expr)
	if len(samples) == 0 {
		return 0
	}
	v, err := strconv.ParseFloat(samples[0].Value[1].(string), 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// firing gives the alerts that fire, with what names their subject.
func (p *prometheus) firing(ctx context.Context, t *testing.T) []string {
	t.Helper()
	var data struct {
		Alerts []struct {
			Labels map[string]string
			State  string
		}
	}
	p.get(ctx, t, "/api/v1/alerts", nil, &data)
	var list []string
	for _, a := range data.Alerts {
		if a.State != "firing" {
			continue
		}
		name := a.Labels["alertname"]
		p.fired[name] = true
		for _, label := range []string{"plan", "op", "reason"} {
			if v := a.Labels[label]; v != "" {
				name += " " + label + "=" + v
			}
		}
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// awaitFiring waits until these alerts fire, and no others.
func (p *prometheus) awaitFiring(ctx context.Context, t *testing.T, want ...string) {
	t.Helper()
	var got []string
	defer func() {
		if t.Failed() {
			t.Logf("firing: %q, want %q", got, want)
		}
	}()
	p.await(ctx, t, fmt.Sprintf("alerts %q", want), func() bool {
		got = p.firing(ctx, t)
		return slices.Equal(got, want)
	})
}

func (p *prometheus) wantFiring(ctx context.Context, t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, p.firing(ctx, t)); diff != "" {
		t.Errorf("firing alerts (-want +got):\n%s", diff)
	}
}

// settle waits until the rules were evaluated often enough for whatever is about
// to fire to have fired.
func (p *prometheus) settle(ctx context.Context, t *testing.T) {
	t.Helper()
	var first time.Time
	p.await(ctx, t, "evaluations", func() bool {
		var data struct {
			Groups []struct{ LastEvaluation time.Time }
		}
		p.get(ctx, t, "/api/v1/rules", nil, &data)
		oldest := time.Now()
		for _, g := range data.Groups {
			if g.LastEvaluation.Before(oldest) {
				oldest = g.LastEvaluation
			}
		}
		if first.IsZero() {
			first = oldest
		}
		return oldest.Sub(first) >= 4*time.Second
	})
}

// wantExemplar: an exemplar leads from the histogram to an execution.
func (p *prometheus) wantExemplar(ctx context.Context, t *testing.T) {
	t.Helper()
	var data []struct {
		Exemplars []struct{ Labels map[string]string }
	}
	now := time.Now()
	p.get(ctx, t, "/api/v1/query_exemplars", url.Values{
		"query": {"starplan_execution_duration_seconds_bucket"},
		"start": {strconv.FormatInt(now.Add(-time.Hour).Unix(), 10)}, "end": {strconv.FormatInt(now.Add(time.Minute).Unix(), 10)},
	}, &data)
	for _, series := range data {
		for _, e := range series.Exemplars {
			if len(e.Labels["exec_id"]) == 36 {
				return
			}
		}
	}
	t.Errorf("no exemplar with an exec_id in %v", data)
}

// wantDashboards: every expression of every dashboard is valid and gives something.
func (p *prometheus) wantDashboards(ctx context.Context, t *testing.T) {
	t.Helper()
	files, err := filepath.Glob("../grafana/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("dashboards: %v, %v", files, err)
	}
	for _, file := range files {
		var board any
		if err := json.Unmarshal([]byte(read(t, file)), &board); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, expr := range exprs(board) {
			n++
			concrete := strings.NewReplacer(
				"$__rate_interval", "5s", "$job", "starplan", "$instance", ".*", "$plan", ".*", "[5m]", "[5s]", "[1m]", "[5s]",
			).Replace(expr)
			concrete = strings.TrimSuffix(concrete, " > 0") // Annotations: nothing was reloaded yet.
			if len(p.query(ctx, t, concrete)) == 0 {
				t.Errorf("%s: %s gives nothing", file, concrete)
			}
		}
		if n < 10 {
			t.Errorf("%s: %d expressions; is it still read as it should be?", file, n)
		}
	}
}

// exprs collects the expressions in a dashboard.
func exprs(v any) []string {
	var list []string
	switch v := v.(type) {
	case map[string]any:
		for key, x := range v {
			if s, ok := x.(string); ok && key == "expr" {
				list = append(list, s)
			}
			list = append(list, exprs(x)...)
		}
	case []any:
		for _, x := range v {
			list = append(list, exprs(x)...)
		}
	}
	return list
}

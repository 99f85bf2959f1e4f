//go:build prometheus

package prometheus_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"starplan/internal/config"
	"starplan/internal/kafkatest"
	"starplan/internal/metricset"
	"starplan/internal/service"
	"starplan/plan"
	"starplan/processor"
	"starplan/proto/planpb"
)

// tool finds a program of Debian's package prometheus. These tests are worth
// nothing without it, so that there is no skipping them.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v; install it: apt-get install prometheus", err)
	}
	return path
}

func promtool(t *testing.T, stdin []byte, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tool(t, "promtool"), args...)
	cmd.Stdin = bytes.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPromtool(t *testing.T) {
	promtool(t, nil, "check", "rules", "rules.yml", "alerts.yml")
	promtool(t, nil, "check", "config", "prometheus.yml")
	files, err := filepath.Glob("tests/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("tests of the rules: %v, %v", files, err)
	}
	promtool(t, nil, append([]string{"test", "rules"}, files...)...)
}

const (
	tenant = "acme"
	good   = "def plan(plan_input):\n    return PlanResult(next_task_names = [\"next\"])\n"
	// broken loads, and fails on every record.
	broken = "def plan(plan_input):\n    fail(\"broken on purpose\")\n"
	// wrong does not load.
	wrong = "def plan(plan_input):\n    return nothing\n"
)

// TestAlerts has a real Prometheus look at a running service under load while a
// plan is broken, a reload fails, the broker is stopped and the service is gone.
// In each phase exactly the alerts fire that should.
func TestAlerts(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	kind, err := kafkatest.KindFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	broker := kafkatest.New(t, kafkatest.Options{Kind: kind})
	if err := kafkatest.CreateTopics(ctx, broker.Addr(), 4, processor.InputTopic(tenant), processor.OutputTopic(tenant)); err != nil {
		t.Fatal(err)
	}
	svc := startService(ctx, t, broker.Addr())
	load(ctx, t, broker.Addr())
	prom := startPrometheus(ctx, t, svc.addr)

	phase := func(name string, does func(t *testing.T)) {
		begin := time.Now()
		if !t.Run(name, does) {
			t.Fatalf("phase %q failed; alerts: %v", name, prom.firing(ctx, t))
		}
		t.Logf("%s: %v", name, time.Since(begin).Round(100*time.Millisecond))
	}
	phase("all is well", func(t *testing.T) {
		prom.await(ctx, t, "a rate", func() bool { return prom.value(ctx, t, `job:starplan_executions:rate5m`) > 5 })
		prom.settle(ctx, t)
		prom.wantFiring(ctx, t)
		text, err := metricset.Scrape(ctx, "http://"+svc.addr+"/metrics")
		if err != nil {
			t.Fatal(err)
		}
		promtool(t, text, "check", "metrics")
	})
	phase("exemplars", func(t *testing.T) { prom.wantExemplar(ctx, t) })
	phase("dashboards", func(t *testing.T) { prom.wantDashboards(ctx, t) })
	phase("a plan is broken", func(t *testing.T) {
		svc.reload(ctx, t, broken, http.StatusOK)
		prom.awaitFiring(ctx, t, "StarplanExecutionsFailing plan=route")
		prom.settle(ctx, t)
		prom.wantFiring(ctx, t, "StarplanExecutionsFailing plan=route")
		svc.reload(ctx, t, good, http.StatusOK)
		prom.awaitFiring(ctx, t)
	})
	phase("a reload fails", func(t *testing.T) {
		svc.reload(ctx, t, wrong, http.StatusInternalServerError)
		prom.awaitFiring(ctx, t, "StarplanReloadFailed plan=route")
		prom.settle(ctx, t)
		prom.wantFiring(ctx, t, "StarplanReloadFailed plan=route")
		svc.reload(ctx, t, good, http.StatusOK)
		prom.awaitFiring(ctx, t)
	})
	phase("the broker is away", func(t *testing.T) {
		if err := broker.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		prom.awaitFiring(ctx, t, "StarplanKafkaErrors op=connect", "StarplanKafkaErrors op=group", "StarplanNoAssignedPartitions")
		if err := broker.Start(ctx); err != nil {
			t.Fatal(err)
		}
		prom.awaitFiring(ctx, t)
		prom.await(ctx, t, "executions", func() bool { return prom.value(ctx, t, `job:starplan_executions:rate5m`) > 1 })
	})
	phase("the service is gone", func(t *testing.T) {
		svc.stop()
		prom.awaitFiring(ctx, t, "StarplanDown")
	})
}

// running is a service in this process.
type running struct {
	addr string
	plan string // file
	stop func()
}

func startService(ctx context.Context, t *testing.T, broker string) *running {
	t.Helper()
	dir := t.TempDir()
	svc := &running{plan: filepath.Join(dir, "route.star")}
	for _, name := range []string{"route.star", "steady.star"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(good), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log := new(lockedBuffer)
	ctx, cancel := context.WithCancel(ctx)
	addr, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- service.Run(ctx, service.Options{
			Config: config.Config{
				TenantID: tenant, PlanPath: dir, GroupID: "executors-acme", Brokers: []string{broker}, HTTPAddr: "127.0.0.1:0",
				SessionTimeout: 6 * time.Second,
				Execution:      config.Execution{Limits: plan.Limits{Timeout: time.Minute, MaxSteps: 1e6, MaxMemory: 64 << 20}, Workers: 2},
			},
			Listening: func(a string) { addr <- a },
			Logger:    slog.New(slog.NewTextHandler(log, nil)),
		})
	}()
	select {
	case svc.addr = <-addr:
	case err := <-ended:
		t.Fatalf("the service ended: %v", err)
	}
	svc.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the service ended: %v", err)
		}
	})
	t.Cleanup(func() {
		svc.stop()
		if t.Failed() {
			t.Logf("log of the service:\n%s", log)
		}
	})
	return svc
}

// reload puts a text in place of the plan route and has the plans read again.
func (r *running) reload(ctx context.Context, t *testing.T, text string, want int) {
	t.Helper()
	if err := os.WriteFile(r.plan, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+r.addr+"/-/reload", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != want {
		t.Fatalf("POST /-/reload = %s, want %d", res.Status, want)
	}
}

// load sends inputs for both plans until the test ends.
func load(ctx context.Context, t *testing.T, broker string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			name := []string{"route", "steady"}[i%2]
			value, err := proto.Marshal(&planpb.PlanInput{InputId: strconv.Itoa(i), PlanName: name, GraphId: "g", LifetimeId: "l"})
			if err != nil {
				panic(err)
			}
			client.TryProduce(ctx, &kgo.Record{Topic: processor.InputTopic(tenant), Key: []byte(name), Value: value}, nil)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		client.Close()
	})
}

// prometheus is a running Prometheus.
type prometheus struct{ url string }

// faster is the rules with less patience: ranges are sixty times shorter, and what
// has to hold for minutes has to hold for seconds. Nothing else is changed.
func faster(t *testing.T, file string) string {
	t.Helper()
	text := read(t, file)
	minutes := func(pattern, unit string) {
		re := regexp.MustCompile(pattern)
		if file == "alerts.yml" && !re.MatchString(text) {
			t.Fatalf("%s has nothing of the form %s", file, pattern)
		}
		text = re.ReplaceAllString(text, unit)
	}
	minutes(`\[(\d+)m\]`, `[${1}s]`)
	minutes(`for: \d+m`, `for: 2s`)
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
	configuration := strings.NewReplacer("15s", "1s", "localhost:8080", target).Replace(read(t, "prometheus.yml"))
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	port, err := kafkatest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	out := new(lockedBuffer)
	cmd := exec.Command(tool(t, "prometheus"),
		"--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
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
	p := &prometheus{url: fmt.Sprintf("http://127.0.0.1:%d", port)}
	p.await(ctx, t, "prometheus", func() bool {
		_, err := metricset.Scrape(ctx, p.url+"/-/ready")
		return err == nil
	})
	return p
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

// lockedBuffer keeps what is written.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

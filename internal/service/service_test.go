package service_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"starplan/internal/config"
	"starplan/internal/devbroker"
	"starplan/internal/follow"
	"starplan/internal/service"
	"starplan/plan"
	"starplan/plan/worker"
	"starplan/processor"
	"starplan/proto/planpb"
)

func TestMain(m *testing.M) {
	worker.Divert()
	goleak.VerifyTestMain(m,
		// goka links sarama, whose metrics start this once a process.
		goleak.IgnoreAnyFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"),
	)
}

const tenant = "acme"

// running is a service in this process, on an embedded broker.
type running struct {
	t       *testing.T
	dir     string
	url     string
	reload  chan os.Signal
	reports chan plan.Report
	log     *lockedBuffer
	client  *kgo.Client
	reader  *follow.Reader
	config  config.Config
	stop    func() error
}

func planText(next string) string {
	return fmt.Sprintf("def plan(plan_input):\n    return PlanResult(next_task_names = [%q])\n", next)
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// start runs a service that serves route.star.
func start(t *testing.T, change func(*config.Config)) *running {
	t.Helper()
	broker, err := devbroker.Start(devbroker.Options{Tenant: tenant})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	r := &running{t: t, dir: t.TempDir(), reload: make(chan os.Signal), reports: make(chan plan.Report, 10), log: new(lockedBuffer)}
	write(t, r.dir, "route.star", planText("first"))
	cfg := config.Config{
		TenantID: tenant, PlanPath: r.dir, GroupID: "executors-acme", Brokers: []string{broker.Addr()}, HTTPAddr: "127.0.0.1:0",
		Execution: config.Execution{Limits: plan.Limits{Timeout: 10 * time.Second, MaxSteps: 1e6, MaxMemory: 64 << 20}, Workers: 1},
	}
	if change != nil {
		change(&cfg)
	}
	r.client, err = kgo.NewClient(kgo.SeedBrokers(broker.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.client.Close)
	r.reader, err = follow.Open(t.Context(), follow.Options{Client: []kgo.Opt{kgo.SeedBrokers(broker.Addr())}, Topic: processor.OutputTopic(tenant), From: "oldest"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.reader.Close)
	r.config = cfg
	r.run(cfg)
	return r
}

// run runs the service until the test ends or stop is called.
func (r *running) run(cfg config.Config) {
	ctx, cancel := context.WithCancel(context.Background())
	addr, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- service.Run(ctx, service.Options{
			Config: cfg, Reload: r.reload, Logger: newLogger(r.log),
			Listening: func(a string) { addr <- a },
			Reloaded:  func(report plan.Report) { r.reports <- report },
		})
	}()
	select {
	case a := <-addr:
		r.url = "http://" + a
	case err := <-ended:
		cancel()
		r.t.Fatalf("Run = %v before it listened", err)
	}
	var err error
	stopped := false
	r.stop = func() error {
		if !stopped {
			stopped = true
			cancel()
			err = <-ended
		}
		return err
	}
	r.t.Cleanup(func() {
		if err := r.stop(); err != nil {
			r.t.Errorf("Run = %v, want nil after its context ended", err)
		}
		if r.t.Failed() {
			r.t.Logf("log:\n%s", r.log)
		}
	})
}

// answer sends an input for the plan and waits for its execution.
func (r *running) answer(name string) *planpb.PlanExecution {
	r.t.Helper()
	rec := &kgo.Record{Topic: processor.InputTopic(tenant), Key: []byte(name), Value: []byte("\x0a\x01i\x12\x05route")}
	if err := r.client.ProduceSync(r.t.Context(), rec).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	e, err := r.reader.Next(ctx)
	if err != nil {
		r.t.Fatalf("no execution: %v", err)
	}
	return e.Message
}

func (r *running) http(method, path string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return res.StatusCode, string(body)
}

// await asks again and again until something holds.
func (r *running) await(holds func() bool, what string) {
	r.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			r.t.Fatalf("in vain awaited that %s", what)
		}
	}
}

func (r *running) wantNext(want string) {
	r.t.Helper()
	exec := r.answer("route")
	if got := strings.Join(exec.GetResult().GetNextTaskNames(), ","); got != want {
		r.t.Errorf("next_task_names = %q, want %q in %v", got, want, exec)
	}
}

func TestReload(t *testing.T) {
	r := start(t, nil)
	r.wantNext("first")

	// By signal.
	write(t, r.dir, "route.star", planText("second"))
	r.reload <- syscall.SIGHUP
	<-r.reports
	r.wantNext("second")

	// By HTTP. A plan that does not load keeps its last good version, and whoever
	// asked is told.
	write(t, r.dir, "route.star", "def plan(plan_input):\n    return nothing\n")
	code, body := r.http("POST", "/-/reload")
	if code != 500 || !strings.Contains(body, "route.star:2:12: undefined: nothing") {
		t.Errorf("POST /-/reload = %d %s, want 500 with the position", code, body)
	}
	<-r.reports
	r.wantNext("second")
	if _, body := r.http("GET", "/metrics"); !strings.Contains(body, `starplan_plan_last_reload_successful{plan="route"} 0`) {
		t.Error("/metrics does not say that the reload of route failed")
	}

	write(t, r.dir, "route.star", planText("third"))
	if code, body := r.http("POST", "/-/reload"); code != 200 || !strings.Contains(body, `"result": "loaded"`) {
		t.Errorf("POST /-/reload = %d %s, want 200", code, body)
	}
	<-r.reports
	r.wantNext("third")
}

func TestWatch(t *testing.T) {
	r := start(t, func(c *config.Config) { c.Watch = true })
	r.wantNext("first")
	write(t, r.dir, "route.star", planText("second"))
	<-r.reports
	r.wantNext("second")
}

func TestHealth(t *testing.T) {
	r := start(t, nil)
	r.answer("route") // Now it is ready.
	if code, body := r.http("GET", "/readyz"); code != 200 {
		t.Errorf("/readyz = %d %s, want 200", code, body)
	}
	code, body := r.http("GET", "/health")
	var health map[string]struct {
		State  string
		Detail map[string]any
	}
	if err := json.Unmarshal([]byte(body), &health); err != nil || code != 200 {
		t.Fatalf("/health = %d %s: %v", code, body, err)
	}
	for _, part := range []string{"service", "consumer", "producer", "executor"} {
		if got := health[part].State; got != "up" {
			t.Errorf("state of %s = %q, want up", part, got)
		}
	}
	for part, key := range map[string]string{"consumer": "partitions", "executor": "sandbox"} {
		if health[part].Detail[key] == nil {
			t.Errorf("/health has no %s.detail.%s: %s", part, key, body)
		}
	}
	_, metrics := r.http("GET", "/metrics")
	for _, want := range []string{
		`starplan_executions_total{plan="route"} 1`,
		`starplan_execution_failures_total{plan="route",reason="steps"} 0`,
		`starplan_records_received_total{topic="plan-inputs-acme"} 1`,
		"starplan_execution_duration_seconds_bucket", "starplan_plan_max_steps 1e+06", "starplan_build_info", "go_goroutines", "process_cpu_seconds_total",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics does not hold %s", want)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(c *config.Config, dir string)
		want   string
	}{
		{"plan not there", func(c *config.Config, _ string) { c.PlanNames = []string{"nothing"} }, `plan "nothing" is not in`},
		{"strict", func(c *config.Config, dir string) {
			c.Strict = true
			if err := os.WriteFile(filepath.Join(dir, "bad.star"), []byte("def plan(:"), 0o600); err != nil {
				panic(err)
			}
		}, "bad.star:1:10: "},
		{"two plans of one name", func(_ *config.Config, dir string) {
			if err := os.MkdirAll(filepath.Join(dir, "route"), 0o700); err != nil {
				panic(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "route", "plan.star"), []byte(planText("x")), 0o600); err != nil {
				panic(err)
			}
		}, "route"},
		{"address", func(c *config.Config, _ string) { c.HTTPAddr = "256.0.0.1:1" }, "HTTP_ADDR: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "route.star", planText("x"))
			cfg := config.Config{
				TenantID: tenant, PlanPath: dir, GroupID: "g", Brokers: []string{"127.0.0.1:1"}, HTTPAddr: "127.0.0.1:0",
				Execution: config.Execution{Limits: plan.Limits{Timeout: time.Second, MaxSteps: 1e6, MaxMemory: 64 << 20}, Workers: 1},
			}
			test.change(&cfg, dir)
			err := service.Run(t.Context(), service.Options{Config: cfg})
			var wrong *service.ConfigError
			if !errors.As(err, &wrong) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Run = %v, want a ConfigError with %q", err, test.want)
			}
		})
	}
}

// TestStopsWithoutBroker: a service that never reached a broker ends when told to.
func TestStopsWithoutBroker(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "route.star", planText("x"))
	r := &running{t: t, dir: dir, log: new(lockedBuffer)}
	r.run(config.Config{
		TenantID: tenant, PlanPath: dir, GroupID: "g", Brokers: []string{"127.0.0.1:1"}, HTTPAddr: "127.0.0.1:0",
		Execution: config.Execution{Limits: plan.Limits{Timeout: time.Second, MaxSteps: 1e6, MaxMemory: 64 << 20}, Workers: 1},
	})
	r.await(func() bool {
		code, body := r.http("GET", "/readyz")
		return code == 503 && strings.Contains(body, "connection refused")
	}, "/readyz names the broker that cannot be reached")
	if code, _ := r.http("GET", "/healthz"); code != 200 {
		t.Errorf("/healthz = %d, want 200: it never depends on Kafka", code)
	}
	begin := time.Now()
	if err := r.stop(); err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("stopping took %v, want under 5s", took)
	}
}

// TestStopsWhileStarting: a service that is told to stop while it starts ends
// without an error.
func TestStopsWhileStarting(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "route.star", planText("x"))
	ctx, cancel := context.WithCancel(t.Context())
	err := service.Run(ctx, service.Options{
		Listening: func(string) { cancel() },
		Config: config.Config{
			TenantID: tenant, PlanPath: dir, GroupID: "g", Brokers: []string{"127.0.0.1:1"}, HTTPAddr: "127.0.0.1:0",
			Execution: config.Execution{Limits: plan.Limits{Timeout: time.Second, MaxSteps: 1e6, MaxMemory: 64 << 20}, Workers: 1},
		},
	})
	if err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

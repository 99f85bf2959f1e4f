//go:build prometheus

package prometheus_test

import (
	"bytes"
	"context"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"starplan/internal/kafkatest"
	"starplan/internal/metricset"
	"starplan/processor"
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

// drama is a service under load, what it needs, and a Prometheus that looks at it.
type drama struct {
	broker kafkatest.Broker
	svc    *running
	load   *load
	prom   *prometheus
}

// TestAlerts has a real Prometheus look at a running service on a real Apache Kafka,
// under load, while one thing after the other goes wrong. In each phase exactly the
// alerts fire that should, and every alert that there is fires once.
func TestAlerts(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	d := &drama{broker: kafkatest.New(t, kafkatest.Options{Kind: kafkatest.Kafka})}
	err := kafkatest.CreateTopics(ctx, d.broker.Addr(), partitions, processor.InputTopic(tenant), processor.OutputTopic(tenant), deadLetters)
	if err != nil {
		t.Fatal(err)
	}
	d.svc = startService(ctx, t, d.broker.Addr())
	d.load = startLoad(ctx, t, d.broker.Addr())
	d.prom = startPrometheus(ctx, t, d.svc.addr)
	for _, phase := range []struct {
		name string
		does func(context.Context, *testing.T)
	}{
		{"all is well", d.allIsWell},
		{"exemplars", d.prom.wantExemplar},
		{"dashboards", d.prom.wantDashboards},
		{"plans are broken", d.plansAreBroken},
		{"a record and a directory are broken", d.inputsAreBroken},
		{"a reload fails", d.reloadFails},
		{"inputs are held up", d.inputsAreHeldUp},
		{"too much arrives", d.tooMuchArrives},
		{"the broker is away", d.brokerIsAway},
		{"the service is gone", d.serviceIsGone},
	} {
		begin := time.Now()
		if !t.Run(phase.name, func(t *testing.T) { phase.does(ctx, t) }) {
			t.Fatalf("phase %q failed; alerts: %q", phase.name, d.prom.firing(ctx, t))
		}
		t.Logf("%s: %v", phase.name, time.Since(begin).Round(100*time.Millisecond))
	}
	for alert := range names(alertRule, read(t, "alerts.yml")) {
		if !d.prom.fired[alert] {
			t.Errorf("%s did not fire in any phase", alert)
		}
	}
}

func (d *drama) allIsWell(ctx context.Context, t *testing.T) {
	d.prom.await(ctx, t, "a rate", func() bool { return d.prom.value(ctx, t, `job:starplan_executions:rate5m`) > 5 })
	d.prom.settle(ctx, t)
	d.prom.wantFiring(ctx, t)
	text, err := metricset.Scrape(ctx, "http://"+d.svc.addr+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	promtool(t, text, "check", "metrics")
}

// plansAreBroken: one plan fails, one kills workers, one comes near the step limit,
// and steady goes on.
func (d *drama) plansAreBroken(ctx context.Context, t *testing.T) {
	want := []string{"StarplanExecutionsFailing plan=greedy", "StarplanExecutionsFailing plan=route", "StarplanNearStepLimit plan=hungry", "StarplanWorkersRestarting reason=memory"}
	d.svc.write(t, map[string]string{"route": broken, "hungry": hungry, "greedy": greedy})
	d.svc.reload(ctx, t, http.StatusOK)
	// Each kills two workers, because memory is tried once more. With many of them the
	// plan would be held back, and its records would wait.
	greed := d.load.often(ctx, t, "greedy", 4, 1200*time.Millisecond)
	d.prom.awaitFiring(ctx, t, want...)
	greed()
	d.svc.write(t, map[string]string{"route": good, "hungry": good, "greedy": good})
	d.svc.reload(ctx, t, http.StatusOK)
	d.prom.awaitFiring(ctx, t)
}

// inputsAreBroken: a value that is no PlanInput, a directory in which two files
// claim one name, and a member that serves another version of a plan.
func (d *drama) inputsAreBroken(ctx context.Context, t *testing.T) {
	other := startService(ctx, t, d.broker.Addr())
	other.write(t, map[string]string{"route": "# Another version.\n" + good})
	other.reload(ctx, t, http.StatusOK)
	d.prom.target(t, d.svc.addr, other.addr)
	other.write(t, map[string]string{"steady/plan": good}) // Beside steady.star.
	other.reload(ctx, t, http.StatusInternalServerError)
	poison := d.load.poison(ctx, t, 3*time.Second)
	d.prom.awaitFiring(ctx, t, "StarplanDeadLetters reason=decode", "StarplanPlansDiffer plan=route", "StarplanReloadImpossible")
	poison()
	d.prom.target(t, d.svc.addr)
	other.stop()
	d.prom.awaitFiring(ctx, t)
}

func (d *drama) reloadFails(ctx context.Context, t *testing.T) {
	d.svc.write(t, map[string]string{"route": wrong})
	d.svc.reload(ctx, t, http.StatusInternalServerError)
	d.prom.awaitFiring(ctx, t, "StarplanReloadFailed plan=route")
	d.prom.settle(ctx, t)
	d.prom.wantFiring(ctx, t, "StarplanReloadFailed plan=route")
	d.svc.write(t, map[string]string{"route": good})
	d.svc.reload(ctx, t, http.StatusOK)
	d.prom.awaitFiring(ctx, t)
}

// inputsAreHeldUp: a producer of inputs leaves a transaction open, and what waits
// behind it is deleted.
func (d *drama) inputsAreHeldUp(ctx context.Context, t *testing.T) {
	end := d.load.hang(ctx, t, d.broker.Addr())
	d.prom.awaitFiring(ctx, t, "StarplanNoProgress")
	d.load.deleteInputs(ctx, t)
	end()
	d.prom.awaitFiring(ctx, t, "StarplanRecordsDeleted")
	d.prom.awaitFiring(ctx, t)
}

// tooMuchArrives: more than the workers can do, for a while.
func (d *drama) tooMuchArrives(ctx context.Context, t *testing.T) {
	const seconds = 6
	flood := d.load.often(ctx, t, "slow", seconds*500, 2*time.Millisecond)
	defer flood()
	d.prom.awaitFiring(ctx, t, "StarplanLagGrowing")
	d.prom.awaitFiring(ctx, t)
}

func (d *drama) brokerIsAway(ctx context.Context, t *testing.T) {
	if err := d.broker.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	d.prom.awaitFiring(ctx, t, "StarplanKafkaErrors op=connect", "StarplanKafkaErrors op=group", "StarplanNoAssignedPartitions")
	if err := d.broker.Start(ctx); err != nil {
		t.Fatal(err)
	}
	d.prom.awaitFiring(ctx, t)
	d.prom.await(ctx, t, "executions", func() bool { return d.prom.value(ctx, t, `job:starplan_executions:rate5m`) > 1 })
}

// serviceIsGone: first its process, then it is not even looked for any more.
func (d *drama) serviceIsGone(ctx context.Context, t *testing.T) {
	d.svc.stop()
	d.prom.awaitFiring(ctx, t, "StarplanDown")
	d.prom.target(t)
	d.prom.awaitFiring(ctx, t, "StarplanAbsent")
}

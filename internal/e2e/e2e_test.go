package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/bench/check"
	"starplan/bench/load"
	"starplan/internal/kafkatest"
)

// TestAnswersEveryInput sends all that may lie on the topic through one service
// and reloads the plans twice in the middle, with nothing but a comment changed.
func TestAnswersEveryInput(t *testing.T) {
	s := newScenario(t)
	dead := "dlq-plan-inputs-" + s.tenant
	must(t, kafkatest.CreateTopics(s.ctx, s.addr, 1, dead))
	svc := s.start("DEAD_LETTER_TOPIC", "auto")
	svc.awaitReady(s.ctx)
	traffic := s.produce(s.traffic())

	s.answered(inputs / 3)
	traffic.inTheMiddle()
	s.writePlans(load.Plan + "\n# First change.\n")
	svc.hangUp(s.ctx)
	s.answered(inputs / 2)
	traffic.inTheMiddle()
	s.writePlans(load.Plan + "\n# Second change.\n")
	svc.reload(s.ctx)
	traffic.wait()
	s.settled()

	for _, m := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"starplan_records_received_total", nil, inputs},
		{"starplan_records_skipped_total", []string{`reason="foreign_key"`}, 40},
		{"starplan_records_skipped_total", []string{`reason="empty_value"`}, 20},
		{"starplan_records_skipped_total", []string{`reason="no_key"`}, 20},
		{"starplan_execution_failures_total", []string{`reason="plan"`}, 200},
		{"starplan_execution_failures_total", []string{`reason="decode"`}, 5},
		{"starplan_execution_failures_total", nil, 205},
		{"starplan_executions_total", nil, inputs - 80},
		{"starplan_dead_letters_total", nil, 5},
		{"starplan_plan_reload_failures_total", nil, 0},
		{"starplan_assigned_partitions", nil, partitions},
		{"starplan_in_flight_records", nil, 0},
	} {
		if got := svc.metric(s.ctx, m.name, m.labels...); got != m.want {
			t.Errorf("%s%v = %v, want %v", m.name, m.labels, got, m.want)
		}
	}
	svc.terminate(s.ctx)
	must(t, s.report().ExactlyOnce())
	for _, rec := range s.read(dead, 5) {
		if string(rec.Value) != "\x1a\x7fno" {
			t.Errorf("dead letter = %q, want the bytes of the input", rec.Value)
		}
	}
}

// read gives the first n records of a topic.
func (s *scenario) read(topic string, n int) []*kgo.Record {
	s.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.addr), kgo.ConsumeTopics(topic))
	must(s.t, err)
	defer cl.Close()
	var out []*kgo.Record
	for len(out) < n {
		fetches := cl.PollFetches(s.ctx)
		if s.ctx.Err() != nil {
			s.t.Fatalf("%s has %d records, want %d", topic, len(out), n)
		}
		out = append(out, fetches.Records()...)
	}
	return out
}

// TestReloadChangesResults: what is answered after a reload has returned is
// answered by the new version, and nothing that came before it is answered again.
func TestReloadChangesResults(t *testing.T) {
	const version = `
def plan(plan_input):
    return PlanResult(next_task_names = ["VERSION"])
`
	s := newScenario(t)
	s.writePlans(strings.ReplaceAll(version, "VERSION", "first"))
	svc := s.start()
	svc.awaitReady(s.ctx)
	few := s.traffic()
	few.Count, few.Rate, few.Share = 50, 0, nil
	s.produce(few).wait()
	s.settled()
	s.writePlans(strings.ReplaceAll(version, "VERSION", "second"))
	svc.reload(s.ctx)
	s.produce(few).wait()
	s.settled()
	// A plan that is broken leaves the version before it in place.
	s.writePlans("def plan(")
	if code, body, err := svc.do(s.ctx, http.MethodPost, "/-/reload"); err != nil || code == http.StatusOK || !strings.Contains(body, "collect.star:1:10") {
		t.Errorf("reload of a broken plan = %d %s %v, want an error with its position", code, body, err)
	}
	s.produce(few).wait()
	s.settled()
	svc.terminate(s.ctx)
	must(t, s.report().ExactlyOnce())

	byPartition := make(map[int32][]string)
	count := make(map[string]int)
	for _, rec := range s.read(s.outputTopic(), 150) {
		version := "first"
		if strings.Contains(string(rec.Value), "second") {
			version = "second"
		}
		byPartition[rec.Partition] = append(byPartition[rec.Partition], version)
		count[version]++
	}
	if count["first"] != 50 || count["second"] != 100 {
		t.Errorf("answers by version = %v, want 50 by the first and 100 by the second", count)
	}
	for p, versions := range byPartition {
		if !slices.IsSorted(versions) {
			t.Errorf("partition %d: answers by the first version come after those by the second", p)
		}
	}
}

// TestStopAndStart stops the service in the middle, with records in flight, and
// starts it again: it takes up where it was.
func TestStopAndStart(t *testing.T) {
	s := newScenario(t)
	svc := s.start()
	svc.awaitReady(s.ctx)
	traffic := s.produce(s.traffic())
	s.answered(inputs / 3)
	traffic.inTheMiddle()
	t.Logf("SIGTERM to exit under load: %v", svc.terminate(s.ctx))
	svc = s.start()
	traffic.wait()
	s.settled()
	svc.terminate(s.ctx)
	must(t, s.report().ExactlyOnce())
}

// TestSecondMember has another member join in the middle and leave again.
func TestSecondMember(t *testing.T) {
	s := newScenario(t)
	first := s.start()
	first.awaitReady(s.ctx)
	long := s.traffic()
	long.Count, long.Rate = 2*inputs, rate/2
	traffic := s.produce(long)
	s.answered(inputs / 4)
	second := s.start()
	t.Logf("a second member was ready after %v", second.awaitReady(s.ctx))
	second.await(s.ctx, "a share of the partitions and of the work", func() bool {
		return second.metric(s.ctx, "starplan_assigned_partitions") == partitions/2 &&
			first.metric(s.ctx, "starplan_assigned_partitions") == partitions/2 &&
			second.metric(s.ctx, "starplan_executions_total") > 50
	})
	traffic.inTheMiddle()
	second.terminate(s.ctx)
	first.await(s.ctx, "all partitions", func() bool { return first.metric(s.ctx, "starplan_assigned_partitions") == partitions })
	traffic.wait()
	s.settled()
	first.terminate(s.ctx)
	must(t, s.report().ExactlyOnce())
}

// TestKill kills the service in the middle. Nothing is missing after that; what
// was not committed is answered again, in the same bytes, or under exactly-once is
// seen once only.
func TestKill(t *testing.T) {
	for _, test := range []struct {
		delivery string
		verdict  func(*check.Report) error
	}{
		{"at-least-once", (*check.Report).AtLeastOnce},
		{"exactly-once", (*check.Report).ExactlyOnce},
	} {
		t.Run(test.delivery, func(t *testing.T) {
			s := newScenario(t)
			settings := []string{"KAFKA_SESSION_TIMEOUT", "2s", "DELIVERY", test.delivery}
			svc := s.start(settings...)
			svc.awaitReady(s.ctx)
			traffic := s.produce(s.traffic())
			s.answered(inputs / 3)
			traffic.inTheMiddle()
			svc.kill(s.ctx)
			svc = s.start(settings...)
			traffic.wait()
			s.settled()
			svc.terminate(s.ctx)
			must(t, test.verdict(s.report()))
		})
	}
}

// TestGroupGuard: a process that serves other plans in the same group would skip,
// and so lose, what is meant for the first. It is refused and says why; the first
// goes on.
func TestGroupGuard(t *testing.T) {
	s := newScenario(t)
	first := s.start()
	first.awaitReady(s.ctx)
	other := launch(t, s.environment("PLAN_NAME", plans[0]))
	if code := other.awaitEnd(s.ctx); code != 2 || !strings.Contains(other.output(), "executors-"+s.tenant) {
		t.Errorf("a member with another PLAN_NAME ended with %d and said\n%s\nwant 2 and the name of the group", code, other.output())
	}
	few := s.traffic()
	few.Count = 200
	s.produce(few).wait()
	s.settled()
	first.terminate(s.ctx)
	must(t, s.report().ExactlyOnce())
}

// TestStartAndStopAreQuick measures an idle service: from the start of the
// process to a joined group, and from SIGTERM to its end. The best of three counts:
// other tests may keep the machine busy.
func TestStartAndStopAreQuick(t *testing.T) {
	s := newScenario(t)
	var joined, stopped []time.Duration
	for range 3 {
		svc := s.start()
		joined = append(joined, svc.awaitReady(s.ctx).Round(time.Millisecond))
		stopped = append(stopped, svc.terminate(s.ctx).Round(time.Millisecond))
	}
	t.Logf("start to joined %v, SIGTERM to exit %v", joined, stopped)
	if slices.Min(joined) > 3*time.Second || slices.Min(stopped) > 5*time.Second {
		t.Errorf("start to joined %v, SIGTERM to exit %v; want 3s and 5s at most", joined, stopped)
	}
}

// TestBrokerComesAndGoes starts the service before there is a broker, and later
// takes the broker away for a while: it waits, says so, and goes on.
func TestBrokerComesAndGoes(t *testing.T) {
	port, err := kafkatest.FreePort()
	must(t, err)
	s := prepare(t, fmt.Sprintf("127.0.0.1:%d", port))
	svc := s.start()
	if code, body, err := svc.do(s.ctx, http.MethodGet, "/healthz"); err != nil || code != http.StatusOK {
		t.Errorf("/healthz without a broker = %d %s %v, want 200", code, body, err)
	}
	svc.await(s.ctx, "readiness to name the broker", func() bool {
		code, body, err := svc.do(s.ctx, http.MethodGet, "/readyz")
		return err == nil && code == http.StatusServiceUnavailable && strings.Contains(body, s.addr)
	})

	broker := kafkatest.New(t, kafkatest.Options{Kind: suite.kind, Port: port})
	s.createTopics()
	svc.awaitReady(s.ctx)
	few := s.traffic()
	few.Count = 200
	s.produce(few).wait()
	s.settled()

	must(t, broker.Stop(s.ctx))
	svc.await(s.ctx, "not to be ready", func() bool {
		code, _, err := svc.do(s.ctx, http.MethodGet, "/readyz")
		return err == nil && code == http.StatusServiceUnavailable
	})
	must(t, broker.Start(s.ctx))
	s.produce(few).wait()
	s.settled()
	svc.awaitReady(s.ctx)
	svc.terminate(s.ctx)
	must(t, s.report().AtLeastOnce())
}

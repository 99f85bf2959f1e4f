package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/bench/check"
	"starplan/internal/kafkatest"
)

// The tests of this file wait more than they work, so they run side by side.

// admin asks the broker of a scenario, with a client of its own each time: clients
// hold on to topics that were deleted.
func (s *scenario) admin(ask func(*kadm.Client) error) {
	s.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.addr))
	must(s.t, err)
	defer cl.Close()
	must(s.t, ask(kadm.NewClient(cl)))
}

// topicID is that of the input topic; zero where it has none.
func (s *scenario) topicID() (id kadm.TopicID) {
	s.t.Helper()
	s.admin(func(a *kadm.Client) error {
		topics, err := a.ListTopics(s.ctx, s.inputTopic())
		if t := topics[s.inputTopic()]; t.Err == nil && len(t.Partitions) == partitions {
			id = t.ID
		}
		return err
	})
	return id
}

// health is what the tests want to know of /health.
type health struct {
	Consumer struct {
		Detail struct {
			Generation int32   `json:"generation"`
			Partitions []int32 `json:"partitions"`
		} `json:"detail"`
	} `json:"consumer"`
}

func (s *scenario) health(svc *service) health {
	s.t.Helper()
	_, body, err := svc.do(s.ctx, http.MethodGet, "/health")
	must(s.t, err)
	var h health
	must(s.t, json.Unmarshal([]byte(body), &h))
	return h
}

// TestTopicMadeAnew deletes the input topic under the service and makes it again,
// with other partitions: its records are answered, from the first one.
func TestTopicMadeAnew(t *testing.T) {
	for _, delivery := range []string{"exactly-once", "at-least-once"} {
		t.Run(delivery, func(t *testing.T) {
			t.Parallel()
			s := newScenario(t)
			svc := s.start("DELIVERY", delivery, "KAFKA_START", "latest")
			svc.awaitReady(s.ctx)
			few := s.traffic()
			few.Count = 200
			s.produce(few).wait()
			s.settled()
			before := s.topicID()
			s.admin(func(a *kadm.Client) error {
				resp, err := a.DeleteTopics(s.ctx, s.inputTopic())
				if err == nil {
					err = resp.Error()
				}
				return err
			})
			must(t, kafkatest.CreateTopics(s.ctx, s.addr, partitions, s.inputTopic()))
			svc.await(s.ctx, "the broker to know of it", func() bool {
				id := s.topicID()
				return id != before && id != kadm.TopicID{}
			})
			// The offsets begin anew, so these are other records under the same numbers; the
			// service has not yet noticed.
			few.Count, few.Seed = 400, 1
			s.produce(few).wait()
			s.settled()
			svc.terminate(s.ctx)
			for _, f := range s.report().Findings {
				// The checker goes by offsets, of which there are two of each.
				if f.Kind != check.Disordered {
					t.Errorf("%v", f)
				}
			}
		})
	}
}

// TestAddedPartitions adds partitions to the topic of a running service.
func TestAddedPartitions(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.checker.Partitions = 0 // Executions stay in as many as they were.
	svc := s.start("KAFKA_START", "latest")
	svc.awaitReady(s.ctx)
	few := s.traffic()
	few.Count = 200
	s.produce(few).wait()
	s.settled()
	s.admin(func(a *kadm.Client) error {
		resp, err := a.UpdatePartitions(s.ctx, 2*partitions, s.inputTopic())
		if err == nil {
			err = resp.Error()
		}
		return err
	})
	few.Seed = 1
	s.produce(few).wait()
	s.settled()
	if n := svc.metric(s.ctx, "starplan_assigned_partitions"); n != 2*partitions {
		t.Errorf("%v partitions are assigned, want %d", n, 2*partitions)
	}
	svc.terminate(s.ctx)
	must(t, s.report().ExactlyOnce())
}

// TestStaticMember restarts a static member in the middle: the other one notices
// nothing, and each keeps its partitions.
func TestStaticMember(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	first := s.start("KAFKA_INSTANCE_ID", "first", "KAFKA_SESSION_TIMEOUT", "30s")
	first.awaitReady(s.ctx)
	second := s.start("KAFKA_INSTANCE_ID", "second", "KAFKA_SESSION_TIMEOUT", "30s")
	share := func(svc *service) bool { return svc.metric(s.ctx, "starplan_assigned_partitions") == partitions/2 }
	second.await(s.ctx, "a share each", func() bool { return share(first) && share(second) })
	before, other := s.health(first), s.health(second)
	long := s.traffic()
	long.Rate = rate / 4
	traffic := s.produce(long)
	s.answered(inputs / 4)
	traffic.inTheMiddle()
	first.terminate(s.ctx)
	back := func() {
		first = s.start("KAFKA_INSTANCE_ID", "first", "KAFKA_SESSION_TIMEOUT", "30s")
		first.await(s.ctx, "its partitions", func() bool { return share(first) })
	}
	back()
	traffic.inTheMiddle()
	first.kill(s.ctx) // A crash is no different, but for what was not committed.
	back()
	after, otherAfter := s.health(first), s.health(second)
	if got, want := after.Consumer.Detail.Partitions, before.Consumer.Detail.Partitions; len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("the member came back to %v, want %v", got, want)
	}
	if suite.kind == kafkatest.Kafka && other.Consumer.Detail.Generation != otherAfter.Consumer.Detail.Generation {
		t.Errorf("the group went from generation %d to %d, want no rebalance", other.Consumer.Detail.Generation, otherAfter.Consumer.Detail.Generation)
	}
	traffic.wait()
	// Two processes with one id, and both at work: the one that came last goes on.
	long.Seed = 1
	traffic = s.produce(long)
	s.answered(inputs + inputs/10)
	usurper := launch(t, s.environment("KAFKA_INSTANCE_ID", "second", "KAFKA_SESSION_TIMEOUT", "30s"))
	if code := second.awaitEnd(s.ctx); code != 2 || !strings.Contains(second.output(), "KAFKA_INSTANCE_ID of its own") {
		t.Errorf("the process whose instance id was taken ended with %d and said\n%s\nwant 2 and the remedy", code, second.output())
	}
	traffic.inTheMiddle()
	usurper.awaitLine(s.ctx, "joined the group")
	traffic.wait()
	s.settled()
	first.terminate(s.ctx)
	usurper.terminate(s.ctx)
	must(t, s.report().ExactlyOnce())
}

// TestOldKafka: brokers before transaction version 2 want to be told of a
// transaction's offsets, and check less.
func TestOldKafka(t *testing.T) {
	if suite.kind != kafkatest.Kafka {
		t.Skip("the embedded broker in its older versions is processor's own tests' business")
	}
	t.Parallel()
	broker := kafkatest.New(t, kafkatest.Options{Kind: kafkatest.Kafka, Version: "3.9.2"})
	s := prepare(t, broker.Addr())
	s.createTopics()
	settings := []string{"KAFKA_SESSION_TIMEOUT", "2s"}
	first, second := s.start(settings...), s.start(settings...)
	first.awaitReady(s.ctx)
	second.awaitReady(s.ctx)
	traffic := s.produce(s.traffic())
	s.answered(inputs / 3)
	traffic.inTheMiddle()
	first.kill(s.ctx)
	s.answered(inputs / 2)
	must(t, broker.Kill())
	must(t, broker.Start(s.ctx))
	traffic.wait()
	s.settled()
	second.terminate(s.ctx)
	must(t, s.report().ExactlyOnce())
}

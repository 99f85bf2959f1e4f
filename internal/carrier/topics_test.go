package carrier

import (
	"errors"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/go-cmp/cmp"
	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func newClient(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "in", "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(c.ListenAddrs()...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func TestTopicManager(t *testing.T) {
	client := newClient(t)
	m, err := TopicManager(client)(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.Partitions("in")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int32{0, 1, 2}, got); diff != "" {
		t.Errorf("Partitions(in) (-want +got):\n%s", diff)
	}
	if _, err := m.Partitions("nowhere"); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("Partitions(nowhere) = %v, want %v", err, kerr.UnknownTopicOrPartition)
	}
	if err := m.EnsureStreamExists("in", 3); err != nil {
		t.Errorf("EnsureStreamExists(in, 3) = %v", err)
	}
	if err := m.EnsureTableExists("in", 4); err == nil {
		t.Error("EnsureTableExists(in, 4) = nil, want an error: there are 3 partitions")
	}
	p, err := Producer(client)(nil, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		finished(t, p.EmitWithHeaders("in", "k", []byte("v"), goka.Headers{"h": []byte("1")}))
	}
	for part := range int32(3) {
		oldest, err := m.GetOffset("in", part, sarama.OffsetOldest)
		if err != nil || oldest != 0 {
			t.Errorf("GetOffset(in, %d, oldest) = %d, %v, want 0", part, oldest, err)
		}
	}
	sum := int64(0)
	for part := range int32(3) {
		newest, err := m.GetOffset("in", part, sarama.OffsetNewest)
		if err != nil {
			t.Fatal(err)
		}
		sum += newest
	}
	if sum != 2 {
		t.Errorf("newest offsets sum up to %d, want 2", sum)
	}
	if _, err := m.GetOffset("in", 7, sarama.OffsetNewest); err == nil {
		t.Error("GetOffset of a partition that is not there = nil")
	}
}

// finished waits until the broker has acknowledged an emit.
func finished(t *testing.T, p *goka.Promise) {
	t.Helper()
	done := make(chan error, 1)
	p.Then(func(err error) { done <- err })
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("the promise was not kept")
	}
}

func TestProducerGivesErrors(t *testing.T) {
	client := newClient(t, kgo.UnknownTopicRetries(0))
	p, err := Producer(client)(nil, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	p.Emit("nowhere", "k", nil).Then(func(err error) { done <- err })
	select {
	case err := <-done:
		if !errors.Is(err, kerr.UnknownTopicOrPartition) {
			t.Errorf("Emit(nowhere) = %v, want %v", err, kerr.UnknownTopicOrPartition)
		}
	case <-time.After(patience):
		t.Fatal("the promise was not kept")
	}
}

func TestConsumerStandIn(t *testing.T) {
	marks := map[string]map[int32]int64{"in": {0: 5}}
	c, err := Consumer(newClient(t), func() map[string]map[int32]int64 { return marks })(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(marks, c.HighWaterMarks()); diff != "" {
		t.Errorf("HighWaterMarks() (-want +got):\n%s", diff)
	}
	topics, err := c.Topics()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"in", "out"}, topics); diff != "" {
		t.Errorf("Topics() (-want +got):\n%s", diff)
	}
	if _, err := c.ConsumePartition("in", 0, 0); err == nil {
		t.Error("ConsumePartition() = nil, want that it is not supported")
	}
}

func TestBalancerName(t *testing.T) {
	b := Balancer("starplan/all")
	if got := b.ProtocolName(); got != "starplan/all" {
		t.Errorf("ProtocolName() = %q", got)
	}
	if !b.IsCooperative() {
		t.Error("IsCooperative() = false")
	}
}

package processor

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// holding is a partitioner that holds a record of the value "held", and with it the
// goroutine that loads metadata.
type holding struct{ until chan struct{} }

func (h holding) ForTopic(string) kgo.TopicPartitioner { return h }

func (holding) RequiresConsistency(*kgo.Record) bool { return true }

func (h holding) Partition(r *kgo.Record, _ int) int {
	if string(r.Value) == "held" {
		<-h.until
	}
	return 0
}

// TestAwaitLoaded holds franz-go where it has handed on the first record that it
// got for a topic, and has not yet published the topic's partitions: to end a
// transaction at this point would abort it and report success.
func TestAwaitLoaded(t *testing.T) {
	c := cluster(t, 1)
	h := holding{make(chan struct{})}
	cl := client(t, c, kgo.TransactionalID("loaded"), kgo.RecordPartitioner(h), kgo.ProducerLinger(0))
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answered, held := make(chan error, 1), make(chan error, 1)
	r := &kgo.Record{Topic: outputs, Value: []byte("answer")}
	cl.Produce(ctx, r, func(_ *kgo.Record, err error) { answered <- err })
	cl.Produce(ctx, &kgo.Record{Topic: outputs, Value: []byte("held")}, func(_ *kgo.Record, err error) { held <- err })
	if err := <-answered; err != nil {
		t.Fatal(err)
	}

	committer := &committer{txn: transactor{loaded: make(map[topicPartition]bool)}}
	answers := []answer{{records: []*kgo.Record{r}}}
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if err := committer.awaitLoaded(short, cl, answers); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("awaitLoaded() before the partitions are published = %v, want %v", err, context.DeadlineExceeded)
	}
	close(h.until)
	if err := committer.awaitLoaded(ctx, cl, answers); err != nil {
		t.Errorf("awaitLoaded() after = %v", err)
	}
	if err := <-held; err != nil {
		t.Fatal(err)
	}
	if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	out := read(t, c, outputs)
	if got := len(out.count(2)); got != 2 {
		t.Errorf("%d records are committed, want 2", got)
	}
}

// TestFillAwaitsLoaded checks that a transaction is filled only once that is known of
// where its answers went.
func TestFillAwaitsLoaded(t *testing.T) {
	p, err := New(optionsFor(t, cluster(t, 1), ExactlyOnce, &fakeRunner{}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	committer := &committer{Processor: p}
	defer committer.closeTransactions()
	if err := committer.openTransactions(ctx); err != nil {
		t.Fatal(err)
	}
	client := committer.txn.client
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	answers := []answer{{records: []*kgo.Record{{Topic: outputs, Value: []byte("answer")}}, errs: make([]error, 1)}}
	if !committer.fill(ctx, client, answers, proposal{}) {
		t.Fatal("fill() = false")
	}
	if !committer.txn.loaded[topicPartition{outputs, 0}] {
		t.Error("a transaction was filled whose partitions the client may not know")
	}
}

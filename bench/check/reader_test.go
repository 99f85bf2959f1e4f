package check_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/bench/check"
	"starplan/internal/kafkatest"
)

// TestReader writes with and without transactions, of which one is aborted, and
// has it read by one reader that sees all of it and one that sees what is committed.
func TestReader(t *testing.T) {
	kind, err := kafkatest.KindFromEnv()
	must(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	b := kafkatest.New(t, kafkatest.Options{Kind: kind})
	must(t, kafkatest.CreateTopics(ctx, b.Addr(), 2, "out"))

	all := startReader(ctx, t, b.Addr(), false)
	committed := startReader(ctx, t, b.Addr(), true)
	// An empty topic is read to its end.
	must(t, all.CatchUp(ctx))

	plain := producer(t, b.Addr())
	write(ctx, t, plain, "plain")
	txn := producer(t, b.Addr(), kgo.TransactionalID("reader"))
	for _, step := range []struct {
		value string
		end   kgo.TransactionEndTry
	}{{"kept", kgo.TryCommit}, {"dropped", kgo.TryAbort}} {
		must(t, txn.BeginTransaction())
		write(ctx, t, txn, step.value)
		must(t, txn.EndTransaction(ctx, step.end))
	}
	must(t, all.CatchUp(ctx))
	must(t, committed.CatchUp(ctx))
	if got, want := all.values(), "dropped dropped kept kept plain plain"; got != want {
		t.Errorf("uncommitted values = %q, want %q", got, want)
	}
	if got, want := committed.values(), "kept kept plain plain"; got != want {
		t.Errorf("committed values = %q, want %q", got, want)
	}

	// An open transaction: a committed reader cannot be at the end before it is over.
	must(t, txn.BeginTransaction())
	write(ctx, t, txn, "late")
	must(t, all.CatchUp(ctx))
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if err := committed.CatchUp(short); err == nil || !strings.Contains(err.Error(), "out is not read to its end, partition") {
		t.Errorf("CatchUp() with an open transaction = %v, want an error", err)
	}
	must(t, txn.EndTransaction(ctx, kgo.TryCommit))
	must(t, committed.CatchUp(ctx))
	if got, want := committed.values(), "kept kept late late plain plain"; got != want {
		t.Errorf("committed values = %q, want %q", got, want)
	}
}

type reader struct {
	*check.Reader
	mu   sync.Mutex
	seen []string
}

func startReader(ctx context.Context, t *testing.T, addr string, committed bool) *reader {
	t.Helper()
	r := new(reader)
	var err error
	r.Reader, err = check.NewReader(check.ReaderOptions{Brokers: []string{addr}, Topic: "out", Committed: committed, Each: func(a check.Answer) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.seen = append(r.seen, string(a.Value))
	}})
	must(t, err)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

// values are those seen so far, sorted.
func (r *reader) values() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(slices.Sorted(slices.Values(r.seen)), " ")
}

func producer(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(addr), kgo.DefaultProduceTopic("out"), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

// write puts a value into each partition.
func write(ctx context.Context, t *testing.T, c *kgo.Client, value string) {
	t.Helper()
	for p := range int32(2) {
		must(t, c.ProduceSync(ctx, &kgo.Record{Partition: p, Value: []byte(value)}).FirstErr())
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

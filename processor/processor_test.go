package processor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"starplan/plan/execution"
	"starplan/processor/ledger"
)

const (
	tenant  = "acme"
	group   = "executors-acme"
	inputs  = "plan-inputs-acme"
	outputs = "plan-executions-acme"
	letters = "dlq-plan-inputs-acme"
	// patience is how long a test waits for what must happen.
	patience = 30 * time.Second
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// cluster is a broker in the process with the topics of one tenant. Tests that have
// one run in parallel: they wait more than they work.
func cluster(t testing.TB, partitions int32, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	if t, ok := t.(*testing.T); ok {
		t.Parallel()
	}
	c, err := kfake.NewCluster(append([]kfake.Opt{
		kfake.NumBrokers(1),
		kfake.SeedTopics(partitions, inputs, outputs, letters),
		kfake.GroupMinSessionTimeout(time.Second),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// fakeRunner answers records with text that names them. Its fields may be set
// before it is used.
type fakeRunner struct {
	// run, where set, decides about a record. The default answers at once.
	run func(ctx context.Context, rec execution.Record, done func(execution.Outcome))

	mu     sync.Mutex
	starts map[string]int
}

func (r *fakeRunner) Accept(key []byte) execution.Skip {
	switch {
	case len(key) == 0:
		return execution.SkipNoKey
	case bytes.HasPrefix(key, []byte("foreign")):
		return execution.SkipForeign
	}
	return ""
}

func (r *fakeRunner) Start(ctx context.Context, rec execution.Record, done func(execution.Outcome)) {
	r.mu.Lock()
	if r.starts == nil {
		r.starts = make(map[string]int)
	}
	r.starts[id(rec)]++
	r.mu.Unlock()
	if r.run != nil {
		r.run(ctx, rec, done)
		return
	}
	done(answerTo(rec))
}

func (r *fakeRunner) Fail(rec execution.Record, reason execution.Reason, message string) execution.Outcome {
	return execution.Outcome{Value: []byte("FAILED " + id(rec) + " " + message), Reason: reason, Message: message}
}

// started is how often runs were started, by record.
func (r *fakeRunner) started() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	copied := make(map[string]int, len(r.starts))
	for k, v := range r.starts {
		copied[k] = v
	}
	return copied
}

func id(rec execution.Record) string { return fmt.Sprintf("%d/%d", rec.Partition, rec.Offset) }

func answerTo(rec execution.Record) execution.Outcome {
	return execution.Outcome{Value: []byte("OK " + id(rec) + " " + string(rec.Value)), Plan: string(rec.Key)}
}

// testLog writes to the test's log, which is shown where the test fails: what
// happens once in a thousand runs is understood from that or not at all.
func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
}

func options(t testing.TB, c *kfake.Cluster, r Runner) Options {
	return Options{
		Brokers:        c.ListenAddrs(),
		Tenant:         tenant,
		Group:          group,
		Serving:        ServingAll,
		Runner:         r,
		SessionTimeout: 3 * time.Second,
		Logger:         testLog(t),
		Registerer:     prometheus.NewRegistry(),
	}
}

// each runs a test for both forms of delivery.
func each(t *testing.T, test func(*testing.T, Delivery)) {
	for _, d := range []Delivery{AtLeastOnce, ExactlyOnce} {
		t.Run(string(d), func(t *testing.T) { test(t, d) })
	}
}

func optionsFor(t testing.TB, c *kfake.Cluster, d Delivery, r Runner) Options {
	o := options(t, c, r)
	o.Delivery = d
	return o
}

// running is a processor whose Run is under way.
type running struct {
	*Processor
	t      testing.TB
	cancel context.CancelFunc
	done   chan error
	once   sync.Once
	err    error
}

func start(t testing.TB, o Options) *running {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Processor: p, t: t, cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- p.Run(ctx) }()
	t.Cleanup(func() { r.cancel(); _ = r.wait() })
	return r
}

// wait waits until Run has returned and gives its error.
func (r *running) wait() error {
	r.once.Do(func() {
		select {
		case r.err = <-r.done:
		case <-time.After(patience):
			r.err = errors.New("Run did not return")
			r.t.Error(r.err)
		}
	})
	return r.err
}

// stop ends Run cleanly.
func (r *running) stop() {
	r.t.Helper()
	r.cancel()
	if err := r.wait(); err != nil {
		r.t.Errorf("Run() = %v, want nil", err)
	}
}

// client is a plain client for the test's own producing and reading.
func client(t testing.TB, c *kfake.Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(c.ListenAddrs()...),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.FetchMaxWait(50 * time.Millisecond),
		kgo.MetadataMinAge(50 * time.Millisecond),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func send(t testing.TB, cl *kgo.Client, records ...*kgo.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func input(key, value string) *kgo.Record {
	return &kgo.Record{Topic: inputs, Key: []byte(key), Value: []byte(value)}
}

// reader collects the records of one topic.
type reader struct {
	t       testing.TB
	cl      *kgo.Client
	records []*kgo.Record
}

func read(t testing.TB, c *kfake.Cluster, topic string) *reader {
	return &reader{t: t, cl: client(t, c, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))}
}

// until reads on until cond holds.
func (r *reader) until(what string, cond func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for !cond() {
		fs := r.cl.PollFetches(ctx)
		if ctx.Err() != nil {
			r.t.Fatalf("waited for %s; read %d records", what, len(r.records))
		}
		r.records = append(r.records, fs.Records()...)
	}
}

func (r *reader) count(n int) []*kgo.Record {
	r.t.Helper()
	r.until(fmt.Sprintf("%d records", n), func() bool { return len(r.records) >= n })
	return r.records
}

// eventually polls cond, which has no event to wait for, until it holds.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited for: %s", what)
		}
	}
}

// committed gives the group's committed offsets.
func committed(t testing.TB, cl *kgo.Client) map[int32]kadm.Offset {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	all, err := kadm.NewClient(cl).FetchOffsets(ctx, group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		t.Fatal(err)
	}
	offsets := make(map[int32]kadm.Offset)
	for n, o := range all[inputs] {
		offsets[n] = o.Offset
	}
	return offsets
}

// beyond is the number of records that a commit's metadata lists.
func beyond(t testing.TB, o kadm.Offset) int64 {
	t.Helper()
	set, _, err := ledger.Decode(o.At, o.Metadata)
	if err != nil && o.Metadata != "" {
		t.Errorf("metadata %q: %v", o.Metadata, err)
	}
	return set.Len()
}

// checkAnswers reports answers that are missing, repeated or out of order, given
// the inputs in the order in which they were produced.
func checkAnswers(t testing.TB, sent, got []*kgo.Record, repeats bool) {
	t.Helper()
	want := make(map[string][]string)
	for _, r := range sent {
		want[string(r.Key)] = append(want[string(r.Key)], fmt.Sprintf("OK %d/%d %s", r.Partition, r.Offset, r.Value))
	}
	answers := make(map[string][]string)
	seen := make(map[string]bool)
	for _, r := range got {
		text := string(r.Value)
		if seen[text] {
			if !repeats {
				t.Errorf("answer %q came twice", text)
			}
			continue
		}
		seen[text] = true
		answers[string(r.Key)] = append(answers[string(r.Key)], text)
	}
	for key, w := range want {
		if g := answers[key]; strings.Join(g, "\n") != strings.Join(w, "\n") {
			t.Errorf("key %s: got %d answers, want %d in input order; first difference: %s", key, len(g), len(w), firstDifference(g, w))
		}
		delete(answers, key)
	}
	for key := range answers {
		t.Errorf("answers for key %q, which nobody asked for", key)
	}
}

func firstDifference(got, want []string) string {
	for i := range max(len(got), len(want)) {
		g, w := "nothing", "nothing"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			return fmt.Sprintf("at %d got %s, want %s", i, g, w)
		}
	}
	return "none"
}

func TestAnswersEveryRecordOnceInOrder(t *testing.T) { each(t, testAnswersEveryRecordOnceInOrder) }

func testAnswersEveryRecordOnceInOrder(t *testing.T, d Delivery) {
	c := cluster(t, 4)
	cl := client(t, c)
	var sent []*kgo.Record
	for i := range 2000 {
		sent = append(sent, input(fmt.Sprintf("plan-%d", i%20), fmt.Sprint(i)))
	}
	send(t, cl, sent...)
	// Answers come from many goroutines in any order.
	r := &fakeRunner{run: func(_ context.Context, rec execution.Record, done func(execution.Outcome)) {
		go done(answerTo(rec))
	}}
	p := start(t, optionsFor(t, c, d, r))
	got := read(t, c, outputs).count(len(sent))
	checkAnswers(t, sent, got, false)
	for _, o := range got {
		if i := bytes.IndexByte(o.Value, '/'); string(o.Value[3:i]) != fmt.Sprint(o.Partition) {
			t.Errorf("answer %s is on partition %d: want the input's", o.Value, o.Partition)
		}
	}
	p.stop()
	total := int64(0)
	for _, o := range committed(t, cl) {
		total += o.At
		if n := beyond(t, o); n != 0 {
			t.Errorf("metadata lists %d records after all was answered, want none", n)
		}
	}
	if total != int64(len(sent)) {
		t.Errorf("committed offsets sum up to %d, want %d", total, len(sent))
	}
}

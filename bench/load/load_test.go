package load_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"starplan/bench/check"
	"starplan/bench/load"
	"starplan/internal/kafkatest"
	"starplan/proto/planpb"
)

const topic = "plan-inputs-acme"

func broker(ctx context.Context, t *testing.T) kafkatest.Broker {
	t.Helper()
	b := kafkatest.New(t, kafkatest.Options{})
	if err := kafkatest.CreateTopics(ctx, b.Addr(), 4, topic); err != nil {
		t.Fatal(err)
	}
	return b
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// read gives n records of the topic.
func read(ctx context.Context, t *testing.T, addr string, n int) []*kgo.Record {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var out []*kgo.Record
	for len(out) < n {
		fetches := c.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("read %d records, want %d", len(out), n)
		}
		out = append(out, fetches.Records()...)
	}
	return out
}

// kindOf tells from a record alone what was meant by it.
func kindOf(t *testing.T, rec *kgo.Record) load.Kind {
	t.Helper()
	switch {
	case rec.Key == nil || !utf8.Valid(rec.Key):
		return load.NoKey
	case len(rec.Value) == 0:
		return load.Tombstone
	case strings.HasSuffix(string(rec.Key), load.ForeignPlan):
		return load.Foreign
	}
	in := new(planpb.PlanInput)
	if proto.Unmarshal(rec.Value, in) != nil {
		return load.Undecodable
	}
	if want := in.GetGraphId() + ":" + in.GetPlanName(); want != string(rec.Key) {
		t.Errorf("key = %q, want %q", rec.Key, want)
	}
	kinds := map[string]load.Kind{"ok": load.Good, "fail": load.Failing, "slow": load.Slow}
	what, _, _ := strings.Cut(in.GetInputId(), "-")
	return kinds[what]
}

func TestRun(t *testing.T) {
	ctx := deadline(t)
	b := broker(ctx, t)
	var inputs []check.Input
	opts := load.Options{
		Brokers: []string{b.Addr()}, Topic: topic, Plans: []string{"a", "b", "c"}, Graphs: 2, Count: 400, Seed: 7, SlowLoops: 5,
		Share: map[load.Kind]float64{load.Failing: 0.1, load.Slow: 0.01, load.Undecodable: 5.0 / 400, load.Foreign: 0.05,
			load.Tombstone: 0.02, load.NoKey: 0.03},
		Produced: func(in check.Input) { inputs = append(inputs, in) },
	}
	want := map[load.Kind]int{load.Good: 311, load.Failing: 40, load.Slow: 4, load.Undecodable: 5, load.Foreign: 20, load.Tombstone: 8, load.NoKey: 12}
	stats, err := load.Run(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, stats.Produced); diff != "" {
		t.Errorf("Stats.Produced (-want +got):\n%s", diff)
	}
	if stats.Total() != 400 || len(inputs) != 400 {
		t.Errorf("produced %d, told of %d, want 400", stats.Total(), len(inputs))
	}

	wants := map[load.Kind]check.Want{load.Good: check.Succeeded, load.Slow: check.Succeeded, load.Failing: check.Failed, load.Undecodable: check.Failed}
	told := make(map[string]check.Input)
	for _, in := range inputs {
		told[fmt.Sprintf("%d/%d", in.Partition, in.Offset)] = in
	}
	got, keys := make(map[load.Kind]int), make(map[string]int)
	for _, rec := range read(ctx, t, b.Addr(), 400) {
		kind := kindOf(t, rec)
		got[kind]++
		if kind == load.Good {
			keys[string(rec.Key)]++
		}
		in, ok := told[fmt.Sprintf("%d/%d", rec.Partition, rec.Offset)]
		if !ok || string(in.Key) != string(rec.Key) || in.Timestamp.UnixMilli() != rec.Timestamp.UnixMilli() || in.Want != wants[kind] {
			t.Errorf("record %d/%d %q at %v is %v; told %+v", rec.Partition, rec.Offset, rec.Key, rec.Timestamp, kind, in)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("kinds on the topic (-want +got):\n%s", diff)
	}
	if len(keys) != 6 {
		t.Errorf("keys = %v, want 2 graphs of 3 plans", keys)
	}
}

func TestRate(t *testing.T) {
	ctx := deadline(t)
	b := broker(ctx, t)
	stats, err := load.Run(ctx, load.Options{Brokers: []string{b.Addr()}, Topic: topic, Plans: []string{"a"}, Count: 200, Rate: 400})
	if err != nil {
		t.Fatal(err)
	}
	// The last of 200 is due after 497 ms. A loaded machine may take longer.
	if stats.Elapsed < 490*time.Millisecond {
		t.Errorf("200 records at 400/s took %v, want 500 ms", stats.Elapsed)
	}
}

// TestStopEarly ends a run from outside: what it tells of is what is on the topic.
func TestStopEarly(t *testing.T) {
	ctx := deadline(t)
	b := broker(ctx, t)
	running, stop := context.WithCancel(ctx)
	n := 0
	stats, err := load.Run(running, load.Options{Brokers: []string{b.Addr()}, Topic: topic, Plans: []string{"a"}, Count: 1 << 20, Rate: 1000,
		Produced: func(check.Input) {
			if n++; n == 50 {
				stop()
			}
		}})
	if err != nil {
		t.Fatalf("Run() = %v, want nil: it was stopped", err)
	}
	if stats.Total() != n || n < 50 || n > 10_000 {
		t.Errorf("produced %d, told of %d, want the same, and little more than 50", stats.Total(), n)
	}
	if got := len(read(ctx, t, b.Addr(), n)); got != n {
		t.Errorf("topic has %d records, want %d", got, n)
	}
}

func TestTimeout(t *testing.T) {
	ctx := deadline(t)
	b := broker(ctx, t)
	_, err := load.Run(ctx, load.Options{Brokers: []string{b.Addr()}, Topic: topic, Plans: []string{"a"}, Count: 1000, Rate: 100, Timeout: 100 * time.Millisecond})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "of 1000 records in 100ms") {
		t.Errorf("Run() = %v, want that it ran out of time", err)
	}
}

func TestRefuses(t *testing.T) {
	tests := []struct {
		opts load.Options
		want string
	}{
		{load.Options{}, "load: got count 0, 0 plans"},
		{load.Options{Count: 1, Plans: []string{"a"}}, `topic ""`},
		{load.Options{Count: 1, Plans: []string{"a"}, Topic: topic, Share: map[load.Kind]float64{load.Failing: 0.6, load.Foreign: 0.6}}, "load: shares: got 1.2"},
		{load.Options{Count: 1, Plans: []string{"a"}, Topic: topic, Share: map[load.Kind]float64{load.Good: 0.6}}, "load: share of 0"},
	}
	for _, test := range tests {
		if _, err := load.Run(context.Background(), test.opts); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Run(%+v) = %v, want %q", test.opts, err, test.want)
		}
	}
}

func TestMixtureIsDrawnFromSeed(t *testing.T) {
	opts := load.Options{Count: 100, Seed: 1, Share: map[load.Kind]float64{load.Failing: 0.5}}
	same, other := opts, opts
	other.Seed = 2
	if diff := cmp.Diff(opts.Mixture(), same.Mixture()); diff != "" {
		t.Errorf("mixtures of one seed differ:\n%s", diff)
	}
	if cmp.Equal(opts.Mixture(), other.Mixture()) {
		t.Error("mixtures of two seeds are the same")
	}
}

func TestLoops(t *testing.T) {
	short, err := load.Loops(time.Second)
	if err != nil || short < 10_000 || short > 1_000_000_000 {
		t.Errorf("Loops(1s) = %d, %v, want a number that takes a second", short, err)
	}
}

package processor

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/plan/execution"
)

// decoding fails the records whose value is poison, as a runner does with what
// is no PlanInput.
func decoding(_ context.Context, rec execution.Record, done func(execution.Outcome)) {
	if bytes.HasPrefix(rec.Value, []byte("poison")) {
		done(execution.Outcome{Value: []byte("FAILED " + id(rec)), Reason: execution.ReasonDecode, Message: "Value is no PlanInput", Digest: "cafe"})
		return
	}
	done(answerTo(rec))
}

func TestDeadLetters(t *testing.T) { each(t, testDeadLetters) }

func testDeadLetters(t *testing.T, d Delivery) {
	c := cluster(t, 1)
	cl := client(t, c)
	poison := input("plan", "poison \x00\xff")
	poison.Headers = []kgo.RecordHeader{{Key: "trace", Value: []byte("t1")}}
	send(t, cl, input("plan", "1"), poison, input("plan", "2"))
	o := optionsFor(t, c, d, &fakeRunner{run: decoding})
	o.DeadLetterTopic = letters
	p := start(t, o)
	got := read(t, c, outputs).count(3)
	for i, want := range []string{"OK 0/0 1", "FAILED 0/1", "OK 0/2 2"} {
		if string(got[i].Value) != want {
			t.Errorf("answer %d is %q, want %q", i, got[i].Value, want)
		}
	}
	dead := read(t, c, letters).count(1)[0]
	if !bytes.Equal(dead.Value, poison.Value) || string(dead.Key) != "plan" {
		t.Errorf("dead letter is %q: %q, want the record's own key and bytes", dead.Key, dead.Value)
	}
	headers := make(map[string]string)
	for _, h := range dead.Headers {
		headers[h.Key] = string(h.Value)
	}
	want := map[string]string{
		"trace":                      "t1",
		"starplan.error.plan.digest": "cafe",
		"starplan.error.reason":      "decode",
		"starplan.error.message":     "Value is no PlanInput",
		"starplan.error.topic":       inputs,
		"starplan.error.partition":   "0",
		"starplan.error.offset":      "1",
		"starplan.error.timestamp":   poison.Timestamp.UTC().Format("2006-01-02T15:04:05.999Z07:00"),
	}
	if diff := cmp.Diff(want, headers); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	p.stop()
	if n := testutil.ToFloat64(p.metrics.deadLetters.WithLabelValues("decode")); n != 1 {
		t.Errorf("dead_letters_total = %v, want 1", n)
	}
}

func TestForeignAndEmptyRecords(t *testing.T) { each(t, testForeignAndEmptyRecords) }

func testForeignAndEmptyRecords(t *testing.T, d Delivery) {
	c := cluster(t, 1)
	cl := client(t, c)
	tombstone := &kgo.Record{Topic: inputs, Key: []byte("plan")}
	keyless := &kgo.Record{Topic: inputs, Value: []byte("x")}
	send(t, cl,
		input("plan", "1"), input("foreign", "2"), tombstone, input("plan", ""), keyless,
		input("plan", "poison"), input("plan", "3"), input("foreign", "4"))
	r := &fakeRunner{run: decoding}
	var seen told
	o := optionsFor(t, c, d, r)
	o.Observer = &seen
	p := start(t, o)
	got := read(t, c, outputs).count(3)
	for i, want := range []string{"OK 0/0 1", "FAILED 0/5", "OK 0/6 3"} {
		if string(got[i].Value) != want {
			t.Errorf("answer %d is %q, want %q", i, got[i].Value, want)
		}
	}
	eventually(t, "the commit past skipped records", func() bool { return committed(t, cl)[0].At == 8 })
	for reason, want := range map[string]float64{"foreign_key": 2, "empty_value": 2, "no_key": 1} {
		if n := testutil.ToFloat64(p.metrics.skipped.WithLabelValues(reason)); n != want {
			t.Errorf("records_skipped_total{reason=%q} = %v, want %v", reason, n, want)
		}
	}
	if n := len(r.started()); n != 3 {
		t.Errorf("%d records were run, want 3", n)
	}
}

func TestTooLarge(t *testing.T) { each(t, testTooLarge) }

func testTooLarge(t *testing.T, d Delivery) {
	c := cluster(t, 1)
	cl := client(t, c)
	if err := c.DeleteTopic(outputs); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateTopic(outputs, 1, map[string]string{"max.message.bytes": "20000"}); err != nil {
		t.Fatal(err)
	}
	send(t, cl, input("plan", "1"), input("plan", "big"), input("plan", "2"))
	r := &fakeRunner{run: func(_ context.Context, rec execution.Record, done func(execution.Outcome)) {
		if string(rec.Value) == "big" {
			done(execution.Outcome{Value: make([]byte, 30000), Plan: "plan"})
			return
		}
		done(answerTo(rec))
	}}
	var seen told
	o := optionsFor(t, c, d, r)
	o.Observer = &seen
	p := start(t, o)
	got := read(t, c, outputs).count(3)
	for i, want := range []string{"OK 0/0 1", "FAILED 0/1 Execution of 30000 bytes exceeds the ", "OK 0/2 2"} {
		if !strings.HasPrefix(string(got[i].Value), want) {
			t.Errorf("answer %d is %q, want %q", i, got[i].Value, want)
		}
	}
	if got, want := p.MaxExecutionBytes(), 20000-overhead-keyRoom; got != want {
		t.Errorf("MaxExecutionBytes() = %d, want %d", got, want)
	}
	eventually(t, "the commit", func() bool { return committed(t, cl)[0].At == 3 })
	if diff := cmp.Diff([]string{"0 answered", "1 answered", "2 answered", "1 corrected"}, seen.all()); diff != "" {
		t.Errorf("the observer was told (-want +got):\n%s", diff)
	}
}

// told is an observer that keeps what it is told of.
type told struct {
	mu   sync.Mutex
	list []string
}

func (o *told) Answered(rec execution.Record, _ execution.Outcome) { o.add(rec, "answered") }

func (o *told) Corrected(rec execution.Record, out execution.Outcome) {
	if out.Reason == execution.ReasonTooLarge {
		o.add(rec, "corrected")
	}
}

func (o *told) add(rec execution.Record, what string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = append(o.list, fmt.Sprintf("%d %s", rec.Offset, what))
}

// all gives what was told, answers first.
func (o *told) all() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	slices.SortStableFunc(o.list, func(a, b string) int { return strings.Compare(a[2:], b[2:]) })
	return o.list
}

// noise is bytes that do not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

func TestTopicThatTakesLessThanBefore(t *testing.T) { each(t, testTopicThatTakesLessThanBefore) }

func testTopicThatTakesLessThanBefore(t *testing.T, d Delivery) {
	c := cluster(t, 1)
	cl := client(t, c)
	r := &fakeRunner{run: func(_ context.Context, rec execution.Record, done func(execution.Outcome)) {
		o := answerTo(rec)
		switch {
		case string(rec.Value) == "big":
			o.Value = noise(6000)
		case rec.Offset > 0:
			o.Value = append(o.Value, noise(1000)...)
		}
		done(o)
	}}
	start(t, optionsFor(t, c, d, r))
	out := read(t, c, outputs)
	send(t, cl, input("plan", "first"))
	out.count(1)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	limit := "5000"
	if _, err := kadm.NewClient(cl).AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "max.message.bytes", Value: &limit}}, outputs); err != nil {
		t.Fatal(err)
	}
	var sent []*kgo.Record
	for i := range 30 {
		sent = append(sent, input("plan", fmt.Sprint(i)))
	}
	sent[20].Value = []byte("big")
	send(t, cl, sent...)
	for i, rec := range out.count(1 + len(sent))[1:] {
		want := fmt.Sprintf("OK 0/%d ", i+1)
		if i == 20 {
			want = "FAILED 0/21 Execution of 6000 bytes exceeds the "
		}
		if !strings.HasPrefix(string(rec.Value), want) {
			t.Errorf("answer %d is %.60q, want %q", i, rec.Value, want)
		}
	}
}

func TestKeyThatLeavesNoRoom(t *testing.T) { each(t, testKeyThatLeavesNoRoom) }

func testKeyThatLeavesNoRoom(t *testing.T, d Delivery) {
	c := cluster(t, 1)
	cl := client(t, c)
	if err := c.DeleteTopic(outputs); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateTopic(outputs, 1, map[string]string{"max.message.bytes": "2000"}); err != nil {
		t.Fatal(err)
	}
	send(t, cl, input(strings.Repeat("k", 3000), "1"), input("plan", "2"))
	start(t, optionsFor(t, c, d, &fakeRunner{}))
	if got := read(t, c, outputs).count(1); string(got[0].Value) != "OK 0/1 2" {
		t.Errorf("answer is %q, want that to the second record", got[0].Value)
	}
	eventually(t, "the commit past a record that cannot be answered", func() bool { return committed(t, cl)[0].At == 2 })
}

// TestPlacement holds the partition of output records against values computed
// with Java's Utils.toPositive(Utils.murmur2(key)) % n.
func TestCompression(t *testing.T) {
	for want, compression := range map[uint8]Compression{0: NoCompression, 3: LZ4, 4: Zstd} {
		t.Run(string(compression), func(t *testing.T) {
			c := cluster(t, 1)
			send(t, client(t, c), input("plan", "1"))
			o := options(t, c, &fakeRunner{run: func(_ context.Context, _ execution.Record, done func(execution.Outcome)) {
				done(execution.Outcome{Value: bytes.Repeat([]byte("again "), 500)})
			}})
			o.Compression = compression
			start(t, o)
			if got := read(t, c, outputs).count(1)[0].Attrs.CompressionType(); got != want {
				t.Errorf("compression is %d, want %d", got, want)
			}
		})
	}
}

func TestPlacement(t *testing.T) {
	const n = 12
	p := kgo.StickyKeyPartitioner(nil).ForTopic(outputs)
	for key, hash := range map[string]int32{
		// Values of Kafka's own UtilsTest.testMurmur2.
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		want := int(hash&0x7fffffff) % n
		if got := p.Partition(&kgo.Record{Key: []byte(key)}, n); got != want {
			t.Errorf("partition of key %q is %d, want %d as in Java", key, got, want)
		}
	}
}

func TestMetricsLint(t *testing.T) {
	c := cluster(t, 2)
	cl := client(t, c)
	send(t, cl, input("good", "1"), input("bad", "poison"), input("foreign", "2"), input("gone", "3"))
	o := options(t, c, &fakeRunner{run: decoding})
	reg := prometheus.NewRegistry()
	o.Registerer = reg
	p := start(t, o)
	p.SetPlans([]string{"good", "bad"})
	read(t, c, outputs).count(3)
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, pr := range problems {
		t.Errorf("metric %s: %s", pr.Metric, pr.Text)
	}
	wantMetric(t, reg, `starplan_executions_total{plan="good"}`, 1)
	wantMetric(t, reg, `starplan_execution_failures_total{plan="good",reason="timeout"}`, 0)
	wantMetric(t, reg, `starplan_execution_failures_total{plan="",reason="decode"}`, 1)
	// The plan of the third is not loaded.
	wantMetric(t, reg, `starplan_executions_total{plan=""}`, 2)
	wantMetric(t, reg, `starplan_assigned_partitions{}`, 2)
	eventually(t, "no lag", func() bool {
		return metric(t, reg, `starplan_consumer_lag_records{partition="0",topic="`+inputs+`"}`) == 0
	})
	p.SetPlans([]string{"bad"})
	if got := metric(t, reg, `starplan_executions_total{plan="good"}`); got != -1 {
		t.Errorf("series of a plan that is gone is %v, want none", got)
	}
	p.stop()
	wantMetric(t, reg, `starplan_assigned_partitions{}`, 0)
	if got := metric(t, reg, `starplan_consumer_lag_records{partition="0",topic="`+inputs+`"}`); got != -1 {
		t.Errorf("lag of a partition that is not ours is %v, want no series", got)
	}
}

func wantMetric(t *testing.T, reg *prometheus.Registry, name string, want float64) {
	t.Helper()
	if got := metric(t, reg, name); got != want {
		t.Errorf("%s = %v, want %v", name, got, want)
	}
}

// metric gives the value of one series, or -1.
func metric(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			if f.GetName()+"{"+strings.Join(labels, ",")+"}" != name {
				continue
			}
			if m.GetCounter() != nil {
				return m.GetCounter().GetValue()
			}
			return m.GetGauge().GetValue()
		}
	}
	return -1
}

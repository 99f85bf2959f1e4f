package topicrange_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"starplan/internal/devbroker"
	"starplan/internal/topicrange"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const topic = "letters"

// began is the timestamp of the first record; each one is a minute later.
var began = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

// fixture is a topic of two partitions. Partition 0 has records 0 to 9; partition 1
// has records 10 and 11, of a transaction that was aborted, 12 and 13 of one that
// was committed, and 14 of one that is under way.
func fixture(t *testing.T) (opts []kgo.Opt) {
	t.Helper()
	b, err := devbroker.Start(devbroker.Options{Topics: []string{topic}, Partitions: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	ctx := deadline(t)
	opts = []kgo.Opt{kgo.SeedBrokers(b.Addr())}
	plain := client(t, append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner())))
	for i := range 10 {
		if err := plain.ProduceSync(ctx, record(i, 0)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for _, ends := range []struct {
		id      string
		records []int
		end     func(*kgo.Client) error
	}{
		{"a", []int{10, 11}, func(c *kgo.Client) error { return c.EndTransaction(ctx, kgo.TryAbort) }},
		{"b", []int{12, 13}, func(c *kgo.Client) error { return c.EndTransaction(ctx, kgo.TryCommit) }},
		{"c", []int{14}, func(*kgo.Client) error { return nil }},
	} {
		c := client(t, append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID(ends.id)))
		if err := c.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for _, i := range ends.records {
			if err := c.ProduceSync(ctx, record(i, 1)).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := ends.end(c); err != nil {
			t.Fatal(err)
		}
	}
	return opts
}

func record(i int, partition int32) *kgo.Record {
	return &kgo.Record{Topic: topic, Partition: partition, Value: fmt.Append(nil, i), Timestamp: began.Add(time.Duration(i) * time.Minute)}
}

func client(t *testing.T, opts []kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// values reads a range to its end.
func values(t *testing.T, opts []kgo.Opt, r topicrange.Range, together bool) []string {
	t.Helper()
	rd, err := topicrange.Open(opts, r, together)
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	var got []string
	for {
		records, err := rd.Next(deadline(t))
		if err != nil {
			t.Fatal(err)
		}
		if len(records) == 0 {
			return got
		}
		for _, rec := range records {
			got = append(got, fmt.Sprintf("%d:%s", rec.Partition, rec.Value))
		}
	}
}

func TestRead(t *testing.T) {
	opts := fixture(t)
	admin := kadm.NewClient(client(t, opts))
	for _, test := range []struct {
		name     string
		from, to topicrange.Bound
		only     int32 // -1: all partitions.
		want     string
	}{
		{"all that is committed, partition by partition", "oldest", "latest", -1, "0:0 0:1 0:2 0:3 0:4 0:5 0:6 0:7 0:8 0:9 1:12 1:13"},
		{"one partition", "oldest", "latest", 1, "1:12 1:13"},
		{"no such partition", "oldest", "latest", 7, ""},
		{"offsets", "2", "4", -1, "0:2 0:3 1:12"},
		{"an end within what was aborted", "oldest", "1", -1, "0:0"},
		{"offsets beyond the end", "100", "200", -1, ""},
		{"times", "2026-01-02T03:07:30Z", "2026-01-02T03:09:00Z", -1, "0:8"},
		{"a time with a zone", "2026-01-02T04:08:00+01:00", "latest", 0, "0:8 0:9"},
		{"nothing", "latest", "latest", -1, ""},
		{"an end before its beginning", "5", "3", 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := topicrange.Find(deadline(t), admin, topic, test.from, test.to)
			if err != nil {
				t.Fatal(err)
			}
			if test.only >= 0 {
				r = r.Only(test.only)
			}
			if got := strings.Join(values(t, opts, r, false), " "); got != test.want {
				t.Errorf("read %q, want %q", got, test.want)
			}
			together := make(map[string]bool)
			for _, v := range values(t, opts, r, true) {
				together[v] = true
			}
			want := make(map[string]bool)
			for _, v := range strings.Fields(test.want) {
				want[v] = true
			}
			if diff := cmp.Diff(want, together); diff != "" {
				t.Errorf("read together (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRecordsIsAnUpperBound(t *testing.T) {
	opts := fixture(t)
	r, err := topicrange.Find(deadline(t), kadm.NewClient(client(t, opts)), topic, "oldest", "latest")
	if err != nil {
		t.Fatal(err)
	}
	// Two records and a marker were aborted, two and a marker committed.
	if got := r.Records(); got != 16 {
		t.Errorf("Records = %d, want 16", got)
	}
}

func TestFindErrors(t *testing.T) {
	admin := kadm.NewClient(client(t, fixture(t)))
	for _, test := range []struct{ topic, from, to, want string }{
		{"nowhere", "oldest", "latest", "from: nowhere: topic does not exist; check the tenant"},
		{topic, "monday", "latest", `from: letters: want oldest, latest, an offset or an RFC 3339 time, got "monday"`},
		{topic, "oldest", "-3", `to: letters: want oldest, latest, an offset or an RFC 3339 time, got "-3"`},
	} {
		_, err := topicrange.Find(deadline(t), admin, test.topic, topicrange.Bound(test.from), topicrange.Bound(test.to))
		if err == nil || err.Error() != test.want {
			t.Errorf("Find(%s, %s, %s) = %v, want %s", test.topic, test.from, test.to, err, test.want)
		}
	}
}

func TestNextEndsWithItsContext(t *testing.T) {
	opts := fixture(t)
	rd, err := topicrange.Open(opts, topicrange.Range{Topic: topic, From: map[int32]int64{0: 10}, To: map[int32]int64{0: 11}}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if records, err := rd.Next(ctx); !errors.Is(err, context.Canceled) || records != nil {
		t.Errorf("Next of a record that never comes = %v, %v, want that it was cancelled", records, err)
	}
}

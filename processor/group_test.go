package processor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/plan/execution"
)

func TestGroupGuard(t *testing.T) {
	c := cluster(t, 1)
	o := options(t, c, &fakeRunner{})
	o.Serving = "plans: a, b"
	first := start(t, o)
	eventually(t, "the first to join", func() bool { return first.Status().Ready })
	o.Serving, o.Registerer = "plans: a", nil
	second := start(t, o)
	err := second.wait()
	var mismatch *GroupMismatchError
	if !errors.As(err, &mismatch) || mismatch.Group != group || !errors.Is(err, kerr.InconsistentGroupProtocol) {
		t.Fatalf("Run() = %v, want a GroupMismatchError of group %s", err, group)
	}
	for _, want := range []string{group, "KAFKA_GROUP_ID", "stop those members"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %q", err, want)
		}
	}
	if !first.Status().Ready {
		t.Errorf("the first member is disturbed: %v", first.Status().Reasons)
	}
	o.Serving = "plans: a, b"
	same := start(t, o)
	eventually(t, "a member that serves the same", func() bool { return same.Status().Joined })
}

func TestGroupGuardAgainstOtherClients(t *testing.T) {
	c := cluster(t, 1)
	other := client(t, c, kgo.ConsumerGroup(group), kgo.ConsumeTopics(inputs), kgo.Balancers(kgo.RangeBalancer()))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := c.WaitGroupStable(ctx, group, 1); err != nil {
		t.Fatal(err)
	}
	var mismatch *GroupMismatchError
	if err := start(t, options(t, c, &fakeRunner{})).wait(); !errors.As(err, &mismatch) {
		t.Errorf("Run() = %v, want a GroupMismatchError", err)
	}
	other.Close()
}

func TestStart(t *testing.T) {
	base := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	for _, tt := range []struct {
		start string
		want  []string // answers to what was on the topic before
	}{
		{"oldest", []string{"OK 0/0 0", "OK 0/1 1", "OK 0/2 2", "OK 0/3 3"}},
		{"latest", nil},
		{"2026-01-02T03:06:00Z", []string{"OK 0/2 2", "OK 0/3 3"}},
		{"2027-01-02T03:06:00Z", nil},
		{"group:old", []string{"OK 0/1 1", "OK 0/2 2", "OK 0/3 3"}},
		{"group:nobody", []string{"OK 0/0 0", "OK 0/1 1", "OK 0/2 2", "OK 0/3 3"}},
	} {
		t.Run(tt.start, func(t *testing.T) {
			c := cluster(t, 1)
			cl := client(t, c)
			for i := range 4 {
				r := input("plan", fmt.Sprint(i))
				r.Timestamp = base.Add(time.Duration(i) * time.Minute)
				send(t, cl, r)
			}
			commitFor(t, cl, "old", 1)
			s, err := ParseStart(tt.start)
			if err != nil {
				t.Fatal(err)
			}
			o := options(t, c, &fakeRunner{})
			o.Start = s
			p := start(t, o)
			// The place is committed before anything is answered, so a record that
			// comes while the process is down is not missed on the second start.
			eventually(t, "the first commit", func() bool { return len(committed(t, cl)) == 1 })
			p.stop()
			send(t, cl, input("plan", "late"))
			o.Registerer = nil
			start(t, o)
			want := append(tt.want, "OK 0/4 late")
			var got []string
			for _, r := range read(t, c, outputs).count(len(want)) {
				got = append(got, string(r.Value))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("answers (-want +got):\n%s", diff)
			}
		})
	}
}

// commitFor commits an offset of partition 0 for a group without members.
func commitFor(t *testing.T, cl *kgo.Client, group string, offset int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var os kadm.Offsets
	os.AddOffset(inputs, 0, offset, -1)
	if err := kadm.NewClient(cl).CommitAllOffsets(ctx, group, os); err != nil {
		t.Fatal(err)
	}
}

// link is a dialer that can be cut and mended.
type link struct {
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func (l *link) dial(ctx context.Context, network, host string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("the link is cut")}
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, host)
	if err == nil {
		l.conns = append(l.conns, conn)
	}
	return conn, err
}

func (l *link) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

func TestBrokerAwayAndBack(t *testing.T) { each(t, testBrokerAwayAndBack) }

func testBrokerAwayAndBack(t *testing.T, d Delivery) {
	c := cluster(t, 2)
	cl := client(t, c)
	var l link
	o := optionsFor(t, c, d, &fakeRunner{})
	o.ClientOptions = []kgo.Opt{kgo.Dialer(l.dial), kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond })}
	p := start(t, o)
	out := read(t, c, outputs)
	var sent []*kgo.Record
	more := func() {
		var batch []*kgo.Record
		for range 200 {
			batch = append(batch, input(fmt.Sprintf("plan-%d", len(sent)%9), fmt.Sprint(len(sent))))
			sent = append(sent, batch[len(batch)-1])
		}
		send(t, cl, batch...)
	}
	more()
	out.count(50)
	l.set(true)
	eventually(t, "readiness to end", func() bool { return !p.Status().Ready })
	eventually(t, "the reason", func() bool { return mentions(p.Status().Reasons, "broker cannot be reached") })
	more()
	l.set(false)
	more()
	out.until("all answers", func() bool {
		seen := make(map[string]bool)
		for _, r := range out.records {
			seen[string(r.Value)] = true
		}
		return len(seen) == len(sent)
	})
	checkAnswers(t, sent, out.records, true)
	eventually(t, "readiness", func() bool { return p.Status().Ready })
	p.stop()
}

func TestNoBrokerAtStart(t *testing.T) {
	c := cluster(t, 1)
	cl := client(t, c)
	send(t, cl, input("plan", "1"))
	l := link{cut: true}
	o := options(t, c, &fakeRunner{})
	o.ClientOptions = []kgo.Opt{kgo.Dialer(l.dial)}
	p := start(t, o)
	eventually(t, "a reason", func() bool { return mentions(p.Status().Reasons, "no broker answers") })
	l.set(false)
	read(t, c, outputs).count(1)
	p.stop()
}

func TestStopWithoutBroker(t *testing.T) { each(t, testStopWithoutBroker) }

func testStopWithoutBroker(t *testing.T, d Delivery) {
	c := cluster(t, 1)
	var l link
	o := optionsFor(t, c, d, &fakeRunner{})
	o.ClientOptions = []kgo.Opt{kgo.Dialer(l.dial)}
	p := start(t, o)
	eventually(t, "readiness", func() bool { return p.Status().Ready })
	l.set(true)
	began := time.Now()
	p.stop()
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("Run took %v to end while no broker answers, want less than 5s", d)
	}
}

func TestMissingTopic(t *testing.T) {
	c := cluster(t, 1)
	if err := c.DeleteTopic(outputs); err != nil {
		t.Fatal(err)
	}
	send(t, client(t, c), input("plan", "1"))
	p := start(t, options(t, c, &fakeRunner{}))
	eventually(t, "a reason", func() bool {
		return mentions(p.Status().Reasons, "topic "+outputs+" does not exist")
	})
	if err := c.CreateTopic(outputs, 1, nil); err != nil {
		t.Fatal(err)
	}
	read(t, c, outputs).count(1)
	eventually(t, "readiness", func() bool { return p.Status().Ready })
	p.stop()
	if p.Status().Ready {
		t.Error("ready after the end of Run")
	}
}

func TestBackPressure(t *testing.T) {
	c := cluster(t, 2)
	cl := client(t, c)
	var slow, fast []*kgo.Record
	// Two keys on different partitions.
	for i := range 300 {
		s, f := input("plan-0", fmt.Sprint(i)), input("plan-1", fmt.Sprint(i))
		slow, fast = append(slow, s), append(fast, f)
		send(t, cl, s, f)
	}
	if slow[0].Partition == fast[0].Partition {
		t.Fatal("the test wants its keys on two partitions")
	}
	g := newGate("plan-0")
	o := options(t, c, &fakeRunner{run: g.run})
	o.MaxAheadRecords = 100
	o.ClientOptions = []kgo.Opt{kgo.FetchMaxPartitionBytes(2048)}
	p := start(t, o)
	out := read(t, c, outputs)
	out.count(len(fast))
	checkAnswers(t, fast, out.records, false)
	eventually(t, "a blocked partition", func() bool { return p.core.stats(time.Now()).blocked[blockRecords] == 1 })
	if n := int(g.held.Load()); n < 50 || n == len(slow) {
		t.Errorf("%d records of the slow plan run, want at least its share of 50 and not all", n)
	}
	close(g.open)
	out.count(len(slow) + len(fast))
	checkAnswers(t, append(slow, fast...), out.records, false)
	eventually(t, "no blocked partition", func() bool { return len(p.core.stats(time.Now()).blocked) == 0 })
}

func TestGokaIsBuiltAnew(t *testing.T) {
	c := cluster(t, 1)
	cl := client(t, c)
	var once atomic.Bool
	r := &fakeRunner{}
	r.run = func(_ context.Context, rec execution.Record, done func(execution.Outcome)) {
		if string(rec.Value) == "panic" && once.CompareAndSwap(false, true) {
			// A panic in a callback is what ends a goka processor for good. The
			// record was taken over, so its answer may still come.
			go done(answerTo(rec))
			panic("a callback panics")
		}
		done(answerTo(rec))
	}
	sent := []*kgo.Record{input("plan", "1"), input("plan", "panic"), input("plan", "2")}
	send(t, cl, sent...)
	p := start(t, options(t, c, r))
	checkAnswers(t, sent, read(t, c, outputs).count(3), false)
	if n := testutil.ToFloat64(p.metrics.kafkaErrors.WithLabelValues("processor")); n != 1 {
		t.Errorf("kafka_errors_total{op=processor} = %v, want 1", n)
	}
	eventually(t, "readiness", func() bool { return p.Status().Ready })
}

func TestValidate(t *testing.T) {
	_, err := New(Options{DeadLetterTopic: "plan-inputs-acme-dead", SessionTimeout: time.Millisecond, Delivery: "twice", Tenant: "a/b", InstanceID: "a/b", Compression: "zip"})
	if err == nil {
		t.Fatal("New() of wrong options gives no error")
	}
	want := strings.Join([]string{
		`processor: no brokers`,
		`processor: tenant "a/b" cannot name a topic: want letters, digits, dot, underscore and hyphen, 233 at most`,
		`processor: no consumer group`,
		`processor: instance id "a/b": want letters, digits, dot, underscore and hyphen, 249 at most`,
		`processor: nothing said about what is served`,
		`processor: no runner`,
		`processor: session timeout is 1ms, want 1s or more`,
		`processor: delivery "twice": want at-least-once or exactly-once`,
		`processor: compression "zip": want one of [lz4 zstd none]`,
		`processor: dead-letter topic "plan-inputs-acme-dead" begins with plan-inputs- or plan-executions-, which the platform subscribes to; choose another name, such as dlq-plan-inputs-a/b`,
	}, "\n")
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("New() error (-want +got):\n%s", diff)
	}
}

func TestParseStart(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"oldest", "oldest"},
		{"latest", "latest"},
		{"2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"},
		{"group:executors-py", "group:executors-py"},
	} {
		s, err := ParseStart(tt.in)
		if err != nil || s.String() != tt.want {
			t.Errorf("ParseStart(%q) = %v, %v, want %v", tt.in, s, err, tt.want)
		}
	}
	for in, want := range map[string]string{
		"":           `start "": want oldest, latest, an RFC 3339 time such as 2026-01-02T03:04:05Z, or group:NAME`,
		"newest":     `start "newest": want oldest, latest, an RFC 3339 time such as 2026-01-02T03:04:05Z, or group:NAME`,
		"2026-01-02": `start "2026-01-02": want oldest, latest, an RFC 3339 time such as 2026-01-02T03:04:05Z, or group:NAME`,
		"group:":     `start "group:": group: names no group`,
	} {
		if _, err := ParseStart(in); err == nil || err.Error() != want {
			t.Errorf("ParseStart(%q) = %v, want %s", in, err, want)
		}
	}
}

package devbroker_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/internal/devbroker"
)

func start(t *testing.T, opts devbroker.Options) *devbroker.Broker {
	t.Helper()
	b, err := devbroker.Start(opts)
	if err != nil {
		t.Fatalf("Start(%+v) = %v", opts, err)
	}
	t.Cleanup(b.Close)
	return b
}

func client(t *testing.T, b *devbroker.Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(b.Addr()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestStartSeedsTopics(t *testing.T) {
	tests := []struct {
		name string
		opts devbroker.Options
		want map[string]int
	}{
		{"nothing", devbroker.Options{}, map[string]int{}},
		{"tenant", devbroker.Options{Tenant: "acme"}, map[string]int{"plan-inputs-acme": 4, "plan-executions-acme": 4}},
		{"more", devbroker.Options{Tenant: "acme", Topics: []string{"dlq"}, Partitions: 2},
			map[string]int{"plan-inputs-acme": 2, "plan-executions-acme": 2, "dlq": 2}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := start(t, test.opts)
			details, err := kadm.NewClient(client(t, b)).ListTopics(deadline(t))
			if err != nil {
				t.Fatal(err)
			}
			got := make(map[string]int)
			for name, d := range details {
				got[name] = len(d.Partitions)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("topics of Start(%+v) (-want +got):\n%s", test.opts, diff)
			}
		})
	}
}

func TestStartRefuses(t *testing.T) {
	tests := []struct {
		opts devbroker.Options
		want string
	}{
		{devbroker.Options{Tenant: "a b"}, `devbroker: topic: got "plan-inputs-a b", want 1 to 249 of`},
		{devbroker.Options{Topics: []string{""}}, `devbroker: topic: got ""`},
		{devbroker.Options{Partitions: -1}, "devbroker: partitions: got -1, want at least 1"},
		{devbroker.Options{Port: 70000}, "devbroker: port: got 70000, want 0 to 65535"},
	}
	for _, test := range tests {
		b, err := devbroker.Start(test.opts)
		if err == nil {
			b.Close()
			t.Errorf("Start(%+v) = nil, want %q", test.opts, test.want)
			continue
		}
		if !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("Start(%+v) = %q, want %q", test.opts, err, test.want)
		}
	}
}

func TestStartPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	_, err = devbroker.Start(devbroker.Options{Port: port})
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "choose another") {
		t.Errorf("Start with port %d taken = %v, want EADDRINUSE and the remedy", port, err)
	}
}

// TestDataDir stops a broker and starts it again on the same port and data: a
// client that was connected all the time reads what was written before.
func TestDataDir(t *testing.T) {
	ctx := deadline(t)
	opts := devbroker.Options{Tenant: "acme", DataDir: t.TempDir()}
	first := start(t, opts)
	topic := devbroker.InputTopic("acme")
	c := client(t, first, kgo.ConsumeTopics(topic))
	if err := c.ProduceSync(ctx, &kgo.Record{Topic: topic, Key: []byte("k"), Value: []byte("before")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	opts.Port = first.Port()
	first.Close()
	first.Close()
	start(t, opts)
	fetches := c.PollFetches(ctx)
	if err := fetches.Err0(); err != nil {
		t.Fatal(err)
	}
	recs := fetches.Records()
	for len(recs) == 0 && ctx.Err() == nil {
		recs = c.PollFetches(ctx).Records()
	}
	if len(recs) != 1 || string(recs[0].Value) != "before" {
		t.Errorf("records after restart = %v, want the one that was written before", recs)
	}
}

// TestLogger sends something that is no request and waits for the broker to
// hang up, which it does after it has said so in the log.
func TestLogger(t *testing.T) {
	var out lockedBuffer
	b := start(t, devbroker.Options{Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	conn, err := net.Dial("tcp", b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	// Metadata, version 0, correlation 0, no client id, and an array that is cut short.
	request := []byte{0, 0, 0, 12, 0, 3, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 9}
	if _, err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, `level=DEBUG msg="embedded broker" detail="client 127.0.0.1`) {
		t.Errorf("log = %q, want a debug line about the request", got)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

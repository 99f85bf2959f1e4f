//go:build prometheus

package prometheus_test

import (
	"bytes"
	"context"
	"log/slog"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"starplan/internal/config"
	"starplan/internal/service"
	"starplan/plan"
	"starplan/processor"
	"starplan/proto/planpb"
)

const (
	tenant      = "acme"
	deadLetters = "dlq-plan-inputs-acme"
	partitions  = 4
	maxSteps    = 1_000_000

	good = "def plan(plan_input):\n    return PlanResult(next_task_names = [\"next\"])\n"
	// broken loads, and fails on every record.
	broken = "def plan(plan_input):\n    fail(\"broken on purpose\")\n"
	// wrong does not load.
	wrong = "def plan(plan_input):\n    return nothing\n"
	// hungry takes nine tenths of the steps that it may.
	hungry = "def plan(plan_input):\n    n = 0\n    for i in range(85000):\n        n += i\n    return PlanResult()\n"
	// slow takes half of the steps that it may.
	slow = "def plan(plan_input):\n    n = 0\n    for i in range(50000):\n        n += i\n    return PlanResult()\n"
	// greedy takes all memory.
	greedy = "def plan(plan_input):\n    x = [0]\n    for i in range(100):\n        x = x + x\n    return PlanResult()\n"
)

// running is a service in this process.
type running struct {
	addr string
	dir  string
	stop func()
}

func startService(ctx context.Context, t *testing.T, broker string) *running {
	t.Helper()
	svc := &running{dir: t.TempDir()}
	svc.write(t, map[string]string{"route": good, "steady": good, "hungry": good, "greedy": good, "slow": slow})
	log := new(lockedBuffer)
	ctx, cancel := context.WithCancel(ctx)
	addr, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- service.Run(ctx, service.Options{
			Config: config.Config{
				TenantID: tenant, PlanPath: svc.dir, GroupID: "executors-acme", Brokers: []string{broker}, HTTPAddr: "127.0.0.1:0",
				SessionTimeout: 6 * time.Second, DeadLetterTopic: deadLetters, Delivery: processor.ExactlyOnce,
				Execution: config.Execution{Limits: plan.Limits{Timeout: time.Second, MaxSteps: maxSteps, MaxMemory: 64 << 20}, Workers: 2},
			},
			Listening: func(a string) { addr <- a },
			Logger:    slog.New(slog.NewTextHandler(log, nil)),
		})
	}()
	select {
	case svc.addr = <-addr:
	case err := <-ended:
		t.Fatalf("the service ended: %v", err)
	}
	svc.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the service ended: %v", err)
		}
	})
	t.Cleanup(func() {
		svc.stop()
		if t.Failed() {
			t.Logf("log of the service:\n%s", log)
		}
	})
	return svc
}

// write puts texts in place of plans, by their names.
func (r *running) write(t *testing.T, texts map[string]string) {
	t.Helper()
	for name, text := range texts {
		file := filepath.Join(r.dir, name+".star")
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// reload has the plans read again, as soon as they were read the first time.
func (r *running) reload(ctx context.Context, t *testing.T, want int) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		res := r.do(ctx, t, http.MethodGet, "/readyz")
		if res == http.StatusOK {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("/readyz = %d", res)
		}
	}
	if got := r.do(ctx, t, http.MethodPost, "/-/reload"); got != want {
		t.Fatalf("POST /-/reload = %d, want %d", got, want)
	}
}

// do gives the status of an answer.
func (r *running) do(ctx context.Context, t *testing.T, method, path string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+r.addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

// load puts inputs on the topic, whatever becomes of the broker.
type load struct{ client *kgo.Client }

// startLoad sends inputs for three plans until the test ends.
func startLoad(ctx context.Context, t *testing.T, broker string) *load {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		t.Fatal(err)
	}
	l := &load{client}
	var stops []func()
	for _, name := range []string{"route", "steady", "hungry"} {
		stops = append(stops, l.often(ctx, t, name, always, 50*time.Millisecond))
	}
	t.Cleanup(func() {
		for _, stop := range stops {
			stop()
		}
		client.Close()
	})
	return l
}

// always stands for no end.
const always = math.MaxInt

// often sends so many inputs for a plan, until the function that it gives is called.
func (l *load) often(ctx context.Context, t *testing.T, name string, n int, pause time.Duration) (stop func()) {
	t.Helper()
	return l.repeat(ctx, n, pause, func(i int) *kgo.Record {
		value, err := proto.Marshal(&planpb.PlanInput{InputId: strconv.Itoa(i), PlanName: name, GraphId: "g", LifetimeId: "l"})
		if err != nil {
			panic(err)
		}
		return &kgo.Record{Topic: processor.InputTopic(tenant), Key: []byte(name), Value: value}
	})
}

// poison does the same with values that are no PlanInput.
func (l *load) poison(ctx context.Context, t *testing.T, pause time.Duration) (stop func()) {
	t.Helper()
	return l.repeat(ctx, always, pause, func(int) *kgo.Record {
		return &kgo.Record{Topic: processor.InputTopic(tenant), Key: []byte("steady"), Value: []byte("no PlanInput")}
	})
}

func (l *load) repeat(ctx context.Context, n int, pause time.Duration, record func(i int) *kgo.Record) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for i := range n {
			l.client.TryProduce(ctx, record(i), nil)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// hang is a producer that begins a transaction in every partition and does not end it,
// until the function that it gives is called. Nobody who reads committed records
// gets past it.
func (l *load) hang(ctx context.Context, t *testing.T, broker string) (end func()) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.TransactionalID("hanging"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for n := range int32(partitions) {
		if err := client.ProduceSync(ctx, &kgo.Record{Topic: processor.InputTopic(tenant), Partition: n, Key: []byte("never")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := client.EndTransaction(ctx, kgo.TryAbort); err != nil {
			t.Error(err)
		}
	}
}

// deleteInputs deletes all records of the input topic.
func (l *load) deleteInputs(ctx context.Context, t *testing.T) {
	t.Helper()
	admin := kadm.NewClient(l.client)
	ends, err := admin.ListEndOffsets(ctx, processor.InputTopic(tenant))
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	deleted, err := admin.DeleteRecords(ctx, ends.Offsets())
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// lockedBuffer keeps what is written.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Package bench measures the whole service: from records on a topic of inputs to
// records on a topic of executions.
//
//	go test -run '^$' -bench . ./bench
//
// Beside it lie the load generator (bench/load) and the checker of what was
// delivered (bench/check).
package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"starplan/bench/check"
	"starplan/bench/load"
	"starplan/internal/config"
	"starplan/internal/devbroker"
	"starplan/internal/service"
	"starplan/plan"
	"starplan/plan/worker"
	"starplan/processor"
)

const (
	tenant     = "bench"
	partitions = 8
	// brokerVariable makes this program a broker, so that its work is not counted
	// as the service's.
	brokerVariable = "STARPLAN_BENCH_BROKER"
)

func TestMain(m *testing.M) {
	worker.Divert()
	for variable, serve := range map[string]func() error{brokerVariable: serveBroker, replayVariable: serveReplay} {
		if os.Getenv(variable) != "" {
			if err := serve(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

// serveBroker is a broker that prints its address and ends with its standard input.
// Each line of that, "TENANT COUNT", asks for inputs on a tenant's topic.
func serveBroker() error {
	b, err := devbroker.Start(devbroker.Options{Tenant: tenant, Partitions: partitions})
	if err != nil {
		return err
	}
	defer b.Close()
	fmt.Println(b.Addr())
	for {
		var name string
		var count int
		switch _, err := fmt.Scanln(&name, &count); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		_, err := load.Run(context.Background(), load.Options{
			Brokers: []string{b.Addr()}, Topic: devbroker.InputTopic(name), Plans: []string{"collect", "route"}, Graphs: 20, Count: count,
		})
		if err != nil {
			return err
		}
	}
}

// startBroker starts a broker in a process of its own. It gives the broker's
// address, and what inputs are asked of.
func startBroker(tb testing.TB) (addr string, ask io.Writer) {
	tb.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), brokerVariable+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(tb, err)
	out, err := cmd.StdoutPipe()
	must(tb, err)
	must(tb, cmd.Start())
	tb.Cleanup(func() {
		must(tb, in.Close())
		must(tb, cmd.Wait())
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	must(tb, err)
	return strings.TrimSpace(line), in
}

// BenchmarkService answers inputs that are on the topic already, each with the
// results of two tasks: consumed, decoded, run in a worker process, encoded,
// produced, committed, and read by a reader of committed records. An operation is
// one record. The clock runs from the first answer that is read to the last.
//
// records/s is the throughput; cpu-µs/record is the CPU time of the service, with
// the reader of answers in the same process, and workers-µs/record that of its
// workers, their start included. The broker runs in a process of its own and is
// not counted.
func BenchmarkService(b *testing.B) {
	for _, delivery := range []processor.Delivery{processor.AtLeastOnce, processor.ExactlyOnce} {
		b.Run(string(delivery), func(b *testing.B) { benchmark(b, delivery) })
	}
}

func benchmark(b *testing.B, delivery processor.Delivery) {
	addr, _ := startBroker(b)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	perSecond, self, workers := measureService(ctx, b, addr, delivery, []string{"collect", "route"})
	n := float64(b.N)
	b.ReportMetric(perSecond, "records/s")
	b.ReportMetric(float64(self.Microseconds())/n, "cpu-µs/record")
	b.ReportMetric(float64(workers.Microseconds())/n, "workers-µs/record")
}

// measureService has b.N inputs of the plans answered, 40 keys in all. It gives the
// throughput, and the CPU time of the service and of its workers.
func measureService(ctx context.Context, b *testing.B, addr string, delivery processor.Delivery, plans []string) (perSecond float64, self, workers time.Duration) {
	b.Helper()
	checker := check.New()
	checker.Partitions = partitions
	_, err := load.Run(ctx, load.Options{
		Brokers: []string{addr}, Topic: devbroker.InputTopic(tenant), Plans: plans, Graphs: 40 / len(plans),
		Count: b.N, Produced: checker.Produced,
	})
	must(b, err)

	answers := readAnswers(ctx, b, addr)
	before := usage(b, syscall.RUSAGE_CHILDREN)
	stop := startService(ctx, b, addr, delivery)
	answers.await(ctx, b, 1)
	b.ResetTimer()
	first, used := time.Now(), usage(b, syscall.RUSAGE_SELF)
	answers.await(ctx, b, b.N)
	b.StopTimer()
	self, took := usage(b, syscall.RUSAGE_SELF)-used, time.Since(first)
	stop()
	workers = usage(b, syscall.RUSAGE_CHILDREN) - before
	// What is fast must be right, too.
	for _, a := range answers.all() {
		checker.Found(a)
	}
	must(b, checker.Report().ExactlyOnce())
	return float64(b.N) / took.Seconds(), self, workers
}

// startService runs the service until the function it returns is called.
func startService(ctx context.Context, b *testing.B, addr string, delivery processor.Delivery) (stop func()) {
	b.Helper()
	dir := b.TempDir()
	for _, name := range []string{"collect", "route"} {
		must(b, os.WriteFile(filepath.Join(dir, name+".star"), []byte(load.Plan), 0o600))
	}
	cfg := config.Config{
		TenantID: tenant, PlanPath: dir, GroupID: "executors-" + tenant, Brokers: []string{addr}, HTTPAddr: "127.0.0.1:0", Delivery: delivery,
		Execution: config.Execution{
			Limits:  plan.Limits{Timeout: 10 * time.Second, MaxSteps: 10_000_000, MaxMemory: 256 << 20},
			Workers: runtime.GOMAXPROCS(0),
		},
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	go func() { ended <- service.Run(ctx, service.Options{Config: cfg, Logger: log}) }()
	return func() {
		cancel()
		must(b, <-ended)
	}
}

// answers are the records of the output topic so far.
type answers struct {
	mu    sync.Mutex
	found []check.Answer
	want  int
	done  chan struct{} // closed when want are there
}

// readAnswers reads the output topic until the benchmark ends.
func readAnswers(ctx context.Context, b *testing.B, addr string) *answers {
	b.Helper()
	a := &answers{done: make(chan struct{}), want: 1}
	r, err := check.NewReader(check.ReaderOptions{Brokers: []string{addr}, Topic: devbroker.OutputTopic(tenant), Committed: true, Each: a.add})
	must(b, err)
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx)
	}()
	b.Cleanup(func() {
		cancel()
		<-ended
	})
	return a
}

func (a *answers) add(one check.Answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.found = append(a.found, one)
	if len(a.found) == a.want {
		close(a.done)
	}
}

// await returns when n answers were read.
func (a *answers) await(ctx context.Context, b *testing.B, n int) {
	b.Helper()
	a.mu.Lock()
	if len(a.found) >= n {
		a.mu.Unlock()
		return
	}
	if a.want != n {
		a.want, a.done = n, make(chan struct{})
	}
	done := a.done
	a.mu.Unlock()
	select {
	case <-done:
	case <-ctx.Done():
		b.Fatalf("read %d answers, want %d: %v", len(a.all()), n, context.Cause(ctx))
	}
}

func (a *answers) all() []check.Answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.found
}

// usage is the CPU time of this process, or of its children that have ended.
func usage(b *testing.B, who int) time.Duration {
	b.Helper()
	var u syscall.Rusage
	must(b, syscall.Getrusage(who, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

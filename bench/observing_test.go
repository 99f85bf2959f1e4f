package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"starplan/bench/load"
	"starplan/internal/devbroker"
	"starplan/internal/history"
	"starplan/internal/kafkatest"
	"starplan/plan"
	"starplan/plan/execution"
	"starplan/plan/worker"
	"starplan/processor"
)

const (
	// observingBound is what metrics and history may cost, in percent of a record's
	// processor time.
	observingBound = 3
	// enough is how many pairs of stretches it takes to tell.
	enough = 400
	// round is how many pairs the same two services answer: where a service has its
	// memory and its workers favours one of them for as long as they run.
	round = 25
	// stretch is how many records a service answers at a time.
	stretch = 1000
)

// BenchmarkObserving compares a service that counts and remembers executions with
// one that does neither. Both are in this process, on topics of their own, and take
// turns: each answers one stretch of records an operation, now the one first and now
// the other, and the middle half of the differences counts. So a machine that is
// busy with other things disturbs both alike. With 400 operations or more it fails
// where the cost is over the bound of 3 %.
//
//	go test -run '^$' -bench Observing -benchtime 400x ./bench
//
// cpu-µs/record is the processor time of a record, workers included, where neither
// is done; cost-µs/record is what both add, and cost-% their share. What a scrape
// takes is not in it: see BenchmarkScrape of internal/metricset.
func BenchmarkObserving(b *testing.B) {
	addr, ask := startBroker(b)
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	var services [2]*bare // One without, one with.
	var taken [2][]time.Duration
	var costs []time.Duration
	var workers time.Duration
	end := func() {
		for _, s := range services {
			if s != nil {
				s.stop()
			}
		}
		if services[0] != nil {
			workers += services[0].pool.Stats().CPU
		}
	}
	for i := 0; b.Loop(); i++ {
		if i%round == 0 {
			end()
			for j := range services {
				k := (i/round + j) % 2
				services[k] = startBare(ctx, b, addr, fmt.Sprintf("bench-%d-%d", i, k), k == 1)
			}
			for _, s := range services {
				s.answer(ctx, b, ask) // Whatever is done once is done.
			}
		}
		for j := range services {
			k := (i + j) % 2
			taken[k] = append(taken[k], services[k].answer(ctx, b, ask))
		}
		costs = append(costs, taken[1][i]-taken[0][i])
	}
	end()

	micros := func(d time.Duration) float64 { return float64(d) / 1e3 / stretch }
	rounds := (len(costs) + round - 1) / round
	cost, whole := micros(middle(costs)), micros(middle(taken[0])+workers/time.Duration(len(costs)+rounds))
	b.ReportMetric(whole, "cpu-µs/record")
	b.ReportMetric(cost, "cost-µs/record")
	b.ReportMetric(100*cost/whole, "cost-%")
	if share := 100 * cost / whole; share > observingBound && len(costs) >= enough {
		b.Errorf("metrics and history cost %.2f %% of a record's processor time, want %d %% at most", share, observingBound)
	}
}

// bare is a service without its HTTP side.
type bare struct {
	tenant   string
	pool     *worker.Pool
	proc     *processor.Processor
	answered atomic.Int64
	want     int64
	stop     func()
}

// startBare starts a service for a tenant.
func startBare(ctx context.Context, b *testing.B, addr, tenant string, observed bool) *bare {
	b.Helper()
	must(b, kafkatest.CreateTopics(ctx, addr, partitions, devbroker.InputTopic(tenant), devbroker.OutputTopic(tenant)))
	dir := b.TempDir()
	for _, name := range []string{"collect", "route"} {
		must(b, os.WriteFile(filepath.Join(dir, name+".star"), []byte(load.Plan), 0o600))
	}
	s := &bare{tenant: tenant}
	limits := plan.Limits{Timeout: 10 * time.Second, MaxSteps: 10_000_000, MaxMemory: 256 << 20}
	var err error
	s.pool, err = worker.NewPool(ctx, worker.Options{Tenant: tenant, Limits: limits, Workers: runtime.GOMAXPROCS(0)})
	must(b, err)
	plans, err := plan.Open(ctx, plan.Options{Path: dir, Tenant: tenant, Limits: limits, Engine: s.pool})
	must(b, err)

	opts := processor.Options{
		Brokers: []string{addr}, Tenant: tenant, Group: "executors-" + tenant, Serving: processor.ServingAll, Delivery: processor.ExactlyOnce,
		StepLimit: limits.MaxSteps, Runner: counted{plans, &s.answered},
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 2)
	running := 1
	if observed {
		h := history.New(history.Options{})
		opts.Registerer, opts.Observer = prometheus.NewRegistry(), h.Observer(plans.Source)
		running++
		go func() {
			h.Run(ctx)
			ended <- nil
		}()
	}
	s.proc, err = processor.New(opts)
	must(b, err)
	s.proc.SetPlans([]string{"collect", "route"})
	go func() { ended <- s.proc.Run(ctx) }()
	s.stop = func() {
		cancel()
		for range running {
			must(b, <-ended)
		}
		plans.Close()
		must(b, s.pool.Close(context.Background()))
	}
	return s
}

// answer has a stretch of records put on the topic, and gives the processor time
// that this process takes until they are answered and committed.
func (s *bare) answer(ctx context.Context, b *testing.B, ask io.Writer) time.Duration {
	b.Helper()
	begin := usage(b, syscall.RUSAGE_SELF)
	_, err := fmt.Fprintln(ask, s.tenant, stretch)
	must(b, err)
	s.want += stretch
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for s.answered.Load() < s.want || s.proc.Lag().Records > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			b.Fatalf("%d of %d records were answered: %v", s.answered.Load(), s.want, context.Cause(ctx))
		}
	}
	return usage(b, syscall.RUSAGE_SELF) - begin
}

// counted is a runner that counts its answers.
type counted struct {
	processor.Runner
	answers *atomic.Int64
}

// Start implements processor.Runner.
func (c counted) Start(ctx context.Context, rec execution.Record, done func(execution.Outcome)) {
	c.Runner.Start(ctx, rec, func(out execution.Outcome) {
		done(out)
		c.answers.Add(1)
	})
}

// middle is the mean of the middle half: as hard to mislead as the median, and
// nearer to the truth.
func middle(of []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(of))
	sorted = sorted[len(sorted)/4 : len(sorted)-len(sorted)/4]
	var sum time.Duration
	for _, d := range sorted {
		sum += d
	}
	return sum / time.Duration(len(sorted))
}

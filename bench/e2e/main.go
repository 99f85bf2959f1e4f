// E2e measures the whole service on a real Apache Kafka, as processes: how many
// records a second it answers, what processor time each costs, and how long an
// answer takes at a steady rate.
//
//	go run ./bench/e2e                                        what exactly once costs
//	go run ./bench/e2e -variants exactly-once/lz4,exactly-once/zstd,exactly-once/none
//
// Variants are measured in turn, several rounds of all of them, and each figure is
// the median of its rounds: the machine's mood changes from minute to minute, and
// so meets all variants. Throughput scatters more than anything else, by half from
// one round to the next, so it has many rounds, short ones and right after each other, every
// second one in the opposite order. The first rounds do not count: a broker that
// has just been started interprets most of its code. The exit code is 1 where
// exactly once costs more than was promised: a tenth of the throughput, or 20 ms at
// p99.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"starplan/bench/fleet"
	"starplan/internal/kafkatest"
)

// The promises.
const (
	leastThroughput = 0.9
	mostDelay       = 20 * time.Millisecond
)

type options struct {
	records     int
	rate        float64
	last        time.Duration
	rounds      int // In which throughput is measured.
	delayRounds int
	warmUp      int // Rounds of both, before those that count.
	variants    []variant
	heap        string
	limit       time.Duration
}

// variant is how the service is configured.
type variant struct {
	delivery    string
	compression string
}

func (v variant) String() string { return v.delivery + "/" + v.compression }

func parseVariants(list string) ([]variant, error) {
	var variants []variant
	for text := range strings.SplitSeq(list, ",") {
		delivery, compression, ok := strings.Cut(text, "/")
		if !ok {
			return nil, fmt.Errorf("-variants: want DELIVERY/COMPRESSION such as exactly-once/lz4, got %q", text)
		}
		variants = append(variants, variant{delivery, compression})
	}
	return variants, nil
}

func main() {
	var o options
	flag.IntVar(&o.records, "records", 60_000, "records that lie on the topic when throughput is measured")
	flag.Float64Var(&o.rate, "rate", 500, "records a second when delay is measured")
	flag.DurationVar(&o.last, "last", 15*time.Second, "how long delay is measured")
	flag.IntVar(&o.rounds, "rounds", 20, "rounds of all variants in which throughput is measured")
	flag.IntVar(&o.delayRounds, "delay-rounds", 5, "rounds of all variants in which delay is measured")
	flag.IntVar(&o.warmUp, "warm-up", 4, "rounds before those, of both, which do not count: the broker's virtual machine is still compiling")
	flag.StringVar(&o.heap, "heap", "6g", "the broker's heap; its start script takes 1g, and its manual says that this is typical")
	flag.DurationVar(&o.limit, "limit", 30*time.Minute, "end after this long at the latest")
	list := flag.String("variants", "at-least-once/lz4,exactly-once/lz4", "what to measure: DELIVERY/COMPRESSION, comma-separated")
	flag.Parse()
	var err error
	if o.variants, err = parseVariants(*list); err != nil || o.rounds < 1 || o.delayRounds < 1 || o.warmUp < 0 || o.records < 1 {
		fmt.Fprintln(os.Stderr, "bench/e2e:", cmp.Or(err, errors.New("want at least one record, one round of each kind, and 0 rounds to warm up")))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench/e2e:", err)
		os.Exit(1)
	}
}

// figures of one variant in one round; what it did not measure is 0.
type figures struct {
	perSecond             float64
	self, workers, broker time.Duration // Of processor time, a record.
	p50, p99              time.Duration
}

// kind is what a round measures.
type kind struct {
	throughput, delay bool
}

func (k kind) String() string {
	switch {
	case !k.delay:
		return "throughput"
	case !k.throughput:
		return "delay"
	}
	return "warm-up"
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "starplan-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // It is in the temporary directory.
	program, err := fleet.Build(ctx, dir)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	broker, err := kafkatest.Start(ctx, kafkatest.Options{Kind: kafkatest.Kafka, Heap: o.heap, Logger: log})
	if err != nil {
		return err
	}
	defer func() { _ = broker.Close() }() // Nobody needs its data any more.
	b := bench{options: o, broker: broker, program: program, dir: dir, log: log}
	if _, err := b.rounds(ctx, kind{throughput: true, delay: true}, o.warmUp); err != nil {
		return err
	}
	throughput, err := b.rounds(ctx, kind{throughput: true}, o.rounds)
	if err != nil {
		return err
	}
	delay, err := b.rounds(ctx, kind{delay: true}, o.delayRounds)
	if err != nil {
		return err
	}
	return report(o, throughput, delay)
}

// bench is what all rounds have in common.
type bench struct {
	options
	broker  kafkatest.Broker
	program string
	dir     string
	log     *slog.Logger
	tenants int
}

// rounds measures all variants count times; the figures of a variant come in the
// order of rounds.
func (b *bench) rounds(ctx context.Context, k kind, count int) (map[variant][]figures, error) {
	all := make(map[variant][]figures)
	for round := range count {
		variants := slices.Clone(b.variants)
		if round%2 == 1 {
			slices.Reverse(variants)
		}
		for _, v := range variants {
			b.tenants++
			m := measurement{bench: b, kind: k, variant: v, tenant: fmt.Sprintf("bench-%d", b.tenants)}
			f, err := m.run(ctx)
			if err != nil {
				return nil, fmt.Errorf("%v: %w", v, err)
			}
			log := b.log
			if k.throughput {
				log = log.With("records_per_second", int(f.perSecond))
			}
			if k.delay {
				log = log.With("p50", f.p50, "p99", f.p99)
			}
			log.Info("measured", "what", k.String(), "round", round+1, "of", count, "variant", v.String())
			all[v] = append(all[v], f)
		}
	}
	return all, nil
}

// report prints the medians, and compares exactly once with at least once.
func report(o options, throughput, delay map[variant][]figures) error {
	fmt.Printf("throughput: medians of %d rounds of %d records; delay: medians of %d rounds of %v at %.0f a second; broker's heap %s\n\n", o.rounds, o.records, o.delayRounds, o.last, o.rate, o.heap)
	fmt.Println("| variant | records/s | service, a record | workers, a record | broker, a record | delay p50 | p99 |")
	fmt.Println("|---|---|---|---|---|---|---|")
	medians := make(map[variant]figures)
	for _, v := range o.variants {
		f := figures{
			perSecond: median(throughput[v], func(f figures) float64 { return f.perSecond }),
			self:      median(throughput[v], func(f figures) time.Duration { return f.self }),
			workers:   median(throughput[v], func(f figures) time.Duration { return f.workers }),
			broker:    median(throughput[v], func(f figures) time.Duration { return f.broker }),
			p50:       median(delay[v], func(f figures) time.Duration { return f.p50 }),
			p99:       median(delay[v], func(f figures) time.Duration { return f.p99 }),
		}
		medians[v] = f
		fmt.Printf("| %v | %.0f | %.1f µs | %.1f µs | %.1f µs | %.1f ms | %.1f ms |\n", v, f.perSecond, us(f.self), us(f.workers), us(f.broker), ms(f.p50), ms(f.p99))
	}
	var errs []error
	for _, v := range o.variants {
		other := variant{"at-least-once", v.compression}
		base, ok := medians[other]
		if v.delivery != "exactly-once" || !ok {
			continue
		}
		// Rounds are compared one by one: neighbours in time had the same machine.
		list := ratios(throughput[v], throughput[other])
		same := func(r float64) float64 { return r }
		ratio := median(list, same)
		more := medians[v].p99 - base.p99
		fmt.Printf("\n%v: %.2f of the throughput of at-least-once (half of the rounds are from %.2f to %.2f), and %+.1f ms at p99\n",
			v, ratio, quantile(list, 0.25, same), quantile(list, 0.75, same), ms(more))
		if ratio < leastThroughput || more > mostDelay {
			errs = append(errs, fmt.Errorf("%v: want %.2f of the throughput or more, and %v more at p99 or less", v, leastThroughput, mostDelay))
		}
	}
	return errors.Join(errs...)
}

func ratios(of, to []figures) []float64 {
	var list []float64
	for i := range min(len(of), len(to)) {
		list = append(list, of[i].perSecond/to[i].perSecond)
	}
	return list
}

func us(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// median of what get gives of each of the list; the lower one of two.
func median[T any, V cmp.Ordered](list []T, get func(T) V) V { return quantile(list, 0.5, get) }

// quantile q of what get gives of each of the list, which is not empty; the lower
// one of two.
func quantile[T any, V cmp.Ordered](list []T, q float64, get func(T) V) V {
	values := make([]V, len(list))
	for i, x := range list {
		values[i] = get(x)
	}
	slices.Sort(values)
	return values[int(q*float64(len(values)-1))]
}

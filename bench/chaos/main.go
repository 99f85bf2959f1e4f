package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"starplan/bench/check"
	"starplan/bench/fleet"
	"starplan/bench/load"
	"starplan/internal/kafkatest"
)

const tenant = "chaos"

var scenarios = []string{"faults", "recovery", "neighbours", "rolling"}

// options are the flags.
type options struct {
	scenario string
	delivery string
	inputs   int
	rate     float64
	keys     int
	slow     int
	members  int
	session  time.Duration
	seed     uint64
	limit    time.Duration
	program  string
	faults   counts
	// partitions of both topics; brokers that keep them.
	partitions, brokers int
	// keep the logs of the members, also when all is well.
	keep bool
}

func main() {
	var o options
	flag.StringVar(&o.scenario, "scenario", "faults", "faults, recovery, neighbours or rolling")
	flag.StringVar(&o.delivery, "delivery", "exactly-once", "exactly-once or at-least-once")
	flag.IntVar(&o.inputs, "inputs", 200_000, "inputs to produce")
	flag.Float64Var(&o.rate, "rate", 2000, "inputs a second")
	flag.IntVar(&o.keys, "keys", 20, "record keys")
	flag.IntVar(&o.slow, "slow", 100, "inputs that burn a second or two")
	flag.IntVar(&o.members, "members", 0, "members of the group; 0 for what suits the scenario")
	flag.DurationVar(&o.session, "session", 0, "KAFKA_SESSION_TIMEOUT; 0 for what suits the scenario")
	flag.Uint64Var(&o.seed, "seed", 1, "seed of times, targets and inputs")
	flag.DurationVar(&o.limit, "limit", 10*time.Minute, "end after this long at the latest")
	flag.StringVar(&o.program, "program", "", "starplan to run; none has it built from what is here")
	flag.BoolVar(&o.keep, "keep", false, "keep the members' logs, also when all is well")
	o.faults.flags()
	flag.Parse()
	if !slices.Contains(scenarios, o.scenario) {
		fmt.Fprintf(os.Stderr, "chaos: -scenario: want one of %v, got %q\n", scenarios, o.scenario)
		os.Exit(2)
	}
	o.suit()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// suit fills in what was left open.
func (o *options) suit() {
	suits := map[string]struct {
		members, partitions, brokers int
		session                      time.Duration
	}{
		// Where everything breaks all the time, more members lose less at each break.
		"faults":     {members: 3, partitions: 12, brokers: 1, session: 4 * time.Second},
		"recovery":   {members: 2, partitions: 8, brokers: 1, session: 10 * time.Second},
		"neighbours": {members: 1, partitions: 1, brokers: 1, session: 10 * time.Second},
		"rolling":    {members: 2, partitions: 6, brokers: 3, session: 10 * time.Second},
	}
	s := suits[o.scenario]
	o.partitions, o.brokers = s.partitions, s.brokers
	if o.members == 0 {
		o.members = s.members
	}
	if o.session == 0 {
		o.session = s.session
	}
}

// world is everything that a scenario runs in.
type world struct {
	options
	log     *slog.Logger
	broker  kafkatest.Broker
	fleet   *fleet.Fleet
	plans   string
	checker *check.Checker
	arrived *arrivals
	// slowLoops last for slowLasts.
	slowLoops int
}

func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "starplan-chaos-")
	if err != nil {
		return err
	}
	defer func() {
		if o.keep {
			fmt.Println("logs are in", dir)
			return
		}
		if err == nil {
			_ = os.RemoveAll(dir) // It is in the temporary directory.
			return
		}
		err = fmt.Errorf("%w (logs are in %s)", err, dir)
	}()
	w, err := build(ctx, o, dir)
	if err != nil {
		return err
	}
	defer func() { _ = w.broker.Close() }() // Nobody needs its data any more.
	reader, stop, err := w.read(ctx)
	if err != nil {
		return err
	}
	defer stop()
	for range o.members {
		if _, err := w.fleet.Start(); err != nil {
			return err
		}
	}
	watching, unwatch := context.WithCancel(ctx)
	defer unwatch()
	go w.watch(watching)
	begin := time.Now()
	switch o.scenario {
	case "faults":
		err = w.breakThings(ctx)
	case "recovery":
		err = w.recovery(ctx)
	case "neighbours":
		err = w.neighbours(ctx)
	case "rolling":
		err = w.rolling(ctx)
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	err = errors.Join(err, w.fleet.StopAll(ending), reader.CatchUp(ending))
	report := w.checker.Report()
	fmt.Println(report)
	fmt.Printf("%s, %s: %d inputs in %v, seed %d\n", o.scenario, o.delivery, report.Inputs, time.Since(begin).Round(time.Second), o.seed)
	if o.delivery == "exactly-once" {
		return errors.Join(err, report.ExactlyOnce())
	}
	return errors.Join(err, report.AtLeastOnce())
}

// build makes the program, the broker, the topics and the plans.
func build(ctx context.Context, o options, dir string) (*world, error) {
	w := &world{options: o, log: slog.New(slog.NewTextHandler(os.Stderr, nil)), plans: filepath.Join(dir, "plans"), checker: check.New(), arrived: newArrivals()}
	w.checker.Partitions = o.partitions
	loops, err := load.Loops(slowLasts)
	if err != nil {
		return nil, err
	}
	w.slowLoops = loops
	program := o.program
	if program == "" {
		if program, err = fleet.Build(ctx, dir); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(w.plans, 0o755); err != nil {
		return nil, err
	}
	if err := w.writePlans(0); err != nil {
		return nil, err
	}
	w.broker, err = kafkatest.Start(ctx, kafkatest.Options{Kind: kafkatest.Kafka, Nodes: o.brokers, Heap: "1g", Logger: w.log})
	if err != nil {
		return nil, err
	}
	if err := kafkatest.CreateTopics(ctx, w.broker.Addr(), o.partitions, "plan-inputs-"+tenant, "plan-executions-"+tenant); err != nil {
		return nil, errors.Join(err, w.broker.Close())
	}
	w.fleet = fleet.New(program, dir, []string{
		"TENANT_ID=" + tenant, "PLAN_PATH=" + w.plans, "KAFKA_BOOTSTRAP_SERVERS=" + w.broker.Addr(),
		"DELIVERY=" + o.delivery, "HTTP_ADDR=127.0.0.1:0", "KAFKA_SESSION_TIMEOUT=" + o.session.String(), "LOG_LEVEL=info",
	})
	return w, nil
}

// planNames are the plans; each occurs in so many graphs that there are as many
// keys as were asked for.
var planNames = []string{"collect", "route"}

// writePlans writes the plans with a comment that makes them another version and
// changes nothing.
func (w *world) writePlans(version int) error {
	for _, name := range planNames {
		text := fmt.Sprintf("%s\n# Version %d.\n", load.Plan, version)
		path := filepath.Join(w.plans, name+".star")
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			return err
		}
		if err := os.Rename(path+".new", path); err != nil {
			return err
		}
	}
	return nil
}

// read begins to read executions; the function ends that.
func (w *world) read(ctx context.Context) (*check.Reader, func(), error) {
	reader, err := check.NewReader(check.ReaderOptions{
		Brokers: strings.Split(w.broker.Addr(), ","), Topic: "plan-executions-" + tenant, Committed: w.delivery == "exactly-once",
		Each: func(a check.Answer) {
			w.arrived.note(a)
			w.checker.Found(a)
		},
	})
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var done sync.WaitGroup
	done.Go(func() { reader.Run(ctx) })
	return reader, func() { cancel(); done.Wait() }, nil
}

// watch tells every few seconds how far things are.
func (w *world) watch(ctx context.Context) {
	for sleep(ctx, 5*time.Second) {
		w.log.Info("progress", "answered", w.checker.Answered(), "open", w.checker.Open())
	}
}

// slowLasts is what the slow records burn on an idle machine; with both cores
// busy, as they are, it becomes a second or two.
const slowLasts = time.Second

// traffic is what is produced.
func (w *world) traffic() load.Options {
	return load.Options{
		Brokers: strings.Split(w.broker.Addr(), ","), Topic: "plan-inputs-" + tenant,
		Plans: planNames, Graphs: max(1, w.keys/len(planNames)),
		Count: w.inputs, Rate: w.rate, Timeout: w.limit, Seed: w.seed,
		Share:     map[load.Kind]float64{load.Failing: 0.02, load.Slow: float64(w.slow) / float64(w.inputs)},
		SlowLoops: w.slowLoops,
		Produced: func(in check.Input) {
			w.arrived.produced(in)
			w.checker.Produced(in)
		},
	}
}

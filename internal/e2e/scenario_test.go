package e2e

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/bench/check"
	"starplan/bench/load"
	"starplan/internal/kafkatest"
)

// The traffic of a scenario.
const (
	inputs     = 2000
	partitions = 4
	rate       = 1500 // a second
)

// timeout bounds a scenario. Some start the program half a dozen times.
const timeout = 2 * time.Minute

var plans = []string{"collect", "route", "retry"}

// scenario is a tenant with its topics, its plans and the checker between them.
type scenario struct {
	t       *testing.T
	ctx     context.Context
	tenant  string
	addr    string // of the broker
	dir     string // of the plans
	checker *check.Checker
	reader  *check.Reader
}

// newScenario makes a tenant on the suite's broker.
func newScenario(t *testing.T) *scenario {
	t.Helper()
	s := prepare(t, suite.broker.Addr())
	s.createTopics()
	return s
}

// prepare makes a tenant without topics.
func prepare(t *testing.T, addr string) *scenario {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	t.Cleanup(cancel)
	var id [4]byte
	_, _ = rand.Read(id[:]) // It never fails.
	s := &scenario{t: t, ctx: ctx, tenant: "e2e-" + hex.EncodeToString(id[:]), addr: addr, dir: t.TempDir(), checker: check.New()}
	s.checker.Partitions = partitions
	s.writePlans(load.Plan)
	return s
}

func (s *scenario) writePlans(source string) {
	s.t.Helper()
	for _, name := range plans {
		must(s.t, os.WriteFile(filepath.Join(s.dir, name+".star"), []byte(source), 0o644))
	}
}

func (s *scenario) inputTopic() string  { return "plan-inputs-" + s.tenant }
func (s *scenario) outputTopic() string { return "plan-executions-" + s.tenant }

// createTopics creates the topics and begins to read executions.
func (s *scenario) createTopics() {
	s.t.Helper()
	must(s.t, kafkatest.CreateTopics(s.ctx, s.addr, partitions, s.inputTopic(), s.outputTopic()))
	var err error
	s.reader, err = check.NewReader(check.ReaderOptions{Brokers: []string{s.addr}, Topic: s.outputTopic(), Committed: true, Each: s.checker.Found})
	must(s.t, err)
	reading, stop := context.WithCancel(context.WithoutCancel(s.ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.reader.Run(reading)
	}()
	s.t.Cleanup(func() {
		stop()
		<-done
	})
}

// start starts a service for this tenant; more of its environment comes in pairs.
func (s *scenario) start(more ...string) *service {
	s.t.Helper()
	return startService(s.ctx, s.t, s.environment(more...))
}

func (s *scenario) environment(more ...string) map[string]string {
	env := map[string]string{
		"TENANT_ID": s.tenant, "PLAN_PATH": s.dir, "PLAN_NAME": strings.Join(plans, ","),
		"KAFKA_BOOTSTRAP_SERVERS": s.addr,
	}
	for i := 0; i < len(more); i += 2 {
		env[more[i]] = more[i+1]
	}
	return env
}

// traffic is what the load is made of.
func (s *scenario) traffic() load.Options {
	return load.Options{
		Brokers: []string{s.addr}, Topic: s.inputTopic(), Plans: plans, Graphs: 4, Count: inputs, Rate: rate, Timeout: timeout,
		Share: map[load.Kind]float64{
			load.Failing: 0.1, load.Undecodable: 5.0 / inputs, load.Foreign: 0.02, load.Tombstone: 0.01, load.NoKey: 0.01,
			// Some records take their time, so that others are in flight behind them.
			load.Slow: 0.01,
		},
		SlowLoops: 50_000,
		Produced:  s.checker.Produced,
	}
}

// traffic that is under way.
type producing struct {
	s    *scenario
	done chan struct{}
	err  error
}

// produce puts the load on the topic in the background.
func (s *scenario) produce(opts load.Options) *producing {
	p := &producing{s: s, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_, p.err = load.Run(s.ctx, opts)
	}()
	s.t.Cleanup(func() { <-p.done })
	return p
}

// wait returns when all of it is on the topic.
func (p *producing) wait() {
	p.s.t.Helper()
	<-p.done
	must(p.s.t, p.err)
}

// inTheMiddle fails the test where all is over already: what it is about to do
// would then prove nothing.
func (p *producing) inTheMiddle() {
	p.s.t.Helper()
	select {
	case <-p.done:
		if p.s.checker.Open() == 0 {
			p.s.t.Error("everything was answered before the middle")
		}
	default:
	}
}

// answered waits until n inputs were answered.
func (s *scenario) answered(n int) {
	s.t.Helper()
	must(s.t, s.checker.WaitFound(s.ctx, n))
}

// settled waits until every input is answered and every offset is committed.
func (s *scenario) settled() {
	s.t.Helper()
	must(s.t, s.checker.Wait(s.ctx))
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.addr))
	must(s.t, err)
	defer cl.Close()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	group := "executors-" + s.tenant
	for {
		lag, err := s.lag(cl, group)
		if err == nil && lag == 0 {
			return
		}
		select {
		case <-again.C:
		case <-s.ctx.Done():
			s.t.Fatalf("group %s: lag %d, %v; want 0 with all inputs answered", group, lag, err)
		}
	}
}

// lag is the number of records of the input topic that the group has not committed.
func (s *scenario) lag(cl *kgo.Client, group string) (int64, error) {
	adm := kadm.NewClient(cl)
	ends, err := adm.ListEndOffsets(s.ctx, s.inputTopic())
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return -1, err
	}
	offsets, err := adm.FetchOffsets(s.ctx, group)
	if err != nil {
		return -1, err
	}
	lag := int64(0)
	ends.Each(func(end kadm.ListedOffset) {
		at := int64(0)
		if o, ok := offsets.Lookup(end.Topic, end.Partition); ok && o.At > 0 {
			at = o.At
		}
		lag += end.Offset - at
	})
	return lag, nil
}

// report reads the output to its end and compares. All services have ended.
func (s *scenario) report() *check.Report {
	s.t.Helper()
	must(s.t, s.reader.CatchUp(s.ctx))
	r := s.checker.Report()
	s.t.Log(r)
	return r
}

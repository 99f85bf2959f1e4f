package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"starplan/bench/check"
	"starplan/bench/fleet"
	"starplan/bench/load"
	"starplan/internal/kafkatest"
)

// partitions of both topics.
const partitions = 8

// plans that answer; each has a key of its own in twenty graphs.
var plans = []string{"collect", "route"}

// measurement is one variant in one round: a tenant of its own on the broker.
type measurement struct {
	*bench
	kind    kind
	variant variant
	tenant  string

	checker *check.Checker

	mu     sync.Mutex
	sent   map[string]time.Time // By exec_id.
	delays []time.Duration
	first  time.Time // Arrival of the first answer, and the last.
	last   time.Time
	count  int
}

func (m *measurement) run(ctx context.Context) (f figures, err error) {
	m.checker = check.New()
	m.sent = make(map[string]time.Time)
	dir := filepath.Join(m.dir, m.tenant)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return f, err
	}
	for _, name := range plans {
		if err := os.WriteFile(filepath.Join(dir, name+".star"), []byte(load.Plan), 0o600); err != nil {
			return f, err
		}
	}
	if err := kafkatest.CreateTopics(ctx, m.broker.Addr(), partitions, "plan-inputs-"+m.tenant, "plan-executions-"+m.tenant); err != nil {
		return f, err
	}
	stop, err := m.read(ctx)
	if err != nil {
		return f, err
	}
	defer stop()
	members := fleet.New(m.program, dir, []string{
		"TENANT_ID=" + m.tenant, "PLAN_PATH=" + dir, "KAFKA_BOOTSTRAP_SERVERS=" + m.broker.Addr(), "HTTP_ADDR=127.0.0.1:0",
		"DELIVERY=" + m.variant.delivery, "KAFKA_COMPRESSION=" + m.variant.compression,
	})
	if m.kind.throughput {
		if err := m.throughput(ctx, members, &f); err != nil {
			return f, err
		}
	} else if _, err := members.Start(); err != nil {
		return f, err
	}
	if m.kind.delay {
		if err := m.delay(ctx, &f); err != nil {
			return f, err
		}
	}
	ending, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := members.StopAll(ending); err != nil {
		return f, err
	}
	// A fast service that does not do its work is none.
	return f, m.checker.Report().ExactlyOnce()
}

// throughput has a member answer what lies on the topic already.
func (m *measurement) throughput(ctx context.Context, members *fleet.Fleet, f *figures) error {
	if err := m.produce(ctx, m.records, 0); err != nil {
		return err
	}
	member, err := members.Start()
	if err != nil {
		return err
	}
	// From the first answer on: what comes before is the start of the process.
	if err := m.checker.WaitFound(ctx, 1); err != nil {
		return err
	}
	self, workers := member.CPU()
	broker := m.brokerCPU()
	begun := m.checker.Open()
	select {
	case <-member.Ended():
		return errors.New("the service ended by itself")
	default:
	}
	if err := m.checker.Wait(ctx); err != nil {
		return err
	}
	selfEnd, workersEnd := member.CPU()
	brokerEnd := m.brokerCPU()
	m.mu.Lock()
	defer m.mu.Unlock()
	f.perSecond = float64(m.count-1) / m.last.Sub(m.first).Seconds()
	f.self = (selfEnd - self) / time.Duration(max(1, begun))
	f.workers = (workersEnd - workers) / time.Duration(max(1, begun))
	f.broker = (brokerEnd - broker) / time.Duration(max(1, begun))
	return nil
}

// brokerCPU is the processor time that the broker has taken so far.
func (m *measurement) brokerCPU() (sum time.Duration) {
	if cluster, ok := m.broker.(*kafkatest.Cluster); ok {
		for _, node := range cluster.Nodes() {
			own, _ := fleet.ProcessorTime(node.Pid())
			sum += own
		}
	}
	return sum
}

// delay has it answer at a steady rate.
func (m *measurement) delay(ctx context.Context, f *figures) error {
	// The first second shows what it takes to fall into step, and to start.
	if err := m.produce(ctx, int(m.rate), m.rate); err != nil {
		return err
	}
	if err := m.checker.Wait(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	m.delays = nil
	m.mu.Unlock()
	if err := m.produce(ctx, int(m.rate*m.options.last.Seconds()), m.rate); err != nil {
		return err
	}
	if err := m.checker.Wait(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	slices.Sort(m.delays)
	if len(m.delays) == 0 {
		return errors.New("no delays were measured")
	}
	at := func(p float64) time.Duration { return m.delays[int(p*float64(len(m.delays)-1))] }
	f.p50, f.p99 = at(0.5), at(0.99)
	return nil
}

func (m *measurement) produce(ctx context.Context, count int, rate float64) error {
	_, err := load.Run(ctx, load.Options{
		Brokers: []string{m.broker.Addr()}, Topic: "plan-inputs-" + m.tenant, Plans: plans, Graphs: 20, Count: count, Rate: rate,
		Timeout: m.limit, Seed: uint64(m.checker.Open()),
		Produced: func(in check.Input) {
			m.mu.Lock()
			m.sent[check.ExecID(in.Topic, in.Partition, in.Offset, in.Timestamp)] = in.Timestamp
			m.mu.Unlock()
			m.checker.Produced(in)
		},
	})
	return err
}

// read begins to read committed executions; the function ends that.
func (m *measurement) read(ctx context.Context) (stop func(), err error) {
	reader, err := check.NewReader(check.ReaderOptions{
		Brokers: []string{m.broker.Addr()}, Topic: "plan-executions-" + m.tenant, Committed: true,
		Each: func(a check.Answer) {
			m.note(a)
			m.checker.Found(a)
		},
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() { reader.Run(ctx) })
	return func() {
		cancel()
		done.Wait()
	}, nil
}

func (m *measurement) note(a check.Answer) {
	now, id := time.Now(), a.ExecID()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.count++; m.count == 1 {
		m.first = now
	}
	m.last = now
	if sent, ok := m.sent[id]; ok {
		m.delays = append(m.delays, now.Sub(sent))
	}
}

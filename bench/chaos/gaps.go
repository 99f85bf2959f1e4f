package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"starplan/bench/check"
	"starplan/bench/load"
)

// arrivals notes when executions arrive: by partition, for gaps, and by key, for
// how long after their inputs.
type arrivals struct {
	mu   sync.Mutex
	last map[int32]time.Time
	// gap is the longest time without an execution in a partition since reset.
	gap time.Duration
	// sent is when inputs were written, by exec_id.
	sent   map[string]time.Time
	delays map[string][]time.Duration // By key.
}

func newArrivals() *arrivals {
	return &arrivals{last: make(map[int32]time.Time), sent: make(map[string]time.Time), delays: make(map[string][]time.Duration)}
}

func (a *arrivals) produced(in check.Input) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sent[check.ExecID(in.Topic, in.Partition, in.Offset, in.Timestamp)] = in.Timestamp
}

func (a *arrivals) note(ans check.Answer) {
	now := time.Now()
	id := ans.ExecID()
	a.mu.Lock()
	defer a.mu.Unlock()
	if sent, ok := a.sent[id]; ok {
		a.delays[string(ans.Key)] = append(a.delays[string(ans.Key)], now.Sub(sent))
	}
	if last, ok := a.last[ans.Partition]; ok {
		a.gap = max(a.gap, now.Sub(last))
	}
	a.last[ans.Partition] = now
}

// reset begins a new measurement of gaps.
func (a *arrivals) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gap = 0
}

// forget drops the delays that were noted so far.
func (a *arrivals) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.delays)
}

// longest gives the longest gap since reset, one that lasts included.
func (a *arrivals) longest() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	longest := a.gap
	for _, last := range a.last {
		longest = max(longest, time.Since(last))
	}
	return longest
}

// recovery breaks one thing after the other, and measures how long output stops
// in any partition.
func (w *world) recovery(ctx context.Context) error {
	const settle = 3 * time.Second
	steps := []struct {
		name  string
		limit time.Duration
		// watch is how long it is looked for a gap after do.
		watch time.Duration
		do    func(ctx context.Context) error
		// outage: what happens while it is done is not the service's to answer for.
		outage bool
	}{
		{"kill -9 of a member", 13 * time.Second, 15 * time.Second, w.replaceMember(0, 0, true), false},
		{"a member leaves", time.Second, 3 * time.Second, func(ctx context.Context) error { return w.fleet.Pick(0).Stop(ctx) }, false},
		{"a member joins", time.Second, 5 * time.Second, func(context.Context) error {
			_, err := w.fleet.Start()
			return err
		}, false},
		{"the broker returns", 5 * time.Second, 8 * time.Second, w.brokerDown(5 * time.Second), true},
	}
	finish := w.steady(ctx)
	var errs []error
	for _, step := range steps {
		sleep(ctx, settle)
		w.arrived.reset()
		begin := time.Now()
		errs = append(errs, step.do(ctx))
		took := time.Since(begin)
		sleep(ctx, step.watch)
		gap := w.arrived.longest()
		if step.outage {
			gap = max(0, gap-took)
		}
		fmt.Printf("%-22s longest gap in output of a partition %v, want below %v\n", step.name, gap.Round(time.Millisecond), step.limit)
		if gap > step.limit {
			errs = append(errs, fmt.Errorf("%s: gap of %v, want below %v", step.name, gap, step.limit))
		}
	}
	return errors.Join(append(errs, finish())...)
}

// steady has inputs produced until finish is called, which waits until all are
// answered. No plan fails, and none is slow: a slow record is a gap of its own.
func (w *world) steady(ctx context.Context) (finish func() error) {
	traffic := w.traffic()
	traffic.Share = nil
	traffic.Count = int(w.limit.Seconds() * w.rate) // More than is needed: it is stopped.
	producing, stop := context.WithCancel(ctx)
	produced := make(chan error, 1)
	go func() {
		_, err := load.Run(producing, traffic)
		produced <- err
	}()
	return func() error {
		stop()
		err := <-produced
		if errors.Is(err, context.Canceled) {
			err = nil
		}
		return errors.Join(err, w.checker.Wait(ctx))
	}
}

// neighbours has a plan that burns ten seconds a record beside a fast one in the
// same partition, and measures how long the fast one's answers take.
func (w *world) neighbours(ctx context.Context) error {
	const warm, last = 5 * time.Second, 40 * time.Second
	fast := w.traffic()
	fast.Plans, fast.Graphs, fast.Rate, fast.Share = planNames[1:], 0, 50, nil
	// A member that still joins, and a broker that still warms up, are not what is
	// measured.
	fast.Count = int(warm.Seconds() * fast.Rate)
	if _, err := load.Run(ctx, fast); err != nil {
		return err
	}
	if err := w.checker.Wait(ctx); err != nil {
		return err
	}
	w.arrived.forget()
	fast.Count = int(last.Seconds() * fast.Rate)
	produced := make(chan error, 2)
	go func() {
		_, err := load.Run(ctx, fast)
		produced <- err
	}()
	go func() { produced <- w.burn(ctx, planNames[0], last) }()
	err := errors.Join(<-produced, <-produced, w.checker.Wait(ctx))
	for _, name := range planNames {
		delays := w.arrived.of(name)
		fmt.Printf("%-8s %4d answers, p50 %v, p99 %v, longest %v\n", name, len(delays),
			percentile(delays, 0.5).Round(time.Millisecond), percentile(delays, 0.99).Round(time.Millisecond), percentile(delays, 1).Round(time.Millisecond))
	}
	if p99 := percentile(w.arrived.of(planNames[1]), 0.99); p99 > 100*time.Millisecond {
		err = errors.Join(err, fmt.Errorf("p99 of the fast plan is %v, want below 100ms", p99))
	}
	return err
}

// burn gives a plan a record every ten seconds that keeps it busy for as long. A
// machine that has become slower since it was measured gets them less often:
// several at once would be another plan.
func (w *world) burn(ctx context.Context, plan string, last time.Duration) error {
	const every = 10 * time.Second
	slow := w.traffic()
	slow.Plans, slow.Graphs, slow.Count = []string{plan}, 0, 1
	slow.Share, slow.SlowLoops = map[load.Kind]float64{load.Slow: 1}, int(float64(w.slowLoops)*float64(every)/float64(slowLasts))
	for begin, n := time.Now(), 0; time.Since(begin) < last; n++ {
		next := time.Now().Add(every)
		if _, err := load.Run(ctx, slow); err != nil {
			return err
		}
		for time.Now().Before(next) || len(w.arrived.of(plan)) <= n {
			if !sleep(ctx, 10*time.Millisecond) {
				return ctx.Err()
			}
		}
	}
	return nil
}

// of gives the delays of a key's executions.
func (a *arrivals) of(key string) []time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.delays[key])
}

// percentile of delays, 0 to 1; 0 for none.
func percentile(delays []time.Duration, p float64) time.Duration {
	if len(delays) == 0 {
		return 0
	}
	slices.Sort(delays)
	return delays[int(p*float64(len(delays)-1))]
}

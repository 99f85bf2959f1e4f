package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"starplan/bench/load"
)

// counts say how often each thing is broken.
type counts struct {
	kill, stop, join, brokerKill, brokerFreeze, reload, worker int
}

func (c *counts) flags() {
	flag.IntVar(&c.kill, "kill", 10, "members to kill with -9")
	flag.IntVar(&c.stop, "stop", 5, "members to stop with SIGTERM")
	flag.IntVar(&c.join, "join", 6, "members that join and leave")
	flag.IntVar(&c.brokerKill, "broker-kill", 3, "times to kill the broker with -9")
	flag.IntVar(&c.brokerFreeze, "broker-freeze", 1, "times to freeze the broker with SIGSTOP for ten seconds")
	flag.IntVar(&c.reload, "reload", 20, "times to reload plans with another comment")
	flag.IntVar(&c.worker, "worker", 50, "workers to kill with -9")
}

// fault is one thing that is broken at one time.
type fault struct {
	at   time.Duration
	name string
	do   func(ctx context.Context) error
}

// breakThings produces the traffic while the faults happen, and waits until all
// of it was answered.
func (w *world) breakThings(ctx context.Context) error {
	draw := rand.New(rand.NewPCG(w.seed, 0))
	traffic := time.Duration(float64(w.inputs) / w.rate * float64(time.Second))
	plan := w.schedule(draw, traffic)
	produced := make(chan error, 1)
	go func() {
		_, err := load.Run(ctx, w.traffic())
		produced <- err
	}()
	var running sync.WaitGroup
	errs := make(chan error, len(plan))
	begin := time.Now()
	for _, f := range plan {
		if !sleep(ctx, f.at-time.Since(begin)) {
			break
		}
		w.log.Info("fault", "what", f.name, "at", f.at.Round(time.Millisecond))
		running.Go(func() { errs <- f.do(ctx) })
	}
	running.Wait()
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	all = append(all, <-produced)
	w.log.Info("all is produced, and nothing breaks any more", "open", w.checker.Open())
	return errors.Join(append(all, w.checker.Wait(ctx))...)
}

// schedule spreads the faults over the time of the traffic, at random. Those of
// the broker get a stretch of time each, since they last.
func (w *world) schedule(draw *rand.Rand, traffic time.Duration) []fault {
	first, last := traffic/20, traffic-traffic/10
	sometime := func() time.Duration { return first + time.Duration(draw.Int64N(int64(last-first))) }
	var plan []fault
	add := func(n int, name string, do func(n int) func(ctx context.Context) error) {
		for i := range n {
			plan = append(plan, fault{at: sometime(), name: name, do: do(i)})
		}
	}
	which := func() int { return draw.IntN(1 << 20) }
	add(w.faults.kill, "kill -9 of a member", func(int) func(context.Context) error { return w.replaceMember(which(), draw.IntN(3000), true) })
	add(w.faults.stop, "SIGTERM to a member", func(int) func(context.Context) error { return w.replaceMember(which(), draw.IntN(3000), false) })
	add(w.faults.join, "a member joins, and leaves", func(int) func(context.Context) error {
		return w.visit(time.Duration(3000+draw.IntN(5000)) * time.Millisecond)
	})
	add(w.faults.reload, "reload", func(i int) func(context.Context) error {
		return func(context.Context) error {
			defer w.fleet.Reload()
			return w.writePlans(i + 1)
		}
	})
	add(w.faults.worker, "kill -9 of a worker", func(int) func(context.Context) error {
		i := which()
		return func(context.Context) error {
			w.fleet.KillWorker(i)
			return nil
		}
	})
	outages := w.faults.brokerKill + w.faults.brokerFreeze
	for i := range outages {
		stretch := (last - first) / time.Duration(outages)
		f := fault{at: first + stretch*time.Duration(i) + time.Duration(draw.Int64N(int64(stretch)/4+1))}
		if i < w.faults.brokerKill {
			down := min(time.Duration(2000+draw.IntN(8000))*time.Millisecond, stretch/2)
			f.name, f.do = fmt.Sprintf("kill -9 of the broker for %v", down), w.brokerDown(down)
		} else {
			down := min(10*time.Second, stretch/2)
			f.name, f.do = fmt.Sprintf("the broker is frozen for %v", down), w.brokerFrozen(down)
		}
		plan = append(plan, f)
	}
	slices.SortStableFunc(plan, func(a, b fault) int { return int(a.at - b.at) })
	return plan
}

// replaceMember ends a member and starts another some milliseconds later.
func (w *world) replaceMember(which, pause int, crash bool) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		m := w.fleet.Pick(which)
		if m == nil {
			return nil
		}
		if crash {
			m.Kill()
		} else {
			ending, cancel := context.WithTimeout(ctx, 30*time.Second)
			defer cancel()
			if err := m.Stop(ending); err != nil {
				return err
			}
		}
		sleep(ctx, time.Duration(pause)*time.Millisecond)
		_, err := w.fleet.Start()
		return err
	}
}

// visit has a member join and leave after a while.
func (w *world) visit(stay time.Duration) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		if _, err := w.fleet.Start(); err != nil {
			return err
		}
		sleep(ctx, stay)
		ending, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		if m := w.fleet.PickLast(); m != nil {
			return m.Stop(ending)
		}
		return nil
	}
}

func (w *world) brokerDown(down time.Duration) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		if err := w.broker.Kill(); err != nil {
			return err
		}
		sleep(ctx, down)
		return w.broker.Start(ctx)
	}
}

func (w *world) brokerFrozen(down time.Duration) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		if err := w.broker.Freeze(); err != nil {
			return err
		}
		sleep(ctx, down)
		return w.broker.Thaw()
	}
}

// sleep waits, and reports false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

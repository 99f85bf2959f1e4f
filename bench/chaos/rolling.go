package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"starplan/bench/load"
	"starplan/internal/kafkatest"
)

// rolling restarts three brokers one by one, as for an upgrade, under load. Topics
// have three replicas, two of which must have a record before it counts. Nothing may
// fail: every execution is to succeed.
func (w *world) rolling(ctx context.Context) error {
	cluster := w.broker.(*kafkatest.Cluster)
	const settle = 3 * time.Second
	traffic := w.traffic()
	traffic.Count = int(w.limit.Seconds() * w.rate) // More than is needed: it is stopped.
	traffic.Share = nil                             // No plan fails, and a slow record is a gap of its own.
	producing, stop := context.WithCancel(ctx)
	defer stop()
	produced := make(chan error, 1)
	go func() {
		_, err := load.Run(producing, traffic)
		produced <- err
	}()
	var errs []error
	for i, node := range cluster.Nodes() {
		sleep(ctx, settle)
		w.arrived.reset()
		stopping, cancel := context.WithTimeout(ctx, time.Minute)
		errs = append(errs, node.Stop(stopping))
		sleep(ctx, settle) // Long enough for all that it led to be led by others.
		errs = append(errs, node.Start(ctx), cluster.Ready(stopping))
		cancel()
		fmt.Printf("broker %d of %d was restarted; longest gap in output of a partition %v\n", i+1, w.brokers, w.arrived.longest().Round(time.Millisecond))
	}
	sleep(ctx, settle)
	stop()
	if err := <-produced; err != nil && !errors.Is(err, context.Canceled) {
		errs = append(errs, err)
	}
	return errors.Join(append(errs, w.checker.Wait(ctx))...)
}

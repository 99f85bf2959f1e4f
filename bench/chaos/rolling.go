package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"starplan/internal/kafkatest"
)

// rolling restarts three brokers one by one, as for an upgrade, under load. Topics
// have three replicas, two of which must have a record before it counts. Nothing may
// fail: every execution is to succeed.
func (w *world) rolling(ctx context.Context) error {
	cluster := w.broker.(*kafkatest.Cluster)
	const settle = 3 * time.Second
	finish := w.steady(ctx)
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
	return errors.Join(append(errs, finish())...)
}

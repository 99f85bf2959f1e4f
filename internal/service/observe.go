package service

import (
	"context"

	"starplan/internal/history"
	"starplan/plan"
	"starplan/plan/execution"
	"starplan/processor"
)

// observed is a runner whose answers are noted in the history. Neither the
// processor nor the plans know of it.
type observed struct {
	processor.Runner
	history *history.History
	// source gives the version of a plan that is served, by its label.
	source func(label string) *plan.Source
}

// Start implements processor.Runner.
func (o *observed) Start(ctx context.Context, rec execution.Record, done func(execution.Outcome)) {
	o.Runner.Start(ctx, rec, func(out execution.Outcome) {
		var src *plan.Source
		if out.Position != "" {
			// A reload may have put another version in its place: no lines are better
			// than wrong ones.
			if src = o.source(out.Plan); src != nil && src.Digest != out.Digest {
				src = nil
			}
		}
		o.history.Add(rec, out, src)
		done(out)
	})
}

// Fail implements processor.Runner. The record was answered before, and that
// answer is withdrawn.
func (o *observed) Fail(rec execution.Record, reason execution.Reason, message string) execution.Outcome {
	out := o.Runner.Fail(rec, reason, message)
	o.history.Correct(rec, out)
	return out
}

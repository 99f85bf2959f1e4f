package history

import (
	"context"

	"starplan/plan"
	"starplan/plan/execution"
	"starplan/processor"
)

// Runner gives a runner that does what next does, and notes its answers. source
// gives the version of a plan that is served, by the plan's label; nil where there
// is none. Neither the processor nor the plans know of it.
func (h *History) Runner(next processor.Runner, source func(label string) *plan.Source) processor.Runner {
	return &runner{next, h, source}
}

type runner struct {
	processor.Runner
	history *History
	source  func(label string) *plan.Source
}

// Start implements processor.Runner.
func (r *runner) Start(ctx context.Context, rec execution.Record, done func(execution.Outcome)) {
	n := r.history.newNoted(rec)
	r.Runner.Start(ctx, rec, func(out execution.Outcome) {
		n.out = out
		if out.Position != "" {
			// A reload may have put another version in its place: no lines are better
			// than wrong ones.
			if src := r.source(out.Plan); src != nil && src.Digest == out.Digest {
				n.src = src
			}
		}
		r.history.add(n)
		done(out)
	})
}

// Fail implements processor.Runner. The record was answered before, and that
// answer is withdrawn.
func (r *runner) Fail(rec execution.Record, reason execution.Reason, message string) execution.Outcome {
	out := r.Runner.Fail(rec, reason, message)
	r.history.Correct(rec, out)
	return out
}

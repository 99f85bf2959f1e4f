package processor

import (
	"context"

	"starplan/plan/execution"
)

// Runner turns records into executions. The processor asks nothing else of the
// plan side. A Runner is safe for concurrent use.
type Runner interface {
	// Accept decides by the key alone whether the record is answered here.
	Accept(key []byte) execution.Skip
	// Start runs the plan that rec's key names and calls done once, from any
	// goroutine, with the answer. It does not block for the run. When ctx ends
	// first the record is abandoned: done may never be called, and a call that
	// comes all the same is ignored.
	Start(ctx context.Context, rec execution.Record, done func(execution.Outcome))
	// Fail answers rec as FAILED for a reason found on this side of the seam, as
	// when the broker refuses the execution for its size.
	Fail(rec execution.Record, reason execution.Reason, message string) execution.Outcome
}

// Observer is told of answers as they come, to show them. What it does is done for
// every record before the next thing is: it is to be quick. An Observer is safe for
// concurrent use.
type Observer interface {
	// Answered is told of an answer that Start of the Runner gave, also of one that
	// comes too late to count.
	Answered(rec execution.Record, out execution.Outcome)
	// Corrected is told of the answer of Fail, which takes the place of one before.
	Corrected(rec execution.Record, out execution.Outcome)
}

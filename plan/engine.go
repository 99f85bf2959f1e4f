package plan

import (
	"context"
	"time"

	"starplan/plan/execution"
)

// Limits bound one execution. The zero value of a field means its default.
type Limits struct {
	// MaxSteps is the number of Starlark steps that loading a plan, and each
	// plan() call, may take. It is the timeout that users meet: the same on every
	// machine.
	MaxSteps uint64
	// Timeout is the wall clock backstop of one execution, enforced from outside
	// by killing the worker.
	Timeout time.Duration
	// MaxMemory is the number of bytes that a worker may allocate beyond what it
	// needs for itself.
	MaxMemory int64
	// MaxExecution is the size in bytes of the largest PlanExecution that the
	// output topic takes.
	MaxExecution int
}

// Engine runs plans. The worker pool is one, [InProcess] another. An Engine is
// safe for concurrent use.
type Engine interface {
	// Load runs the top level of src in isolation, under the limits. A fault of
	// the plan is a *LoadError; any other error is the engine's own.
	Load(ctx context.Context, src *Source) error
	// Start runs src on rec and calls done once, from any goroutine, with the
	// answer. It does not block for the run. When ctx ends first the record is
	// abandoned, and done may never be called.
	Start(ctx context.Context, src *Source, rec execution.Record, done func(execution.Outcome))
}

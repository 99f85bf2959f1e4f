package cli

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
	"google.golang.org/protobuf/proto"

	"starplan/internal/pbjson"
	"starplan/plan"
	"starplan/plan/execution"
	"starplan/plan/worker"
	"starplan/proto/planpb"
)

const (
	// maxInFlight and maxBytesInFlight bound the records that are run at the same time
	// or wait to be printed.
	maxInFlight      = 1024
	maxBytesInFlight = 64 << 20
	// maxLocals bounds the failures whose variables are shown: to find them takes two
	// further runs.
	maxLocals = 10
)

// execRun runs the records of a feed and prints what comes of them, in order.
type execRun struct {
	cmd       *execCmd
	p         Process
	src       *plan.Source
	engine    plan.Engine
	inspector *worker.Inspector
	profile   *stepProfile // Nil where none is wanted.
	many      bool         // There is more than one record, so each needs a name.

	succeeded, failed int
	looked            int // Failures whose variables were shown, or could not be.
}

// started is a record that is being run.
type started struct {
	fed
	answer chan execution.Outcome
	bytes  int64
}

// run runs all records.
func (r *execRun) run(ctx context.Context, f *feed) error {
	if r.cmd.Trace || r.profile != nil {
		return r.oneByOne(ctx, f)
	}
	return r.sideBySide(ctx, f)
}

// verdict says how many failed, where there are many, and gives the error of
// --fail.
func (r *execRun) verdict() error {
	if r.many {
		fmt.Fprintf(r.p.Stderr, "%s: %d SUCCEEDED, %d FAILED\n", count(r.succeeded+r.failed, "execution"), r.succeeded, r.failed)
	}
	if r.failed > 0 && r.cmd.Fail {
		return errFailed
	}
	return nil
}

// start starts one record.
func (r *execRun) start(ctx context.Context, next fed) started {
	s := started{fed: next, answer: make(chan execution.Outcome, 1), bytes: min(int64(len(next.rec.Value)), maxBytesInFlight)}
	if next.err == nil {
		r.engine.Start(ctx, r.src, next.rec, func(out execution.Outcome) { s.answer <- out })
	}
	return s
}

// sideBySide starts records as long as there is room for more, and prints them in
// the order in which they came.
func (r *execRun) sideBySide(ctx context.Context, f *feed) error {
	group, ctx := errgroup.WithContext(ctx)
	queue := make(chan started, maxInFlight)
	room := semaphore.NewWeighted(maxBytesInFlight)
	group.Go(func() error {
		defer close(queue)
		for {
			next, ok, err := f.next(ctx)
			if err != nil || !ok {
				return err
			}
			if err := room.Acquire(ctx, min(int64(len(next.rec.Value)), maxBytesInFlight)); err != nil {
				return err
			}
			select {
			case queue <- r.start(ctx, next):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	group.Go(func() error {
		for s := range queue {
			if err := r.finish(ctx, s); err != nil {
				return err
			}
			room.Release(s.bytes)
		}
		return nil
	})
	return group.Wait()
}

// oneByOne runs a record, shows what it does while it does it, and prints what came
// of it before it takes the next one.
func (r *execRun) oneByOne(ctx context.Context, f *feed) error {
	for {
		next, ok, err := f.next(ctx)
		if err != nil || !ok {
			return err
		}
		if err := r.look(ctx, next); err != nil {
			return err
		}
	}
}

func (r *execRun) look(ctx context.Context, next fed) error {
	if next.err != nil {
		return next.err
	}
	s := r.start(ctx, next)
	if r.many && r.cmd.Trace {
		r.title(next.label)
	}
	if err := r.trace(ctx, next.rec); err != nil {
		return err
	}
	return r.finish(ctx, s)
}

// finish waits for an execution and prints it.
func (r *execRun) finish(ctx context.Context, s started) error {
	if s.err != nil {
		return s.err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case out := <-s.answer:
		return r.print(ctx, s.job, out)
	}
}

// title names the record that the next lines are about.
func (r *execRun) title(label string) { fmt.Fprintf(r.p.Stderr, "== %s\n", printable(label)) }

func (r *execRun) print(ctx context.Context, j job, out execution.Outcome) error {
	if r.many && !r.cmd.Trace && (out.Reason != "" || len(out.Prints) > 0) {
		r.title(j.label)
	}
	for _, line := range out.Prints {
		fmt.Fprintf(r.p.Stderr, "print: %s\n", printableText(line))
	}
	if out.Backtrace != "" {
		fmt.Fprintln(r.p.Stderr, printableText(strings.TrimRight(out.Backtrace, "\n")))
	}
	r.succeeded++
	if out.Reason != "" {
		r.succeeded--
		r.failed++
		if err := r.locals(ctx, j.rec, out); err != nil {
			return err
		}
	}
	if r.cmd.Output == "binary" {
		_, err := r.p.Stdout.Write(out.Value)
		return err
	}
	line, err := executionJSON(out.Value)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(r.p.Stdout, "%s\n", harmless(line))
	return err
}

// executionJSON renders a serialized PlanExecution on one line.
func executionJSON(value []byte) ([]byte, error) {
	exec := new(planpb.PlanExecution)
	if err := proto.Unmarshal(value, exec); err != nil {
		return nil, fmt.Errorf("value is no PlanExecution: %w", err)
	}
	return pbjson.Marshal(exec)
}

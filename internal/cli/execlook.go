package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"starplan/plan/execution"
	"starplan/plan/inspect"
	"starplan/plan/lex"
	"starplan/plan/worker"
)

// trace runs a record once more, and shows and counts what it does.
func (r *execRun) trace(ctx context.Context, rec execution.Record) error {
	what := inspect.Options{Profile: r.profile != nil}
	if r.cmd.Trace {
		what.Lines = r.cmd.TraceLimit
	}
	t := newTracePrinter(r)
	err := r.inspector.Inspect(ctx, r.src, rec, what, func(e inspect.Event) {
		if e.Sample != nil {
			r.profile.add(*e.Sample)
			return
		}
		t.print(e)
	})
	var stopped *worker.StoppedError
	if !errors.As(err, &stopped) {
		return err
	}
	if r.cmd.Trace {
		fmt.Fprintf(r.p.Stderr, "trace: it ends here: %s\n", printable(stopped.Message))
	}
	if r.profile != nil {
		fmt.Fprintf(r.p.Stderr, "profile: nothing of this input: %s\n", printable(stopped.Message))
	}
	return nil
}

// tracePrinter writes a trace, a line of the plan a line:
//
//	route.star:4   | names = pick(tasks)
//	route.star:12  | | def pick(tasks):
//	               | |     tasks = []
type tracePrinter struct {
	run   *execRun
	lines map[string][]string // Of each module.
	width int
}

func newTracePrinter(r *execRun) *tracePrinter {
	t := &tracePrinter{run: r, lines: make(map[string][]string)}
	for name, text := range r.src.Files {
		t.lines[name] = lex.Lines(text)
		t.width = max(t.width, len(fmt.Sprintf("%s:%d", name, len(t.lines[name]))))
	}
	return t
}

func (t *tracePrinter) print(e inspect.Event) {
	switch {
	case e.Line != nil:
		text := ""
		if lines := t.lines[e.Line.Module]; e.Line.Line >= 1 && e.Line.Line <= len(lines) {
			text = strings.TrimSpace(lines[e.Line.Line-1])
		}
		t.line(fmt.Sprintf("%s:%d", e.Line.Module, e.Line.Line), e.Line.Depth, text)
	case e.Changed != nil:
		for _, v := range e.Changed.Vars {
			t.line("", e.Changed.Depth, "    "+v.Name+" = "+v.Text)
		}
		if e.Changed.More > 0 {
			t.line("", e.Changed.Depth, fmt.Sprintf("    and %d more", e.Changed.More))
		}
	case e.Skipped > 0:
		fmt.Fprintf(t.run.p.Stderr, "trace: %d more lines ran; raise --trace-limit to see them\n", e.Skipped)
	}
}

func (t *tracePrinter) line(place string, depth int, text string) {
	bars := strings.Repeat("| ", min(max(depth, 1), 40))
	fmt.Fprintf(t.run.p.Stderr, "%-*s  %s%s\n", t.width, printable(place), bars, printableText(text))
}

// locals shows what the variables held where an execution failed.
func (r *execRun) locals(ctx context.Context, rec execution.Record, out execution.Outcome) error {
	if !r.cmd.Locals || r.looked > maxLocals {
		return nil
	}
	switch out.Reason {
	case execution.ReasonPlan, execution.ReasonResult, execution.ReasonSteps:
	case execution.ReasonTimeout, execution.ReasonMemory, execution.ReasonCrash:
		if !r.cmd.Trace {
			fmt.Fprintln(r.p.Stderr, "its worker was ended, and the variables with it; --trace shows how far the plan came")
		}
		return nil
	default:
		return nil
	}
	if r.looked++; r.looked > maxLocals {
		fmt.Fprintf(r.p.Stderr, "the variables of further failures are not shown; there were %d\n", maxLocals)
		return nil
	}
	err := r.inspector.Inspect(ctx, r.src, rec, inspect.Options{Locals: true}, func(e inspect.Event) {
		if e.Frame != nil {
			r.frame(*e.Frame)
		}
	})
	var stopped *worker.StoppedError
	if errors.As(err, &stopped) {
		fmt.Fprintf(r.p.Stderr, "variables: not to be had: %s\n", printable(stopped.Message))
		return nil
	}
	return err
}

func (r *execRun) frame(f inspect.Frame) {
	fmt.Fprintln(r.p.Stderr, printable(fmt.Sprintf("Variables of %s at %s:%d:%d:", f.Function, f.Module, f.Line, f.Col)))
	for _, v := range f.Vars {
		fmt.Fprintln(r.p.Stderr, "  "+printable(v.Name+" = "+v.Text))
	}
	switch {
	case f.More > 0:
		fmt.Fprintf(r.p.Stderr, "  and %d more\n", f.More)
	case len(f.Vars) == 0:
		fmt.Fprintln(r.p.Stderr, "  none")
	}
}

package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"

	"starplan/internal/config"
	"starplan/plan"
	"starplan/plan/check"
	"starplan/plan/execution"
	"starplan/plan/worker"
)

type checkCmd struct {
	Paths []string `arg:"" name:"path" help:"Plan files, folders with plan.star, directories of plans, or bundles with agent_graph.dot; - is standard input."`

	Format   string        `enum:"text,json" default:"text" help:"How to print findings: text, or one JSON document."`
	FileName string        `name:"file-name" help:"Where standard input would lie; modules are read from there."`
	Graph    string        `xor:"tasks" help:"A graph in DOT that has the plans as nodes: names of tasks are checked against its edges."`
	Tasks    []string      `xor:"tasks" help:"The tasks that plans may name, separated by commas."`
	Limits   config.Limits `embed:""`
}

// Help is shown below the flags.
func (checkCmd) Help() string {
	return `Each finding is shown with file, line and column, the line itself, and a hint. What runs when a
plan is loaded, its top level, runs in the same sandbox as in the service. Exit code 0 means that
all plans are valid, which they are with warnings too; 1 that some are not.

Examples:

  starplan check route.star
  starplan check plans/
  starplan check --format=json bundle/
  starplan check --graph agent_graph.dot plans/
  starplan check --file-name plans/route.star - < buffer`
}

// Run checks every path and prints one report.
func (c *checkCmd) Run(ctx context.Context, p Process) error {
	e, err := c.Limits.Resolve()
	if err != nil {
		return usageError{err}
	}
	engine := &lateEngine{opts: worker.Options{Tenant: "check", Limits: e.Limits, Workers: 1, RequireSandbox: e.RequireSandbox}}
	defer engine.close(ctx)
	report, err := c.check(ctx, p.Stdin, check.Options{Engine: engine, Limits: e.Limits, Graph: c.Graph, Tasks: c.Tasks})
	if err != nil {
		if engine.failed() {
			return err
		}
		return usageError{err}
	}
	if c.Format == "json" {
		err = printJSON(p.Stdout, report)
	} else {
		c.print(p.Stdout, report)
	}
	if err == nil && !report.Valid {
		err = errFailed
	}
	return err
}

// check checks the paths, or standard input.
func (c *checkCmd) check(ctx context.Context, stdin io.Reader, opts check.Options) (*check.Report, error) {
	if len(c.Paths) != 1 || c.Paths[0] != "-" {
		if c.FileName != "" {
			return nil, fmt.Errorf("--file-name is for standard input alone: write -")
		}
		return check.Files(ctx, c.Paths, opts)
	}
	name := c.FileName
	if name == "" {
		name = "stdin.star"
	}
	// One byte more than is allowed shows that it is too much.
	text, err := io.ReadAll(io.LimitReader(stdin, plan.MaxSource+1))
	if err != nil {
		return nil, err
	}
	return check.Source(ctx, name, string(text), opts)
}

// print writes a report for people: every finding with its line, then the paths
// without any.
func (c *checkCmd) print(w io.Writer, report *check.Report) {
	for _, f := range report.Findings {
		fmt.Fprintln(w, printable(fmt.Sprintf("%s: %s: %s [%s]", f.Position(), f.Severity, f.Message, f.Code)))
		for line := range strings.Lines(report.Excerpt(f)) {
			fmt.Fprintln(w, "    "+printableLine(strings.TrimSuffix(line, "\n")))
		}
		if f.Hint != "" {
			fmt.Fprintln(w, "    hint: "+printable(f.Hint))
		}
	}
	if len(report.Findings) == 0 {
		for _, path := range c.Paths {
			if path == "-" && c.FileName != "" {
				path = c.FileName
			}
			fmt.Fprintf(w, "%s: ok\n", printable(path))
		}
		return
	}
	fmt.Fprintf(w, "%s, %s in %s\n", count(len(report.Errors), "error"), count(len(report.Warnings), "warning"), count(len(report.Files), "file"))
}

// count writes a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// printableLine is printable for a line of text, whose tabs stay.
func printableLine(line string) string {
	parts := strings.Split(line, "\t")
	for i := range parts {
		parts[i] = printable(parts[i])
	}
	return strings.Join(parts, "\t")
}

// printableText is printableLine for text of several lines.
func printableText(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = printableLine(lines[i])
	}
	return strings.Join(lines, "\n")
}

// printJSON writes a value as an indented JSON document.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// lateEngine starts workers when the first plan needs one: most do not.
type lateEngine struct {
	opts worker.Options

	once sync.Once
	pool *worker.Pool
	err  error
}

var _ plan.Engine = (*lateEngine)(nil)

// start starts the pool, once.
func (e *lateEngine) start(ctx context.Context) error {
	e.once.Do(func() { e.pool, e.err = worker.NewPool(ctx, e.opts) })
	return e.err
}

// Load implements [plan.Engine].
func (e *lateEngine) Load(ctx context.Context, src *plan.Source) error {
	if err := e.start(ctx); err != nil {
		return err
	}
	return e.pool.Load(ctx, src)
}

// Start implements [plan.Engine]. Where no worker can be started the record has no
// plan that could be loaded, and Load tells why.
func (e *lateEngine) Start(ctx context.Context, src *plan.Source, rec execution.Record, done func(execution.Outcome)) {
	if err := e.start(ctx); err != nil {
		done(plan.LoadFailure(e.opts.Tenant, rec, err))
		return
	}
	e.pool.Start(ctx, src, rec, done)
}

// failed reports whether no worker could be started.
func (e *lateEngine) failed() bool { return e.err != nil }

func (e *lateEngine) close(ctx context.Context) {
	if e.pool != nil {
		_ = e.pool.Close(context.WithoutCancel(ctx)) // Nothing is left to lose.
	}
}

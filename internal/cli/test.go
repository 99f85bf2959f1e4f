package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"

	"starplan/internal/config"
	"starplan/internal/plantest"
	"starplan/plan/worker"
	"starplan/scripts"
)

type testCmd struct {
	Paths []string `arg:"" name:"path" help:"Test files, plans, or directories: all *_test.star and *.input.json below them."`

	Pattern  string `name:"run" placeholder:"REGEXP" help:"Run only tests whose name matches; after a slash, a pattern for tests within tests. Golden cases are named golden/CASE."`
	Update   bool   `help:"Write what golden cases give to their want files."`
	Cover    bool   `help:"Show how many lines of each plan and module ran, and which did not."`
	Parallel int    `placeholder:"N" help:"How many tests run at a time (the number of CPUs)."`
	Format   string `default:"text" enum:"text,json" placeholder:"FORM" help:"text, or json: one document (${default})."`
	Verbose  bool   `short:"v" help:"List tests that passed, with what they printed."`

	Limits config.Limits `embed:""`
}

// Help is shown below the flags.
func (testCmd) Help() string {
	return `Functions whose names begin with test_ in *_test.star files are tests:

  load("plan.star", "plan")

  def test_goes_on():
      result = run(plan, plan_input(task("fetch", result = any.string("a page"))))
      assert.eq(result.next_task_names, ["ship"])

Golden cases lie beside a plan.star: CASE.input.json is a PlanInput, CASE.want.json the
PlanExecution that must answer it; they run in the same sandbox as in the service. Test files run
in this process. The last line of the output is "N passed, N failed"; the exit code is 1 where a
test failed.

Examples:

  starplan test plans/
  starplan test --run 'golden/large' --update plans/route
  starplan test --cover --format=json plans/`
}

// Run runs the tests and prints their report.
func (c *testCmd) Run(ctx context.Context, p Process) error {
	match, err := plantest.ParseMatch(c.Pattern)
	if err != nil {
		return usagef("--run: %w", err)
	}
	if c.Parallel < 0 {
		return usagef("--parallel: want a number from 1, got %d", c.Parallel)
	}
	e, err := c.Limits.Resolve()
	if err != nil {
		return usageError{err}
	}
	files, err := starFiles(c.Paths, plantest.TestSuffix, plantest.InputSuffix, plantest.WantSuffix)
	if err != nil {
		return usageError{err}
	}
	pool, err := worker.NewPool(ctx, worker.Options{
		Tenant: scripts.Tenant, Limits: e.Limits, Workers: e.Workers, RequireSandbox: e.RequireSandbox,
		Logger: slog.New(slog.NewTextHandler(p.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return err
	}
	defer func() { _ = pool.Close(context.WithoutCancel(ctx)) }() // Nothing is left to lose.
	bar := newProgress(p.Stderr, "tests")
	report, err := plantest.Run(ctx, plantest.Options{
		Files: files, Match: match, Limits: e.Limits, Parallel: c.Parallel,
		Engine: pool, Cover: c.Cover, Update: c.Update, Progress: bar.set,
	})
	bar.clear()
	if err != nil {
		return err
	}
	return c.print(p.Stdout, report)
}

func (c *testCmd) print(w io.Writer, report *plantest.Report) error {
	if c.Format == "json" {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(report); err != nil {
			return err
		}
	} else if err := report.Write(w, c.Verbose); err != nil {
		return err
	}
	switch {
	case report.Failed > 0:
		return errFailed
	case report.Passed > 0:
		return nil
	case c.Pattern != "":
		return usagef("no test matches --run %q", c.Pattern)
	default:
		return usageError{fmt.Errorf("no tests in %q: want functions test_… in *_test.star, or CASE.input.json beside a plan.star", c.Paths)}
	}
}

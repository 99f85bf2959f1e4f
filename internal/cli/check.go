package cli

import (
	"context"
	"fmt"
	"strings"

	"starplan/internal/config"
	"starplan/plan/check"
	"starplan/plan/worker"
)

type checkCmd struct {
	Paths  []string      `arg:"" name:"path" help:"Plan files, folders with plan.star, or directories of plans."`
	Limits config.Limits `embed:""`
}

// Help is shown below the flags.
func (checkCmd) Help() string {
	return `Each finding is a line with file, line and column. What runs when a plan is loaded, its top
level, runs in the same sandbox as in the service. Exit code 1 where a plan cannot be served.

Examples:

  starplan check route.star
  starplan check plans/`
}

// Run checks every path.
func (c *checkCmd) Run(ctx context.Context, p Process) error {
	e, err := c.Limits.Resolve()
	if err != nil {
		return usageError{err}
	}
	pool, err := worker.NewPool(ctx, worker.Options{Tenant: "check", Limits: e.Limits, Workers: 1, RequireSandbox: e.RequireSandbox})
	if err != nil {
		return err
	}
	defer func() { _ = pool.Close(context.WithoutCancel(ctx)) }() // Nothing is left to lose.
	valid := true
	for _, path := range c.Paths {
		findings, err := check.Files(ctx, []string{path}, check.Options{Engine: pool})
		if err != nil {
			return usageError{err}
		}
		valid = valid && check.Valid(findings)
		if len(findings) == 0 {
			fmt.Fprintf(p.Stdout, "%s: ok\n", path)
		}
		for _, f := range findings {
			for line := range strings.SplitSeq(f.String(), "\n") {
				fmt.Fprintln(p.Stdout, printable(line))
			}
		}
	}
	if !valid {
		return errFailed
	}
	return nil
}

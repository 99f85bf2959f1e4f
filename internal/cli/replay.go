package cli

import (
	"context"
	"encoding/json"
	"fmt"

	"starplan/internal/config"
	"starplan/internal/replay"
	"starplan/internal/topicrange"
	"starplan/plan"
	"starplan/plan/worker"
)

type replayCmd struct {
	Topics   topics `embed:""`
	Plan     string `required:"" placeholder:"PATH" help:"The changed plan: its file, or a folder with plan.star."`
	PlanName string `placeholder:"NAME" help:"The plan's name (the file's)."`
	GraphID  string `env:"GRAPH_ID,AGENT_GRAPH_ID" placeholder:"ID" help:"Replay this graph's records only."`
	Against  string `placeholder:"PATH" help:"Compare with this plan's source instead of the recorded executions."`
	From     string `default:"oldest" placeholder:"WHERE" help:"First inputs to replay: oldest, an offset in each partition, or an RFC 3339 time (${default})."`
	To       string `default:"latest" placeholder:"WHERE" help:"Where to end, in the same forms (${default}: what is there now)."`
	Limit    int    `placeholder:"N" help:"Replay N inputs at most."`
	Format   string `enum:"text,json" default:"text" placeholder:"FORM" help:"text or json (${default})."`

	Limits config.Limits `embed:""`
}

// Help is shown below the flags.
func (replayCmd) Help() string {
	return `The same record and plan always give the same execution. So a changed plan can be tried on
last week's traffic before it is deployed: what differs is due to the change. Nothing is written
to any topic. Exit code 1 where an execution would differ.

Examples:

  starplan replay --tenant-id acme --plan route.star --from 2026-01-02T00:00:00Z
  starplan replay --tenant-id acme --plan new/route.star --against old/route.star --format json`
}

// Run replays and prints the report.
func (c *replayCmd) Run(ctx context.Context, p Process) error {
	e, err := c.Limits.Resolve()
	if err != nil {
		return usageError{err}
	}
	name := (&execCmd{Plan: c.Plan, PlanName: c.PlanName}).name()
	src, err := plan.ReadFile(c.Plan, name)
	if err != nil {
		return usageError{err}
	}
	var against *plan.Source
	if c.Against != "" {
		if against, err = plan.ReadFile(c.Against, name); err != nil {
			return usageError{err}
		}
	}
	client, err := c.Topics.client(ctx)
	if err != nil {
		return err
	}
	pool, err := worker.NewPool(ctx, worker.Options{Tenant: c.Topics.Tenant, Limits: e.Limits, Workers: e.Workers, RequireSandbox: e.RequireSandbox})
	if err != nil {
		return err
	}
	defer func() { _ = pool.Close(context.WithoutCancel(ctx)) }() // Nothing is left to lose.
	if err := pool.Load(ctx, src); err != nil {
		return fmt.Errorf("plan could not be loaded: %w", err)
	}
	shown := newProgress(p.Stderr, "records")
	report, err := replay.Run(ctx, replay.Options{
		Client: client, Tenant: c.Topics.Tenant, Plan: src, Against: against, Graph: c.GraphID,
		From: topicrange.Bound(c.From), To: topicrange.Bound(c.To), Limit: c.Limit, Engine: pool,
		Progress: func(read, total int64) { shown.set(int(read), int(total)) },
	})
	shown.clear()
	if err != nil {
		return err
	}
	return c.print(p, report)
}

func (c *replayCmd) print(p Process, report *replay.Report) error {
	if c.Format == "json" {
		enc := json.NewEncoder(p.Stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(report); err != nil {
			return err
		}
	} else {
		report.Write(p.Stdout, printable)
	}
	if report.Different > 0 {
		return errFailed
	}
	return nil
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"starplan/internal/config"
	"starplan/plan"
	"starplan/plan/inspect"
	"starplan/plan/worker"
)

type execCmd struct {
	Plan   string   `arg:"" help:"The plan's file, or a folder with plan.star."`
	Inputs []string `arg:"" optional:"" name:"input" help:"Files with a PlanInput as JSON, or many, mostly one a line, or with the bytes of a record; directories of such files; - is standard input, and is read when none is given."`

	Tenant   string `name:"tenant-id" aliases:"tenant" env:"TENANT_ID" placeholder:"ID" help:"Tenant of the execution (local)."`
	PlanName string `placeholder:"NAME" help:"The plan's name (the file's)."`
	Output   string `default:"json" enum:"json,binary" placeholder:"FORM" help:"json: one PlanExecution a line; binary: its bytes, for one input (${default})."`
	Fail     bool   `help:"Exit with 1 where an execution FAILED."`
	Limit    int    `placeholder:"N" help:"Run N inputs at most."`

	Trace      bool   `group:"Looking into runs" help:"Show the lines that ran, with the variables that they changed."`
	TraceLimit int    `group:"Looking into runs" default:"1000" placeholder:"N" help:"Show N lines at most of each input (${default})."`
	Locals     bool   `group:"Looking into runs" default:"true" negatable:"" help:"Show what the variables held where an execution FAILED, for the first ten that do."`
	Profile    string `group:"Looking into runs" type:"path" placeholder:"FILE" help:"Write the steps of each line and call stack to FILE, for go tool pprof."`

	Key       string `group:"Record" placeholder:"KEY" help:"Key of the record (the plan's name)."`
	Topic     string `group:"Record" placeholder:"TOPIC" help:"Topic of the record (plan-inputs-TENANT)."`
	Partition *int32 `group:"Record" placeholder:"N" help:"Partition of the record (0); with --from-topic the only one to read."`
	Offset    *int64 `group:"Record" placeholder:"N" help:"Offset of the first record, the next ones follow (0)."`
	Timestamp string `group:"Record" placeholder:"TIME" help:"Timestamp of the record, RFC 3339 (1970-01-01T00:00:00Z)."`

	FromTopic string `group:"Records of a topic" placeholder:"TOPIC" help:"Run the plan's records of this topic: inputs, dead-letters, or its full name."`
	GraphID   string `group:"Records of a topic" env:"GRAPH_ID,AGENT_GRAPH_ID" placeholder:"ID" help:"Run this graph's records only."`
	From      string `group:"Records of a topic" placeholder:"WHERE" help:"First records: oldest, latest, an offset in each partition, or an RFC 3339 time (oldest)."`
	To        string `group:"Records of a topic" placeholder:"WHERE" help:"Where to end, in the same forms (latest: what is there now)."`
	Broker    broker `embed:"" group:"Records of a topic"`

	Limits config.Limits `embed:""`
}

// Help is shown below the flags.
func (execCmd) Help() string {
	return `The plan runs in the same sandbox as in the service. The record's coordinates and time are
fixed unless given, so the same input gives the same bytes again.

With --from-topic the records are read from Kafka, those that are committed, partition by
partition; no group is joined and nothing is written. Each is run with its own coordinates and so
gives the exec_id that the service gave. A dead letter is run with the coordinates that its
headers tell, those of the record that it was made of.

--trace, --profile and the variables of failures come from further runs of the plan, in a worker as
well: what is shown is what happened, since runs are pure.

Examples:

  starplan exec scripts/two_step/plan.star scripts/two_step/first_failed.input.json
  echo '{"plan_name": "two_step"}' | starplan exec --fail two_step.star -
  starplan exec --trace route.star input.json
  starplan exec --profile steps.pprof route.star inputs.jsonl > executions.jsonl
  starplan exec --tenant-id acme --from-topic inputs --from 2026-01-02T03:00:00Z --limit 10 route.star
  starplan exec --tenant-id acme --from-topic dead-letters --partition 3 --from 17 --to 18 route.star`
}

// Run runs the plan on every input.
func (c *execCmd) Run(ctx context.Context, p Process) error {
	if err := c.complete(); err != nil {
		return err
	}
	e, err := c.Limits.Resolve()
	if err != nil {
		return usageError{err}
	}
	src, err := plan.ReadFile(c.Plan, c.name())
	if err != nil {
		return usageError{err}
	}
	jobs, err := c.jobs(ctx, p)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // Ends the reading of records.
	feed := startFeed(ctx, jobs)
	if err := feed.lookAhead(ctx); err != nil {
		return err
	}
	if c.Output == "binary" && feed.many() {
		return usagef("--output=binary: want one input, got more")
	}
	opts := worker.Options{
		Tenant: c.Tenant, Limits: e.Limits, Workers: e.Workers, RequireSandbox: e.RequireSandbox,
		Logger: slog.New(slog.NewTextHandler(p.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	}
	if !feed.many() {
		opts.Workers = 1
	}
	return c.run(ctx, p, opts, src, feed)
}

// run runs the records of a feed.
func (c *execCmd) run(ctx context.Context, p Process, opts worker.Options, src *plan.Source, feed *feed) error {
	pool, err := worker.NewPool(ctx, opts)
	if err != nil {
		return err
	}
	defer func() { _ = pool.Close(context.WithoutCancel(ctx)) }() // Nothing is left to lose.
	if err := pool.Load(ctx, src); err != nil {
		return fmt.Errorf("plan could not be loaded: %w", err)
	}
	inspector, err := worker.NewInspector(opts)
	if err != nil {
		return err
	}
	defer inspector.Close()
	r := &execRun{cmd: c, p: p, src: src, engine: pool, inspector: inspector, many: feed.many()}
	var file *os.File
	if c.Profile != "" {
		if file, err = os.Create(c.Profile); err != nil {
			return usagef("--profile: %w", err)
		}
		defer func() { _ = file.Close() }() // It was closed before, unless there was an error.
		r.profile = newStepProfile(filepath.Dir(c.planFile()))
	}
	if err := r.run(ctx, feed); err != nil {
		return err
	}
	if feed.remark != "" {
		fmt.Fprintln(p.Stderr, feed.remark)
	}
	if file != nil {
		if err := errors.Join(r.profile.write(file), file.Close()); err != nil {
			return fmt.Errorf("--profile: %w", err)
		}
	}
	return r.verdict()
}

// complete checks flags against each other and fills in what depends on others.
func (c *execCmd) complete() error {
	switch {
	case c.TraceLimit < 1 || c.TraceLimit > inspect.MaxLines:
		return usagef("--trace-limit: want 1 to %d, got %d", inspect.MaxLines, c.TraceLimit)
	case c.Limit < 0:
		return usagef("--limit: want 1 or more, got %d", c.Limit)
	case c.FromTopic == "" && (c.From != "" || c.To != ""):
		return usagef("--from, --to: want --from-topic with them")
	case c.FromTopic != "" && len(c.Inputs) > 0:
		return usagef("--from-topic: want no inputs beside it, got %q", c.Inputs)
	case c.FromTopic != "" && (c.Key != "" || c.Topic != "" || c.Offset != nil || c.Timestamp != ""):
		return usagef("--key, --topic, --offset, --timestamp: want none with --from-topic, whose records have their own")
	case c.FromTopic != "" && c.Tenant == "":
		return usagef("--from-topic: want --tenant-id with it")
	}
	if c.Tenant == "" {
		c.Tenant = "local"
	}
	return nil
}

// jobs gives the records to be run, one at a time.
func (c *execCmd) jobs(ctx context.Context, p Process) (jobs, error) {
	var list jobs
	var err error
	if c.FromTopic != "" {
		list, err = c.topicJobs(ctx)
	} else {
		list, err = c.fileJobs(p)
	}
	if err == nil && c.Limit > 0 {
		list = list.atMost(c.Limit)
	}
	return list, err
}

// planFile is the plan's entry.
func (c *execCmd) planFile() string {
	if info, err := os.Stat(c.Plan); err == nil && info.IsDir() {
		return filepath.Join(c.Plan, plan.EntryFile)
	}
	return c.Plan
}

// name is the plan's name: as given, or as its file or folder is called.
func (c *execCmd) name() string {
	if c.PlanName != "" {
		return c.PlanName
	}
	path, err := filepath.Abs(c.Plan)
	if err != nil {
		path = c.Plan
	}
	if filepath.Base(path) == "plan.star" {
		path = filepath.Dir(path)
	} else if info, err := os.Stat(path); err != nil || !info.IsDir() {
		path = strings.TrimSuffix(path, ".star")
	}
	return filepath.Base(path)
}

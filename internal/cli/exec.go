package cli

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"starplan/internal/config"
	"starplan/internal/pbjson"
	"starplan/plan"
	"starplan/plan/execution"
	"starplan/plan/worker"
	"starplan/processor"
	"starplan/proto/planpb"
)

type execCmd struct {
	Plan   string   `arg:"" help:"The plan's file, or a folder with plan.star."`
	Inputs []string `arg:"" optional:"" name:"input" help:"PlanInput files, as JSON or as the bytes of a record; - is standard input, and is read when none is given."`

	Tenant   string `default:"local" env:"TENANT_ID" placeholder:"ID" help:"Tenant of the execution (${default})."`
	PlanName string `placeholder:"NAME" help:"The plan's name (the file's)."`
	Output   string `default:"json" enum:"json,binary" placeholder:"FORM" help:"json: one PlanExecution a line; binary: its bytes, for one input (${default})."`
	Fail     bool   `help:"Exit with 1 where an execution FAILED."`

	Key       string `placeholder:"KEY" help:"Key of the record (the plan's name)."`
	Topic     string `placeholder:"TOPIC" help:"Topic of the record (plan-inputs-TENANT)."`
	Partition int32  `default:"0" placeholder:"N" help:"Partition of the record (${default})."`
	Offset    int64  `default:"0" placeholder:"N" help:"Offset of the first record, the next ones follow (${default})."`
	Timestamp string `default:"1970-01-01T00:00:00Z" placeholder:"TIME" help:"Timestamp of the record, RFC 3339 (${default})."`

	Limits config.Limits `embed:""`
}

// Help is shown below the flags.
func (execCmd) Help() string {
	return `The plan runs in the same sandbox as in the service. The record's coordinates and time are
fixed unless given, so the same input gives the same bytes again.

Examples:

  starplan exec scripts/two_step/plan.star scripts/two_step/first_failed.input.json
  echo '{"plan_name": "two_step"}' | starplan exec --fail two_step.star -`
}

// Run runs the plan on every input.
func (c *execCmd) Run(ctx context.Context, p Process) error {
	records, err := c.records(p)
	if err != nil {
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
	pool, err := worker.NewPool(ctx, worker.Options{
		Tenant: c.Tenant, Limits: e.Limits, Workers: min(e.Workers, len(records)),
		RequireSandbox: e.RequireSandbox,
		Logger:         slog.New(slog.NewTextHandler(p.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return err
	}
	defer func() { _ = pool.Close(context.WithoutCancel(ctx)) }() // Nothing is left to lose.
	if err := pool.Load(ctx, src); err != nil {
		return fmt.Errorf("plan could not be loaded: %w", err)
	}
	return c.runAll(ctx, p, pool, src, records)
}

// runAll runs the records side by side and prints the answers in their order.
func (c *execCmd) runAll(ctx context.Context, p Process, engine plan.Engine, src *plan.Source, records []execution.Record) error {
	answers := make([]chan execution.Outcome, len(records))
	for i, rec := range records {
		answers[i] = make(chan execution.Outcome, 1)
		engine.Start(ctx, src, rec, func(out execution.Outcome) { answers[i] <- out })
	}
	failed := false
	for _, answer := range answers {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case out := <-answer:
			failed = failed || out.Reason != ""
			if err := c.print(p, out); err != nil {
				return err
			}
		}
	}
	if failed && c.Fail {
		return errFailed
	}
	return nil
}

func (c *execCmd) print(p Process, out execution.Outcome) error {
	for _, line := range out.Prints {
		fmt.Fprintf(p.Stderr, "print: %s\n", line)
	}
	if out.Backtrace != "" {
		fmt.Fprintln(p.Stderr, strings.TrimRight(out.Backtrace, "\n"))
	}
	if c.Output == "binary" {
		_, err := p.Stdout.Write(out.Value)
		return err
	}
	line, err := executionJSON(out.Value)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.Stdout, "%s\n", line)
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

func (c *execCmd) records(p Process) ([]execution.Record, error) {
	at, err := time.Parse(time.RFC3339, c.Timestamp)
	if err != nil {
		return nil, usagef("--timestamp: want an RFC 3339 time such as 2026-01-02T03:04:05Z, got %q", c.Timestamp)
	}
	inputs := c.Inputs
	if len(inputs) == 0 {
		inputs = []string{"-"}
		if isTerminal(p.Stdin) {
			fmt.Fprintln(p.Stderr, "reading a PlanInput from the terminal; end it with Ctrl-D")
		}
	}
	if c.Output == "binary" && len(inputs) > 1 {
		return nil, usagef("--output=binary: want one input, got %d", len(inputs))
	}
	topic, key := c.Topic, c.Key
	if topic == "" {
		topic = processor.InputTopic(c.Tenant)
	}
	if key == "" {
		key = c.name()
	}
	records := make([]execution.Record, len(inputs))
	for i, input := range inputs {
		value, err := readInput(input, p.Stdin)
		if err != nil {
			return nil, err
		}
		records[i] = execution.Record{
			Topic: topic, Partition: c.Partition, Offset: c.Offset + int64(i),
			Timestamp: at, Key: []byte(key), Value: value,
		}
	}
	return records, nil
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

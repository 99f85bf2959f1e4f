package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/internal/config"
	"starplan/internal/follow"
	"starplan/internal/pbjson"
	"starplan/processor"
	"starplan/proto/planpb"
)

// topics are the flags of commands that talk to the topics of a tenant.
type topics struct {
	Tenant    string   `name:"tenant-id" aliases:"tenant" env:"TENANT_ID" required:"" placeholder:"ID" help:"Tenant whose topics are meant."`
	Bootstrap []string `name:"kafka-bootstrap-servers" env:"KAFKA_BOOTSTRAP_SERVERS" default:"localhost:9092" placeholder:"HOST:PORT,…" help:"Brokers to begin with (${default})."`

	Security config.Security `embed:""`
}

// client gives the options of a Kafka client. A broker was reached with them: what
// is in the way is told at once, and why.
func (t *topics) client(ctx context.Context) ([]kgo.Opt, error) {
	settings, err := t.Security.Resolve()
	if err != nil {
		return nil, usageError{err}
	}
	opts := append([]kgo.Opt{kgo.SeedBrokers(t.Bootstrap...)}, settings.Options()...)
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, usageError{err}
	}
	defer client.Close()
	if err := client.Ping(ctx); err != nil {
		return nil, settings.Explain(ctx, t.Bootstrap, err)
	}
	return opts, nil
}

func (t *topics) input() string  { return processor.InputTopic(t.Tenant) }
func (t *topics) output() string { return processor.OutputTopic(t.Tenant) }

type tailCmd struct {
	Topics topics `embed:""`
	From   string `default:"latest" placeholder:"WHERE" help:"Where to begin: oldest, latest or an RFC 3339 time (${default})."`
	Plan   string `placeholder:"NAME" help:"Show this plan's executions only."`
	Status string `enum:",succeeded,failed" default:"" placeholder:"STATUS" help:"Show succeeded or failed executions only."`
	Limit  int    `short:"n" placeholder:"N" help:"End after N executions."`
	Format string `enum:"auto,json,text" default:"auto" placeholder:"FORM" help:"json: one PlanExecution a line; text: a line for people; auto: text on a terminal (${default})."`
}

// Help is shown below the flags.
func (tailCmd) Help() string {
	return `Only committed executions are shown. It joins no group and so disturbs nobody.

Examples:

  starplan tail --tenant-id acme
  starplan tail --tenant-id acme --from oldest --status failed --format json | jq .result.error_message`
}

// Run prints executions until it is interrupted or has printed enough.
func (c *tailCmd) Run(ctx context.Context, p Process) error {
	client, err := c.Topics.client(ctx)
	if err != nil {
		return err
	}
	reader, err := follow.Open(ctx, follow.Options{Client: client, Topic: c.Topics.output(), From: c.From})
	if err != nil {
		return err
	}
	defer reader.Close()
	text := c.Format == "text" || c.Format == "auto" && isTerminal(p.Stdout)
	for n := 0; c.Limit == 0 || n < c.Limit; {
		e, err := reader.Next(ctx)
		if errors.Is(err, context.Canceled) {
			return nil
		}
		if err != nil {
			return err
		}
		if !c.wanted(e) {
			continue
		}
		n++
		if err := printExecution(p, e, text); err != nil {
			return err
		}
	}
	return nil
}

func (c *tailCmd) wanted(e follow.Execution) bool {
	header := e.Message.GetHeader()
	return (c.Plan == "" || header.GetName() == c.Plan) &&
		(c.Status == "" || strings.HasSuffix(header.GetStatus().String(), strings.ToUpper(c.Status)))
}

// printExecution prints e on standard output; what is no PlanExecution is named
// on standard error.
func printExecution(p Process, e follow.Execution, text bool) error {
	if e.Message == nil {
		fmt.Fprintf(p.Stderr, "starplan: %s/%d/%d is no PlanExecution\n", e.Record.Topic, e.Record.Partition, e.Record.Offset)
		return nil
	}
	if text {
		return printLine(p.Stdout, e.Message)
	}
	line, err := pbjson.Marshal(e.Message)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.Stdout, "%s\n", line)
	return err
}

// printLine prints an execution for people. Text that came from outside is
// quoted where it holds control characters, which could command a terminal.
func printLine(w io.Writer, e *planpb.PlanExecution) error {
	status, what := "ok    ", "next: "+strings.Join(e.GetResult().GetNextTaskNames(), ", ")
	if len(e.GetResult().GetNextTaskNames()) == 0 {
		what = "next: nothing"
	}
	if msg := e.GetResult().GetErrorMessage(); msg != "" {
		what = "error: " + msg
	}
	if e.GetHeader().GetStatus() == planpb.ExecutionStatus_EXECUTION_STATUS_FAILED {
		status = "FAILED"
	}
	_, err := fmt.Fprintf(w, "%s  %-24s  %s\n", status, printable(e.GetHeader().GetName()), printable(what))
	return err
}

// printable gives s as it is where that is harmless on a terminal, else quoted.
func printable(s string) string {
	quoted := strconv.Quote(s)
	if unquoted := quoted[1 : len(quoted)-1]; unquoted == strings.ReplaceAll(s, `"`, `\"`) {
		return s
	}
	return quoted
}

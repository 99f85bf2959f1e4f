package cli

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/internal/config"
	"starplan/internal/follow"
	"starplan/processor"
	"starplan/proto/planpb"
)

// topics are the flags of commands that talk to the topics of a tenant.
type topics struct {
	Tenant string `name:"tenant-id" aliases:"tenant" env:"TENANT_ID" required:"" placeholder:"ID" help:"Tenant whose topics are meant."`

	Broker broker `embed:""`
}

// client gives the options of a Kafka client. A broker was reached with them: what
// is in the way is told at once, and why.
func (t *topics) client(ctx context.Context) ([]kgo.Opt, error) { return t.Broker.client(ctx) }

func (t *topics) input() string  { return processor.InputTopic(t.Tenant) }
func (t *topics) output() string { return processor.OutputTopic(t.Tenant) }

type tailCmd struct {
	Topics topics `embed:""`
	From   string `xor:"begin" placeholder:"WHERE" help:"Where to begin: oldest, latest or an RFC 3339 time (latest)."`
	Since  string `xor:"begin" placeholder:"DURATION" help:"Begin that long ago, such as 10m."`
	Limit  int    `short:"n" placeholder:"N" help:"End after N executions."`

	Plan    []string `placeholder:"NAME,…" help:"Show executions of these plans only."`
	Graph   string   `placeholder:"ID" help:"Show executions of this graph only."`
	Status  string   `enum:",succeeded,failed" default:"" placeholder:"STATUS" help:"Show succeeded or failed executions only."`
	Next    string   `placeholder:"TASK" help:"Show executions only that name this task as one of the next."`
	Message string   `placeholder:"TEXT" help:"Show executions only whose error message holds this text, in whatever case."`

	Format string `enum:"auto,json,text" default:"auto" placeholder:"FORM" help:"json: one PlanExecution a line; text: a line for people; auto: text on a terminal, else json (${default})."`
	Color  string `enum:"auto,always,never" default:"auto" placeholder:"WHEN" help:"Colour text always, never, or on a terminal unless NO_COLOR is set or TERM is dumb (auto)."`
}

// Help is shown below the flags.
func (tailCmd) Help() string {
	return `Only committed executions are shown. It joins no group and so disturbs nobody.

In text a line holds: when the execution was written (UTC), how it ended, the first digits of its exec_id, the
plan, the steps that it took, and the next tasks or what was wrong. "error" is an execution that
SUCCEEDED and whose plan gave an error message.

Examples:

  starplan tail --tenant-id acme
  starplan tail --tenant-id acme --since 10m --status failed
  starplan tail --tenant-id acme --from oldest --plan route,collect --next store -n 20
  starplan tail --tenant-id acme --from oldest --message "no such order" --format json | jq .header.exec_id
  starplan tail --tenant-id acme --format text --color always | less -R`
}

// Run prints executions until it is interrupted or has printed enough.
func (c *tailCmd) Run(ctx context.Context, p Process) error {
	client, err := c.Topics.client(ctx)
	if err != nil {
		return err
	}
	from := cmp.Or(c.From, "latest")
	if c.Since != "" {
		ago, err := config.ParseDuration(c.Since)
		if err != nil {
			return usagef("--since: %w", err)
		}
		from = time.Now().Add(-ago).Format(time.RFC3339Nano)
	}
	reader, err := follow.Open(ctx, follow.Options{Client: client, Topic: c.Topics.output(), From: from})
	if err != nil {
		return err
	}
	defer reader.Close()
	show := newPrinter(p, c.Format, c.Color)
	for n := 0; c.Limit == 0 || n < c.Limit; {
		e, err := reader.Next(ctx)
		if errors.Is(err, context.Canceled) {
			return nil
		}
		if err != nil {
			return err
		}
		if e.Message != nil && !c.wanted(e.Message) {
			continue
		}
		if e.Message != nil {
			n++
		}
		if err := show.execution(e); err != nil {
			return err
		}
	}
	return nil
}

// wanted reports whether e passes all filters.
func (c *tailCmd) wanted(e *planpb.PlanExecution) bool {
	header, result := e.GetHeader(), e.GetResult()
	return (len(c.Plan) == 0 || slices.Contains(c.Plan, header.GetName())) &&
		(c.Graph == "" || header.GetGraphId() == c.Graph) &&
		(c.Status == "" || strings.HasSuffix(header.GetStatus().String(), strings.ToUpper(c.Status))) &&
		(c.Next == "" || slices.Contains(result.GetNextTaskNames(), c.Next)) &&
		(c.Message == "" || strings.Contains(strings.ToLower(result.GetErrorMessage()), strings.ToLower(c.Message)))
}

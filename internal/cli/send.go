package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"starplan/internal/config"
	"starplan/internal/follow"
	"starplan/plan/execution"
	"starplan/proto/planpb"
)

type sendCmd struct {
	Topics topics   `embed:""`
	Inputs []string `arg:"" optional:"" name:"input" help:"PlanInput files, as JSON, one or many, or as the bytes of a record, or directories of them; - is standard input, and is read when none is given."`
	Key    string   `placeholder:"KEY" help:"Key of the records (plan_name of the input, behind graph_id and a colon where that is set)."`
	Wait   string   `placeholder:"DURATION" help:"Wait this long for the executions and print them."`
}

// Help is shown below the flags.
func (sendCmd) Help() string {
	return `For each input it prints where the record went, and the exec_id that its execution will have.
With --wait it prints the executions instead, and exits with 1 where one is missing.

Examples:

  starplan send --tenant-id acme --wait 10s input.json
  echo '{"plan_name": "two_step"}' | starplan send --tenant-id acme -`
}

// Run sends every input.
func (c *sendCmd) Run(ctx context.Context, p Process) error {
	records, err := c.records(p)
	if err != nil {
		return err
	}
	client, err := c.Topics.client(ctx)
	if err != nil {
		return err
	}
	var reader *follow.Reader
	var wait time.Duration
	if c.Wait != "" {
		if wait, err = config.ParseDuration(c.Wait); err != nil {
			return usagef("--wait: %w", err)
		}
		reader, err = follow.Open(ctx, follow.Options{Client: client, Topic: c.Topics.output(), From: "latest"})
		if err != nil {
			return err
		}
		defer reader.Close()
	}
	ids, err := produce(ctx, client, records)
	if err != nil {
		return err
	}
	if reader == nil {
		return c.printSent(p, records, ids)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return awaitExecutions(ctx, reader, ids, newPrinter(p, "json", "never").execution)
}

func (c *sendCmd) records(p Process) ([]*kgo.Record, error) {
	paths := c.Inputs
	if len(paths) == 0 {
		paths = []string{"-"}
	}
	var records []*kgo.Record
	for in, err := range eachInput(paths, p.Stdin) {
		if err != nil {
			return nil, err
		}
		key := c.Key
		if key == "" {
			if key = inputKey(in.value); key == "" {
				return nil, usagef("%s: want a plan_name in the input, or --key", in.label)
			}
		}
		records = append(records, &kgo.Record{Topic: c.Topics.input(), Key: []byte(key), Value: in.value})
	}
	return records, nil
}

// inputKey gives the record key that a serialized PlanInput asks for; empty
// where it names no plan.
func inputKey(value []byte) string {
	in := new(planpb.PlanInput)
	if proto.Unmarshal(value, in) != nil || in.GetPlanName() == "" {
		return ""
	}
	return execution.Key{Graph: in.GetGraphId(), Plan: in.GetPlanName()}.String()
}

// produce writes the records, in order, and gives the exec_id of each.
func produce(ctx context.Context, opts []kgo.Opt, records []*kgo.Record) ([]string, error) {
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.RecordDeliveryTimeout(30 * time.Second)}, opts...)...)
	if err != nil {
		return nil, usageError{err}
	}
	defer client.Close()
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return nil, fmt.Errorf("send to %s: %w", records[0].Topic, err)
	}
	ids := make([]string, len(records))
	for i, r := range records {
		ids[i] = execution.ID(execution.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp})
	}
	return ids, nil
}

func (c *sendCmd) printSent(p Process, records []*kgo.Record, ids []string) error {
	enc := json.NewEncoder(p.Stdout)
	for i, r := range records {
		err := enc.Encode(struct {
			Topic     string `json:"topic"`
			Partition int32  `json:"partition"`
			Offset    int64  `json:"offset"`
			ExecID    string `json:"exec_id"`
		}{r.Topic, r.Partition, r.Offset, ids[i]})
		if err != nil {
			return err
		}
	}
	return nil
}

// awaitExecutions calls show for the execution of each id, once each, until all
// were seen or ctx ends.
func awaitExecutions(ctx context.Context, reader *follow.Reader, ids []string, show func(follow.Execution) error) error {
	waiting := make(map[string]bool, len(ids))
	for _, id := range ids {
		waiting[id] = true
	}
	for len(waiting) > 0 {
		e, err := reader.Next(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("%d of %d inputs were not answered in time; is a service running for this tenant and plan?", len(waiting), len(ids))
		}
		if err != nil {
			return err
		}
		id := e.Message.GetHeader().GetExecId()
		if !waiting[id] {
			continue
		}
		delete(waiting, id)
		if err := show(e); err != nil {
			return err
		}
	}
	return nil
}

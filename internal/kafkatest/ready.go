package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ready asks the brokers until all of them are there, in sync, and do what clients
// need: metadata, and the coordinators of groups and transactions, whose topics exist
// and are loaded from then on.
func ready(ctx context.Context, seeds []string, nodes int) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.DialTimeout(time.Second),
		kgo.RequestRetries(0), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		return fmt.Errorf("kafkatest: %w", err)
	}
	defer cl.Close()
	retry := time.NewTicker(25 * time.Millisecond)
	defer retry.Stop()
	for {
		last := ask(ctx, cl, nodes)
		if last == nil {
			return nil
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return fmt.Errorf("kafkatest: %s is not ready: %w (last answer: %w)", strings.Join(seeds, ","), context.Cause(ctx), last)
		}
	}
}

func ask(ctx context.Context, cl *kgo.Client, nodes int) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, node := range cl.SeedBrokers() {
		if err := askNode(ctx, node, nodes); err != nil {
			return err
		}
	}
	const probe = "kafkatest-probe"
	groups, err := kadm.NewClient(cl).DescribeGroups(ctx, probe)
	if err != nil {
		return err
	}
	// A group that does not exist is an answer.
	if err := groups.Error(); err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return err
	}
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID = kmsg.StringPtr(probe)
	req.TransactionTimeoutMillis = 1000
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.ErrorCode)
}

// askNode asks one node how many brokers it knows, and whether every replica is
// in sync, so that another node may be taken away. The client's own metadata is no
// help: it is cached, and comes from whichever node was asked.
func askNode(ctx context.Context, node *kgo.Broker, nodes int) error {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = nil // all of them
	resp, err := node.Request(ctx, req)
	if err != nil {
		return err
	}
	meta := resp.(*kmsg.MetadataResponse)
	if len(meta.Brokers) < nodes || meta.ControllerID < 0 {
		return fmt.Errorf("%d of %d brokers, controller %d", len(meta.Brokers), nodes, meta.ControllerID)
	}
	for _, t := range meta.Topics {
		for _, p := range t.Partitions {
			if nodes > 1 && len(p.ISR) < len(p.Replicas) {
				return fmt.Errorf("partition %d of %s: replicas %v, of them in sync %v", p.Partition, *t.Topic, p.Replicas, p.ISR)
			}
		}
	}
	return nil
}

// CreateTopics creates topics at addr with as many replicas as the broker makes
// of its own accord. A topic that exists is an error.
func CreateTopics(ctx context.Context, addr string, partitions int, names ...string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(addr, ",")...))
	if err != nil {
		return fmt.Errorf("kafkatest: create topics: %w", err)
	}
	defer cl.Close()
	resp, err := kadm.NewClient(cl).CreateTopics(ctx, int32(partitions), -1, nil, names...)
	if err == nil {
		err = resp.Error()
	}
	if err != nil {
		return fmt.Errorf("kafkatest: create topics %s: %w", strings.Join(names, ", "), err)
	}
	return nil
}

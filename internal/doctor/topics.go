package doctor

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"starplan/internal/rights"
	"starplan/processor"
)

// transactions looks at whether the brokers have them, and which.
func (k *kafka) transactions(ctx context.Context) {
	const subject = "transactions"
	resp, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, k.client)
	if err != nil {
		k.tell(Finding{Subject: subject, Status: Note, Detail: "cannot be looked at: " + err.Error()})
		return
	}
	known := false
	for _, key := range resp.ApiKeys {
		known = known || key.ApiKey == int16(kmsg.TxnOffsetCommit)
	}
	if !known {
		k.tell(Finding{subject, Fail, "the brokers have none", "set DELIVERY=at-least-once, or use Apache Kafka 0.11 or later"})
		return
	}
	version := int16(0)
	for _, f := range resp.FinalizedFeatures {
		if f.Name == "transaction.version" {
			version = f.MaxVersionLevel
		}
	}
	detail := fmt.Sprintf("transaction.version %d", version)
	if version < 2 {
		detail += ", as before Apache Kafka 4.0"
	}
	k.tell(Finding{Subject: subject, Status: OK, Detail: detail})
}

// topic is what was found out about one.
type topic struct {
	partitions int
	// maxBytes is max.message.bytes; 0 for unknown.
	maxBytes int
}

// topics looks at the topics, one by one and against each other.
func (k *kafka) topics(ctx context.Context) {
	input := k.topic(ctx, processor.InputTopic(k.config.TenantID))
	output := k.topic(ctx, processor.OutputTopic(k.config.TenantID))
	if input != nil && output != nil && input.partitions != output.partitions {
		k.tell(Finding{
			"partitions", Note, fmt.Sprintf("%d of inputs and %d of executions", input.partitions, output.partitions),
			"give both topics as many: then a member that dies holds up the readers of its own partitions only",
		})
	}
	name := k.config.DeadLetterTopic
	if name == "" {
		return
	}
	letters := k.topic(ctx, name)
	if input != nil && letters != nil && letters.maxBytes > 0 && letters.maxBytes < input.maxBytes {
		k.tell(Finding{
			"dead letters", Note, fmt.Sprintf("topic %s takes %d bytes, an input may have %d", name, letters.maxBytes, input.maxBytes),
			"raise its max.message.bytes: dead letters that do not fit are dropped",
		})
	}
}

// topic looks at one; nil stands for one that cannot be used.
func (k *kafka) topic(ctx context.Context, name string) *topic {
	subject := "topic " + name
	list, err := k.admin.ListTopics(ctx, name)
	if err == nil {
		err = list[name].Err
	}
	switch {
	case unknownTopic(err):
		k.tell(Finding{subject, Fail, "does not exist", "create it, with as many partitions as the tenant's other topics"})
		return nil
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return nil // The right that is missing is told of with the others.
	case err != nil:
		k.tell(Finding{subject, Fail, err.Error(), "see the broker's log"})
		return nil
	}
	partitions := list[name].Partitions
	headless := 0
	for _, p := range partitions {
		if p.Leader < 0 {
			headless++
		}
	}
	if headless > 0 {
		k.tell(Finding{subject, Fail, fmt.Sprintf("%d of %d partitions have no leader", headless, len(partitions)), "start the brokers that hold their replicas"})
		return nil
	}
	t := &topic{partitions: len(partitions)}
	f := Finding{Subject: subject, Status: OK, Detail: fmt.Sprintf("%d partitions", t.partitions)}
	if t.maxBytes, err = k.maxBytes(ctx, name); err == nil {
		f.Detail += fmt.Sprintf(", records of %d bytes at most", t.maxBytes)
	} else if name == processor.OutputTopic(k.config.TenantID) {
		f.Status, f.Detail = Note, f.Detail+"; max.message.bytes is not known, 1 MiB is assumed"
		f.Remedy = rights.Remedy(k.principal, rights.DescribeConfigs(name))
	}
	k.tell(f)
	return t
}

// maxBytes asks what a topic takes.
func (k *kafka) maxBytes(ctx context.Context, name string) (int, error) {
	configs, err := k.admin.DescribeTopicConfigs(ctx, name)
	if err != nil {
		return 0, err
	}
	config, err := configs.On(name, nil)
	if err == nil {
		err = config.Err
	}
	if err != nil {
		return 0, err
	}
	for _, entry := range config.Configs {
		if entry.Key == "max.message.bytes" {
			return strconv.Atoi(entry.MaybeValue())
		}
	}
	return 0, errors.New("max.message.bytes is not told")
}

func unknownTopic(err error) bool { return errors.Is(err, kerr.UnknownTopicOrPartition) }

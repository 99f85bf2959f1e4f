// Package doctor looks at everything that a service needs, without running it:
// sandbox, plans, broker, topics and group. Each thing it looks at is one
// [Finding], with the remedy where something is wrong.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/internal/config"
	"starplan/plan"
	"starplan/plan/execution"
	"starplan/plan/worker"
	"starplan/processor"
)

// timeout bounds all that is asked of the brokers.
const timeout = 10 * time.Second

// Finding is the result of one check.
type Finding struct {
	// Subject is what was looked at, as "topic plan-inputs-acme".
	Subject string
	// Detail says what was found.
	Detail string
	// Remedy is empty where all is well.
	Remedy string
}

// Failed reports whether something must be done.
func (f Finding) Failed() bool { return f.Remedy != "" }

// Examine runs every check and calls tell with each finding as it comes. It
// changes nothing, joins no group and answers no record.
func Examine(ctx context.Context, c config.Config, tell func(Finding)) {
	examinePlans(ctx, c, tell)
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.Brokers...), kgo.RetryTimeout(timeout / 2)}, c.Connection.Options()...)...)
	if err != nil {
		tell(Finding{"broker", err.Error(), "correct KAFKA_BOOTSTRAP_SERVERS"})
		return
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	k := kafka{admin: kadm.NewClient(client), config: c, tell: tell}
	if !k.broker(ctx) {
		return
	}
	k.topic(ctx, processor.InputTopic(c.TenantID))
	k.topic(ctx, processor.OutputTopic(c.TenantID))
	if c.DeadLetterTopic != "" {
		k.topic(ctx, c.DeadLetterTopic)
	}
	k.group(ctx)
}

func examinePlans(ctx context.Context, c config.Config, tell func(Finding)) {
	pool, err := worker.NewPool(ctx, worker.Options{Tenant: c.TenantID, Limits: c.Limits, Workers: 1, RequireSandbox: c.RequireSandbox})
	if err != nil {
		tell(Finding{"sandbox", err.Error(), "run on a kernel that has the protection, or without REQUIRE_SANDBOX"})
		return
	}
	defer func() { _ = pool.Close(context.WithoutCancel(ctx)) }() // Nothing is left to lose.
	tell(Finding{Subject: "sandbox", Detail: pool.Sandbox().String()})
	plans, err := plan.Open(ctx, plan.Options{
		Path: c.PlanPath, Names: c.PlanNames, Graph: c.GraphID, Tenant: c.TenantID, Limits: c.Limits, Engine: pool,
	})
	if err != nil {
		tell(Finding{"plans", err.Error(), "correct PLAN_PATH or PLAN_NAME"})
		return
	}
	defer plans.Close()
	for _, p := range plans.Plans() {
		subject := "plan " + execution.Key{Graph: p.Graph, Plan: p.Name}.String()
		if p.LastError != "" {
			tell(Finding{subject, p.LastError, "mend the plan; starplan check shows more"})
			continue
		}
		tell(Finding{Subject: subject, Detail: "loads from " + p.Path})
	}
}

// kafka holds what the checks on the brokers share.
type kafka struct {
	admin  *kadm.Client
	config config.Config
	tell   func(Finding)
}

// broker reports whether any broker answers.
func (k kafka) broker(ctx context.Context) bool {
	subject := "broker " + strings.Join(k.config.Brokers, ",")
	begin := time.Now()
	meta, err := k.admin.BrokerMetadata(ctx)
	if err != nil {
		k.tell(Finding{subject, err.Error(), "start the broker, or correct KAFKA_BOOTSTRAP_SERVERS"})
		return false
	}
	k.tell(Finding{Subject: subject, Detail: fmt.Sprintf("%d in the cluster, answered in %v", len(meta.Brokers), time.Since(begin).Round(time.Millisecond))})
	return true
}

func (k kafka) topic(ctx context.Context, topic string) {
	subject := "topic " + topic
	topics, err := k.admin.ListTopics(ctx, topic)
	if err == nil {
		err = topics[topic].Err
	}
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		k.tell(Finding{subject, "does not exist", "create it, with as many partitions as the tenant's other topics"})
		return
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		k.tell(Finding{subject, err.Error(), "grant this user Describe and Read or Write on the topic"})
		return
	case err != nil:
		k.tell(Finding{subject, err.Error(), "see the broker's log"})
		return
	}
	detail := fmt.Sprintf("%d partitions", len(topics[topic].Partitions))
	configs, err := k.admin.DescribeTopicConfigs(ctx, topic)
	if err == nil {
		for _, entry := range configs[0].Configs {
			if entry.Key == "max.message.bytes" {
				detail += ", records of " + entry.MaybeValue() + " bytes at most"
			}
		}
	}
	k.tell(Finding{Subject: subject, Detail: detail})
}

// group looks at the members and at how far they are.
func (k kafka) group(ctx context.Context) {
	group := k.config.GroupID
	subject := "group " + group
	lags, err := k.admin.Lag(ctx, group)
	lag := lags[group]
	if err == nil {
		err = lag.Error()
	}
	if isNew := len(lag.Members) == 0 && len(lag.Lag) == 0; errors.Is(err, kerr.GroupIDNotFound) || err == nil && isNew {
		k.tell(Finding{Subject: subject, Detail: "is new; it begins at " + k.config.Start.String()})
		return
	}
	if err != nil {
		k.tell(Finding{subject, err.Error(), "grant this user Read on the group, or see the broker's log"})
		return
	}
	detail := fmt.Sprintf("%d members, lag of %d records", len(lag.Members), lag.Lag.Total())
	want := processor.Assignor(k.config.Serving())
	if lag.Protocol != "" && lag.Protocol != want {
		k.tell(Finding{
			subject, detail + ", whose members serve other plans (assignor " + lag.Protocol + ", this configuration's is " + want + ")",
			"choose another KAFKA_GROUP_ID, or stop those members first",
		})
		return
	}
	var hosts []string
	for _, m := range lag.Members {
		hosts = append(hosts, m.ClientID+m.ClientHost)
	}
	slices.Sort(hosts)
	if len(hosts) > 0 {
		detail += ": " + strings.Join(hosts, ", ")
	}
	k.tell(Finding{Subject: subject, Detail: detail})
}

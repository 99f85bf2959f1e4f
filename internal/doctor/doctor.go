// Package doctor looks at everything that a service needs, without running it:
// sandbox, plans, connection, topics, rights and group. Each thing it looks at is
// one [Finding], with the remedy where something is wrong.
//
// It changes nothing. It joins no group, commits no offset, produces no record and
// asks for no producer id; how it finds out about rights all the same is told in
// package rights. A token endpoint is asked for a token as the service would.
package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/internal/config"
	"starplan/internal/rights"
	"starplan/plan"
	"starplan/plan/execution"
	"starplan/plan/worker"
	"starplan/processor"
)

const (
	// timeout bounds all that is asked of brokers that can be reached.
	timeout = 15 * time.Second
	// connectTimeout bounds the first question, and finding out why there is no answer.
	connectTimeout = 6 * time.Second
)

// Status says what is to be made of a finding.
type Status string

// The statuses.
const (
	// OK: it is as it should be.
	OK Status = "ok"
	// Note: the service works; somebody should know all the same.
	Note Status = "note"
	// Fail: the service would not work.
	Fail Status = "fail"
)

// Finding is the result of one check.
type Finding struct {
	// Subject is what was looked at, as "topic plan-inputs-acme".
	Subject string `json:"subject"`
	Status  Status `json:"status"`
	// Detail says what was found.
	Detail string `json:"detail"`
	// Remedy says what to do; empty where nothing is to be done, or Detail says it.
	Remedy string `json:"remedy,omitempty"`
}

// Examine runs every check and calls tell with each finding as it comes. It needs
// half a minute at most where brokers do not answer, besides what plans take.
func Examine(ctx context.Context, c config.Config, tell func(Finding)) {
	examinePlans(ctx, c, tell)
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.Brokers...), kgo.RetryTimeout(connectTimeout / 2), kgo.DialTimeout(connectTimeout / 2)}, c.Connection.Options()...)...)
	if err != nil {
		tell(Finding{"brokers", Fail, err.Error(), "correct KAFKA_BOOTSTRAP_SERVERS"})
		return
	}
	defer client.Close()
	k := &kafka{client: client, admin: kadm.NewClient(client), config: c, tell: tell, principal: c.Connection.Principal()}
	if !k.connection(ctx) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if c.Delivery == processor.ExactlyOnce {
		k.transactions(ctx)
	}
	k.topics(ctx)
	k.rights(ctx)
	k.group(ctx)
}

func examinePlans(ctx context.Context, c config.Config, tell func(Finding)) {
	pool, err := worker.NewPool(ctx, worker.Options{Tenant: c.TenantID, Limits: c.Limits, Workers: 1, RequireSandbox: c.RequireSandbox})
	if err != nil {
		tell(Finding{"sandbox", Fail, err.Error(), "run on a kernel that has the protection, or without REQUIRE_SANDBOX"})
		return
	}
	defer func() { _ = pool.Close(context.WithoutCancel(ctx)) }() // Nothing is left to lose.
	tell(Finding{Subject: "sandbox", Status: OK, Detail: pool.Sandbox().String()})
	plans, err := plan.Open(ctx, plan.Options{
		Path: c.PlanPath, Names: c.PlanNames, Graph: c.GraphID, Tenant: c.TenantID, Limits: c.Limits, Engine: pool,
	})
	if err != nil {
		tell(Finding{"plans", Fail, err.Error(), "correct PLAN_PATH or PLAN_NAME"})
		return
	}
	defer plans.Close()
	for _, p := range plans.Plans() {
		subject := "plan " + execution.Key{Graph: p.Graph, Plan: p.Name}.String()
		if p.LastError != "" {
			tell(Finding{subject, Fail, p.LastError, "mend the plan; starplan check shows more"})
			continue
		}
		tell(Finding{Subject: subject, Status: OK, Detail: "loads from " + p.Path})
	}
}

// kafka holds what the checks on the brokers share.
type kafka struct {
	client *kgo.Client
	admin  *kadm.Client
	config config.Config
	tell   func(Finding)
	// principal is whom access control knows us as, as far as is known.
	principal string
}

// connection reports whether a broker answers to who we say that we are.
func (k *kafka) connection(ctx context.Context) bool {
	settings := k.config.Connection
	f := Finding{Subject: "security", Status: OK, Detail: settings.String()}
	if secret := settings.Clear(); secret != "" {
		f.Status, f.Remedy = Note, secret+" travels unencrypted; use a listener with TLS, and KAFKA_TLS_ENABLED or KAFKA_TLS_CA_FILE"
	}
	k.tell(f)
	if settings.Token != nil && !k.token(ctx) {
		return false
	}
	first, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	subject := "brokers " + strings.Join(k.config.Brokers, ",")
	began := time.Now()
	meta, err := k.admin.BrokerMetadata(first)
	took := time.Since(began)
	if err != nil {
		why, cancel := context.WithTimeout(ctx, connectTimeout)
		defer cancel()
		k.tell(Finding{Subject: subject, Status: Fail, Detail: settings.Explain(why, k.config.Brokers, err).Error()})
		return false
	}
	detail := fmt.Sprintf("%d in cluster %s, answered in %v", len(meta.Brokers), meta.Cluster, took.Round(time.Millisecond))
	if settings.SASL != nil {
		detail += ", credentials accepted"
	}
	k.tell(Finding{Subject: subject, Status: OK, Detail: detail})
	return true
}

// token reports whether there is a token for OAUTHBEARER that has not expired.
func (k *kafka) token(ctx context.Context) bool {
	settings := k.config.Connection
	subject := "token"
	if settings.TokenEndpoint != "" {
		subject += " of " + settings.TokenEndpoint
	}
	token, err := settings.Token(ctx)
	if err != nil {
		k.tell(Finding{Subject: subject, Status: Fail, Detail: err.Error()})
		return false
	}
	whose := ""
	if token.Subject != "" {
		// Brokers take this for the user, where they are not told otherwise.
		k.principal, whose = "User:"+token.Subject, " for "+token.Subject
	}
	switch {
	case token.Expires.IsZero():
		k.tell(Finding{Subject: subject, Status: OK, Detail: "there is one" + whose + ", which does not say when it expires"})
	case time.Now().After(token.Expires):
		k.tell(Finding{subject, Fail, "the one" + whose + " expired at " + token.Expires.UTC().Format(time.RFC3339), "have whoever writes KAFKA_SASL_TOKEN_FILE renew it, or set the clock right"})
		return false
	default:
		k.tell(Finding{Subject: subject, Status: OK, Detail: "there is one" + whose + ", which expires in " + time.Until(token.Expires).Round(time.Second).String()})
	}
	return true
}

// rights looks at what the service may do. Topics that do not exist were told of
// already.
func (k *kafka) rights(ctx context.Context) {
	needs := rights.Needs{
		Input: processor.InputTopic(k.config.TenantID), Output: processor.OutputTopic(k.config.TenantID), DeadLetters: k.config.DeadLetterTopic,
		Group: k.config.GroupID, Transactions: k.config.Delivery == processor.ExactlyOnce,
	}
	for _, r := range needs.Rights() {
		f := Finding{Subject: "right " + r.String(), Status: OK, Detail: "granted"}
		missing, err := rights.Missing(ctx, k.client, []rights.Right{r})
		switch {
		case len(missing) > 0:
			f.Status, f.Detail, f.Remedy = Fail, "missing", rights.Remedy(k.principal, r)
			if r.Resource == rights.TransactionalIDs {
				f.Remedy += "; or set DELIVERY=at-least-once"
			}
		case unknownTopic(err):
			continue
		case err != nil:
			f.Status, f.Detail = Note, "cannot be looked at: "+err.Error()
		}
		k.tell(f)
	}
}

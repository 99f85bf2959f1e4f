// Package rights knows what the service needs of a broker's access control, and
// finds out what of it a client lacks.
//
// Finding out changes nothing:
//
//	topic             Metadata tells the operations that the client may do (KIP-430)
//	group             a heartbeat of a member that does not exist: whoever may not
//	                  read from the group is refused before that is noticed
//	transactional id  the end of a transaction that does not exist, under an id that
//	                  no process has ([Probe]): whoever may not write is refused before
//	                  that is noticed. To ask for a producer id would tell as much, but
//	                  leave that id behind in the broker's log for a week
//
// DescribeGroups would tell the operations on a group too, but only of one that
// exists; for transactional ids there is no such request.
package rights

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Probe is the last part of the transactional id that is asked about: no process
// has it, because those of processes hold more than one word.
const Probe = "doctor"

// Right is a right to do something to a resource.
type Right struct {
	// Operation is Kafka's name of it, such as "Read".
	Operation string
	// Resource is what kind of thing Name names.
	Resource Resource
	// Name of the topic or group, or what the transactional ids begin with.
	Name string
}

// Resource is a kind of thing that rights are about.
type Resource string

// The kinds.
const (
	Topic            Resource = "topic"
	Group            Resource = "group"
	TransactionalIDs Resource = "transactional ids with the prefix"
)

// Needs say what a service does. Fields may be empty.
type Needs struct {
	Input, Output, DeadLetters string
	Group                      string
	// Transactions: the service delivers exactly once.
	Transactions bool
}

// TransactionalPrefix is what the transactional ids of a group's members begin with.
func TransactionalPrefix(group string) string { return group + "/" }

// ReadTopic is the right to read records of a topic, and to commit offsets of it.
func ReadTopic(name string) Right { return Right{"Read", Topic, name} }

// WriteTopic is the right to put records on a topic.
func WriteTopic(name string) Right { return Right{"Write", Topic, name} }

// JoinGroup is the right to be a member of a group, and to commit its offsets.
func JoinGroup(name string) Right { return Right{"Read", Group, name} }

// DescribeGroup is the right to see a group's members and offsets.
func DescribeGroup(name string) Right { return Right{"Describe", Group, name} }

// DescribeConfigs is the right to see a topic's configuration.
func DescribeConfigs(topic string) Right { return Right{"DescribeConfigs", Topic, topic} }

// Transact is the right to use the transactional ids of a group's members.
func Transact(group string) Right {
	return Right{"Write", TransactionalIDs, TransactionalPrefix(group)}
}

// Rights lists what is needed.
func (n Needs) Rights() []Right {
	rights := []Right{ReadTopic(n.Input), JoinGroup(n.Group), WriteTopic(n.Output)}
	if n.DeadLetters != "" {
		rights = append(rights, WriteTopic(n.DeadLetters))
	}
	if n.Transactions {
		rights = append(rights, Transact(n.Group))
	}
	return rights
}

// String is such as "Read on topic plan-inputs-acme".
func (r Right) String() string {
	if r.Resource == TransactionalIDs {
		return fmt.Sprintf("%s on %s %q", r.Operation, r.Resource, r.Name)
	}
	return fmt.Sprintf("%s on %s %s", r.Operation, r.Resource, r.Name)
}

// Command is the one that gives the right to a principal, such as "User:starplan",
// with Kafka's own tool.
func (r Right) Command(principal string) string {
	resource := "--topic " + quote(r.Name)
	switch r.Resource {
	case Group:
		resource = "--group " + quote(r.Name)
	case TransactionalIDs:
		resource = "--transactional-id " + quote(r.Name) + " --resource-pattern-type prefixed"
	}
	return fmt.Sprintf("kafka-acls --bootstrap-server HOST:PORT --add --allow-principal %s --operation %s %s", quote(principal), r.Operation, resource)
}

// Remedy tells what to do where rights are missing.
func Remedy(principal string, missing ...Right) string {
	names, commands := make([]string, len(missing)), make([]string, len(missing))
	for i, r := range missing {
		names[i], commands[i] = r.String(), r.Command(principal)
	}
	return "grant " + strings.Join(names, ", ") + ": " + strings.Join(commands, "; ")
}

// quote makes a word that a shell reads as s.
func quote(s string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-/:@", r)
	}
	if s != "" && strings.TrimFunc(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// Missing asks the broker which of the rights this client lacks. Where the broker
// does not answer, or a topic does not exist, err says so for the first of those; the
// others are asked for all the same.
func Missing(ctx context.Context, client *kgo.Client, rights []Right) (missing []Right, err error) {
	for _, r := range rights {
		refused, askErr := r.refused(ctx, client)
		if refused {
			missing = append(missing, r)
		}
		if askErr != nil && err == nil {
			err = fmt.Errorf("%s: %w", r, askErr)
		}
	}
	return missing, err
}

func (r Right) refused(ctx context.Context, client *kgo.Client) (bool, error) {
	switch r.Resource {
	case Topic:
		return r.onTopic(ctx, client)
	case Group:
		return onGroup(ctx, client, r.Name)
	default:
		return onTransactionalID(ctx, client, r.Name+Probe)
	}
}

// unknownOperations is what a broker answers that does not tell.
const unknownOperations = math.MinInt32

func (r Right) onTopic(ctx context.Context, client *kgo.Client) (bool, error) {
	operation, err := kmsg.ParseACLOperation(r.Operation)
	if err != nil {
		return false, err
	}
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = kmsg.StringPtr(r.Name)
	req.Topics = append(req.Topics, t)
	req.AllowAutoTopicCreation = false
	req.IncludeTopicAuthorizedOperations = true
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return false, err
	}
	if len(resp.Topics) != 1 {
		return false, fmt.Errorf("metadata: %d topics in the answer, want 1", len(resp.Topics))
	}
	answer := resp.Topics[0]
	err = kerr.ErrorForCode(answer.ErrorCode)
	switch {
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return true, nil
	case err != nil:
		return false, err
	case answer.AuthorizedOperations == unknownOperations:
		return false, nil
	default:
		return answer.AuthorizedOperations&(1<<operation) == 0, nil
	}
}

func onGroup(ctx context.Context, client *kgo.Client, group string) (bool, error) {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation = group, Probe, 0
	resp, err := req.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	switch {
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		return true, nil
	case err == nil, errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.GroupIDNotFound):
		return false, nil
	default:
		return false, err
	}
}

func onTransactionalID(ctx context.Context, client *kgo.Client, id string) (bool, error) {
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = id, -1, 0
	resp, err := req.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	switch {
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		return true, nil
	case err == nil, errors.Is(err, kerr.InvalidProducerIDMapping):
		return false, nil
	default:
		return false, err
	}
}

package processor

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"starplan/internal/rights"
)

// errTooLarge is for the log, where an answer cannot be made small enough.
var errTooLarge = errors.New("answer is larger than the topic takes")

// GroupMismatchError says that the broker did not let this process into its
// group, because the members in it serve something else.
type GroupMismatchError struct {
	// Group is the consumer group's id.
	Group string
	// Serving is what this process serves.
	Serving string
	// Err is the broker's answer.
	Err error
}

// Error names the group and the remedies.
func (e *GroupMismatchError) Error() string {
	return fmt.Sprintf("group %q has members that serve other plans than this process (%s), or that are not starplan; "+
		"each would skip, and so lose, the other's records: set another KAFKA_GROUP_ID, or stop those members first: %v", e.Group, e.Serving, e.Err)
}

// Unwrap gives the broker's answer.
func (e *GroupMismatchError) Unwrap() error { return e.Err }

// InstanceTakenError says that another process has joined the group under this
// one's instance id.
type InstanceTakenError struct {
	// Group is the consumer group's id, InstanceID the one that is used twice.
	Group, InstanceID string
	// Err is the broker's answer.
	Err error
}

// Error names the instance id and the remedy.
func (e *InstanceTakenError) Error() string {
	return fmt.Sprintf("another process has joined group %q as instance %q, and the broker goes on with that one: "+
		"give each member a KAFKA_INSTANCE_ID of its own: %v", e.Group, e.InstanceID, e.Err)
}

// Unwrap gives the broker's answer.
func (e *InstanceTakenError) Unwrap() error { return e.Err }

// AccessError says that the broker refused something for good: a right is
// missing, or the credentials are wrong.
type AccessError struct {
	// Op is what was tried, such as "produce to topic plan-executions-acme"; empty
	// where Err says it.
	Op string
	// Remedy says what to do, such as "grant Write on topic plan-executions-acme: …".
	// It may be empty where Err says it.
	Remedy string
	// Err is the broker's answer.
	Err error
}

// Error names what was tried, and the remedy.
func (e *AccessError) Error() string {
	text := e.Err.Error()
	if e.Op != "" {
		text = fmt.Sprintf("%s: the broker refuses it: %s", e.Op, text)
	}
	if e.Remedy != "" {
		text += "; " + e.Remedy
	}
	return text
}

// Unwrap gives the broker's answer.
func (e *AccessError) Unwrap() error { return e.Err }

// errRights is for rights that the broker says are not there before they are used.
var errRights = errors.New("rights are missing")

// accessError says that the broker refused op, which has to do with a topic where
// one is named, and names the right that it takes.
func (p *Processor) accessError(op, topic string, err error) *AccessError {
	e := &AccessError{Op: op, Err: err}
	var need rights.Right
	switch {
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		need = rights.JoinGroup(p.opts.Group)
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		need = rights.Transact(p.opts.Group)
	case !errors.Is(err, kerr.TopicAuthorizationFailed):
		return e
	case topic == p.input:
		need = rights.ReadTopic(topic)
	default:
		need = rights.WriteTopic(topic)
	}
	e.Remedy = rights.Remedy(p.opts.Principal, need)
	return e
}

// anyOf reports whether err is one of targets.
func anyOf(err error, targets ...error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// unwelcome reports whether the broker does not take the credentials. At the start
// that is a mistake to be mended first. Later it need not be one: credentials are
// replaced while the service runs, and not everywhere at once.
func unwelcome(err error) bool {
	return anyOf(err, kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState)
}

// fatal reports whether it is pointless to try again without a change to rights or
// configuration.
func fatal(err error) bool {
	return anyOf(err,
		kerr.TopicAuthorizationFailed,
		kerr.GroupAuthorizationFailed,
		kerr.ClusterAuthorizationFailed,
		kerr.TransactionalIDAuthorizationFailed,
		kerr.InvalidGroupID,
		kerr.InvalidSessionTimeout,
	)
}

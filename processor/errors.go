package processor

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
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
	// Op is what was tried, such as "produce to topic plan-executions-acme".
	Op string
	// Err is the broker's answer.
	Err error
}

func newAccessError(op string, err error) *AccessError { return &AccessError{Op: op, Err: err} }

// Error names what was tried.
func (e *AccessError) Error() string {
	return fmt.Sprintf("%s: the broker refuses it: %v", e.Op, e.Err)
}

// Unwrap gives the broker's answer.
func (e *AccessError) Unwrap() error { return e.Err }

// fatal reports whether it is pointless to try again without a change to rights,
// credentials or configuration.
func fatal(err error) bool {
	for _, target := range []error{
		kerr.TopicAuthorizationFailed,
		kerr.GroupAuthorizationFailed,
		kerr.ClusterAuthorizationFailed,
		kerr.TransactionalIDAuthorizationFailed,
		kerr.SaslAuthenticationFailed,
		kerr.UnsupportedSaslMechanism,
		kerr.IllegalSaslState,
		kerr.InvalidGroupID,
		kerr.InvalidSessionTimeout,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

package processor

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"
)

// guarded makes a cluster with access control, whose user may do what acls say, and
// options of a processor that is this user.
func guarded(t *testing.T, d Delivery, acls []kfake.ACL) (*kfake.Cluster, Options) {
	t.Helper()
	c := cluster(t, 1, kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("PLAIN", "root", "root"), kfake.User("PLAIN", "starplan", "x", acls...))
	o := optionsFor(t, c, d, &fakeRunner{})
	o.ClientOptions = []kgo.Opt{kgo.SASL(plain.Auth{User: "starplan", Pass: "x"}.AsMechanism())}
	o.Principal, o.DeadLetterTopic = "User:starplan", letters
	return c, o
}

// needed is all that a processor needs.
func needed() []kfake.ACL {
	allow := func(r kmsg.ACLResourceType, name string, op kmsg.ACLOperation) kfake.ACL {
		a := kfake.ACL{Resource: r, Name: name, Operation: op, Pattern: kmsg.ACLResourcePatternTypeLiteral, Allow: true}
		if r == kmsg.ACLResourceTypeTransactionalId {
			a.Pattern = kmsg.ACLResourcePatternTypePrefixed
		}
		return a
	}
	return []kfake.ACL{
		allow(kmsg.ACLResourceTypeTopic, inputs, kmsg.ACLOperationRead),
		allow(kmsg.ACLResourceTypeTopic, outputs, kmsg.ACLOperationWrite),
		allow(kmsg.ACLResourceTypeTopic, letters, kmsg.ACLOperationWrite),
		allow(kmsg.ACLResourceTypeGroup, group, kmsg.ACLOperationRead),
		allow(kmsg.ACLResourceTypeTransactionalId, group+"/", kmsg.ACLOperationWrite),
	}
}

// TestFewestRights: the rights that the documentation lists are enough.
func TestFewestRights(t *testing.T) { each(t, testFewestRights) }

func testFewestRights(t *testing.T, d Delivery) {
	acls := needed()
	if d == AtLeastOnce {
		acls = acls[:len(acls)-1]
	}
	c, o := guarded(t, d, acls)
	root := kgo.SASL(plain.Auth{User: "root", Pass: "root"}.AsMechanism())
	send(t, client(t, c, root), input("plan", "1"))
	p := start(t, o)
	reader := &reader{t: t, cl: client(t, c, root, kgo.ConsumeTopics(outputs), kgo.FetchIsolationLevel(kgo.ReadCommitted()))}
	reader.count(1)
	p.stop()
}

// TestMissingRights: without one of them the processor ends before it has done
// anything, and names it.
func TestMissingRights(t *testing.T) {
	for i, want := range []string{
		"Read on topic " + inputs, "Write on topic " + outputs, "Write on topic " + letters, "Read on group " + group,
		`Write on transactional ids with the prefix "` + group + `/"`,
	} {
		for _, seen := range []bool{false, true} {
			acls := needed()
			if seen {
				// The resource can be seen and not used.
				acls[i].Operation = kmsg.ACLOperationDescribe
			} else {
				acls = append(acls[:i], acls[i+1:]...)
			}
			t.Run(want, func(t *testing.T) {
				_, o := guarded(t, ExactlyOnce, acls)
				err := start(t, o).wait()
				var access *AccessError
				if !errors.As(err, &access) || !strings.Contains(err.Error(), "grant "+want+": kafka-acls") || !strings.Contains(err.Error(), "User:starplan") {
					t.Errorf("Run() = %v, want an AccessError that says how to grant %s", err, want)
				}
			})
		}
	}
}

// TestRightIsTakenAway: a right that is refused when it is used ends the processor,
// and is named.
func TestRightIsTakenAway(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault kfake.Fault
		want  string
	}{
		{"group", kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Err: kerr.GroupAuthorizationFailed}, "join group " + group + ": the broker refuses it"},
		{"fetch", kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.TopicAuthorizationFailed}, "fetch from topic " + inputs + ": the broker refuses it"},
		{"produce", kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: outputs, Err: kerr.TopicAuthorizationFailed}, "produce to topic " + outputs + ": the broker refuses it"},
		{"transaction", kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.TransactionalIDAuthorizationFailed}, "or set DELIVERY=at-least-once"},
		{"offsets", kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.GroupAuthorizationFailed}, "grant Read on group " + group},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := cluster(t, 1)
			send(t, client(t, c), input("plan", "1"))
			tt.fault.Count = -1
			if tt.name == "group" {
				c.Fault(tt.fault) // A member that has joined does not join again.
			}
			p := start(t, optionsFor(t, c, ExactlyOnce, &fakeRunner{}))
			if tt.name != "group" {
				eventually(t, "readiness", func() bool { return p.Status().Ready })
				c.Fault(tt.fault)
			}
			send(t, client(t, c), input("plan", "2"))
			err := p.wait()
			var access *AccessError
			if !errors.As(err, &access) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "grant ") {
				t.Errorf("Run() = %v, want an AccessError with %q and the right to grant", err, tt.want)
			}
		})
	}
}

package rights_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"starplan/internal/rights"
)

var needs = rights.Needs{Input: "in", Output: "out", DeadLetters: "dead", Group: "g", Transactions: true}

func allow(r kmsg.ACLResourceType, name string, op kmsg.ACLOperation, pattern kmsg.ACLResourcePatternType) kfake.ACL {
	return kfake.ACL{Resource: r, Name: name, Operation: op, Pattern: pattern, Allow: true}
}

// acls give all that needs lists, in its order.
var acls = []kfake.ACL{
	allow(kmsg.ACLResourceTypeTopic, "in", kmsg.ACLOperationRead, kmsg.ACLResourcePatternTypeLiteral),
	allow(kmsg.ACLResourceTypeGroup, "g", kmsg.ACLOperationRead, kmsg.ACLResourcePatternTypeLiteral),
	allow(kmsg.ACLResourceTypeTopic, "out", kmsg.ACLOperationWrite, kmsg.ACLResourcePatternTypeLiteral),
	allow(kmsg.ACLResourceTypeTopic, "dead", kmsg.ACLOperationAll, kmsg.ACLResourcePatternTypeLiteral),
	allow(kmsg.ACLResourceTypeTransactionalId, "g/", kmsg.ACLOperationWrite, kmsg.ACLResourcePatternTypePrefixed),
}

func connect(t *testing.T, c *kfake.Cluster, user string) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.SASL(plain.Auth{User: user, Pass: user}.AsMechanism()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func TestMissing(t *testing.T) {
	opts := []kfake.Opt{
		kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(), kfake.SeedTopics(1, "in", "out", "dead"),
		kfake.Superuser("PLAIN", "root", "root"), kfake.User("PLAIN", "all", "all", acls...), kfake.User("PLAIN", "none", "none"),
	}
	want := map[string][]rights.Right{"root": nil, "all": nil, "none": needs.Rights()}
	for i, r := range needs.Rights() {
		user := "all-but-" + string(rune('a'+i))
		var some []kfake.ACL
		for j, a := range acls {
			if j == i && (a.Resource == kmsg.ACLResourceTypeTopic) {
				// To see a topic is not to use it.
				a.Operation = kmsg.ACLOperationDescribe
			} else if j == i {
				continue
			}
			some = append(some, a)
		}
		opts = append(opts, kfake.User("PLAIN", user, user, some...))
		want[user] = []rights.Right{r}
	}
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for user, want := range want {
		t.Run(user, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			got, err := rights.Missing(ctx, connect(t, c, user), needs.Rights())
			if err != nil {
				t.Errorf("Missing = %v, want no error", err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("missing rights differ (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("changes nothing", func(t *testing.T) {
		admin := kadm.NewClient(connect(t, c, "root"))
		if groups, err := admin.ListGroups(t.Context()); err != nil || len(groups) > 0 {
			t.Errorf("groups = %v, %v, want none", groups.Groups(), err)
		}
		if open, err := admin.ListTransactions(t.Context(), nil, nil); err != nil || len(open) > 0 {
			t.Errorf("transactional ids = %v, %v, want none", open, err)
		}
	})
}

// TestUnanswered: what the broker does not tell is not missing.
func TestUnanswered(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "in", "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	missing, err := rights.Missing(t.Context(), cl, needs.Rights())
	if len(missing) > 0 || err == nil || err.Error() != "Write on topic dead: "+kerr.UnknownTopicOrPartition.Error() {
		t.Errorf("Missing = %v, %v; want none, and that the topic does not exist", missing, err)
	}
}

func TestRemedy(t *testing.T) {
	const kafka = "kafka-acls --bootstrap-server HOST:PORT --add --allow-principal "
	for _, test := range []struct {
		principal string
		right     rights.Right
		want      string
	}{
		{"User:starplan", rights.ReadTopic("plan-inputs-acme"), "grant Read on topic plan-inputs-acme: " + kafka + "User:starplan --operation Read --topic plan-inputs-acme"},
		{"User:CN=starplan,O=x", rights.JoinGroup("it's"), "grant Read on group it's: " + kafka + `'User:CN=starplan,O=x' --operation Read --group 'it'\''s'`},
		{
			"User:starplan", rights.Transact("executors-acme"),
			`grant Write on transactional ids with the prefix "executors-acme/": ` + kafka + "User:starplan --operation Write --transactional-id executors-acme/ --resource-pattern-type prefixed",
		},
	} {
		if got := rights.Remedy(test.principal, test.right); got != test.want {
			t.Errorf("Remedy =\n%s\nwant\n%s", got, test.want)
		}
	}
	both := rights.Remedy("User:u", rights.DescribeGroup("a"), rights.DescribeConfigs("b"))
	if !strings.HasPrefix(both, "grant Describe on group a, DescribeConfigs on topic b: ") || strings.Count(both, "kafka-acls") != 2 {
		t.Errorf("Remedy of two = %s, want both named and a command for each", both)
	}
}

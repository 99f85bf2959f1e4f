package doctor_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"starplan/internal/config"
	"starplan/internal/doctor"
	"starplan/plan/worker"
)

func TestMain(m *testing.M) {
	worker.Divert() // A pool starts this binary again as its worker.
	os.Exit(m.Run())
}

const (
	inputs  = "plan-inputs-acme"
	outputs = "plan-executions-acme"
	letters = "dlq-plan-inputs-acme"
)

func fake(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{
		kfake.NumBrokers(1), kfake.SeedTopics(4, inputs, outputs, letters), kfake.GroupMinSessionTimeout(time.Second),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func client(t *testing.T, c *kfake.Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(c.ListenAddrs()...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// examine gives the findings, a line for each, for a tenant with one plan.
func examine(t *testing.T, broker string, env map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "route.star"), []byte("def plan(plan_input):\n    return PlanResult()\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"TENANT_ID": "acme", "PLAN_PATH": dir, "KAFKA_BOOTSTRAP_SERVERS": broker, "KAFKA_GROUP_ID": "g"}
	maps.Copy(all, env)
	var args []string
	for name, value := range all {
		args = append(args, "--"+strings.ToLower(strings.ReplaceAll(name, "_", "-"))+"="+value)
	}
	var flags config.Flags
	parser, err := kong.New(&flags)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatal(err)
	}
	c, err := flags.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var text strings.Builder
	doctor.Examine(ctx, c, func(f doctor.Finding) {
		fmt.Fprintf(&text, "%s %s: %s; %s\n", f.Status, f.Subject, f.Detail, f.Remedy)
	})
	return text.String()
}

func allow(r kmsg.ACLResourceType, name string, op kmsg.ACLOperation) kfake.ACL {
	a := kfake.ACL{Resource: r, Name: name, Operation: op, Pattern: kmsg.ACLResourcePatternTypeLiteral, Allow: true}
	if r == kmsg.ACLResourceTypeTransactionalId {
		a.Pattern = kmsg.ACLResourcePatternTypePrefixed
	}
	return a
}

// fewest are the rights that a service needs.
var fewest = []kfake.ACL{
	allow(kmsg.ACLResourceTypeTopic, inputs, kmsg.ACLOperationRead),
	allow(kmsg.ACLResourceTypeTopic, outputs, kmsg.ACLOperationWrite),
	allow(kmsg.ACLResourceTypeGroup, "g", kmsg.ACLOperationRead),
	allow(kmsg.ACLResourceTypeTransactionalId, "g/", kmsg.ACLOperationWrite),
}

var asU = map[string]string{"KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_SASL_USERNAME": "u", "KAFKA_SASL_PASSWORD": "hidden"}

func with(env map[string]string, name, value string) map[string]string {
	env = maps.Clone(env)
	env[name] = value
	return env
}

func TestExamine(t *testing.T) {
	guarded := func(acls ...kfake.ACL) []kfake.Opt {
		return []kfake.Opt{kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("PLAIN", "root", "root"), kfake.User("PLAIN", "u", "hidden", acls...)}
	}
	for _, test := range []struct {
		name    string
		cluster []kfake.Opt
		env     map[string]string
		prepare func(t *testing.T, c *kfake.Cluster)
		want    []string // lines, or their beginnings
		none    []string // what no line holds
	}{
		{name: "well", want: []string{
			"ok sandbox: ", "ok plan route: loads from ", "ok security: no TLS, no SASL; ", "ok brokers ADDR: 1 in cluster ",
			"ok transactions: transaction.version 2; ",
			"ok topic " + inputs + ": 4 partitions, records of 1048588 bytes at most; ", "ok topic " + outputs + ": 4 partitions",
			"ok right Read on topic " + inputs + ": granted; ", "ok right Write on topic " + outputs + ": granted; ", "ok right Read on group g: granted; ",
			`ok right Write on transactional ids with the prefix "g/": granted; `, "ok group g: has no members; ",
			"ok offsets of group g: none; it begins at oldest (KAFKA_START); ",
		}, none: []string{"fail ", "note ", letters}},
		{name: "at least once with dead letters", env: map[string]string{"DELIVERY": "at-least-once", "DEAD_LETTER_TOPIC": "auto"},
			want: []string{"ok topic " + letters + ": 4 partitions", "ok right Write on topic " + letters + ": granted; "}, none: []string{"transaction", "fail ", "note "}},
		{name: "topics that differ", cluster: []kfake.Opt{kfake.SeedTopics(6, outputs)}, env: map[string]string{"DEAD_LETTER_TOPIC": "auto"},
			prepare: func(t *testing.T, c *kfake.Cluster) {
				small := "1000"
				_, err := kadm.NewClient(client(t, c)).AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &small}}, letters)
				if err != nil {
					t.Fatal(err)
				}
			},
			want: []string{
				"note partitions: 4 of inputs and 6 of executions; give both topics as many",
				"note dead letters: topic " + letters + " takes 1000 bytes, an input may have 1048588; raise its max.message.bytes",
			}, none: []string{"fail "}},
		{name: "no topics", env: map[string]string{"TENANT_ID": "other"}, want: []string{
			"fail topic plan-inputs-other: does not exist; create it", "fail topic plan-executions-other: does not exist; create it",
		}, none: []string{"right Read on topic", "offsets of"}},
		{name: "no transactions", cluster: []kfake.Opt{kfake.MaxVersions(withoutTransactions())}, want: []string{
			"fail transactions: the brokers have none; set DELIVERY=at-least-once",
		}},
		{name: "fewest rights", cluster: guarded(fewest...), env: asU, want: []string{
			"note security: no TLS, PLAIN as u; the password travels unencrypted", "ok brokers ADDR: 1 in cluster CLUSTER, answered in",
			"note topic " + outputs + ": 4 partitions; max.message.bytes is not known, 1 MiB is assumed; grant DescribeConfigs on topic " + outputs + ": kafka-acls",
			"ok topic " + inputs + ": 4 partitions; ",
		}, none: []string{"fail ", "hidden"}},
		{name: "no rights", cluster: guarded(), env: asU, want: []string{
			"fail right Read on topic " + inputs + ": missing; grant Read on topic " + inputs + ": kafka-acls --bootstrap-server HOST:PORT --add --allow-principal User:u --operation Read --topic " + inputs,
			"fail right Write on topic " + outputs + ": missing; grant ", "fail right Read on group g: missing; grant ",
			`fail right Write on transactional ids with the prefix "g/": missing; grant Write on transactional ids with the prefix "g/": kafka-acls --bootstrap-server HOST:PORT --add --allow-principal User:u --operation Write --transactional-id g/ --resource-pattern-type prefixed; or set DELIVERY=at-least-once`,
		}, none: []string{"topic " + inputs + ": TOPIC_AUTH", "offsets of"}},
		{name: "lag", prepare: func(t *testing.T, c *kfake.Cluster) { commit(t, c, "g", 3) },
			want: []string{"ok offsets of group g: committed on 1 of 4 partitions, lag of 2 records there; the others begin at oldest (KAFKA_START); "}},
		{name: "other starplan", prepare: func(t *testing.T, c *kfake.Cluster) { join(t, c, "starplan/0123456789abcdef") }, want: []string{
			"fail group g: stable; members: somebody at 127.0.0.1", "they serve other plans than this configuration (assignor starplan/0123456789abcdef, here starplan/all); choose another KAFKA_GROUP_ID",
		}},
		{name: "the same starplan", prepare: func(t *testing.T, c *kfake.Cluster) { join(t, c, "starplan/all") },
			want: []string{"ok group g: stable; members: somebody at 127.0.0.1"}, none: []string{"fail "}},
		{name: "executors-py", prepare: func(t *testing.T, c *kfake.Cluster) { join(t, c, "range") }, want: []string{
			"fail group g: stable; members: somebody at 127.0.0.1", "they are no starplan, but executors-py or another consumer (protocol consumer, assignor range); stop those members first, or choose another KAFKA_GROUP_ID, with KAFKA_START=group:g",
		}},
		{name: "a group of the new protocol", prepare: join848, want: []string{"fail group g: its members are no starplan: it is a group of type consumer; choose another KAFKA_GROUP_ID"}},
		{name: "start at a group", env: map[string]string{"KAFKA_START": "group:old"}, prepare: func(t *testing.T, c *kfake.Cluster) { commit(t, c, "old", 4) },
			want: []string{"ok offsets of group g: none; it begins at group:old", "ok offsets of group old: committed on 1 of 4 partitions, 1 records beyond them"}},
		{name: "start at a group without offsets", env: map[string]string{"KAFKA_START": "group:old"},
			want: []string{"note offsets of group old: there are none, so the oldest records come first; correct KAFKA_START"}},
		{name: "start at a group that may not be seen", cluster: guarded(fewest...), env: with(asU, "KAFKA_START", "group:old"),
			want: []string{"fail offsets of group old: may not be seen, and KAFKA_START names them; grant Describe on group old: kafka-acls"}},
		{name: "no plan", env: map[string]string{"PLAN_PATH": os.TempDir(), "PLAN_NAME": "none"}, want: []string{"fail plans: ", "ok topic " + inputs}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := fake(t, test.cluster...)
			if test.prepare != nil {
				test.prepare(t, c)
			}
			got := examine(t, c.ListenAddrs()[0], test.env)
			for _, want := range test.want {
				want = strings.NewReplacer("ADDR", c.ListenAddrs()[0], "CLUSTER", "kfake").Replace(want)
				if !strings.Contains("\n"+got, want) {
					t.Errorf("no line with %q in\n%s", want, got)
				}
			}
			for _, not := range test.none {
				if strings.Contains(got, not) {
					t.Errorf("%q is in\n%s", not, got)
				}
			}
		})
	}
}

func withoutTransactions() *kversion.Versions {
	v := kversion.Stable()
	for _, key := range []kmsg.Key{kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.EndTxn, kmsg.TxnOffsetCommit} {
		v.SetMaxKeyVersion(key.Int16(), -1)
	}
	return v
}

// commit puts five records on a partition and commits an offset of it.
func commit(t *testing.T, c *kfake.Cluster, group string, offset int64) {
	t.Helper()
	cl := client(t, c, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for range 5 {
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: inputs, Partition: 1, Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	var offsets kadm.Offsets
	offsets.AddOffset(inputs, 1, offset, -1)
	if err := kadm.NewClient(cl).CommitAllOffsets(t.Context(), group, offsets); err != nil {
		t.Fatal(err)
	}
}

// named is a balancer under another name.
type named struct {
	kgo.GroupBalancer
	name string
}

func (n named) ProtocolName() string { return n.name }

// join makes somebody a member of the group and returns when he has partitions.
func join(t *testing.T, c *kfake.Cluster, assignor string) {
	t.Helper()
	joined := make(chan struct{})
	cl := client(t, c, kgo.ClientID("somebody"), kgo.ConsumerGroup("g"), kgo.ConsumeTopics(inputs), kgo.Balancers(named{kgo.RangeBalancer(), assignor}),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { close(joined) }))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go cl.PollFetches(ctx)
	select {
	case <-joined:
	case <-ctx.Done():
		t.Fatal("nobody has joined the group")
	}
}

// join848 makes somebody a member by the protocol of KIP-848.
func join848(t *testing.T, c *kfake.Cluster) {
	t.Helper()
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.RebalanceTimeoutMillis = "g", "AAAAAAAAAAAAAAAAAAAAAA", 10_000
	req.SubscribedTopicNames = []string{inputs}
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	resp, err := req.RequestWith(t.Context(), client(t, c))
	if err != nil || resp.ErrorCode != 0 {
		t.Fatalf("join: %v, code %d", err, resp.ErrorCode)
	}
}

// TestConnection is for what ends an examination before there is a broker.
func TestConnection(t *testing.T) {
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":"invalid_client"}`)
	}))
	t.Cleanup(endpoint.Close)
	file := filepath.Join(t.TempDir(), "token")
	expired := "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"me","exp":1767323045}`)) + ".sig"
	if err := os.WriteFile(file, []byte(expired), 0o600); err != nil {
		t.Fatal(err)
	}
	password := fake(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "root", "root"))
	for _, test := range []struct {
		name, broker string
		env          map[string]string
		want         string
	}{
		{"nobody there", "127.0.0.1:1", nil, "fail brokers 127.0.0.1:1: 127.0.0.1:1: connect: connection refused; start the broker"},
		{"no SASL", password.ListenAddrs()[0], nil, "wants SASL and none is set; set KAFKA_SASL_MECHANISM to one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"},
		{"endpoint refuses", password.ListenAddrs()[0],
			map[string]string{"KAFKA_SASL_MECHANISM": "OAUTHBEARER", "KAFKA_SASL_TOKEN_URL": endpoint.URL + "/t", "KAFKA_SASL_CLIENT_ID": "c", "KAFKA_SASL_CLIENT_SECRET": "hidden"},
			"fail token of " + endpoint.URL + "/t: token endpoint " + endpoint.URL + `/t refuses client "c": invalid_client; correct KAFKA_SASL_CLIENT_ID or KAFKA_SASL_CLIENT_SECRET`},
		{"token has expired", password.ListenAddrs()[0], map[string]string{"KAFKA_SASL_MECHANISM": "OAUTHBEARER", "KAFKA_SASL_TOKEN_FILE": file},
			"fail token: the one for me expired at 2026-01-02T03:04:05Z; have whoever writes KAFKA_SASL_TOKEN_FILE renew it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := examine(t, test.broker, test.env)
			if !strings.Contains(got, test.want) || strings.Contains(got, "\nok topic") || strings.Contains(got, "hidden") {
				t.Errorf("findings are\n%s\nwant %q, nothing after it, and no secret", got, test.want)
			}
		})
	}
}

// TestFindsNothingToChange: an examination leaves the broker as it was.
func TestFindsNothingToChange(t *testing.T) {
	c := fake(t)
	changing := map[kmsg.Key]bool{}
	for _, key := range []kmsg.Key{
		kmsg.Produce, kmsg.OffsetCommit, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.LeaveGroup, kmsg.CreateTopics, kmsg.InitProducerID,
		kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.TxnOffsetCommit, kmsg.ConsumerGroupHeartbeat, kmsg.IncrementalAlterConfigs, kmsg.AlterConfigs,
	} {
		changing[key] = true
	}
	c.Control(func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if m, ok := req.(*kmsg.MetadataRequest); ok && m.AllowAutoTopicCreation {
			t.Error("a question about a topic may create it")
		}
		if changing[kmsg.Key(req.Key())] {
			t.Errorf("the examination sends %s", kmsg.NameForKey(req.Key()))
		}
		return nil, nil, false
	})
	examine(t, c.ListenAddrs()[0], map[string]string{"DEAD_LETTER_TOPIC": "missing-topic", "KAFKA_START": "group:old"})
	admin := kadm.NewClient(client(t, c))
	if groups, err := admin.ListGroups(t.Context()); err != nil || len(groups) > 0 {
		t.Errorf("groups = %v, %v, want none", groups.Groups(), err)
	}
	if open, err := admin.ListTransactions(t.Context(), nil, nil); err != nil || len(open) > 0 {
		t.Errorf("transactional ids = %v, %v, want none", open, err)
	}
}

//go:build kafka

package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/internal/kafkatest"
)

// command runs the program with these arguments to its end, and gives its exit code
// and what it said.
func command(ctx context.Context, t *testing.T, env map[string]string, args ...string) (int, string) {
	t.Helper()
	cmd := exec.CommandContext(ctx, suite.program, args...)
	cmd.Env = []string{"GORACE=atexit_sleep_ms=10"}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	discreet(t, env, string(out))
	return cmd.ProcessState.ExitCode(), string(out)
}

// TestDoctor examines a broker with access control: before a service runs, beside
// one, and beside others who hold its group.
func TestDoctor(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	enrol(s.ctx, t, "starplan", password)
	group := "executors-" + s.tenant
	adm := admin(t)
	examine := func(what string, env map[string]string, code int, want ...string) {
		t.Helper()
		got, out := command(s.ctx, t, env, "doctor")
		if got != code {
			t.Errorf("%s: doctor ended with %d, want %d", what, got, code)
		}
		for _, line := range want {
			if !strings.Contains(out, line) {
				t.Errorf("%s: doctor said\n%s\nwant %q", what, out, line)
			}
		}
	}
	env := s.by(scram)
	var missing []string
	for _, r := range s.rights() {
		if r.name != s.deadLetters() {
			missing = append(missing, "FAIL  right "+r.text()+": missing; grant "+r.text()+": kafka-acls")
		}
	}
	examine("without rights", env, 1, missing...)
	examine("with a wrong password", s.by(scram, "KAFKA_SASL_PASSWORD", "gue55ed-password"), 1,
		`the broker refuses user "starplan" with SCRAM-SHA-512: Authentication failed during authentication due to invalid credentials`)
	rights := s.rights()
	last := len(rights) - 1
	s.grant("User:starplan", rights[:last]...)
	_, out := command(s.ctx, t, env, "doctor")
	s.obey(out, rights[last])
	examine("well", env, 0,
		"ok    security: TLS, brokers trusted by "+secured.ca.File+", SCRAM-SHA-512 as starplan", ", credentials accepted", "ok    transactions: transaction.version 2",
		"ok    right Read on topic "+s.inputTopic()+": granted", "ok    right Write on topic "+s.outputTopic()+": granted", "ok    right Read on group "+group+": granted",
		`ok    right Write on transactional ids with the prefix "`+group+`/": granted`, "ok    group "+group+": has no members", "ok    offsets of group "+group+": none; it begins at oldest",
		"note  topic "+s.outputTopic()+": 4 partitions; max.message.bytes is not known",
	)
	s.untouched(adm, group)

	svc := startService(s.ctx, t, env)
	svc.awaitReady(s.ctx)
	examine("beside a service", env, 0, "ok    group "+group+": stable; members: "+group+"/")
	examine("beside one that serves other plans", s.by(scram, "PLAN_NAME", plans[0]), 1, "they serve other plans than this configuration (assignor starplan/")
	svc.terminate(s.ctx)

	for want, ctx := range map[string]context.Context{
		"they are no starplan, but executors-py or another consumer (protocol consumer, assignor range); stop those members first": s.ctx,
		"its members are no starplan: it is a group of type consumer":                                                              context.WithValue(s.ctx, "opt_in_kafka_next_gen_balancer_beta", true), //nolint:staticcheck // franz-go wants this key.
	} {
		leave := s.join(ctx, group)
		examine("beside another consumer", env, 1, "FAIL  group "+group+": ", want)
		leave()
	}
}

// join makes a consumer that is no starplan a member of the group, and gives what
// makes it leave.
func (s *scenario) join(ctx context.Context, group string) (leave func()) {
	s.t.Helper()
	joined := make(chan struct{})
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.addr), kgo.WithContext(ctx), kgo.ConsumerGroup(group), kgo.ConsumeTopics(s.inputTopic()), kgo.Balancers(kgo.RangeBalancer()),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { close(joined) }))
	must(s.t, err)
	go cl.PollFetches(s.ctx)
	select {
	case <-joined:
	case <-s.ctx.Done():
		cl.Close()
		s.t.Fatal("nobody has joined the group")
	}
	return cl.Close
}

// obey does, with Kafka's own tool, what doctor says that grants a right.
func (s *scenario) obey(said string, r right) {
	s.t.Helper()
	_, remedy, ok := strings.Cut(said, "FAIL  right "+r.text()+": missing; grant "+r.text()+": ")
	remedy, _, _ = strings.Cut(remedy, "\n")
	remedy, _, _ = strings.Cut(remedy, "; or ")
	if !ok || strings.Contains(said, "\nFAIL  right "+s.rights()[0].text()) {
		s.t.Fatalf("doctor said\n%s\nwant that %s alone is missing", said, r.text())
	}
	bin := s.t.TempDir()
	tool := "#!/bin/sh\nexec '" + strings.Join(suite.broker.(*kafkatest.Cluster).Tool("org.apache.kafka.tools.AclCommand"), "' '") + "' \"$@\"\n"
	must(s.t, os.WriteFile(filepath.Join(bin, "kafka-acls"), []byte(tool), 0o755))
	cmd := exec.CommandContext(s.ctx, "sh", "-c", strings.ReplaceAll(remedy, "HOST:PORT", s.addr))
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v\n%s", remedy, err, out)
	}
}

// untouched checks that the broker knows neither the group nor a transactional id
// of it.
func (s *scenario) untouched(adm *kadm.Client, group string) {
	s.t.Helper()
	groups, err := adm.ListGroups(s.ctx)
	must(s.t, err)
	if slices.Contains(groups.Groups(), group) {
		s.t.Errorf("doctor has made the group %s", group)
	}
	ids, err := adm.ListTransactions(s.ctx, nil, nil)
	must(s.t, err)
	for id := range ids {
		if strings.HasPrefix(id, group) {
			s.t.Errorf("doctor has made the transactional id %s", id)
		}
	}
}

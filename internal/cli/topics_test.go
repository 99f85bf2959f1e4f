package cli_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"starplan/internal/cli"
	"starplan/internal/config"
	"starplan/internal/devbroker"
	"starplan/internal/service"
	"starplan/internal/testcert"
	"starplan/plan"
)

// command runs a command in this process.
func command(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errOut bytes.Buffer
	code = cli.Main(ctx, cli.Process{Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errOut})
	return code, out.String(), errOut.String()
}

// startService runs a service with one plan, which fails for the input "bad".
func startService(t *testing.T) (broker string) {
	t.Helper()
	broker, _ = startServiceAt(t)
	return broker
}

// startServiceAt is startService that tells the HTTP address as well.
func startServiceAt(t *testing.T) (broker, httpAddr string) {
	t.Helper()
	return startServiceWith(t, func(*config.Config) {})
}

// startServiceWith is startServiceAt with some settings changed.
func startServiceWith(t *testing.T, change func(*config.Config)) (broker, httpAddr string) {
	t.Helper()
	b, err := devbroker.Start(devbroker.Options{Tenant: "acme", Topics: []string{config.DeadLetterTopic("acme")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	dir := t.TempDir()
	text := "def plan(plan_input):\n    if plan_input.input_id == \"bad\":\n        fail(\"bad\\tinput\")\n    return PlanResult(next_task_names = [\"go\"])\n"
	if err := os.WriteFile(filepath.Join(dir, "route.star"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended, addr := make(chan error, 1), make(chan string, 1)
	cfg := config.Config{
		TenantID: "acme", PlanPath: dir, GroupID: "g", Brokers: []string{b.Addr()}, HTTPAddr: "127.0.0.1:0",
		Execution: config.Execution{Limits: plan.Limits{Timeout: 10 * time.Second, MaxSteps: 1e6, MaxMemory: 64 << 20}, Workers: 1},
	}
	change(&cfg)
	go func() {
		ended <- service.Run(ctx, service.Options{Listening: func(a string) { addr <- a }, Config: cfg})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("service: %v", err)
		}
	})
	httpAddr = <-addr
	awaitReady(t, "http://"+httpAddr+"/readyz")
	return b.Addr(), httpAddr
}

// awaitReady asks until the answer is 200.
func awaitReady(t *testing.T, url string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-tick.C {
		res, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode == http.StatusOK {
			return
		}
	}
	t.Fatal("the service did not become ready")
}

func inputFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "input.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSendAndTail(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	broker := startService(t)
	where := []string{"--tenant-id=acme", "--kafka-bootstrap-servers=" + broker}
	good := inputFile(t, `{"input_id": "good", "plan_name": "route", "graph_id": "g1"}`)
	bad := inputFile(t, `{"input_id": "bad", "plan_name": "route"}`)

	code, stdout, stderr := command(ctx, append([]string{"send", "--wait=20s", good, bad}, where...)...)
	if code != 0 || strings.Count(stdout, "\n") != 2 || !strings.Contains(stdout, `"next_task_names":["go"]`) {
		t.Fatalf("send --wait = %d\n%s%s\nwant both executions", code, stdout, stderr)
	}

	// Without --wait it says where the record went and which exec_id to look for.
	code, stdout, stderr = command(ctx, append([]string{"send", good}, where...)...)
	var sent struct {
		Topic  string
		Offset int64
		ExecID string `json:"exec_id"`
	}
	if err := json.Unmarshal([]byte(stdout), &sent); err != nil || code != 0 || sent.Topic != "plan-inputs-acme" {
		t.Fatalf("send = %d\n%s%s\nwant coordinates: %v", code, stdout, stderr, err)
	}
	code, stdout, stderr = command(ctx, append([]string{"tail", "--from=oldest", "--limit=3"}, where...)...)
	if code != 0 || strings.Count(stdout, "\n") != 3 || !strings.Contains(stdout, sent.ExecID) {
		t.Errorf("tail = %d\n%s%s\nwant three executions, %s among them", code, stdout, stderr, sent.ExecID)
	}

	// Filters, and the form for people; control characters do no harm.
	code, stdout, stderr = command(ctx, append([]string{"tail", "--from=oldest", "--limit=1", "--status=failed", "--plan=route", "--format=text"}, where...)...)
	if want := "  FAILED  "; code != 0 || !strings.Contains(stdout, want) || !strings.HasSuffix(stdout, "  \"fail: bad\\tinput (route.star:3:13)\"\n") {
		t.Errorf("tail --status=failed --format=text = %d\n%q%s\nwant %q and the message", code, stdout, stderr, want)
	}
}

func TestReplay(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	broker := startService(t)
	where := []string{"--tenant-id=acme", "--kafka-bootstrap-servers=" + broker}
	good := inputFile(t, `{"input_id": "good", "plan_name": "route"}`)
	if code, stdout, stderr := command(ctx, append([]string{"send", "--wait=20s", good, good, good}, where...)...); code != 0 {
		t.Fatalf("send = %d\n%s%s", code, stdout, stderr)
	}
	changed := filepath.Join(t.TempDir(), "route.star")
	for _, test := range []struct {
		name, next, format string
		code               int
		want               []string
	}{
		{"the same", "go", "text", 0, []string{"3 inputs of plan route\n3 executions would be the same\n0 would differ\n"}},
		{"another task", "stay", "text", 1, []string{"3 would differ\n    3 in next_tasks\n", "  - SUCCEEDED; next: go\n  + SUCCEEDED; next: stay\n"}},
		{"as JSON", "stay", "json", 1, []string{`"different": 3`, `"next_tasks": 3`, `"before": "SUCCEEDED; next: go"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := "def plan(plan_input):\n    return PlanResult(next_task_names = [\"" + test.next + "\"])\n"
			if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			code, stdout, stderr := command(ctx, append([]string{"replay", "--plan=" + changed, "--format=" + test.format}, where...)...)
			if code != test.code || stderr != "" {
				t.Errorf("replay = %d, want %d\n%s%s", code, test.code, stdout, stderr)
			}
			for _, want := range test.want {
				if !strings.Contains(stdout, want) {
					t.Errorf("replay printed\n%s\nwant %q", stdout, want)
				}
			}
		})
	}
}

func TestHealth(t *testing.T) {
	_, addr := startServiceAt(t)
	for _, test := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"ready", []string{"--http-addr=" + addr}, 0, `"ready": true`},
		{"alive", []string{"--live", "--http-addr=" + addr}, 0, `"status": "ok"`},
		{"nobody there", []string{"--http-addr=127.0.0.1:1"}, 1, "no answer: "},
		{"address", []string{"--http-addr=8080"}, 2, `HTTP_ADDR: want HOST:PORT or :PORT, got "8080"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := command(t.Context(), append([]string{"health"}, test.args...)...)
			if code != test.code || !strings.Contains(stdout+stderr, test.want) {
				t.Errorf("health = %d\n%s%s\nwant %d and %q", code, stdout, stderr, test.code, test.want)
			}
		})
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestSendAndTailMistakes(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, err := devbroker.Start(devbroker.Options{Tenant: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	broker := "--kafka-bootstrap-servers=" + b.Addr()
	input := inputFile(t, `{"plan_name": "route"}`)
	unnamed := inputFile(t, `{"input_id": "i"}`)
	for _, test := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"nobody answers", []string{"send", "--tenant-id=acme", broker, "--wait=50ms", input}, 1, "1 of 1 inputs were not answered in time; is a service running for this tenant and plan?"},
		{"no plan named", []string{"send", "--tenant-id=acme", broker, unnamed}, 2, "want a plan_name in the input, or --key"},
		{"no tenant", []string{"send", broker, input}, 2, "tenant-id"},
		{"topic missing", []string{"tail", "--tenant-id=other", broker}, 1, "follow plan-executions-other: topic does not exist; check the tenant, or create it"},
		{"from when", []string{"tail", "--tenant-id=acme", broker, "--from=yesterday"}, 1, `want oldest, latest or an RFC 3339 time, got "yesterday"`},
		{"wait how long", []string{"send", "--tenant-id=acme", broker, "--wait=long", input}, 2, `--wait: duration: want seconds or a duration such as 5m, got "long"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := command(ctx, test.args...)
			if code != test.code || !strings.Contains(stderr, test.want) || stdout != "" {
				t.Errorf("%v = %d\n%s%s\nwant %d and %q", test.args, code, stdout, stderr, test.code, test.want)
			}
		})
	}
}

// TestUnreachable: commands that need a broker say at once why they cannot reach it.
func TestUnreachable(t *testing.T) {
	ca, err := testcert.New(t.TempDir(), "ca")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Sign("broker")
	if err != nil {
		t.Fatal(err)
	}
	b, err := devbroker.Start(devbroker.Options{Tenant: "acme", Kfake: []kfake.Opt{kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert.TLS}})}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	input := inputFile(t, `{"plan_name": "route"}`)
	plan := filepath.Join(t.TempDir(), "route.star")
	if err := os.WriteFile(plan, []byte("def plan(plan_input):\n    return PlanResult()\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"send", input}, {"tail"}, {"replay", "--plan=" + plan}} {
		for addr, want := range map[string]string{
			b.Addr():      "starplan: broker " + b.Addr() + " speaks TLS at this port and TLS is not set; set KAFKA_TLS_ENABLED=true",
			"127.0.0.1:1": "starplan: 127.0.0.1:1: connect: connection refused; start the broker, or correct KAFKA_BOOTSTRAP_SERVERS",
		} {
			began := time.Now()
			code, stdout, stderr := command(t.Context(), append(args, "--tenant-id=acme", "--kafka-bootstrap-servers="+addr)...)
			if took := time.Since(began); code != 1 || stdout != "" || !strings.HasPrefix(stderr, want) || took > 10*time.Second {
				t.Errorf("%s = %d after %v\n%s%s\nwant 1 within 10s and %q", args[0], code, took, stdout, stderr, want)
			}
		}
	}
}

func TestDoctor(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	broker := startService(t)
	dir := t.TempDir()
	for name, text := range map[string]string{"good.star": "def plan(plan_input):\n    return PlanResult()\n", "bad.star": "def plan(:\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	base := []string{"doctor", "--plan-path=" + dir, "--kafka-bootstrap-servers=" + broker}
	for _, test := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"well", []string{"--tenant-id=acme", "--plan-name=good", "--kafka-group-id=new"}, 0, []string{
			"ok    sandbox: ", "ok    plan good: loads from " + dir + "/good.star", "ok    brokers " + broker + ": 1 in cluster starplan-dev",
			"ok    topic plan-inputs-acme: 4 partitions", "ok    topic plan-executions-acme: ", "ok    right Read on group new: granted", "ok    group new: has no members", "ok    offsets of group new: none; it begins at oldest",
		}},
		{"a note is no failure", []string{"--tenant-id=acme", "--plan-name=good", "--kafka-group-id=new", "--kafka-start=group:nobody"}, 0, []string{
			"note  offsets of group nobody: there are none, so the oldest records come first; correct KAFKA_START",
		}},
		{"bad plan", []string{"--tenant-id=acme", "--kafka-group-id=new"}, 1, []string{"FAIL  plan bad: bad.star:1:10: ", "ok    plan good"}},
		{"no topics", []string{"--tenant-id=other", "--plan-name=good"}, 1, []string{"FAIL  topic plan-inputs-other: does not exist; create it"}},
		{"other group", []string{"--tenant-id=acme", "--plan-name=good", "--kafka-group-id=g"}, 1, []string{"FAIL  group g: ", "they serve other plans than this configuration (assignor starplan/all", "choose another KAFKA_GROUP_ID"}},
		{"as JSON", []string{"--tenant-id=other", "--plan-name=good", "--format=json"}, 1, []string{
			`{"subject":"topic plan-inputs-other","status":"fail","detail":"does not exist","remedy":"create it, with as many partitions as the tenant's other topics"}` + "\n",
		}},
		{"no broker", []string{"--tenant-id=acme", "--plan-name=good", "--kafka-bootstrap-servers=127.0.0.1:1"}, 1, []string{"FAIL  brokers 127.0.0.1:1: ", "connection refused"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := command(ctx, append(base, test.args...)...)
			if code != test.code {
				t.Errorf("doctor = %d, want %d\n%s%s", code, test.code, stdout, stderr)
			}
			for _, want := range test.want {
				if !strings.Contains(stdout, want) {
					t.Errorf("doctor printed\n%s%s\nwant %q", stdout, stderr, want)
				}
			}
		})
	}
}

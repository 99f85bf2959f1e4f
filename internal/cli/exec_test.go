package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/internal/cli"
	"starplan/internal/config"
	"starplan/internal/devbroker"
	"starplan/plan/execution"
)

// routePlan is the plan of startService.
const routePlan = "def plan(plan_input):\n    if plan_input.input_id == \"bad\":\n        fail(\"bad\\tinput\")\n    return PlanResult(next_task_names = [\"go\"])\n"

// planFile writes a plan.
func planFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestExecFromTopic runs what a service has run, dead letters included: each
// execution is the service's own, exec_id and all.
func TestExecFromTopic(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	broker, _ := startServiceWith(t, func(c *config.Config) { c.DeadLetterTopic = config.DeadLetterTopic("acme") })
	where := []string{"--tenant-id=acme", "--kafka-bootstrap-servers=" + broker}
	args := []string{"send", "--wait=20s"}
	for i := range 10 {
		args = append(args, inputFile(t, fmt.Sprintf(`{"input_id": "%d", "plan_name": "route", "graph_id": "g%d"}`, i, i%3)))
	}
	args = append(args, inputFile(t, `{"input_id": "bad", "plan_name": "route"}`))
	code, stdout, stderr := command(ctx, append(args, where...)...)
	if code != 0 {
		t.Fatalf("send = %d\n%s%s", code, stdout, stderr)
	}
	answered := strings.Split(strings.TrimSpace(stdout), "\n")
	garbage := filepath.Join(t.TempDir(), "garbage.bin")
	if err := os.WriteFile(garbage, []byte("\xff\xff"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = command(ctx, append([]string{"send", "--wait=20s", "--key=g7:route", garbage}, where...)...)
	if code != 0 {
		t.Fatalf("send = %d\n%s%s", code, stdout, stderr)
	}
	letter := strings.TrimSpace(stdout)
	foreign := inputFile(t, `{"plan_name": "other"}`)
	if code, stdout, stderr = command(ctx, append([]string{"send", foreign}, where...)...); code != 0 {
		t.Fatalf("send = %d\n%s%s", code, stdout, stderr)
	}

	ofGraph0 := slices.DeleteFunc(slices.Clone(answered), func(line string) bool {
		return strings.Contains(line, `"graph_id":"g1"`) || strings.Contains(line, `"graph_id":"g2"`)
	})

	route := planFile(t, "route.star", routePlan)
	for _, test := range []struct {
		name   string
		args   []string
		want   []string
		stderr string
	}{
		{"inputs", []string{"--from-topic=inputs"}, append(slices.Clone(answered), letter), "plan-inputs-acme: left out 1 record of other plans or graphs, and 0 without a value"},
		{"by its name", []string{"--from-topic=plan-inputs-acme"}, append(slices.Clone(answered), letter), "12 executions: 10 SUCCEEDED, 2 FAILED"},
		{"one graph, and the keys that name none", []string{"--from-topic=inputs", "--graph-id=g0"}, ofGraph0, "left out 8 records"},
		{"dead letters", []string{"--from-topic=dead-letters"}, []string{letter}, ""},
		{"nothing", []string{"--from-topic=inputs", "--from=latest"}, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := command(ctx, append(append([]string{"exec", route}, test.args...), where...)...)
			got := slices.Sorted(strings.Lines(stdout))
			want := slices.Sorted(slices.Values(test.want))
			for i := range want {
				want[i] += "\n"
			}
			if diff := cmp.Diff(want, got); diff != "" || code != 0 {
				t.Errorf("exec = %d (-service +exec):\n%s\n%s", code, diff, stderr)
			}
			if !strings.Contains(stderr, test.stderr) {
				t.Errorf("exec says\n%s\nwant %q", stderr, test.stderr)
			}
			if test.name != "inputs" {
				return
			}
			if _, again, _ := command(ctx, append(append([]string{"exec", route}, test.args...), where...)...); again != stdout {
				t.Errorf("exec prints another order the second time:\n%s\n%s", stdout, again)
			}
		})
	}
	code, stdout, stderr = command(ctx, append([]string{"exec", "--from-topic=inputs", "--limit=3", route}, where...)...)
	if code != 0 || strings.Count(stdout, "\n") != 3 {
		t.Errorf("exec --limit=3 = %d\n%s%s\nwant three executions", code, stdout, stderr)
	}
}

// TestExecLetters runs dead letters whose headers are not what they should be.
func TestExecLetters(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	broker, _ := startServiceAt(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	header := func(name, value string) kgo.RecordHeader {
		return kgo.RecordHeader{Key: "starplan.error." + name, Value: []byte(value)}
	}
	value, err := os.ReadFile(inputFile(t, "\x0a\x01i\x12\x05route"))
	if err != nil {
		t.Fatal(err)
	}
	route := planFile(t, "route.star", routePlan)
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	original := execution.ID(execution.Record{Topic: "plan-inputs-acme", Partition: 2, Offset: 77, Timestamp: at})
	for i, test := range []struct {
		name    string
		headers []kgo.RecordHeader
		code    int
		want    string
	}{
		{"no letter at all", nil, 0, `"name":"route"`},
		{
			"made of a record that was a letter before: the last headers count",
			[]kgo.RecordHeader{
				header("topic", "t"), header("partition", "x"), header("offset", "x"), header("timestamp", "x"),
				header("topic", "plan-inputs-acme"), header("partition", "2"), header("offset", "77"), header("timestamp", "2026-01-02T03:04:05.678Z"),
			},
			0, `"exec_id":"` + original + `"`,
		},
		{
			"broken", []kgo.RecordHeader{header("topic", "t"), header("partition", "many"), header("offset", "1")},
			1, "headers of a dead letter: want numbers in starplan.error.partition and starplan.error.offset and an RFC 3339 time in starplan.error.timestamp",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			rec := &kgo.Record{Topic: config.DeadLetterTopic("acme"), Key: []byte("route"), Value: value, Headers: test.headers}
			if err := client.ProduceSync(ctx, rec).FirstErr(); err != nil {
				t.Fatal(err)
			}
			code, stdout, stderr := command(ctx, "exec", "--tenant-id=acme", "--kafka-bootstrap-servers="+broker,
				"--from-topic=dead-letters", fmt.Sprintf("--partition=%d", rec.Partition), fmt.Sprintf("--from=%d", i), route)
			if code != test.code || !strings.Contains(stdout+stderr, test.want) {
				t.Errorf("exec = %d\n%s%s\nwant %d and %s", code, stdout, stderr, test.code, test.want)
			}
		})
	}
}

func TestExecTopicMistakes(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, err := devbroker.Start(devbroker.Options{Tenant: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	route := planFile(t, "route.star", routePlan)
	for _, test := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no tenant", []string{"--from-topic=inputs"}, 2, "--from-topic: want --tenant-id with it"},
		{"inputs too", []string{"--tenant-id=acme", "--from-topic=inputs", route}, 2, "--from-topic: want no inputs beside it"},
		{"coordinates too", []string{"--tenant-id=acme", "--from-topic=inputs", "--offset=3"}, 2, "--key, --topic, --offset, --timestamp: want none with --from-topic"},
		{"no topic named", []string{"--from=oldest"}, 2, "--from, --to: want --from-topic with them"},
		{"no such topic", []string{"--tenant-id=acme", "--from-topic=nowhere"}, 1, "from: nowhere: topic does not exist; check the tenant"},
		{"no such partition", []string{"--tenant-id=acme", "--from-topic=inputs", "--partition=9"}, 1, "--partition: want one of the 4 of plan-inputs-acme, got 9"},
		{"from when", []string{"--tenant-id=acme", "--from-topic=inputs", "--from=monday"}, 1, `want oldest, latest, an offset or an RFC 3339 time, got "monday"`},
		{"limit", []string{"--limit=-1"}, 2, "--limit: want 1 or more, got -1"},
		{"trace limit", []string{"--trace-limit=0"}, 2, "--trace-limit: want 1 to 10000000, got 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := command(ctx, append([]string{"exec", "--kafka-bootstrap-servers=" + b.Addr(), route}, test.args...)...)
			if code != test.code || !strings.Contains(stderr, test.want) || stdout != "" {
				t.Errorf("exec = %d\n%s%s\nwant %d and %q", code, stdout, stderr, test.code, test.want)
			}
		})
	}
}

// lines is an endless standard input, and a standard output that takes nothing until
// the input was read too far ahead, or not for a while.
type lines struct {
	line    []byte
	left    []byte
	n       int
	tooFar  chan struct{} // Closed when maxAhead lines were read.
	once    sync.Once
	printed int
}

// maxAhead is more than the 1,024 inputs that are run at a time, and what lies in
// buffers.
const maxAhead = 1500

func (l *lines) Read(p []byte) (int, error) {
	if len(l.left) == 0 {
		if l.n++; l.n == maxAhead {
			close(l.tooFar)
		}
		l.left = l.line
	}
	n := copy(p, l.left)
	l.left = l.left[n:]
	return n, nil
}

func (l *lines) Write(p []byte) (int, error) {
	l.once.Do(func() {
		select {
		case <-l.tooFar:
			l.printed = -1_000_000
		case <-time.After(time.Second):
		}
	})
	l.printed += bytes.Count(p, []byte("\n"))
	return len(p), nil
}

// TestExecStreams reads inputs no further ahead of what is printed than a window.
func TestExecStreams(t *testing.T) {
	in := &lines{line: []byte(`{"plan_name": "route", "input_id": "` + strings.Repeat("x", 4000) + `"}` + "\n"), tooFar: make(chan struct{})}
	var errs bytes.Buffer
	code := cli.Main(t.Context(), cli.Process{
		Args:  []string{"exec", "--limit=4000", planFile(t, "route.star", routePlan)},
		Stdin: in, Stdout: in, Stderr: &errs,
	})
	if in.printed < 0 {
		t.Fatalf("%d inputs were read before one was printed", maxAhead)
	}
	if code != 0 || in.printed != 4000 || errs.String() != "4000 executions: 4000 SUCCEEDED, 0 FAILED\n" {
		t.Errorf("exec = %d with %d lines\n%s", code, in.printed, errs.String())
	}
}

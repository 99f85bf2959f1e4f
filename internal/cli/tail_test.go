package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"starplan/internal/cli"
	"starplan/internal/devbroker"
	"starplan/processor"
	"starplan/proto/planpb"
)

// written is when the first execution of these tests was.
var written = time.Date(2026, 1, 2, 23, 59, 59, 500e6, time.UTC)

// executions puts executions on a topic, one every 400 ms, and gives the flags to
// find it by.
func executions(t *testing.T, list ...*kgo.Record) []string {
	t.Helper()
	broker, err := devbroker.Start(devbroker.Options{Tenant: "acme", Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	// Texts of a megabyte are small when they are compressed.
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Addr()), kgo.ProducerBatchMaxBytes(8<<20), kgo.ProducerBatchCompression(kgo.GzipCompression()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i, r := range list {
		r.Topic, r.Timestamp = processor.OutputTopic("acme"), written.Add(time.Duration(i)*400*time.Millisecond)
	}
	if err := client.ProduceSync(t.Context(), list...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	return []string{"tail", "--tenant-id=acme", "--kafka-bootstrap-servers=" + broker.Addr(), "--from=oldest"}
}

// executed is an execution on the topic; its exec_id begins with its number.
func executed(t *testing.T, n int, change func(*planpb.PlanExecution)) *kgo.Record {
	t.Helper()
	e := &planpb.PlanExecution{
		Header: &planpb.ExecutionHeader{
			Name: "route", GraphId: "orders", ExecId: fmt.Sprintf("%08d-2fa1-51d2-883f-0016d3cca427", n), Status: planpb.ExecutionStatus_EXECUTION_STATUS_SUCCEEDED,
		},
		Result: &planpb.PlanResult{},
	}
	change(e)
	value, err := proto.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return &kgo.Record{Key: []byte("route"), Value: value, Headers: []kgo.RecordHeader{{Key: processor.HeaderSteps, Value: []byte("123")}}}
}

func failed(e *planpb.PlanExecution, message string) {
	e.Header.Status, e.Result.ErrorMessage = planpb.ExecutionStatus_EXECUTION_STATUS_FAILED, message
}

// onTerminal runs a command whose standard output is a terminal of that many
// columns, and gives what the terminal was sent.
func onTerminal(ctx context.Context, t *testing.T, columns uint16, args ...string) string {
	t.Helper()
	master, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	if err := pty.Setsize(terminal, &pty.Winsize{Rows: 40, Cols: columns}); err != nil {
		t.Fatal(err)
	}
	read := make(chan string, 1)
	go func() {
		out, _ := io.ReadAll(master) // Linux ends it with an error, EIO, when the other side is closed.
		read <- string(out)
	}()
	var stderr strings.Builder
	code := cli.Main(ctx, cli.Process{Args: args, Stdin: strings.NewReader(""), Stdout: terminal, Stderr: &stderr})
	if err := terminal.Close(); err != nil {
		t.Fatal(err)
	}
	if code != 0 {
		t.Errorf("%v = %d: %s", args, code, stderr.String())
	}
	return strings.ReplaceAll(<-read, "\r\n", "\n")
}

func TestTailFilters(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	base := executions(t,
		executed(t, 1, func(e *planpb.PlanExecution) { e.Result.NextTaskNames = []string{"store", "notify"} }),
		executed(t, 2, func(e *planpb.PlanExecution) { failed(e, "fail: No such Order (route.star:2:9)") }),
		executed(t, 3, func(e *planpb.PlanExecution) { e.Header.Name, e.Header.GraphId = "collect", "billing" }),
		&kgo.Record{Value: []byte("no execution")},
		executed(t, 4, func(e *planpb.PlanExecution) { e.Header.Name, e.Result.ErrorMessage = "other", "no order" }),
		// With this one every command of the table ends.
		executed(t, 5, func(e *planpb.PlanExecution) {
			e.Header.Name, e.Header.GraphId, e.Result.NextTaskNames = "last", "last", []string{"last"}
			failed(e, "last")
		}),
	)
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"none", []string{"-n5"}, "12345"},
		{"a plan", []string{"--plan=collect", "-n1"}, "3"},
		{"two plans", []string{"--plan=collect,other", "-n2"}, "34"},
		{"a graph", []string{"--graph=orders", "-n3"}, "124"},
		{"failed", []string{"--status=failed", "-n2"}, "25"},
		{"succeeded", []string{"--status=succeeded", "-n3"}, "134"},
		{"a task", []string{"--next=notify", "-n1"}, "1"},
		{"a message", []string{"--message=no SUCH order", "-n1"}, "2"},
		{"two filters", []string{"--message=order", "--status=succeeded", "-n1"}, "4"},
		{"what comes last", []string{"--plan=last", "-n1"}, "5"},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := command(ctx, append(base, test.args...)...)
			got := ""
			for line := range strings.Lines(stdout) {
				var e struct {
					Header struct {
						ExecID string `json:"exec_id"`
					}
				}
				if err := json.Unmarshal([]byte(line), &e); err != nil {
					t.Fatalf("%q is no JSON: %v", line, err)
				}
				got += strings.TrimLeft(e.Header.ExecID[:8], "0")
			}
			if code != 0 || got != test.want {
				t.Errorf("tail %v = %d, executions %s, want %s\n%s", test.args, code, got, test.want, stderr)
			}
			if unreadable := strings.Contains(stderr, "plan-executions-acme/0/3 is no PlanExecution"); unreadable != strings.ContainsAny(test.want, "45") {
				t.Errorf("tail %v says on standard error: %q", test.args, stderr)
			}
		})
	}
	// The executions are older than that, so that the topic is waited on.
	short, cancelShort := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancelShort()
	since := append(base[:len(base)-1:len(base)-1], "--since=10m")
	if code, stdout, stderr := command(short, since...); stdout != "" || !strings.Contains(stderr, "deadline") {
		t.Errorf("tail --since 10m = %d, %q%q, want nothing until its time is over", code, stdout, stderr)
	}
	for _, args := range [][]string{append(since, "--from=oldest"), append(since[:len(since)-1:len(since)-1], "--since=yesterday")} {
		if code, _, stderr := command(ctx, args...); code != 2 || !strings.Contains(stderr, "--since") {
			t.Errorf("%v = %d %s, want 2", args, code, stderr)
		}
	}
}

// plainLines is how people see a few executions; the terminal has 90 columns.
const plainLines = `— 2026-01-02 (UTC)
23:59:59.500  ok      00000001  route                  123 steps  next: store
23:59:59.900  FAILED  00000002  route                  123 steps  fail: no such order
                                                                  (route.star:2:9)
— 2026-01-03 (UTC)
00:00:00.300  error   00000003  a_plan_with_a_long_name                  no text; next: ask
00:00:00.700  ok      00000004  route                         123 steps  next: nothing
`

func TestTailOnTerminal(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	long := executed(t, 3, func(e *planpb.PlanExecution) {
		e.Header.Name, e.Result.ErrorMessage, e.Result.NextTaskNames = "a_plan_with_a_long_name", "no text", []string{"ask"}
	})
	long.Headers = nil
	base := append(executions(t,
		executed(t, 1, func(e *planpb.PlanExecution) { e.Result.NextTaskNames = []string{"store"} }),
		executed(t, 2, func(e *planpb.PlanExecution) { failed(e, "fail: no such order (route.star:2:9)") }),
		long,
		executed(t, 4, func(*planpb.PlanExecution) {}),
	), "-n4")
	const colours = "\x1b[2m— 2026-01-02 (UTC)\x1b[0m\n\x1b[2m23:59:59.500\x1b[0m  \x1b[32mok    \x1b[0m  \x1b[2m00000001\x1b[0m  route             \x1b[2m     123 steps\x1b[0m  next: store\n"
	for _, test := range []struct {
		name   string
		env    map[string]string
		args   []string
		colour bool
	}{
		{"as it is", map[string]string{"TERM": "xterm-256color"}, nil, true},
		{"NO_COLOR", map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, nil, false},
		{"an empty NO_COLOR is none", map[string]string{"TERM": "xterm", "NO_COLOR": ""}, nil, true},
		{"dumb", map[string]string{"TERM": "dumb"}, nil, false},
		{"never", map[string]string{"TERM": "xterm"}, []string{"--color=never"}, false},
		{"always wins", map[string]string{"TERM": "dumb", "NO_COLOR": "1"}, []string{"--color=always"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("NO_COLOR", "")
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			got := onTerminal(ctx, t, 100, append(base, test.args...)...)
			if coloured := strings.HasPrefix(got, colours); coloured != test.colour || strings.Contains(got, "\x1b") != test.colour {
				t.Errorf("the terminal was sent\n%q\nwant colours: %v", got, test.colour)
			}
		})
	}
	t.Setenv("NO_COLOR", "1")
	if diff := cmp.Diff(plainLines, onTerminal(ctx, t, 90, base...)); diff != "" {
		t.Errorf("on 90 columns (-want +got):\n%s", diff)
	}
	// Into a pipe go lines of JSON, and text where it is asked for, not wrapped.
	if _, stdout, _ := command(ctx, base...); strings.Count("\n"+stdout, "\n{") != 4 || strings.Contains(stdout, "\x1b") {
		t.Errorf("into a pipe goes\n%s\nwant four lines of JSON", stdout)
	}
	if _, stdout, _ := command(ctx, append(base, "--format=text")...); !strings.Contains(stdout, "  fail: no such order (route.star:2:9)\n") || strings.Contains(stdout, "\x1b") {
		t.Errorf("into a pipe goes\n%s\nwant text without colours", stdout)
	}
}

// TestTailHostile: whatever stands in an execution, the terminal is sent text.
func TestTailHostile(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	hostile := "\x1b]0;owned\x07\x1b[2J\r\u009b31m\u202e\U000e0001<script>alert(1)</script>\n\x00"
	all := executed(t, 1, func(e *planpb.PlanExecution) {
		failed(e, hostile+strings.Repeat("m", 1<<20))
		e.Header.Name, e.Header.ExecId = hostile+strings.Repeat("n", 1<<20), hostile
		for range 1000 {
			e.Result.NextTaskNames = append(e.Result.NextTaskNames, hostile)
		}
	})
	all.Headers[0].Value = []byte(hostile)
	nothing := &kgo.Record{Value: []byte("\xff\xfe\x1b[2J")}
	invalid := executed(t, 2, func(*planpb.PlanExecution) {})
	invalid.Value = append(invalid.Value, invalid.Value...)
	i := strings.Index(string(invalid.Value), "route")
	invalid.Value[i] = 0xff // No UTF-8, so no PlanExecution.
	end := executed(t, 3, func(*planpb.PlanExecution) {})
	base := append(executions(t, all, nothing, invalid, end), "-n2")

	t.Setenv("NO_COLOR", "1")
	got := onTerminal(ctx, t, 120, base...)
	if bad := regexp.MustCompile("[\x00-\x09\x0b-\x1f\x7f\u0080-\u009f\u202e\U000e0001]").FindString(got); bad != "" || !utf8.ValidString(got) {
		t.Errorf("the terminal was sent %q in\n%q", bad, got)
	}
	if len(got) > 8<<10 || !strings.Contains(got, `\x1b]0;owned\a`) || !strings.Contains(got, "and 992 more") {
		t.Errorf("the terminal was sent %d bytes:\n%.4000q\nwant the beginnings of all, quoted", len(got), got)
	}
	// JSON on a terminal is as harmless, and still JSON.
	got = onTerminal(ctx, t, 120, append(base, "--format=json")...)
	if bad := regexp.MustCompile("[\x00-\x09\x0b-\x1f\x7f\u0080-\u009f\u202e\U000e0001]").FindString(got); bad != "" {
		t.Errorf("with --format json the terminal was sent %q", bad)
	}
	line, _, _ := strings.Cut(got, "\n")
	var e struct {
		Header struct{ Name string }
	}
	if err := json.Unmarshal([]byte(line), &e); err != nil || e.Header.Name != hostile+strings.Repeat("n", 1<<20) {
		t.Errorf("with --format json the name arrives as %.80q (%d bytes): %v", e.Header.Name, len(e.Header.Name), err)
	}
}

package plan

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.starlark.net/starlark"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"starplan/plan/execution"
	"starplan/proto/planpb"
)

func compile(t testing.TB, text string, lim Limits, more ...string) *Program {
	t.Helper()
	p, err := Compile(source(t, text, more...), lim)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func decodeExecution(t testing.TB, out execution.Outcome) *planpb.PlanExecution {
	t.Helper()
	exec := new(planpb.PlanExecution)
	if err := proto.Unmarshal(out.Value, exec); err != nil {
		t.Fatal(err)
	}
	return exec
}

// readmePlan is the example of the documentation: two steps.
const readmePlan = `
def plan(plan_input):
    executions = plan_input.task_executions
    if not executions:
        return PlanResult(error_message = "No task executions provided")
    first = executions[0]
    if first.result.error_message:
        return PlanResult(error_message = "Task %s failed: %s" % (first.header.name, first.result.error_message))
    return PlanResult(
        upstream_tasks_results = [e.result for e in executions],
        next_task_names = ["next_task_1", "next_task_2"],
    )
`

func TestRun(t *testing.T) {
	in := sampleInput(t)
	p := compile(t, readmePlan, Limits{})
	out := p.Run("acme", recordOf(t, in))
	rec := recordOf(t, in)
	want := &planpb.PlanExecution{
		Header: &planpb.ExecutionHeader{
			Name: "demo", ExecId: execution.ID(rec), GraphId: "g1", LifetimeId: "l1", TenantId: "acme",
			Attempt: 1, CreatedAt: "2026-01-02T03:04:05.678Z", Status: planpb.ExecutionStatus_EXECUTION_STATUS_SUCCEEDED,
		},
		ParentTaskExecIds: []string{"t1", "t2"},
		ParentTaskNames:   []string{"fetch", "scan"},
		Result: &planpb.PlanResult{
			UpstreamTasksResults: []*planpb.TaskResult{in.TaskExecutions[0].Result, in.TaskExecutions[1].Result},
			NextTaskNames:        []string{"next_task_1", "next_task_2"},
		},
	}
	if diff := cmp.Diff(want, decodeExecution(t, out), protocmp.Transform()); diff != "" {
		t.Errorf("PlanExecution (-want +got):\n%s", diff)
	}
	if out.Plan != "demo" || out.Digest != p.Digest() || out.ExecID != execution.ID(rec) || out.Steps == 0 || out.Duration <= 0 {
		t.Errorf("outcome = %+v", out)
	}
	if out.Reason != "" || out.Message != "" || out.PlanError || out.Position != "" || out.Backtrace != "" {
		t.Errorf("outcome of a success = %+v", out)
	}
}

// TestOutcomes checks the rows of the outcome table that belong to a run, to the
// letter.
func TestOutcomes(t *testing.T) {
	for _, test := range []struct {
		name     string
		body     string
		lim      Limits
		reason   execution.Reason
		message  string
		position string
		steps    uint64 // 0 where it does not matter.
	}{
		{
			name:   "error_message that the plan returns",
			body:   `return PlanResult(error_message = "no stock")`,
			reason: "", message: "no stock",
		},
		{
			name:   "fail",
			body:   `fail("no task executions")`,
			reason: execution.ReasonPlan, message: "fail: no task executions (plan.star:2:9)", position: "plan.star:2:9",
		},
		{
			name:   "fail of several lines",
			body:   `fail("a\nb", 3)`,
			reason: execution.ReasonPlan, message: "fail: a\nb 3 (plan.star:2:9)", position: "plan.star:2:9",
		},
		{
			name:   "evaluation error",
			body:   `return plan_input.task_executions[5]`,
			reason: execution.ReasonPlan, message: "list index 5 out of range [-2:1] (plan.star:2:38)", position: "plan.star:2:38",
		},
		{
			name:    "returns nothing",
			body:    `pass`,
			reason:  execution.ReasonResult,
			message: "plan() returned None, want PlanResult; is a return missing? (plan.star:1:1)", position: "plan.star:1:1",
		},
		{
			name:    "returns a dict",
			body:    `return {"next_task_names": ["a"]}`,
			reason:  execution.ReasonResult,
			message: "plan() returned dict, want PlanResult; write return PlanResult(next_task_names=[…]) (plan.star:1:1)", position: "plan.star:1:1",
		},
		{
			name:    "returns another message",
			body:    `return TaskResult(id = "x")`,
			reason:  execution.ReasonResult,
			message: "plan() returned TaskResult, want PlanResult; write return PlanResult(next_task_names=[…]) (plan.star:1:1)", position: "plan.star:1:1",
		},
		{
			name:    "returns its input",
			body:    `return plan_input`,
			reason:  execution.ReasonResult,
			message: "plan() returned PlanInput, want PlanResult; write return PlanResult(next_task_names=[…]) (plan.star:1:1)", position: "plan.star:1:1",
		},
		{
			name:   "step limit",
			body:   "for i in range(1 << 50):\n        x = i",
			lim:    Limits{MaxSteps: 12345},
			reason: execution.ReasonSteps, steps: 12345,
			message: "Execution timed out: step limit of 12345 reached at plan.star:2:5; raise PLAN_TIMEOUT or PLAN_MAX_STEPS", position: "plan.star:2:5",
		},
		{
			name:   "step limit in a builtin that charges by size",
			body:   "json.decode(text)",
			lim:    Limits{MaxSteps: 5000},
			reason: execution.ReasonSteps, steps: 5000,
			message: "Execution timed out: step limit of 5000 reached at plan.star:2:16; raise PLAN_TIMEOUT or PLAN_MAX_STEPS", position: "plan.star:2:16",
		},
		{
			name:   "a default does not hide the step limit",
			body:   "return json.decode(text, default = None)",
			lim:    Limits{MaxSteps: 5000},
			reason: execution.ReasonSteps, steps: 5000,
			message: "Execution timed out: step limit of 5000 reached at plan.star:2:23; raise PLAN_TIMEOUT or PLAN_MAX_STEPS", position: "plan.star:2:23",
		},
		{
			name:    "a message that speaks of steps is no step limit",
			body:    `fail("Starlark computation cancelled: step limit")`,
			reason:  execution.ReasonPlan,
			message: "fail: Starlark computation cancelled: step limit (plan.star:2:9)", position: "plan.star:2:9",
		},
		{
			name:    "execution too large",
			body:    `return PlanResult(upstream_tasks_results = [TaskResult(id = "x" * 5000)])`,
			lim:     Limits{MaxExecution: 1000},
			reason:  execution.ReasonTooLarge,
			message: "Execution of 5120 bytes exceeds the limit of 1000 bytes of the output topic; return less data, pass it as external_data, or raise max.message.bytes of the topic",
		},
		{
			name:    "one large payload many times over",
			body:    `return PlanResult(upstream_tasks_results = [TaskResult(id = "x" * 1000000)] * 100000)`,
			reason:  execution.ReasonTooLarge,
			message: "Execution of 100000800118 bytes exceeds the limit of 1044480 bytes of the output topic; return less data, pass it as external_data, or raise max.message.bytes of the topic",
		},
		{
			name:    "task name too long",
			body:    `return PlanResult(next_task_names = ["x" * 101])`,
			reason:  execution.ReasonPlan,
			message: "PlanResult: next_task_names[0]: got a name of 101 characters, want at most 100 (plan.star:2:22)", position: "plan.star:2:22",
		},
		{
			name:    "long message keeps its position",
			body:    `fail("ä" * 2000)`,
			reason:  execution.ReasonPlan,
			message: "fail: " + strings.Repeat("ä", 1000-6-1-16) + "… (plan.star:2:9)", position: "plan.star:2:9",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := "def plan(plan_input):\n    " + test.body + "\n\ntext = '[' + '1,' * 100000 + '1]'\n"
			p := compile(t, text, Limits{})
			p.lim = test.lim.withDefaults() // The top level is not what is measured.
			out := p.Run("acme", recordOf(t, sampleInput(t)))
			if out.Reason != test.reason || out.Message != test.message || out.Position != test.position {
				t.Errorf("outcome = %q %q %q\nwant      %q %q %q", out.Reason, out.Message, out.Position, test.reason, test.message, test.position)
			}
			if test.steps != 0 && out.Steps != test.steps {
				t.Errorf("Steps = %d, want %d", out.Steps, test.steps)
			}
			exec := decodeExecution(t, out)
			wantStatus := planpb.ExecutionStatus_EXECUTION_STATUS_FAILED
			if test.reason == "" {
				wantStatus = planpb.ExecutionStatus_EXECUTION_STATUS_SUCCEEDED
			}
			if got := exec.GetHeader().GetStatus(); got != wantStatus {
				t.Errorf("status = %v, want %v", got, wantStatus)
			}
			if diff := cmp.Diff(&planpb.PlanResult{ErrorMessage: test.message}, exec.Result, protocmp.Transform()); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			if out.PlanError != (test.reason == "") {
				t.Errorf("PlanError = %v", out.PlanError)
			}
			if n := utf8.RuneCountInString(exec.Result.ErrorMessage); n > execution.MaxMessage {
				t.Errorf("error_message has %d characters", n)
			}
		})
	}
}

func TestRunUndecodable(t *testing.T) {
	rec := recordOf(t, sampleInput(t))
	rec.Value = []byte{0xff}
	out := compile(t, okPlan, Limits{}).Run("acme", rec)
	const want = "Value of plan-inputs-acme/3/42 is no PlanInput: proto: cannot parse invalid wire-format data"
	if out.Reason != execution.ReasonDecode || out.Message != want || out.Plan != "demo" || out.Steps != 0 {
		t.Errorf("outcome = %+v, want reason decode, message %q", out, want)
	}
}

// TestRunPanic checks that a fault of a builtin is answered like any other.
func TestRunPanic(t *testing.T) {
	p := compile(t, okPlan, Limits{})
	p.plan = starlark.NewBuiltin("plan", func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
		panic("boom")
	})
	out := p.Run("acme", recordOf(t, sampleInput(t)))
	const want = "internal error: boom; this is a fault of the interpreter, not of the plan"
	if out.Reason != execution.ReasonPlan || out.Message != want || !strings.Contains(out.Backtrace, "TestRunPanic") {
		t.Errorf("outcome = %+v, want message %q and a Go stack", out, want)
	}
}

func TestBacktrace(t *testing.T) {
	p := compile(t, "load('lib.star', 'check')\n\ndef plan(plan_input):\n    check(plan_input)\n", Limits{},
		"lib.star", "def check(x):\n    fail('no')\n")
	out := p.Run("acme", recordOf(t, sampleInput(t)))
	const want = "Traceback (most recent call last):\n  plan.star:4:10: in plan\n  lib.star:2:9: in check\nError in fail: fail: no"
	if out.Backtrace != want || out.Position != "lib.star:2:9" {
		t.Errorf("Backtrace = %q, want %q; Position = %q", out.Backtrace, want, out.Position)
	}
}

func TestPrints(t *testing.T) {
	for _, test := range []struct {
		name string
		body string
		want []string
	}{
		{"none", "pass", nil},
		{"position", `print("a", 1, sep = "-")`, []string{"plan.star:2:10: a-1"}},
		{"bytes that are no UTF-8", `print("ä"[:1])`, []string{"plan.star:2:10: \uFFFD"}},
		{
			"no more than 100 lines", "for i in range(500):\n        print(i)",
			append(numbered(100), "(print: no more than 100 lines and 16384 bytes are kept)"),
		},
		{
			"no more than 16 KiB", "print('x' * 16384)\n    print('y')\n    print('z')",
			[]string{"plan.star:2:10: " + strings.Repeat("x", 16384), "(print: no more than 100 lines and 16384 bytes are kept)"},
		},
		{
			"one line too long", "print('x' * 16385)\n    print('y')",
			[]string{"(print: no more than 100 lines and 16384 bytes are kept)"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := compile(t, "def plan(plan_input):\n    "+test.body+"\n    return PlanResult()\n", Limits{}).Run("acme", recordOf(t, sampleInput(t)))
			if out.Reason != "" {
				t.Fatal(out.Message)
			}
			if diff := cmp.Diff(test.want, out.Prints); diff != "" {
				t.Errorf("Prints (-want +got):\n%s", diff)
			}
		})
	}
}

func numbered(n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf("plan.star:3:14: %d", i)
	}
	return lines
}

// TestGlobalsAreShared runs one program many times at once. A result that the plan
// keeps as a global is shared by all runs, and the cut of its message must not
// reach it.
func TestGlobalsAreShared(t *testing.T) {
	p := compile(t, "LONG = PlanResult(error_message = 'x' * 2000, next_task_names = ['a'])\n\ndef plan(plan_input):\n    return LONG\n", Limits{})
	want := p.Run("acme", recordOf(t, sampleInput(t)))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				out := p.Run("acme", recordOf(t, sampleInput(t)))
				if !bytes.Equal(out.Value, want.Value) || len(out.Warnings) != 1 {
					t.Errorf("outcome = %+v, want %+v", out, want)
				}
			}
		})
	}
	wg.Wait()
}

// variedPlan shows whatever could differ between runs.
const variedPlan = `
def plan(plan_input):
    print(time.now(), plan_input)
    names = {}
    for e in plan_input.task_executions:
        names[e.header.name] = names.get(e.header.name, 0) + 1
        if e.header.attempt > 5:
            fail("attempt %d of %s" % (e.header.attempt, e.header.name))
    if len(names) > 3:
        for i in range(1 << 40):
            pass
    stored = StoredData(uri = "s3://x", metadata = {k: str(v) for k, v in names.items()})
    return PlanResult(
        upstream_tasks_results = [TaskResult(id = json.encode(names), external_data = stored)] + [e.result for e in plan_input.task_executions],
        next_task_names = sorted(set(["n%d" % len(n) for n in names])),
        error_message = str(time.now())[:3],
    )
`

// TestRunIsPure runs any record twice and through programs compiled apart.
func TestRunIsPure(t *testing.T) {
	lim := Limits{MaxSteps: 3000}
	first, second := compile(t, variedPlan, lim), compile(t, variedPlan, lim)
	reasons := make(map[execution.Reason]int)
	rapid.Check(t, func(rt *rapid.T) {
		in := &planpb.PlanInput{PlanName: rapid.StringN(0, 10, -1).Draw(rt, "plan")}
		for range rapid.IntRange(0, 6).Draw(rt, "tasks") {
			metadata := rapid.MapOfN(rapid.StringN(0, 4, -1), rapid.String(), 0, 5).Draw(rt, "metadata")
			in.TaskExecutions = append(in.TaskExecutions, &planpb.TaskExecution{
				Header: &planpb.ExecutionHeader{
					Name:    rapid.StringN(0, 3, -1).Draw(rt, "name"),
					ExecId:  rapid.StringN(0, 3, -1).Draw(rt, "id"),
					Attempt: rapid.Int32Range(0, 6).Draw(rt, "attempt"),
				},
				Result: &planpb.TaskResult{Data: &planpb.TaskResult_ExternalData{ExternalData: &planpb.StoredData{Metadata: metadata}}},
			})
		}
		value, err := proto.Marshal(in) // Not deterministic on purpose: maps in any order.
		if err != nil {
			rt.Fatal(err)
		}
		rec := execution.Record{
			Topic: "plan-inputs-acme", Key: []byte("demo"), Value: value,
			Offset: rapid.Int64Min(0).Draw(rt, "offset"), Timestamp: time.UnixMilli(rapid.Int64Range(0, 1<<42).Draw(rt, "time")),
		}
		a, b, c := first.Run("acme", rec), first.Run("acme", rec), second.Run("acme", rec)
		a.Duration, b.Duration, c.Duration = 0, 0, 0
		if diff := cmp.Diff(a, b) + cmp.Diff(a, c); diff != "" {
			rt.Fatalf("two runs of one record differ:\n%s", diff)
		}
		reasons[a.Reason]++
	})
	for _, reason := range []execution.Reason{"", execution.ReasonPlan, execution.ReasonSteps} {
		if reasons[reason] == 0 {
			t.Errorf("no record ended with reason %q, so nothing was checked for it", reason)
		}
	}
}

// TestGolden fixes the bytes of one execution of each kind: a change of these
// makes redelivered records differ across versions.
func TestGolden(t *testing.T) {
	for _, test := range []struct{ body, want string }{
		{"return PlanResult(next_task_names = ['a'], error_message = 'b')", "0a580a0464656d6f122439396235626638372d376533392d353235342d613530652d3336646134623731656366351a02673122026c312a0461636d6530014218323032362d30312d30325430333a30343a30352e3637385a480312027431120274321a061201611a01622205666574636822047363616e"},
		{"fail('x')", "0a580a0464656d6f122439396235626638372d376533392d353235342d613530652d3336646134623731656366351a02673122026c312a0461636d6530014218323032362d30312d30325430333a30343a30352e3637385a480412027431120274321a191a176661696c3a20782028706c616e2e737461723a323a39292205666574636822047363616e"},
	} {
		out := compile(t, "def plan(plan_input):\n    "+test.body+"\n", Limits{}).Run("acme", recordOf(t, sampleInput(t)))
		if got := fmt.Sprintf("%x", out.Value); got != test.want {
			t.Errorf("%s: PlanExecution = %s, want %s", test.body, got, test.want)
		}
	}
}

func FuzzRun(f *testing.F) {
	plans := []*Program{compile(f, readmePlan, Limits{MaxSteps: 10_000}), compile(f, variedPlan, Limits{MaxSteps: 10_000})}
	rec := recordOf(f, sampleInput(f))
	f.Add(rec.Key, rec.Value, int64(0))
	f.Add([]byte(nil), []byte{0x1a, 0x00}, int64(-1))
	f.Fuzz(func(t *testing.T, key, value []byte, millis int64) {
		rec := execution.Record{Topic: "plan-inputs-acme", Key: key, Value: value, Timestamp: time.UnixMilli(millis)}
		for _, p := range plans {
			out := p.Run("acme", rec)
			if len(out.Value) == 0 || strings.Contains(out.Message, "internal error") {
				t.Errorf("outcome = %+v", out)
			}
			if exec := decodeExecution(t, out); exec.GetResult() == nil || exec.GetHeader().GetExecId() == "" {
				t.Errorf("execution = %v", exec)
			}
		}
	})
}

// BenchmarkRun decodes, runs and encodes the README plan at two tasks.
func BenchmarkRun(b *testing.B) {
	p := compile(b, readmePlan, Limits{})
	rec := recordOf(b, sampleInput(b))
	b.ReportAllocs()
	for b.Loop() {
		if out := p.Run("acme", rec); out.Reason != "" {
			b.Fatal(out.Message)
		}
	}
}

// BenchmarkCompile compiles the README plan, as a worker does when it begins.
func BenchmarkCompile(b *testing.B) {
	src := source(b, readmePlan)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(src, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

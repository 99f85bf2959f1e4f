package execution_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"starplan/plan/execution"
	"starplan/proto/planpb"
)

const (
	succeeded = planpb.ExecutionStatus_EXECUTION_STATUS_SUCCEEDED
	failed    = planpb.ExecutionStatus_EXECUTION_STATUS_FAILED
)

// record is the record that all cases vary.
func record(key string, in *planpb.PlanInput) execution.Record {
	value, err := proto.Marshal(in)
	if err != nil {
		panic(err)
	}
	return execution.Record{
		Topic: "plan-inputs-acme", Partition: 3, Offset: 42,
		Timestamp: time.UnixMilli(1767323045678),
		Key:       []byte(key), Value: value,
	}
}

func decode(t *testing.T, out execution.Outcome) *planpb.PlanExecution {
	t.Helper()
	exec := new(planpb.PlanExecution)
	if err := proto.Unmarshal(out.Value, exec); err != nil {
		t.Fatalf("unmarshal PlanExecution: %v", err)
	}
	return exec
}

func task(header *planpb.ExecutionHeader) *planpb.TaskExecution {
	return &planpb.TaskExecution{Header: header}
}

func TestFill(t *testing.T) {
	long := strings.Repeat("ä", 101)
	for _, test := range []struct {
		name     string
		key      string
		in       *planpb.PlanInput
		want     *planpb.ExecutionHeader // exec_id, created_at, tenant_id and status are the same for all.
		ids      []string
		names    []string
		warnings []execution.Warning
	}{
		{
			name: "everything in the value",
			key:  "g1:collect",
			in:   &planpb.PlanInput{PlanName: "collect", GraphId: "g1", LifetimeId: "l1"},
			want: &planpb.ExecutionHeader{Name: "collect", GraphId: "g1", LifetimeId: "l1", Attempt: 1},
		},
		{
			name: "name from the key",
			key:  "g1:collect",
			in:   &planpb.PlanInput{GraphId: "g1", LifetimeId: "l1"},
			want: &planpb.ExecutionHeader{Name: "collect", GraphId: "g1", LifetimeId: "l1", Attempt: 1},
		},
		{
			name:     "the value's name wins over the key's",
			key:      "collect",
			in:       &planpb.PlanInput{PlanName: "other", GraphId: "g1", LifetimeId: "l1"},
			want:     &planpb.ExecutionHeader{Name: "other", GraphId: "g1", LifetimeId: "l1", Attempt: 1},
			warnings: []execution.Warning{execution.WarnNameMismatch},
		},
		{
			name: "graph and lifetime from the first parent",
			key:  "gkey:collect",
			in: &planpb.PlanInput{PlanName: "collect", TaskExecutions: []*planpb.TaskExecution{
				task(&planpb.ExecutionHeader{GraphId: "gp", LifetimeId: "lp"}),
				task(&planpb.ExecutionHeader{GraphId: "no", LifetimeId: "no"}),
			}},
			want: &planpb.ExecutionHeader{Name: "collect", GraphId: "gp", LifetimeId: "lp"},
		},
		{
			name: "the value's graph and lifetime win over the parent's",
			key:  "gkey:collect",
			in: &planpb.PlanInput{PlanName: "collect", GraphId: "g1", LifetimeId: "l1", TaskExecutions: []*planpb.TaskExecution{
				task(&planpb.ExecutionHeader{GraphId: "gp", LifetimeId: "lp", Attempt: 1}),
			}},
			want: &planpb.ExecutionHeader{Name: "collect", GraphId: "g1", LifetimeId: "l1", Attempt: 1},
		},
		{
			name: "graph from the key where value and parent have none",
			key:  "gkey:collect",
			in: &planpb.PlanInput{PlanName: "collect", LifetimeId: "l1", TaskExecutions: []*planpb.TaskExecution{
				task(&planpb.ExecutionHeader{Attempt: 1}),
			}},
			want: &planpb.ExecutionHeader{Name: "collect", GraphId: "gkey", LifetimeId: "l1", Attempt: 1},
		},
		{
			name:     "no graph and no lifetime anywhere",
			key:      "collect",
			in:       &planpb.PlanInput{PlanName: "collect"},
			want:     &planpb.ExecutionHeader{Name: "collect", Attempt: 1},
			warnings: []execution.Warning{execution.WarnBlankGraph, execution.WarnBlankLifetime},
		},
		{
			name:     "blanks are warned of and kept",
			key:      "collect",
			in:       &planpb.PlanInput{PlanName: "collect", GraphId: " ", LifetimeId: "\t"},
			want:     &planpb.ExecutionHeader{Name: "collect", GraphId: " ", LifetimeId: "\t", Attempt: 1},
			warnings: []execution.Warning{execution.WarnBlankGraph, execution.WarnBlankLifetime},
		},
		{
			name: "attempt and iteration of the first parent",
			key:  "collect",
			in: &planpb.PlanInput{PlanName: "collect", GraphId: "g", LifetimeId: "l", TaskExecutions: []*planpb.TaskExecution{
				task(&planpb.ExecutionHeader{Attempt: 3, IterationIdx: 7}),
				task(&planpb.ExecutionHeader{Attempt: 9, IterationIdx: 9}),
			}},
			want: &planpb.ExecutionHeader{Name: "collect", GraphId: "g", LifetimeId: "l", Attempt: 3, IterationIdx: 7},
		},
		{
			name: "attempt 1 where the first parent has no header",
			key:  "collect",
			in: &planpb.PlanInput{PlanName: "collect", GraphId: "g", LifetimeId: "l", TaskExecutions: []*planpb.TaskExecution{
				task(nil), task(&planpb.ExecutionHeader{Attempt: 9}),
			}},
			want: &planpb.ExecutionHeader{Name: "collect", GraphId: "g", LifetimeId: "l", Attempt: 1},
		},
		{
			name: "parents in order, without those that have no exec_id, both lists in step",
			key:  "collect",
			in: &planpb.PlanInput{PlanName: "collect", GraphId: "g", LifetimeId: "l", TaskExecutions: []*planpb.TaskExecution{
				task(&planpb.ExecutionHeader{Name: "b", ExecId: "2", Attempt: 1}),
				task(&planpb.ExecutionHeader{Name: "skipped"}),
				task(nil),
				task(&planpb.ExecutionHeader{ExecId: "3"}),
				task(&planpb.ExecutionHeader{Name: "a", ExecId: "1"}),
				task(&planpb.ExecutionHeader{Name: "a", ExecId: "1"}),
			}},
			want:  &planpb.ExecutionHeader{Name: "collect", GraphId: "g", LifetimeId: "l", Attempt: 1},
			ids:   []string{"2", "3", "1", "1"},
			names: []string{"b", "", "a", "a"},
		},
		{
			name: "names of 500 characters joined are fine",
			key:  "collect",
			in: &planpb.PlanInput{PlanName: "collect", GraphId: "g", LifetimeId: "l", TaskExecutions: []*planpb.TaskExecution{
				task(&planpb.ExecutionHeader{Name: strings.Repeat("ä", 250), ExecId: "1", Attempt: 1}),
				task(&planpb.ExecutionHeader{Name: strings.Repeat("ä", 249), ExecId: "2", Attempt: 1}),
			}},
			want:  &planpb.ExecutionHeader{Name: "collect", GraphId: "g", LifetimeId: "l", Attempt: 1},
			ids:   []string{"1", "2"},
			names: []string{strings.Repeat("ä", 250), strings.Repeat("ä", 249)},
		},
		{
			name: "names of 501 characters joined are warned of and kept",
			key:  "collect",
			in: &planpb.PlanInput{PlanName: "collect", GraphId: "g", LifetimeId: "l", TaskExecutions: []*planpb.TaskExecution{
				task(&planpb.ExecutionHeader{Name: strings.Repeat("ä", 250), ExecId: "1", Attempt: 1}),
				task(&planpb.ExecutionHeader{Name: strings.Repeat("ä", 250), ExecId: "2", Attempt: 1}),
			}},
			want:     &planpb.ExecutionHeader{Name: "collect", GraphId: "g", LifetimeId: "l", Attempt: 1},
			ids:      []string{"1", "2"},
			names:    []string{strings.Repeat("ä", 250), strings.Repeat("ä", 250)},
			warnings: []execution.Warning{execution.WarnParentNames},
		},
		{
			name: "a long name is cut to 100 characters",
			key:  long,
			in:   &planpb.PlanInput{PlanName: long, GraphId: "g", LifetimeId: "l"},
			want: &planpb.ExecutionHeader{Name: strings.Repeat("ä", 100), GraphId: "g", LifetimeId: "l", Attempt: 1},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			rec := record(test.key, test.in)
			out, err := execution.NewAnswer("acme", rec, test.in).Succeed(&planpb.PlanResult{NextTaskNames: []string{"next"}}, math.MaxInt)
			if err != nil {
				t.Fatal(err)
			}
			header := proto.CloneOf(test.want)
			header.ExecId = "99b5bf87-7e39-5254-a50e-36da4b71ecf5"
			header.TenantId = "acme"
			header.CreatedAt = "2026-01-02T03:04:05.678Z"
			header.Status = succeeded
			want := &planpb.PlanExecution{
				Header: header, ParentTaskExecIds: test.ids, ParentTaskNames: test.names,
				Result: &planpb.PlanResult{NextTaskNames: []string{"next"}},
			}
			if diff := cmp.Diff(want, decode(t, out), protocmp.Transform()); diff != "" {
				t.Errorf("PlanExecution (-want +got):\n%s", diff)
			}
			if !slices.Equal(out.Warnings, test.warnings) {
				t.Errorf("Warnings = %q, want %q", out.Warnings, test.warnings)
			}
			if out.ExecID != header.ExecId {
				t.Errorf("ExecID = %q, want %q", out.ExecID, header.ExecId)
			}
		})
	}
}

func TestSucceed(t *testing.T) {
	in := &planpb.PlanInput{PlanName: "collect", GraphId: "g", LifetimeId: "l"}
	cut := strings.Repeat("日", 1000)
	for _, test := range []struct {
		name      string
		result    *planpb.PlanResult
		want      *planpb.PlanResult
		planError bool
		warnings  []execution.Warning
	}{
		{"nil is empty, and present", nil, &planpb.PlanResult{}, false, nil},
		{"empty is present", &planpb.PlanResult{}, &planpb.PlanResult{}, false, nil},
		{
			"an error_message is the plan's report, and the execution worked",
			&planpb.PlanResult{ErrorMessage: "no stock"}, &planpb.PlanResult{ErrorMessage: "no stock"}, true, nil,
		},
		{"1000 characters fit", &planpb.PlanResult{ErrorMessage: cut}, &planpb.PlanResult{ErrorMessage: cut}, true, nil},
		{
			"1001 characters are cut", &planpb.PlanResult{ErrorMessage: cut + "x"}, &planpb.PlanResult{ErrorMessage: cut}, true,
			[]execution.Warning{execution.WarnMessageCut},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			out, err := execution.NewAnswer("acme", record("collect", in), in).Succeed(test.result, math.MaxInt)
			if err != nil {
				t.Fatal(err)
			}
			exec := decode(t, out)
			if exec.Result == nil {
				t.Error("result is absent, want it present")
			}
			if diff := cmp.Diff(test.want, exec.Result, protocmp.Transform()); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			if exec.Header.Status != succeeded || out.Reason != "" {
				t.Errorf("status, reason = %v, %q, want SUCCEEDED and none", exec.Header.Status, out.Reason)
			}
			if out.PlanError != test.planError || out.Message != test.want.ErrorMessage {
				t.Errorf("PlanError, Message = %v, %q, want %v, %q", out.PlanError, out.Message, test.planError, test.want.ErrorMessage)
			}
			if !slices.Equal(out.Warnings, test.warnings) {
				t.Errorf("Warnings = %q, want %q", out.Warnings, test.warnings)
			}
		})
	}
}

func TestSucceedRefusesWhatCannotBeSerialized(t *testing.T) {
	in := &planpb.PlanInput{PlanName: "collect"}
	answer := execution.NewAnswer("acme", record("collect", in), in)
	if out, err := answer.Succeed(&planpb.PlanResult{NextTaskNames: []string{"a\xff"}}, math.MaxInt); err == nil {
		t.Errorf("Succeed(a string that is no UTF-8) = %+v, want an error", out)
	}
	// The answer can still be ended.
	out := answer.Fail(execution.ReasonResult, "not UTF-8")
	if exec := decode(t, out); exec.Result.ErrorMessage != "not UTF-8" || len(exec.Result.NextTaskNames) != 0 {
		t.Errorf("result after Fail = %v, want error_message only", exec.Result)
	}
}

func TestFail(t *testing.T) {
	in := &planpb.PlanInput{PlanName: "collect", GraphId: "g", LifetimeId: "l", TaskExecutions: []*planpb.TaskExecution{
		task(&planpb.ExecutionHeader{Name: "a", ExecId: "1", Attempt: 2}),
	}}
	for _, test := range []struct {
		name    string
		reason  execution.Reason
		message string
		want    string
	}{
		{"message", execution.ReasonTimeout, "Execution timed out after 300 seconds", "Execution timed out after 300 seconds"},
		{"never empty", execution.ReasonPlan, "", "Execution failed without a message: plan"},
		{"never blank", execution.ReasonCrash, " \n\t ", "Execution failed without a message: crash"},
		{"cut on a rune boundary", execution.ReasonPlan, strings.Repeat("ü", 1001), strings.Repeat("ü", 1000)},
		{"bytes that are no UTF-8", execution.ReasonPlan, "a\xffb", "a\uFFFDb"},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := execution.Fail("acme", record("collect", in), test.reason, test.message)
			want := &planpb.PlanExecution{
				Header: &planpb.ExecutionHeader{
					Name: "collect", ExecId: "99b5bf87-7e39-5254-a50e-36da4b71ecf5", GraphId: "g", LifetimeId: "l",
					TenantId: "acme", Attempt: 2, CreatedAt: "2026-01-02T03:04:05.678Z", Status: failed,
				},
				ParentTaskExecIds: []string{"1"}, ParentTaskNames: []string{"a"},
				Result: &planpb.PlanResult{ErrorMessage: test.want},
			}
			if diff := cmp.Diff(want, decode(t, out), protocmp.Transform()); diff != "" {
				t.Errorf("PlanExecution (-want +got):\n%s", diff)
			}
			if out.Reason != test.reason || out.Message != test.want {
				t.Errorf("Reason, Message = %q, %q, want %q, %q", out.Reason, out.Message, test.reason, test.want)
			}
		})
	}
}

func TestFailUndecodable(t *testing.T) {
	for _, test := range []struct {
		name  string
		value []byte
		want  string
	}{
		{"truncated", []byte{0x0a, 0x7f, 'x'}, "Value of plan-inputs-acme/3/42 is no PlanInput: proto: cannot parse invalid wire-format data"},
		{"no UTF-8", []byte{0x12, 0x01, 0xff}, "Value of plan-inputs-acme/3/42 is no PlanInput: string field contains invalid UTF-8"},
	} {
		t.Run(test.name, func(t *testing.T) {
			rec := record("g1:collect", nil)
			rec.Value = test.value
			// Whatever else was to be said, this comes first.
			out := execution.Fail("acme", rec, execution.ReasonUnknownPlan, "no such plan")
			want := &planpb.PlanExecution{
				Header: &planpb.ExecutionHeader{
					Name: "collect", ExecId: "99b5bf87-7e39-5254-a50e-36da4b71ecf5", GraphId: "g1",
					TenantId: "acme", Attempt: 1, CreatedAt: "2026-01-02T03:04:05.678Z", Status: failed,
				},
				Result: &planpb.PlanResult{ErrorMessage: test.want},
			}
			if diff := cmp.Diff(want, decode(t, out), protocmp.Transform()); diff != "" {
				t.Errorf("PlanExecution (-want +got):\n%s", diff)
			}
			if out.Reason != execution.ReasonDecode {
				t.Errorf("Reason = %q, want %q", out.Reason, execution.ReasonDecode)
			}
		})
	}
}

// TestID fixes the algorithm: another one would answer redelivered records with
// identifiers that consumers do not know.
func TestID(t *testing.T) {
	base := execution.Record{Topic: "plan-inputs-acme", Partition: 3, Offset: 42, Timestamp: time.UnixMilli(1767323045678)}
	if got, want := execution.ID(base), "99b5bf87-7e39-5254-a50e-36da4b71ecf5"; got != want {
		t.Errorf("ID(%+v) = %q, want %q", base, got, want)
	}
	if got := len(execution.ID(base)); got != 36 {
		t.Errorf("ID has %d characters, want 36", got)
	}
	seen := map[string]execution.Record{execution.ID(base): base}
	for _, change := range []func(*execution.Record){
		func(r *execution.Record) { r.Topic = "plan-inputs-acme2" },
		func(r *execution.Record) { r.Partition = 4 },
		func(r *execution.Record) { r.Offset = 43 },
		func(r *execution.Record) { r.Timestamp = time.UnixMilli(1767323045679) },
		func(r *execution.Record) { r.Partition, r.Offset = 34, 2 },
	} {
		rec := base
		change(&rec)
		id := execution.ID(rec)
		if other, ok := seen[id]; ok {
			t.Errorf("ID(%+v) = ID(%+v)", rec, other)
		}
		seen[id] = rec
	}
	same := base
	same.Key, same.Value = []byte("k"), []byte("v")
	same.Timestamp = same.Timestamp.In(time.FixedZone("x", 3600)).Add(999 * time.Microsecond)
	if execution.ID(same) != execution.ID(base) {
		t.Error("ID depends on something other than topic, partition, offset and the timestamp's milliseconds")
	}
}

func TestCreatedAt(t *testing.T) {
	for _, test := range []struct {
		time time.Time
		want string
	}{
		{time.UnixMilli(0), "1970-01-01T00:00:00.000Z"},
		{time.UnixMilli(-1), "1969-12-31T23:59:59.999Z"},
		{time.Date(2026, 1, 2, 4, 4, 5, 678e6, time.FixedZone("CET", 3600)), "2026-01-02T03:04:05.678Z"},
		{time.UnixMilli(1<<63 - 1), "9999-12-31T23:59:59.999Z"},
		{time.UnixMilli(-1 << 63), "0000-01-01T00:00:00.000Z"},
		{time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC), "9999-12-31T23:59:59.999Z"},
	} {
		got := execution.CreatedAt(test.time)
		if got != test.want {
			t.Errorf("CreatedAt(%v) = %q, want %q", test.time, got, test.want)
		}
		if _, err := time.Parse(time.RFC3339, got); err != nil {
			t.Errorf("CreatedAt(%v) is no RFC 3339: %v", test.time, err)
		}
	}
}

// TestAnswersAreWhatConsumersTake checks what consumers demand, for any record.
func TestAnswersAreWhatConsumersTake(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rec := execution.Record{
			Topic:     rapid.String().Draw(t, "topic"),
			Partition: rapid.Int32().Draw(t, "partition"),
			Offset:    rapid.Int64().Draw(t, "offset"),
			Timestamp: time.UnixMilli(rapid.Int64().Draw(t, "timestamp")),
			Key:       []byte(rapid.StringN(1, 300, -1).Draw(t, "key")),
			Value:     rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "value"),
		}
		message := string(rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(t, "message"))
		out := execution.Fail("acme", rec, execution.ReasonPlan, message)
		again := execution.Fail("acme", rec, execution.ReasonPlan, message)
		if string(out.Value) != string(again.Value) {
			t.Fatal("two answers to one record differ")
		}
		exec := new(planpb.PlanExecution)
		if err := proto.Unmarshal(out.Value, exec); err != nil {
			t.Fatal(err)
		}
		h, msg := exec.GetHeader(), exec.GetResult().GetErrorMessage()
		if exec.Result == nil || msg == "" || utf8.RuneCountInString(msg) > execution.MaxMessage {
			t.Fatalf("error_message has %d characters", utf8.RuneCountInString(msg))
		}
		if utf8.RuneCountInString(h.Name) > execution.MaxName || len(h.ExecId) != 36 || h.Status != failed {
			t.Fatalf("header = %v", h)
		}
		if _, err := time.Parse(time.RFC3339, h.CreatedAt); err != nil {
			t.Fatal(err)
		}
		if len(exec.ParentTaskExecIds) != len(exec.ParentTaskNames) {
			t.Fatal("parents are not in step")
		}
	})
}

func FuzzFail(f *testing.F) {
	f.Add([]byte("g:p"), []byte{0x12, 0x01, 'x'}, "message")
	f.Add([]byte(nil), []byte{0xff}, "")
	f.Fuzz(func(t *testing.T, key, value []byte, message string) {
		rec := execution.Record{Topic: "t", Key: key, Value: value}
		if out := execution.Fail("acme", rec, execution.ReasonPlan, message); len(out.Value) == 0 || out.Message == "" {
			t.Errorf("Fail gives %+v", out)
		}
	})
}

func ExampleKey_String() {
	key, _ := execution.ParseKey([]byte("graph-7:collect"))
	fmt.Println(key.Graph, key.Plan, key)
	// Output: graph-7 collect graph-7:collect
}

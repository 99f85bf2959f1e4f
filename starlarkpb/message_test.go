package starlarkpb_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"starplan/proto/planpb"
	"starplan/starlarkpb"
)

// eval evaluates an expression over names.
func eval(t testing.TB, expr string, env starlark.StringDict) starlark.Value {
	t.Helper()
	v, err := starlark.EvalOptions(new(syntax.FileOptions), new(starlark.Thread), "test.star", expr, env)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	return v
}

// marshal gives deterministic bytes.
func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatalf("Marshal(%v): %v", m, err)
	}
	return data
}

// A result must come out with the bytes that it came in with, also those that
// the schema does not know and those that are no valid payload.
func TestPassThrough(t *testing.T) {
	unknown := []byte{0xf8, 0x07, 0x05} // field 127, varint 5
	result := &planpb.TaskResult{Id: "r", Data: &planpb.TaskResult_InlineData{InlineData: pack(wrapperspb.String("x"))}}
	result.ProtoReflect().SetUnknown(unknown)
	result.GetInlineData().Value = []byte("no valid payload")
	result.GetInlineData().ProtoReflect().SetUnknown(unknown)
	in := &planpb.PlanInput{TaskExecutions: []*planpb.TaskExecution{{Result: result}}}
	before := marshal(t, in)
	want := marshal(t, result)

	env := predeclared(t)
	env["inp"] = starlarkpb.FromProto(in)
	for _, expr := range []string{
		"PlanResult(upstream_tasks_results=[inp.task_executions[0].result])",
		"PlanResult(upstream_tasks_results=[t.result for t in inp.task_executions])",
		"PlanResult(upstream_tasks_results=PlanResult(upstream_tasks_results=[inp.task_executions[0].result]).upstream_tasks_results)",
		"freeze(PlanResult(upstream_tasks_results=[inp.task_executions[0].result]))",
		"[(r, r.upstream_tasks_results.append(inp.task_executions[0].result)) for r in [PlanResult()]][0][0]",
		"[(r, r.CopyFrom(PlanResult(upstream_tasks_results=[inp.task_executions[0].result]))) for r in [PlanResult()]][0][0]",
		"[(r, r.upstream_tasks_results[0].inline_data.value, str(r), r == r) for r in [PlanResult(upstream_tasks_results=[inp.task_executions[0].result])]][0][0]",
	} {
		m := eval(t, expr, env).(*starlarkpb.Message)
		got := m.Proto().(*planpb.PlanResult)
		if len(got.GetUpstreamTasksResults()) != 1 {
			t.Errorf("%s = %v, want one result", expr, got)
			continue
		}
		if data := marshal(t, got.GetUpstreamTasksResults()[0]); !bytes.Equal(data, want) {
			t.Errorf("%s: got bytes %x, want %x", expr, data, want)
		}
	}
	if after := marshal(t, in); !bytes.Equal(after, before) {
		t.Errorf("input changed: got %x, want %x", after, before)
	}
}

// The message that Proto gives is the caller's to set fields of.
func TestProtoIsNew(t *testing.T) {
	in := sampleInput()
	for name, m := range map[string]*starlarkpb.Message{
		"view":    starlarkpb.FromProto(in),
		"mutable": eval(t, `PlanExecution(result={"next_task_names": ["a"]})`, predeclared(t)).(*starlarkpb.Message),
		"frozen":  eval(t, `freeze(PlanExecution(result={"next_task_names": ["a"]}))`, predeclared(t)).(*starlarkpb.Message),
	} {
		first := m.Proto()
		want := proto.Clone(first)
		proto.Reset(first)
		if diff := cmp.Diff(want, m.Proto(), protocmp.Transform()); diff != "" {
			t.Errorf("%s: Proto() after its result was reset (-want +got):\n%s", name, diff)
		}
	}
	if diff := cmp.Diff(sampleInput(), in, protocmp.Transform()); diff != "" {
		t.Errorf("input changed (-want +got):\n%s", diff)
	}
}

// Later changes must not show in what Proto gave before.
func TestProtoIsSnapshot(t *testing.T) {
	env := predeclared(t)
	r := eval(t, `PlanResult(upstream_tasks_results=[{"id": "1"}], next_task_names=["a"])`, env).(*starlarkpb.Message)
	got := r.Proto()
	want := proto.Clone(got)
	env["r"] = r
	eval(t, `[r.next_task_names.append("b"), r.upstream_tasks_results[0].ClearField("id"), r.upstream_tasks_results.add(id="2")]`, env)
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("earlier result of Proto changed (-want +got):\n%s", diff)
	}
}

func TestFromProtoNil(t *testing.T) {
	if got, want := starlarkpb.FromProto(nil).String(), "Empty()"; got != want {
		t.Errorf("FromProto(nil) = %s, want %s", got, want)
	}
	m := starlarkpb.FromProto((*planpb.TaskExecution)(nil))
	env := predeclared(t)
	env["m"] = m
	for expr, want := range map[string]string{
		"m":                                      "TaskExecution()",
		"m.header.name":                          `""`,
		"m.result.external_data.metadata":        "{}",
		"json.encode(m)":                         `"{}"`,
		"m == TaskExecution()":                   "True",
		"TaskExecution(result=m.result)":         "TaskExecution(result=TaskResult())",
		"freeze(TaskExecution(header=m.header))": "TaskExecution(header=ExecutionHeader())",
	} {
		if got := eval(t, expr, env).String(); got != want {
			t.Errorf("%s = %s, want %s", expr, got, want)
		}
	}
	if got, ok := m.Proto().(*planpb.TaskExecution); !ok || got == nil {
		t.Errorf("Proto() = %#v, want an empty message", m.Proto())
	}
}

// The interpreter asks the left value how it compares with others of its type
// name, and its own values panic on what they do not know.
func TestTypeNamesAreForeign(t *testing.T) {
	m := starlarkpb.FromProto(dynamicMessage(t, "list"))
	env := starlark.StringDict{"m": m}
	if got, want := m.Type(), "message list"; got != want {
		t.Errorf("Type() = %q, want %q", got, want)
	}
	if got := eval(t, "[] == m or m == []", env); got != starlark.False {
		t.Errorf("[] == m or m == [] is %v, want False", got)
	}
	if got, want := eval(t, `getattr(m, "in")`, env).String(), `""`; got != want {
		t.Errorf(`getattr(m, "in") = %s, want %s`, got, want)
	}
}

// Two Go types of one message can meet.
func TestMixedImplementations(t *testing.T) {
	dynamic := dynamicpb.NewMessage((*planpb.TaskResult)(nil).ProtoReflect().Descriptor())
	if err := proto.Unmarshal(marshal(t, sampleInput().TaskExecutions[0].Result), dynamic); err != nil {
		t.Fatal(err)
	}
	env := predeclared(t)
	env["dynamic"] = starlarkpb.FromProto(dynamic)
	env["A"], env["B"] = starlarkpb.Constructor(kinds(t)), starlarkpb.Constructor(kinds(t)) // Two descriptors of one name.
	for expr, want := range map[string]string{
		`A(m=B(s="x"), rm=[B(i32=5)], mi={1: B(b=True)})`:                                                   `Kinds(m=Kinds(s="x"), rm=[Kinds(i32=5)], mi={1: Kinds(b=True)})`,
		`PlanResult(upstream_tasks_results=[dynamic]).upstream_tasks_results[0].inline_data.unpack()`:       `"héllo"`,
		`TaskExecution(result=dynamic).result.id`:                                                           `"r-1"`,
		`[(r, r.CopyFrom(dynamic)) for r in [TaskResult()]][0][0].id`:                                       `"r-1"`,
		`TaskExecution(result=dynamic).result == inp.task_executions[0].result`:                             `True`,
		`PlanResult(upstream_tasks_results=[{"inline_data": dynamic.inline_data}], error_message="x") == 5`: `False`,
	} {
		v := eval(t, expr, env)
		if got := v.String(); got != want {
			t.Errorf("%s = %s, want %s", expr, got, want)
		}
		if m, ok := v.(*starlarkpb.Message); ok {
			marshal(t, m.Proto())
		}
	}
}

// A message that only goes by the name of Any is a message like others.
func TestForeignAny(t *testing.T) {
	fdp := new(descriptorpb.FileDescriptorProto)
	if err := prototext.Unmarshal([]byte(`name: "any.proto" package: "google.protobuf" syntax: "proto3"
		message_type { name: "Any" field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_BYTES } }`), fdp); err != nil {
		t.Fatal(err)
	}
	file, err := protodesc.NewFile(fdp, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := starlarkpb.FromProto(dynamicpb.NewMessage(file.Messages().Get(0)))
	visit(t, m, 2)
	if _, err := m.Attr("unpack"); err == nil {
		t.Error("unpack is there, want an error")
	}
}

// All checks are asked, in order.
func TestChecks(t *testing.T) {
	refuse := func(s string) starlarkpb.Check {
		return func(fd protoreflect.FieldDescriptor, v protoreflect.Value) error {
			if v.String() == s {
				return fmt.Errorf("%s is not %s", fd.Name(), s)
			}
			return nil
		}
	}
	env := starlark.StringDict{"StoredData": starlarkpb.Constructor((*planpb.StoredData)(nil), refuse("a"), refuse("b"))}
	for expr, want := range map[string]string{
		`StoredData(uri="a")`:                     "StoredData: uri: uri is not a",
		`StoredData(uri="b")`:                     "StoredData: uri: uri is not b",
		`StoredData(metadata={"k": "a"})`:         `StoredData: metadata["k"]: metadata is not a`,
		`StoredData().metadata.update({"b":"b"})`: `StoredData: metadata["b"]: metadata is not b`,
		`StoredData(metadata={"a": "c"}).uri + 5`: "unknown binary op: string + int",
	} {
		_, err := starlark.EvalOptions(new(syntax.FileOptions), new(starlark.Thread), "test.star", expr, env)
		if err == nil || err.Error() != want {
			t.Errorf("%s: got error %v, want %s", expr, err, want)
		}
	}
}

// Text is bounded, and so is the work for it.
func TestTextIsBounded(t *testing.T) {
	names := make([]string, 1<<20)
	for i := range names {
		names[i] = "é\xff"[:2]
	}
	deep := structpb.NewNullValue()
	for range 4000 {
		deep = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{deep}})
	}
	tests := []struct {
		name string
		m    proto.Message
		full bool
	}{
		{"many", &planpb.PlanResult{NextTaskNames: names}, true},
		{"long", &planpb.PlanResult{ErrorMessage: strings.Repeat("é", 1<<20)}, true},
		{"escapes", &planpb.PlanResult{ErrorMessage: strings.Repeat("\x00", 1<<20)}, true},
		{"bytes", wrapperspb.Bytes(bytes.Repeat([]byte{0xff}, 1<<20)), true},
		{"deep", deep, false},
	}
	for _, tt := range tests {
		text := starlarkpb.FromProto(tt.m).String()
		if len(text) > starlarkpb.MaxText {
			t.Errorf("%s: text of %d bytes, want at most %d", tt.name, len(text), starlarkpb.MaxText)
		}
		if got := strings.HasSuffix(text, "..."); got != tt.full {
			t.Errorf("%s: text ends in %q, want cut = %v", tt.name, text[max(0, len(text)-9):], tt.full)
		}
		if strings.ToValidUTF8(text, "") != text {
			t.Errorf("%s: text is not valid UTF-8", tt.name)
		}
	}
	m := starlarkpb.FromProto(tests[0].m)
	if n := testing.AllocsPerRun(1, func() { _ = m.String() }); n > 40000 {
		t.Errorf("%v allocations for a text that is cut", n)
	}
}

// Builtins pay for what they do before they do it.
func TestSteps(t *testing.T) {
	env := predeclared(t)
	env["big"] = starlarkpb.FromProto(pack(wrapperspb.String(strings.Repeat("x", 64_000))))
	env["names"] = starlark.NewList(nil)
	for range 500 {
		if err := env["names"].(*starlark.List).Append(starlark.String("n")); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		expr string
		want uint64 // at least
	}{
		{"big.unpack()", 1000},
		{"PlanResult(next_task_names=names)", 500},
		{"PlanResult().next_task_names.extend(names)", 500},
		{"PlanResult(next_task_names=names).next_task_names.index('n')", 1000},
		{"StoredData(metadata={str(i): '' for i in range(100)}).metadata.items()", 200},
	}
	for _, tt := range tests {
		thread := new(starlark.Thread)
		if _, err := starlark.EvalOptions(new(syntax.FileOptions), thread, "test.star", tt.expr, env); err != nil {
			t.Errorf("%s: %v", tt.expr, err)
		}
		if thread.Steps < tt.want {
			t.Errorf("%s: %d steps, want at least %d", tt.expr, thread.Steps, tt.want)
		}
	}
}

// A frozen message may be read by many goroutines at once.
func TestFrozenIsConcurrent(t *testing.T) {
	env := predeclared(t)
	r := eval(t, `[(r, r.upstream_tasks_results[0].external_data.metadata) for r in [
		PlanResult(next_task_names=["a"], upstream_tasks_results=[{"id": "1", "external_data": {"metadata": {"a": "1"}}}])]][0][0]`, env)
	env["r"] = r
	env.Freeze()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, expr := range []string{
				"inp.task_executions[1].result.external_data.metadata['size']",
				"inp.task_executions[2].result.inline_data.type_url",
				"r.next_task_names == ['a']",
				"r.upstream_tasks_results[0].external_data.metadata",
				"r.upstream_tasks_results[0].WhichOneof('data')",
				"str(r), str(inp), json.encode(r), json.encode(inp)",
				"PlanResult(upstream_tasks_results=[inp.task_executions[0].result] + r.upstream_tasks_results) == r",
			} {
				if _, err := starlark.EvalOptions(new(syntax.FileOptions), new(starlark.Thread), "test.star", expr, env); err != nil {
					t.Errorf("%s: %v", expr, err)
				}
			}
			r.(*starlarkpb.Message).Proto()
		})
	}
	wg.Wait()
}

// What is read twice is the same value.
func TestIdentityIsStable(t *testing.T) {
	m := starlarkpb.FromProto(sampleInput())
	for _, name := range []string{"task_executions"} {
		a, _ := m.Attr(name)
		b, _ := m.Attr(name)
		if a != b {
			t.Errorf("%s read twice gives two values", name)
		}
		first := a.(*starlark.List).Index(0).(*starlarkpb.Message)
		x, _ := first.Attr("result")
		y, _ := first.Attr("result")
		if x != y {
			t.Error("result read twice gives two values")
		}
	}
}

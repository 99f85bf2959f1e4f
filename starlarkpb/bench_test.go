package starlarkpb_test

import (
	"testing"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"starplan/proto/planpb"
	"starplan/starlarkpb"
)

// benchPlan decides as a plan does that goes on when its tasks succeeded.
const benchPlan = `
def plan(inp):
    tasks = inp.task_executions
    if not tasks:
        return PlanResult(error_message="No task executions provided")
    first = tasks[0]
    name = first.header.name if first.header else "unknown"
    result = first.result
    if result and result.error_message:
        return PlanResult(error_message="Task %s failed: %s" % (name, result.error_message))
    results = []
    for t in tasks:
        if t.result:
            results.append(t.result)
    return PlanResult(upstream_tasks_results=results, next_task_names=["next_task_1", "next_task_2"], error_message="")
`

func benchInput() *planpb.PlanInput {
	task := func(name string) *planpb.TaskExecution {
		return &planpb.TaskExecution{
			Header: &planpb.ExecutionHeader{Name: name, ExecId: name, Status: 3},
			Result: &planpb.TaskResult{Id: name, Data: &planpb.TaskResult_InlineData{InlineData: pack(wrapperspb.String("payload"))}},
		}
	}
	return &planpb.PlanInput{PlanName: "p", TaskExecutions: []*planpb.TaskExecution{task("a"), task("b")}}
}

// BenchmarkRead is FromProto and the reads of benchPlan, without the interpreter.
func BenchmarkRead(b *testing.B) {
	in := benchInput()
	get := func(v starlark.Value, name string) starlark.Value {
		got, err := v.(starlark.HasAttrs).Attr(name)
		if err != nil {
			b.Fatal(err)
		}
		return got
	}
	b.ReportAllocs()
	for b.Loop() {
		tasks := get(starlarkpb.FromProto(in), "task_executions").(*starlark.List)
		first := tasks.Index(0)
		get(get(first, "header"), "name")
		get(get(first, "result"), "error_message")
		for i := range tasks.Len() {
			get(tasks.Index(i), "result")
			get(tasks.Index(i), "result")
		}
	}
}

// BenchmarkPlan is a whole run of benchPlan: FromProto, plan() and Proto.
func BenchmarkPlan(b *testing.B) {
	globals, err := starlark.ExecFileOptions(new(syntax.FileOptions), new(starlark.Thread), "plan.star", benchPlan, starlark.StringDict{
		"PlanResult": starlarkpb.Constructor((*planpb.PlanResult)(nil)),
	})
	if err != nil {
		b.Fatal(err)
	}
	in := benchInput()
	b.ReportAllocs()
	for b.Loop() {
		v, err := starlark.Call(new(starlark.Thread), globals["plan"], starlark.Tuple{starlarkpb.FromProto(in)}, nil)
		if err != nil {
			b.Fatal(err)
		}
		v.(*starlarkpb.Message).Proto()
	}
}

// BenchmarkConstruct is the constructor with a list of names, and Proto.
func BenchmarkConstruct(b *testing.B) {
	typ := starlarkpb.Constructor((*planpb.PlanResult)(nil))
	names := stringList([]string{"next_task_1", "next_task_2"})
	kwargs := []starlark.Tuple{{starlark.String("next_task_names"), names}}
	b.ReportAllocs()
	for b.Loop() {
		v, err := starlark.Call(new(starlark.Thread), typ, nil, kwargs)
		if err != nil {
			b.Fatal(err)
		}
		v.(*starlarkpb.Message).Proto()
	}
}

// BenchmarkUnpack is unpack of a short string.
func BenchmarkUnpack(b *testing.B) {
	m := starlarkpb.FromProto(pack(wrapperspb.String("payload")))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := call(m, "unpack"); err != nil {
			b.Fatal(err)
		}
	}
}

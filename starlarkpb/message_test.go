package starlarkpb_test

import (
	"strings"
	"testing"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
	"google.golang.org/protobuf/proto"

	"starplan/proto/planpb"
	"starplan/starlarkpb"
)

func TestQuick(t *testing.T) {
	in := &planpb.PlanInput{PlanName: "p", TaskExecutions: []*planpb.TaskExecution{{Header: &planpb.ExecutionHeader{Name: "a"}, Result: &planpb.TaskResult{Id: "1"}}, {}}}
	env := starlark.StringDict{
		"inp":        starlarkpb.FromProto(in),
		"PlanResult": starlarkpb.Constructor((*planpb.PlanResult)(nil)),
		"TaskResult": starlarkpb.Constructor((*planpb.TaskResult)(nil)),
	}
	src := `
r = PlanResult(next_task_names=["a"])
r.next_task_names.append("b")
r.next_task_names.extend(["c"])
r.next_task_names += ["d"]
for t in inp.task_executions:
    if t.result:
        r.upstream_tasks_results.append(t.result)
r.upstream_tasks_results[0].inline_data.type_url = "x"
print(r, inp, r.upstream_tasks_results[0].WhichOneof("data"))
`
	opts := &syntax.FileOptions{TopLevelControl: true, GlobalReassign: true}
	th := &starlark.Thread{Print: func(_ *starlark.Thread, s string) { t.Log(s) }}
	g, err := starlark.ExecFileOptions(opts, th, "x.star", src, env)
	if err != nil {
		t.Fatal(err)
	}
	got := g["r"].(*starlarkpb.Message).Proto().(*planpb.PlanResult)
	if strings.Join(got.NextTaskNames, "") != "abcd" || len(got.UpstreamTasksResults) != 2 || got.UpstreamTasksResults[0].GetInlineData().GetTypeUrl() != "x" {
		t.Errorf("got %v", got)
	}
	if in.TaskExecutions[0].Result.Data != nil {
		t.Errorf("input changed: %v", in)
	}
	if _, err := proto.Marshal(got); err != nil {
		t.Error(err)
	}
}

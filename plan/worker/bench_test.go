package worker

import (
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"starplan/plan"
	"starplan/plan/execution"
	"starplan/proto/planpb"
)

// routePlan is the example that people coming from plan.py know.
const routePlan = `
def plan(plan_input):
    task_executions = plan_input.task_executions
    if not task_executions:
        return PlanResult(error_message = "No task executions provided")
    first_task = task_executions[0]
    task_name = first_task.header.name or "unknown"
    task_result = first_task.result
    if task_result.error_message:
        return PlanResult(error_message = "Task %s failed: %s" % (task_name, task_result.error_message))
    names = []
    if task_result.HasField("inline_data"):
        names.append("process_inline")
    elif task_result.HasField("external_data"):
        names.append("process_external")
    return PlanResult(upstream_tasks_results = [task_result], next_task_names = names)
`

// routeRecord is a record of about 1 KB for routePlan.
func routeRecord(b testing.TB) execution.Record {
	payload, err := anypb.New(wrapperspb.String(strings.Repeat("payload ", 80)))
	if err != nil {
		b.Fatal(err)
	}
	in := &planpb.PlanInput{InputId: "in", PlanName: "route", GraphId: "graph", LifetimeId: "lifetime"}
	for range 2 {
		in.TaskExecutions = append(in.TaskExecutions, &planpb.TaskExecution{
			Header: &planpb.ExecutionHeader{
				Name: "fetch", ExecId: "0f8fad5b-d9cb-469f-a165-70867728950e", GraphId: "graph",
				LifetimeId: "lifetime", TenantId: "t", Attempt: 1, CreatedAt: "2026-01-02T03:04:05.678Z",
			},
			Result: &planpb.TaskResult{Id: "r", Data: &planpb.TaskResult_InlineData{InlineData: payload}},
		})
		payload = nil
	}
	in.TaskExecutions[1].Result = nil
	value, err := proto.Marshal(in)
	if err != nil {
		b.Fatal(err)
	}
	return execution.Record{
		Topic: "plan-inputs-t", Timestamp: time.UnixMilli(1_700_000_000_000).UTC(),
		Key: []byte("route"), Value: value,
	}
}

// cpu is the processor time of this process.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCost runs the same record in this process and in a worker with 64 in
// flight. The metric to compare is cpu-ns/record, the processor time of all
// processes together; the difference is what a worker costs.
func BenchmarkCost(b *testing.B) {
	rec := routeRecord(b)
	b.Run("in_process", func(b *testing.B) {
		prog, err := plan.Compile(source(b, "route", routePlan), plan.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		from := cpu(b)
		for i := 0; b.Loop(); i++ {
			rec.Offset = int64(i)
			if out := prog.Run("t", rec); out.Reason != "" {
				b.Fatal(out.Message)
			}
		}
		b.ReportMetric(float64(cpu(b)-from)/float64(b.N), "cpu-ns/record")
	})
	b.Run("worker", func(b *testing.B) {
		p := newPool(b, Options{Workers: 1, env: strings.Fields(os.Getenv("STARPLAN_WORKER_ENV"))})
		src := source(b, "route", routePlan)
		tokens := make(chan struct{}, window)
		done := func(out execution.Outcome) {
			if out.Reason != "" {
				b.Error(out.Message)
			}
			<-tokens
		}
		for range 1000 {
			tokens <- struct{}{}
			p.Start(b.Context(), src, rec, done)
		}
		runtime.GC()
		from := cpu(b) + p.Stats().CPU
		for i := 0; b.Loop(); i++ {
			rec.Offset = int64(i)
			tokens <- struct{}{}
			p.Start(b.Context(), src, rec, done)
		}
		for range cap(tokens) {
			tokens <- struct{}{}
		}
		b.ReportMetric(float64(cpu(b)+p.Stats().CPU-from)/float64(b.N), "cpu-ns/record")
		b.ReportMetric(float64(p.Stats().ResidentMax)/(1<<20), "worker-MiB")
	})
}

// BenchmarkRoundTrip is the latency of one record at a time.
func BenchmarkRoundTrip(b *testing.B) {
	p := newPool(b, Options{Workers: 1})
	src := source(b, "route", routePlan)
	rec := routeRecord(b)
	got := make(chan struct{}, 1)
	for i := 0; b.Loop(); i++ {
		rec.Offset = int64(i)
		p.Start(b.Context(), src, rec, func(execution.Outcome) { got <- struct{}{} })
		<-got
	}
}

// BenchmarkSpawn is the time from the start of a worker to its readiness.
func BenchmarkSpawn(b *testing.B) {
	h := hello{version: version(), tenant: "t", limits: plan.Limits{MaxMemory: plan.DefaultMaxMemory}}
	var rss int64
	for b.Loop() {
		proc, err := start(b.Context(), h, nil, 1<<20)
		if err != nil {
			b.Fatal(err)
		}
		n, _ := usage(proc.pid())
		rss = max(rss, n)
		proc.kill()
		proc.wait()
	}
	b.ReportMetric(float64(rss)/(1<<20), "idle-MiB")
}

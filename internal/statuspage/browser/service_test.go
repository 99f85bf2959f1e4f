//go:build browser

// Package browser drives the status page of a running service in a real Chromium.
// It is built with the tag browser only: make test-browser.
package browser_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"google.golang.org/protobuf/proto"

	"starplan/internal/config"
	"starplan/internal/devbroker"
	"starplan/internal/service"
	"starplan/plan"
	"starplan/plan/worker"
	"starplan/processor"
	"starplan/proto/planpb"
)

func TestMain(m *testing.M) {
	worker.Divert()
	os.Exit(m.Run())
}

const tenant = "acme"

// The plans of the service under test.
const (
	route = `def plan(plan_input):
    """Goes on with what the last task wants."""
    print("routing", plan_input.input_id)
    return PlanResult(next_task_names = ["summarize", "notify_" + plan_input.graph_id])
`
	broken = `def size_of(execution):
    data = execution.result.inline_data
    return int(data.unpack("nothing"))

def plan(plan_input):
    total = 0
    for execution in plan_input.task_executions:
        total += size_of(execution)
    if total > 10:
        fail("too large: %d" % total)
    return PlanResult(next_task_names = ["store"])
`
	unloadable = `def plan(plan_input):
    names = ["a", "b"]
    return PlanResult(next_task_names = nmaes)
`
)

// running is a service in this process, on an embedded broker.
type running struct {
	dir    string
	url    string
	client *kgo.Client
}

func startService(t *testing.T) *running {
	t.Helper()
	broker, err := devbroker.Start(devbroker.Options{Tenant: tenant})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	r := &running{dir: t.TempDir()}
	r.write(t, "route", route)
	r.write(t, "size_check", broken)
	if r.client, err = kgo.NewClient(kgo.SeedBrokers(broker.Addr())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.client.Close)
	ctx, cancel := context.WithCancel(context.Background())
	addr, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- service.Run(ctx, service.Options{
			Config: config.Config{
				TenantID: tenant, PlanPath: r.dir, GroupID: "executors-acme", Brokers: []string{broker.Addr()},
				HTTPAddr: "127.0.0.1:0", ShowPayloads: true,
				Execution: config.Execution{Limits: plan.Limits{Timeout: 10 * time.Second, MaxSteps: 1e6, MaxMemory: 64 << 20}, Workers: 1},
			},
			Logger:    slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError})),
			Listening: func(a string) { addr <- a },
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("service.Run = %v", err)
		}
	})
	select {
	case a := <-addr:
		r.url = "http://" + a + "/"
	case err := <-ended:
		ended <- err
		t.Fatalf("service.Run = %v before it listened", err)
	}
	return r
}

func (r *running) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name+".star"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// send puts n inputs for a plan on the topic.
func (r *running) send(t *testing.T, name string, n int, data string) {
	t.Helper()
	var records []*kgo.Record
	for i := range n {
		in := &planpb.PlanInput{
			InputId: fmt.Sprintf("in-%d", i), PlanName: name, GraphId: "orders", LifetimeId: "run-7",
			TaskExecutions: []*planpb.TaskExecution{{
				Header: &planpb.ExecutionHeader{Name: "fetch_order", ExecId: fmt.Sprintf("f2a7c1d0-0000-4000-8000-%012d", i), Attempt: 1},
				Result: &planpb.TaskResult{Id: "r", ErrorMessage: data},
			}},
		}
		value, err := proto.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, &kgo.Record{Topic: processor.InputTopic(tenant), Key: []byte(name), Value: value})
	}
	if err := r.client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

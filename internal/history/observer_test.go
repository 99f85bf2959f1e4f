package history_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"starplan/internal/history"
	"starplan/plan"
	"starplan/plan/execution"
	"starplan/processor"
	"starplan/proto/planpb"
)

const failing = "def plan(plan_input):\n    fail(\"no such order\")\n"

// catalog serves one plan.
func catalog(t testing.TB, text string) (*plan.Catalog, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "route.star")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	plans, err := plan.Open(t.Context(), plan.Options{
		Path: path, Names: []string{"route"}, Tenant: tenantUnderTest, Engine: plan.NewInProcess(tenantUnderTest, plan.Limits{MaxSteps: 1e6}),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(plans.Close)
	return plans, path
}

const tenantUnderTest = "acme"

func routeRecord(t testing.TB, offset int64) execution.Record {
	t.Helper()
	value, err := proto.Marshal(&planpb.PlanInput{PlanName: "route", GraphId: "orders", TaskExecutions: []*planpb.TaskExecution{{
		Header: &planpb.ExecutionHeader{Name: "fetch", ExecId: "e-1"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return execution.Record{Topic: "plan-inputs-acme", Offset: offset, Timestamp: time.UnixMilli(1), Key: []byte("route"), Value: value}
}

// answer has a plan answer a record.
func answer(t testing.TB, plans *plan.Catalog, rec execution.Record) execution.Outcome {
	done := make(chan execution.Outcome, 1)
	plans.Start(t.Context(), rec, func(out execution.Outcome) { done <- out })
	return <-done
}

func TestObserver(t *testing.T) {
	plans, path := catalog(t, failing)
	h := history.New(history.Options{})
	var o processor.Observer = h.Observer(plans.Source)

	// What is answered is noted, with the lines of the plan that ran.
	rec := routeRecord(t, 1)
	out := answer(t, plans, rec)
	o.Answered(rec, out)
	x, _ := h.Find(out.ExecID)
	if x == nil || x.Status != history.Failed || x.Source == nil || x.Source.Line != 2 || x.Parents[0].Name != "fetch" {
		t.Fatalf("the history has %+v, want the failure with its source", x)
	}

	// A plan that was replaced meanwhile has other lines: better none than those.
	rec = routeRecord(t, 2)
	out = answer(t, plans, rec)
	if err := os.WriteFile(path, []byte("# Other lines.\n"+failing), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := plans.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.Answered(rec, out)
	if x, _ := h.Find(out.ExecID); x == nil || x.Source != nil || x.Position != "route.star:2:9" {
		t.Errorf("the history has %+v, want a position without source", x)
	}

	// An answer that is withdrawn is shown as what took its place.
	rec = routeRecord(t, 3)
	o.Answered(rec, answer(t, plans, rec))
	out = plans.Fail(rec, execution.ReasonTooLarge, "too large")
	o.Corrected(rec, out)
	if x, _ := h.Find(out.ExecID); x == nil || x.Reason != execution.ReasonTooLarge || len(h.Executions(history.Filter{})) != 3 {
		t.Errorf("the history has %+v, want it too large, and three executions", x)
	}
}

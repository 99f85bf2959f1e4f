package docs_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"starplan/internal/history"
	"starplan/internal/statuspage"
	"starplan/plan"
	"starplan/plan/execution"
	"starplan/scripts"
)

// apiExample is a request of api.md and the answer below it.
var apiExample = regexp.MustCompile("(?s)`GET (/api/[^`]*)`.*?```json\n(.*?)```")

// TestAPI asks what api.md asks, of a service that ran one plan, which failed, and
// then could not load a new version of it.
func TestAPI(t *testing.T) {
	text, err := os.ReadFile("api.md")
	if err != nil {
		t.Fatal(err)
	}
	handler, execID := apiService(t)
	examples := apiExample.FindAllStringSubmatch(string(text), -1)
	for _, example := range examples {
		path := strings.ReplaceAll(example[1], "{exec_id}", execID)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", path, nil))
		var want, got any
		if err := json.Unmarshal([]byte(example[2]), &want); err != nil {
			t.Errorf("GET %s: the page's answer: %v", path, err)
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Errorf("GET %s: %v", path, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("GET %s answers otherwise (-page +got):\n%s\n%s", path, diff, w.Body)
		}
	}
	if len(examples) != 4 {
		t.Errorf("%d examples were tested, want 4", len(examples))
	}
}

const apiTenant = "acme"

// apiService gives the API of such a service, and the exec_id of what failed.
func apiService(t *testing.T) (handler *statuspage.Page, execID string) {
	t.Helper()
	now := time.Date(2026, 11, 23, 10, 45, 12, 250e6, time.UTC)
	h := history.New(history.Options{Payloads: true, Now: func() time.Time { return now }})
	dir := t.TempDir()
	write := func(text string) {
		if err := os.WriteFile(dir+"/check_order.star", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("def plan(plan_input):\n    order = plan_input.task_executions[0].result\n    if not order.HasField(\"external_data\"):\n        fail(\"no order\")\n    return PlanResult(next_task_names = [\"store\"])\n")
	plans, err := plan.Open(t.Context(), plan.Options{Path: dir, Tenant: apiTenant, Engine: plan.NewInProcess(apiTenant, plan.Limits{})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(plans.Close)
	rec, err := scripts.Sample{Plan: "check_order", Input: []byte(`{
		"plan_name": "check_order", "graph_id": "orders", "lifetime_id": "run-7",
		"task_executions": [{"header": {"name": "fetch_order", "exec_id": "5f0c8e42-7d1b-4c86-9a3e-2b6f1d0e9c77", "attempt": 1}, "result": {"id": "r-1"}}]
	}`)}.Record()
	if err != nil {
		t.Fatal(err)
	}
	rec.Topic, rec.Offset, rec.Timestamp, rec.Key = "plan-inputs-acme", 41, now.Add(-250*time.Millisecond), []byte("orders:check_order")
	answer := make(chan execution.Outcome, 1)
	plans.Start(context.Background(), rec, func(out execution.Outcome) { answer <- out })
	out := <-answer
	out.Duration = 85 * time.Microsecond
	h.Add(rec, out, plans.Source("check_order"))
	now = now.Add(time.Minute)
	write("def plan(plan_input):\n    return PlanResult(next_task_names = [stroe])\n")
	if _, err := plans.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	page := statuspage.New(statuspage.Options{
		Tenant: apiTenant, ShowPayloads: true, History: h,
		State:      func() statuspage.State { return statuspage.State{} },
		LastReload: func() *statuspage.Reload { return nil },
		Plans: func() []plan.Detail {
			details := plans.Details()
			for i := range details {
				details[i].LoadedAt, details[i].Path = now.Add(-time.Hour).Truncate(time.Second), "/plans/check_order.star"
			}
			return details
		},
	})
	t.Cleanup(page.Close)
	return page, out.ExecID
}

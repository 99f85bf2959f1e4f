package service_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"starplan/internal/config"
	"starplan/plan/execution"
)

// TestPage looks at the page of a service that has run something, and stops the
// service while somebody still looks.
func TestPage(t *testing.T) {
	r := start(t, func(c *config.Config) { c.ShowPayloads = true })
	exec := r.answer("route")
	if _, body := r.http("GET", "/"); !strings.Contains(body, exec.GetHeader().GetExecId()) || !strings.Contains(body, "complete: memory limit") && !strings.Contains(body, "Sandbox lacks") {
		t.Errorf("GET / shows neither execution nor sandbox: %s", body)
	}
	code, body := r.http("GET", "/executions/"+exec.GetHeader().GetExecId())
	if code != 200 || !strings.Contains(body, "&#34;input_id&#34;: &#34;i&#34;") || !strings.Contains(body, "first") {
		t.Errorf("GET /executions/… = %d without input or next task: %s", code, body)
	}
	if code, body := r.http("GET", "/api/executions?plan=route"); code != 200 || !strings.Contains(body, exec.GetHeader().GetExecId()) {
		t.Errorf("GET /api/executions = %d %s, want the execution", code, body)
	}
	write(t, r.dir, "route.star", "def plan(plan_input):\n    return nothing\n")
	r.http("POST", "/-/reload")
	<-r.reports
	if _, body := r.http("GET", "/"); !strings.Contains(body, "undefined: nothing") || !strings.Contains(body, "by http: 1 kept last good version") {
		t.Errorf("GET / does not show the failed reload: %s", body)
	}

	res, err := http.Get(r.url + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	stream := bufio.NewScanner(res.Body)
	stream.Buffer(nil, 1<<20)
	if !stream.Scan() {
		t.Fatalf("the stream says nothing: %v", stream.Err())
	}
	// A stream that went on would hold up the end until it is cut off, which is an error.
	if err := r.stop(); err != nil {
		t.Errorf("Run = %v with an open stream, want nil", err)
	}
	for stream.Scan() {
	}
	if err := stream.Err(); err != nil {
		t.Errorf("the stream ended with %v, want its end", err)
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestUnknownPlanIsShown asks for a plan that is not there.
func TestUnknownPlanIsShown(t *testing.T) {
	r := start(t, nil)
	exec := r.answer("nobody")
	_, body := r.http("GET", "/api/executions/"+exec.GetHeader().GetExecId())
	if !strings.Contains(body, `"plan": "nobody"`) || !strings.Contains(body, `"reason": "`+string(execution.ReasonUnknownPlan)) || strings.Contains(body, `"input":`) {
		t.Errorf("the API shows %s, want the unknown plan and no payload", body)
	}
}

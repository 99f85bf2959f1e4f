package statuspage_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"starplan/internal/history"
	"starplan/internal/statuspage"
	"starplan/plan"
	"starplan/plan/execution"
	"starplan/plan/worker"
	"starplan/processor"
	"starplan/proto/planpb"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// goka links sarama, whose metrics start this once a process.
		goleak.IgnoreAnyFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"),
	)
}

// fixture is a page of what a test says.
type fixture struct {
	t       testing.TB
	history *history.History
	page    *statuspage.Page
	url     string
	offset  int64

	state  statuspage.State
	plans  []plan.Detail
	reload *statuspage.Reload
}

func newFixture(t testing.TB, change func(*statuspage.Options)) *fixture {
	t.Helper()
	f := &fixture{t: t, history: history.New(history.Options{Payloads: true})}
	opts := statuspage.Options{
		Tenant: "acme", ShowPayloads: true, History: f.history, Every: 5 * time.Millisecond,
		State:      func() statuspage.State { return f.state },
		Plans:      func() []plan.Detail { return f.plans },
		LastReload: func() *statuspage.Reload { return f.reload },
	}
	if change != nil {
		change(&opts)
	}
	f.page = statuspage.New(opts)
	srv := httptest.NewServer(f.page)
	f.url = srv.URL
	t.Cleanup(func() {
		f.page.Close()
		http.DefaultClient.CloseIdleConnections()
		srv.Close()
	})
	return f
}

// run notes an execution of a plan of the given text and gives its exec_id.
func (f *fixture) run(name, text string, in *planpb.PlanInput) string {
	f.t.Helper()
	src, err := plan.NewSource(name, name+".star", map[string]string{name + ".star": text})
	if err != nil {
		f.t.Fatal(err)
	}
	program, err := plan.Compile(src, plan.Limits{MaxSteps: 1e6})
	if err != nil {
		f.t.Fatal(err)
	}
	value, err := proto.Marshal(in)
	if err != nil {
		f.t.Fatal(err)
	}
	f.offset++
	rec := execution.Record{Topic: "plan-inputs-acme", Offset: f.offset, Timestamp: time.UnixMilli(1_700_000_000_000), Key: []byte(name), Value: value}
	out := program.Run("acme", rec)
	f.history.Add(rec, out, src)
	return out.ExecID
}

const (
	good = "def plan(plan_input):\n    return PlanResult(next_task_names = [\"next\"])\n"
	bad  = "def plan(plan_input):\n    x = 1\n    fail(\"no such order\")\n"
)

// answer is what the page answers beside the body.
type answer struct {
	code   int
	header http.Header
}

func (f *fixture) get(path string) (answer, string) {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, f.url+path, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header}, string(body)
}

// fullFixture is a page that has something to show everywhere. id is the exec_id
// of a failure.
func fullFixture(t *testing.T) (f *fixture, id string) {
	t.Helper()
	f = newFixture(t, nil)
	f.state = statuspage.State{
		NotReady:  []string{"broker is away"},
		Processor: &processor.Status{Joined: true, Generation: 4, Partitions: []int32{0, 1, 2, 7}, Consumer: processor.ClientStatus{State: "up"}},
		Workers:   &worker.Stats{Workers: 2, Restarts: map[string]uint64{"memory": 3, "crash": 0}},
		Sandbox:   &worker.Protections{Missing: []string{"Landlock: no"}},
		Limits:    plan.Limits{MaxSteps: 60000, Timeout: time.Minute, MaxMemory: 64 << 20},
	}
	f.plans = []plan.Detail{
		{Status: plan.Status{Name: "route", State: plan.StateServing, Digest: strings.Repeat("ab", 32)}},
		{
			Status: plan.Status{Name: "check", Graph: "g", State: plan.StateLastGood, LastError: "plan.star:2:5: undefined: x"},
			Fault:  &plan.LoadError{Code: plan.CodeUndefined, File: "plan.star", Line: 2, Col: 5, Message: "undefined: x"}, Rejected: map[string]string{"plan.star": "y = 1\nz = x\n"},
		},
	}
	f.reload = &statuspage.Reload{Trigger: "signal", Report: plan.Report{{Result: plan.ResultUnchanged}, {Result: plan.ResultKept}}}
	f.run("route", good, &planpb.PlanInput{PlanName: "route"})
	id = f.run("check", bad, &planpb.PlanInput{TaskExecutions: []*planpb.TaskExecution{{Header: &planpb.ExecutionHeader{Name: "fetch", ExecId: "e-1"}}}})
	return f, id
}

func TestPaths(t *testing.T) {
	f, id := fullFixture(t)
	for _, test := range []struct {
		path    string
		want    int
		wants   []string
		refuses []string
	}{
		{"/", 200, []string{
			"Not ready", "broker is away", "partitions 0–2, 7", "2 (0 busy, 0 slow)", "3 memory", "incomplete", "Landlock: no", "60\u202f000 steps, 60 s, 64 MiB",
			"g:check", "serving last good version", "undefined: x", `<mark><span class="ln">   2</span>  z = x</mark>`, `          ^</span>`,
			"by signal: 1 unchanged, 1 kept last good version", "no such order", `<option value="route">`,
		}, []string{"No execution has ended yet.</p>\n</section>\n</main>\n<mark>", "crash"}},
		{"/?status=failed", 200, []string{"no such order", `value="failed" selected`}, []string{">succeeded</span>"}},
		{"/?plan=route", 200, []string{`<option value="route" selected>`, ">succeeded</span>"}, []string{"no such order"}},
		{"/?plan=%3Cnobody%3E", 200, []string{"None of the executions", "&lt;nobody&gt;"}, []string{"<nobody>"}},
		{"/?status=odd", 400, []string{"want succeeded or failed, got &#34;odd&#34;"}, nil},
		{"/?limit=0", 400, []string{"want a number from 1 to 200"}, nil},
		{"/executions/" + id, 200, []string{"check", "no such order", "check.star:3:9", `<mark><span class="ln">   3</span>      fail(&#34;no such order&#34;)</mark>`, "Traceback", "fetch", "e-1", "&#34;task_executions&#34;", "EXECUTION_STATUS_FAILED"}, nil},
		{"/executions/nobody", 404, []string{"No execution &#34;nobody&#34; is remembered"}, nil},
		{"/executions/", 404, nil, nil},
		{"/nothing", 404, nil, nil},
		{"/api/nothing", 404, nil, nil},
		{"/api/executions?status=odd", 400, []string{`"error": "status: want succeeded or failed, got \"odd\""`}, nil},
		{"/api/executions?limit=201", 400, []string{`"error": "limit:`}, nil},
		{"/api/executions?status=FAILED&limit=1", 200, []string{id}, nil},
		{"/api/executions/nobody", 404, []string{`"error"`}, nil},
		{"/events?status=odd", 400, []string{"status: want"}, nil},
	} {
		res, body := f.get(test.path)
		if res.code != test.want {
			t.Errorf("GET %s = %d, want %d: %.300s", test.path, res.code, test.want, body)
		}
		for _, want := range test.wants {
			if !strings.Contains(body, want) {
				t.Errorf("GET %s lacks %q", test.path, want)
			}
		}
		for _, refused := range test.refuses {
			if strings.Contains(body, refused) {
				t.Errorf("GET %s holds %q", test.path, refused)
			}
		}
	}
	if res, err := http.Post(f.url+"/", "text/plain", nil); err != nil || res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST / = %v, %v, want 405", res, err)
	} else {
		res.Body.Close()
	}
}

// TestPayloadsAreOff checks that nothing of what records hold is given away.
func TestPayloadsAreOff(t *testing.T) {
	f := newFixture(t, func(o *statuspage.Options) { o.ShowPayloads = false })
	id := f.run("route", "def plan(plan_input):\n    print(plan_input.graph_id)\n    return PlanResult(next_task_names = [\"next\"], upstream_tasks_results = [t.result for t in plan_input.task_executions])\n",
		&planpb.PlanInput{TaskExecutions: []*planpb.TaskExecution{{Result: &planpb.TaskResult{Id: "secret-payload"}}}})
	for _, path := range []string{"/", "/executions/" + id, "/api/executions", "/api/executions/" + id} {
		_, body := f.get(path)
		if strings.Contains(body, "secret-payload") || strings.Contains(body, `"input"`) || strings.Contains(body, `"prints"`) {
			t.Errorf("GET %s shows the payload: %s", path, body)
		}
		if !strings.Contains(body, id[:8]) {
			t.Errorf("GET %s does not show the execution", path)
		}
	}
	if _, body := f.get("/executions/" + id); !strings.Contains(body, "They are not kept: this needs SHOW_PAYLOADS=true") {
		t.Error("the page does not say how payloads are shown")
	}
}

var inline = regexp.MustCompile(`(?s)<(style|script)>(.*?)</(?:style|script)>`)

// TestPolicy checks that browsers run what the page brings and nothing else.
func TestPolicy(t *testing.T) {
	f := newFixture(t, nil)
	res, body := f.get("/")
	policy := res.header.Get("Content-Security-Policy")
	found := inline.FindAllStringSubmatch(body, -1)
	if len(found) != 2 {
		t.Fatalf("the page has %d style sheets and scripts, want one of each", len(found))
	}
	for _, m := range found {
		sum := sha256.Sum256([]byte(m[2]))
		if want := fmt.Sprintf("%s-src 'sha256-%s'", m[1], base64.StdEncoding.EncodeToString(sum[:])); !strings.Contains(policy, want) {
			t.Errorf("policy %q lacks %q", policy, want)
		}
	}
	for _, want := range []string{"default-src 'none'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("policy %q lacks %q", policy, want)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q allows too much", policy)
	}
	for _, path := range []string{"/", "/api/plans", "/executions/nobody"} {
		res, _ := f.get(path)
		for header, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin"} {
			if got := res.header.Get(header); got != want {
				t.Errorf("GET %s: %s = %q, want %q", path, header, got, want)
			}
		}
	}
}

// hostile are texts that do harm where they are put as they are.
var hostile = []string{
	`<script>alert(1)</script>`,
	`</script></style></textarea><img src=x onerror=alert(1)>`,
	`" onmouseover="alert(1)" x="`,
	`' onfocus='alert(1)`,
	"`${alert(1)}` {{.}} javascript:alert(1)",
	"\x00\x01\x1b[31m\x7f\r\u0085\u009b31m",
	"\xff\xfe\xc3(\xed\xa0\x80",
	"\u202egnp.exe\u2066\u2028\u2029\u200b\ufeff",
	"data: x\n\nevent: y\ndata: {}",
	strings.Repeat("<script>", 1<<17),
	strings.Repeat("\u0085", 1<<19),
	strings.Repeat("a\n", 1<<19),
}

// TestHostile puts hostile texts wherever records and plans can.
func TestHostile(t *testing.T) {
	for i, text := range hostile {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			f := newFixture(t, nil)
			utf := strings.ToValidUTF8(text, "\uFFFD")
			f.state = statuspage.State{
				NotReady:  []string{text},
				Processor: &processor.Status{Consumer: processor.ClientStatus{State: "down", Detail: text}},
				Workers:   &worker.Stats{Restarts: map[string]uint64{text: 1}, StartError: fmt.Errorf("%s", text)},
				Sandbox:   &worker.Protections{Missing: []string{text}},
			}
			name := text[:min(len(text), 200)]
			src := &plan.Source{Name: name, Digest: "d", Files: map[string]string{"a.star": text + "\n" + text}}
			f.plans = []plan.Detail{{
				Status: plan.Status{Name: name, Graph: name, Path: name, State: plan.StateFailed, Digest: text, LastError: text},
				Fault:  &plan.LoadError{Code: text, File: "a.star", Line: 1, Col: 12, Message: text, Hint: text}, Rejected: src.Files,
			}}
			f.reload = &statuspage.Reload{Trigger: "http", Err: fmt.Errorf("%s", text)}
			in, err := proto.Marshal(&planpb.PlanInput{PlanName: utf, GraphId: utf, LifetimeId: utf, TaskExecutions: []*planpb.TaskExecution{{
				Header: &planpb.ExecutionHeader{Name: utf, ExecId: utf}, Result: &planpb.TaskResult{Id: utf},
			}}})
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for offset, value := range [][]byte{in, []byte(text)} { // A PlanInput, and what is none.
				rec := execution.Record{Topic: name, Offset: int64(offset), Key: []byte(text), Value: value}
				out := execution.Fail("acme", rec, execution.ReasonPlan, text)
				out.Plan, out.Digest, out.Position, out.Backtrace, out.Prints = name, "d", "a.star:2:12", text, []string{text}
				f.history.Add(rec, out, src)
				ids = append(ids, out.ExecID)
			}
			paths := []string{"/", "/executions/" + ids[0], "/executions/" + ids[1], "/executions/%3Cscript%3Ealert(1)%3C%2Fscript%3E", "/?plan=%3Cscript%3Ealert(1)%3C%2Fscript%3E"}
			for _, path := range paths {
				_, body := f.get(path)
				harmless(t, path, body)
			}
			for _, path := range []string{"/api/plans", "/api/executions", "/api/executions/" + ids[0], "/api/executions/" + ids[1]} {
				_, body := f.get(path)
				if !json.Valid([]byte(body)) || !utf8.ValidString(body) {
					t.Errorf("GET %s is no JSON: %.300q", path, body)
				}
				for _, c := range []string{"<", ">", "\x00", "\x1b", "\u2028"} {
					if strings.Contains(body, c) {
						t.Errorf("GET %s holds %q: %.300q", path, c, body)
					}
				}
			}
			e := f.events(t.Context(), "/events", "").next()
			var markup strings.Builder
			for _, region := range e.patch.Regions {
				markup.WriteString(region)
			}
			harmless(t, "/events", markup.String()+e.patch.Rows)
		})
	}
}

var value = regexp.MustCompile(`<option value="[^"<>]*"`)

// harmless fails where markup holds what only a hostile text can have brought.
func harmless(t *testing.T, where, markup string) {
	t.Helper()
	if !utf8.ValidString(markup) {
		t.Errorf("%s is not UTF-8", where)
	}
	markup = inline.ReplaceAllString(markup, "")
	// A value that a form sends back is the text itself. It is quoted, and not shown.
	markup = value.ReplaceAllString(markup, "")
	for _, bad := range []string{"<script>", "<img", "</textarea", `" on`, `' on`, "=\"javascript:", "='javascript:"} {
		if i := strings.Index(markup, bad); i >= 0 {
			t.Errorf("%s holds %q: %.120q", where, bad, markup[max(0, i-60):])
		}
	}
	for i, r := range markup {
		if r >= ' ' && r < 0x7f || r == '\n' || r == '\t' {
			continue
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) {
			t.Errorf("%s holds %U: %.120q", where, r, markup[max(0, i-60):])
			break
		}
	}
	if len(markup) > 2<<20 {
		t.Errorf("%s is %d bytes long", where, len(markup))
	}
}

func TestAPI(t *testing.T) {
	f := newFixture(t, nil)
	f.plans = []plan.Detail{{
		Status: plan.Status{Name: "check", State: plan.StateFailed, LastError: "a.star:1:5: undefined: x"},
		Fault:  &plan.LoadError{Code: plan.CodeUndefined, File: "a.star", Line: 1, Col: 5, Message: "undefined: x"}, Rejected: map[string]string{"a.star": "y = x\n"},
	}}
	id := f.run("check", bad, &planpb.PlanInput{GraphId: "g"})
	var plans struct {
		Plans []struct {
			Plan  string
			P50   *float64 `json:"duration_p50_seconds"`
			Fault struct {
				Line, Column int
				Source       struct{ Lines []struct{ Text string } }
			}
		}
	}
	_, body := f.get("/api/plans")
	if err := json.Unmarshal([]byte(body), &plans); err != nil {
		t.Fatal(err)
	}
	if p := plans.Plans[0]; p.Plan != "check" || p.P50 != nil || p.Fault.Line != 1 || p.Fault.Column != 5 || p.Fault.Source.Lines[0].Text != "y = x" {
		t.Errorf("/api/plans = %s", body)
	}
	var x struct {
		Status, Position, Backtrace string
		Input                       struct {
			GraphID string `json:"graph_id"`
		}
		Output struct{ Header struct{ Status string } }
		Source struct{ Line int }
	}
	_, body = f.get("/api/executions/" + id)
	if err := json.Unmarshal([]byte(body), &x); err != nil {
		t.Fatal(err)
	}
	if x.Status != "failed" || x.Position != "check.star:3:9" || x.Backtrace == "" || x.Input.GraphID != "g" || x.Output.Header.Status != "EXECUTION_STATUS_FAILED" || x.Source.Line != 3 {
		t.Errorf("/api/executions/%s = %s", id, body)
	}
	// What is no message is given as the bytes that it is.
	rec := execution.Record{Topic: "t", Offset: 99, Key: []byte("check"), Value: []byte("\xff\xff")}
	out := execution.Fail("acme", rec, execution.ReasonDecode, "")
	f.history.Add(rec, out, nil)
	if _, body := f.get("/api/executions/" + out.ExecID); !strings.Contains(body, `"input": "//8="`) {
		t.Errorf("/api/executions of what is no PlanInput = %s, want its bytes in base64", body)
	}
	if _, body := f.get("/executions/" + out.ExecID); !strings.Contains(body, "No such message") || !strings.Contains(body, "ff ff") {
		t.Errorf("the page of what is no PlanInput = %s, want a dump of its bytes", body)
	}
}

// BenchmarkPage is what a page of 100 plans and 200 executions costs.
func BenchmarkPage(b *testing.B) {
	f := newFixture(b, func(o *statuspage.Options) { o.Every = time.Nanosecond })
	for i := range 100 {
		name := fmt.Sprint("plan_", i)
		f.plans = append(f.plans, plan.Detail{Status: plan.Status{Name: name, State: plan.StateServing, Digest: strings.Repeat("ab", 32), LoadedAt: time.Now()}})
		for range 3 {
			f.run(name, good, &planpb.PlanInput{PlanName: name})
		}
	}
	for _, path := range []string{"/", "/api/plans", "/api/executions"} {
		b.Run(path, func(b *testing.B) {
			size := 0
			for b.Loop() {
				w := httptest.NewRecorder()
				f.page.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), "GET", path, nil))
				size = w.Body.Len()
			}
			b.ReportMetric(float64(size), "bytes")
		})
	}
}

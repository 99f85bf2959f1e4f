package statuspage

import (
	"encoding/json"
	"math"
	"net/http"
	"time"

	"google.golang.org/protobuf/proto"

	"starplan/internal/history"
	"starplan/plan"
	"starplan/proto/planpb"
)

// apiPlan is a plan in the JSON API.
type apiPlan struct {
	// Plan is the label: "name" or "graph:name".
	Plan string `json:"plan"`
	plan.Status
	Fault *apiFault `json:"fault,omitempty"`
	// What it did in the last fifteen minutes.
	Executions  uint64   `json:"executions"`
	Failures    uint64   `json:"failures"`
	DurationP50 *float64 `json:"duration_p50_seconds"`
	DurationP99 *float64 `json:"duration_p99_seconds"`
}

// apiFault is why the newest version of a plan is not served.
type apiFault struct {
	Code    string     `json:"code"`
	Message string     `json:"message"`
	Hint    string     `json:"hint,omitempty"`
	File    string     `json:"file,omitempty"`
	Line    int        `json:"line,omitempty"`
	Column  int        `json:"column,omitempty"`
	Source  *apiSource `json:"source,omitempty"`
}

// apiSource are the lines around a place.
type apiSource struct {
	File   string    `json:"file"`
	Line   int       `json:"line"`
	Column int       `json:"column,omitempty"`
	Lines  []apiLine `json:"lines"`
}

type apiLine struct {
	Line int    `json:"line"`
	Text string `json:"text"`
}

func newAPISource(x *history.Excerpt) *apiSource {
	if x == nil {
		return nil
	}
	s := &apiSource{File: x.File, Line: x.Line, Column: x.Col}
	for _, l := range x.Lines {
		s.Lines = append(s.Lines, apiLine{l.Number, l.Text})
	}
	return s
}

func (p *Page) apiPlans(w http.ResponseWriter, _ *http.Request) {
	plans := []apiPlan{}
	totals := p.opts.History.Totals()
	for _, d := range p.opts.Plans() {
		a := apiPlan{Plan: d.Label(), Status: d.Status}
		if total, ok := totals[a.Plan]; ok {
			a.Executions, a.Failures = total.Executions, total.Failures
			a.DurationP50, a.DurationP99 = seconds(total.P50), seconds(total.P99)
		}
		if f := d.Fault; f != nil {
			a.Fault = &apiFault{
				Code: f.Code, Message: f.Message, Hint: f.Hint, File: f.File, Line: f.Line, Column: f.Col,
				Source: newAPISource(history.NewExcerpt(d.Rejected, f.File, f.Line, f.Col)),
			}
		}
		plans = append(plans, a)
	}
	p.json(w, http.StatusOK, map[string]any{"plans": plans})
}

// seconds gives null for no number.
func seconds(v float64) *float64 {
	if math.IsNaN(v) {
		return nil
	}
	return &v
}

// apiExecution is an execution in the JSON API. What follows Warnings is there
// when one execution is asked for.
type apiExecution struct {
	ExecID     string         `json:"exec_id"`
	Plan       string         `json:"plan"`
	Digest     string         `json:"digest,omitempty"`
	GraphID    string         `json:"graph_id,omitempty"`
	LifetimeID string         `json:"lifetime_id,omitempty"`
	Status     history.Status `json:"status"`
	Reason     string         `json:"reason,omitempty"`
	Message    string         `json:"message,omitempty"`
	PlanError  bool           `json:"plan_error,omitempty"`
	Position   string         `json:"position,omitempty"`
	EndedAt    time.Time      `json:"ended_at"`
	Duration   float64        `json:"duration_seconds"`
	Steps      uint64         `json:"steps"`
	Record     apiRecord      `json:"record"`
	Parents    []apiParent    `json:"parents"`
	// ParentsTotal and NextTotal tell how many there are; 100 are listed at most.
	ParentsTotal int      `json:"parents_total"`
	Next         []string `json:"next_tasks"`
	NextTotal    int      `json:"next_tasks_total"`
	OutputBytes  int      `json:"output_bytes"`
	Warnings     []string `json:"warnings,omitempty"`

	Backtrace string     `json:"backtrace,omitempty"`
	Source    *apiSource `json:"source,omitempty"`
	// Input and Output are protojson; where the bytes are no such message they are
	// a base64 string.
	Input  any      `json:"input,omitempty"`
	Output any      `json:"output,omitempty"`
	Prints []string `json:"prints,omitempty"`
}

type apiRecord struct {
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Timestamp time.Time `json:"timestamp"`
	Key       string    `json:"key"`
	Bytes     int       `json:"bytes"`
}

type apiParent struct {
	Name   string `json:"name"`
	ExecID string `json:"exec_id"`
}

func newAPIExecution(x *history.Execution) apiExecution {
	a := apiExecution{
		ExecID: x.ExecID, Plan: x.Plan, Digest: x.Digest, GraphID: x.GraphID, LifetimeID: x.LifetimeID,
		Status: x.Status, Reason: string(x.Reason), Message: x.Message, PlanError: x.PlanError, Position: x.Position,
		EndedAt: x.Ended.UTC(), Duration: x.Duration.Seconds(), Steps: x.Steps,
		Record: apiRecord{
			Topic: x.Topic, Partition: x.Partition, Offset: x.Offset, Timestamp: x.Timestamp.UTC(), Key: x.Key, Bytes: x.InputSize,
		},
		Parents: []apiParent{}, ParentsTotal: x.ParentsCount,
		Next: append([]string{}, x.Next...), NextTotal: x.NextCount,
		OutputBytes: x.OutputSize, Warnings: x.Warnings,
	}
	for _, parent := range x.Parents {
		a.Parents = append(a.Parents, apiParent(parent))
	}
	return a
}

func (p *Page) apiExecutions(w http.ResponseWriter, r *http.Request) {
	f, err := parseFilter(r.URL.Query())
	if err != nil {
		p.json(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	list := []apiExecution{}
	for _, x := range p.opts.History.Executions(f) {
		list = append(list, newAPIExecution(x))
	}
	p.json(w, http.StatusOK, map[string]any{"executions": list})
}

func (p *Page) apiExecution(w http.ResponseWriter, r *http.Request) {
	x, payloads := p.opts.History.Find(r.PathValue("id"))
	if x == nil {
		p.json(w, http.StatusNotFound, map[string]string{"error": "no such execution is remembered"})
		return
	}
	a := newAPIExecution(x)
	a.Backtrace, a.Source = x.Backtrace, newAPISource(x.Source)
	if p.opts.ShowPayloads && payloads != nil {
		a.Prints = payloads.Prints
		a.Input = jsonOrBytes(payloads.Input, new(planpb.PlanInput))
		a.Output = jsonOrBytes(payloads.Output, new(planpb.PlanExecution))
	}
	p.json(w, http.StatusOK, a)
}

// jsonOrBytes gives nil for what was not kept.
func jsonOrBytes(b []byte, m proto.Message) any {
	if b == nil {
		return nil
	}
	if text, err := toJSON(b, m); err == nil {
		return json.RawMessage(text)
	}
	return b
}

func (p *Page) json(w http.ResponseWriter, code int, v any) {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		p.log.Error("api answer not rendered", "err", err)
		http.Error(w, "the answer could not be rendered; the log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	p.wrote(w.Write(append(text, '\n')))
}

package statuspage_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"starplan/internal/statuspage"
	"starplan/plan"
	"starplan/proto/planpb"
)

// event is one event of a stream.
type event struct {
	id    string
	patch struct {
		Regions  map[string]string
		Rows     string
		Reset    bool
		Announce string
	}
}

// events is a stream that a test reads.
type events struct {
	f     *fixture
	res   *http.Response
	lines *bufio.Scanner
}

func (f *fixture) events(ctx context.Context, path, last string) *events {
	f.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url+path, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		f.t.Fatalf("GET %s = %d %s", path, res.StatusCode, res.Header.Get("Content-Type"))
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 16<<20)
	return &events{f, res, lines}
}

// next gives the next event. It fails the test where the stream ends.
func (s *events) next() (e event) {
	s.f.t.Helper()
	for s.lines.Scan() {
		line := s.lines.Text()
		switch {
		case strings.HasPrefix(line, "id: "):
			e.id = line[4:]
		case strings.HasPrefix(line, "data: "):
			if err := json.Unmarshal([]byte(line[6:]), &e.patch); err != nil {
				s.f.t.Fatal(err)
			}
		case line == "" && e.id != "":
			return e
		}
	}
	s.f.t.Fatalf("the stream ended: %v", s.lines.Err())
	return e
}

// until reads events until one is as wanted.
func (s *events) until(want func(event) bool) event {
	s.f.t.Helper()
	for {
		if e := s.next(); want(e) {
			return e
		}
	}
}

func count(e event) int { return strings.Count(e.patch.Rows, "<tr") }

func TestStream(t *testing.T) {
	f := newFixture(t, nil)
	f.state.Limits.MaxSteps = 1
	f.run("route", good, &planpb.PlanInput{})
	_, body := f.get("/")
	_, rest, _ := strings.Cut(body, `data-last="`)
	last, _, _ := strings.Cut(rest, `"`)

	// A page that is up to date gets the regions, and from then on what changes.
	s := f.events(t.Context(), "/events?after="+last, "")
	e := s.next()
	if e.patch.Rows != "" || e.patch.Reset || len(e.patch.Regions) != 4 || e.patch.Announce != "" {
		t.Errorf("the first event is %+v, want all regions and no rows", e)
	}
	f.run("route", good, &planpb.PlanInput{})
	f.run("check", bad, &planpb.PlanInput{})
	rows := 0
	e = s.until(func(e event) bool { rows += count(e); return rows >= 2 })
	if rows != 2 || e.patch.Reset || len(e.patch.Regions) != 0 {
		t.Errorf("after two executions there are %d new rows, and %+v; want 2 and nothing else", rows, e)
	}
	if !strings.Contains(e.patch.Announce, "An execution failed.") {
		t.Errorf("a failure is announced as %q", e.patch.Announce)
	}

	// A connection that broke goes on where it was.
	f.run("route", good, &planpb.PlanInput{})
	if e := f.events(t.Context(), "/events?after=ignored", e.id).next(); count(e) != 1 || e.patch.Reset {
		t.Errorf("after the break there are %d rows, reset %v; want 1, false", count(e), e.patch.Reset)
	}
	// One that was made to another process begins anew.
	if e := f.events(t.Context(), "/events", "another.3").next(); count(e) != 4 || !e.patch.Reset {
		t.Errorf("at another process there are %d rows, reset %v; want 4, true", count(e), e.patch.Reset)
	}
	// Filters hold here too.
	if e := f.events(t.Context(), "/events?status=failed&plan=check", "").next(); count(e) != 1 {
		t.Errorf("with a filter there are %d rows, want 1", count(e))
	}
}

func TestStreamTellsOfState(t *testing.T) {
	f := newFixture(t, nil)
	var state = make(chan func(), 1)
	// The page asks from other goroutines: the changes are handed over to them.
	current := statuspage.State{}
	f2 := newFixture(t, func(o *statuspage.Options) {
		o.State = func() statuspage.State {
			select {
			case change := <-state:
				change()
			default:
			}
			return current
		}
		o.Plans = func() []plan.Detail { return f.plans }
	})
	s := f2.events(t.Context(), "/events", "")
	s.next()
	for _, test := range []struct {
		change func()
		region string
		wants  string
		says   string
	}{
		{func() { current.NotReady = []string{"no broker"} }, "state", "no broker", "The service is not ready."},
		{func() { current.NotReady = nil }, "state", "Ready", "The service is ready."},
		{func() { f.plans = []plan.Detail{{Status: plan.Status{Name: "a", LastError: "a.star:1:1: odd"}}} }, "plans", "a.star:1:1: odd", "One plan could not be loaded."},
		{func() { f.plans = append(f.plans, f.plans[0]) }, "plans", "a.star:1:1: odd", "2 plans could not be loaded."},
		{func() { f.plans = nil }, "plans", "No plans are loaded", "All plans are loaded."},
	} {
		state <- test.change
		e := s.next()
		if !strings.Contains(e.patch.Regions[test.region], test.wants) || e.patch.Announce != test.says || len(e.patch.Regions) != 1 {
			t.Errorf("after a change the event is %+v, want region %s with %q, and %q", e, test.region, test.wants, test.says)
		}
	}
}

func TestStreamsAreBounded(t *testing.T) {
	f := newFixture(t, nil)
	var all []*events
	for range 32 {
		s := f.events(t.Context(), "/events", "")
		s.next()
		all = append(all, s)
	}
	if res, body := f.get("/events"); res.code != http.StatusServiceUnavailable {
		t.Errorf("stream 33 = %d %s, want 503", res.code, body)
	}
	// Closing ends them all, and a reader that goes away makes room.
	f.page.Close()
	for _, s := range all {
		for s.lines.Scan() {
		}
		if err := s.lines.Err(); err != nil {
			t.Errorf("the stream ended with %v, want its end", err)
		}
	}
}

//go:build browser

package browser_test

import (
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"starplan/internal/history"
	"starplan/internal/statuspage"
	"starplan/plan"
	"starplan/plan/execution"
	"starplan/plan/worker"
	"starplan/processor"
)

// hostile is a text that does harm where it is not escaped, and harm to the
// layout where it is.
var hostile = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'`\x00\x1b[31m\u202egnp.exe\xff" + strings.Repeat("W", 1<<20)

// busy is a page of a quarter of an hour of many plans, some of them hostile.
func busy(t *testing.T) *httptest.Server {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	now := time.Now().Add(-15*time.Minute - 10*time.Second)
	h := history.New(history.Options{Payloads: true, Now: func() time.Time { return now }})
	src, err := plan.NewSource("odd", "odd.star", map[string]string{"odd.star": "def plan(plan_input):\n    " + strings.ToValidUTF8(hostile[:1000], "?") + "\n"})
	if err != nil {
		t.Fatal(err)
	}
	for second := 0; second < 15*60+5; second++ {
		now = now.Add(time.Second)
		for range 20 + second/20%30 {
			name := fmt.Sprintf("plan_%02d", random.IntN(30))
			rec := execution.Record{Topic: "plan-inputs-acme", Offset: int64(second), Timestamp: now, Key: []byte(name)}
			out := execution.NewAnswer("acme", rec, nil).Fail(execution.ReasonPlan, "no such order")
			out.Plan, out.Duration, out.Steps = name, time.Duration(float64(200*time.Microsecond)*(0.2+random.ExpFloat64())), 120
			if random.IntN(200) > second/90 {
				out.Reason, out.Message = "", ""
			}
			h.Add(rec, out, nil)
		}
	}
	for i := range 3 {
		rec := execution.Record{Topic: "plan-inputs-acme", Offset: int64(i), Timestamp: now, Key: []byte(hostile[:100]), Value: []byte(hostile)}
		out := execution.NewAnswer("acme", rec, nil).Fail(execution.ReasonPlan, hostile)
		out.Plan, out.Digest, out.Position, out.Backtrace, out.Prints = "odd", src.Digest, "odd.star:2:40", hostile, []string{hostile}
		h.Add(rec, out, src)
	}
	page := statuspage.New(statuspage.Options{
		Tenant: "acme", Version: "v1.2.3", ShowPayloads: true, History: h,
		State: func() statuspage.State {
			return statuspage.State{
				NotReady:  []string{"consumer: broker cannot be reached: dial tcp 10.1.2.3:9092: connect: connection refused"},
				Processor: &processor.Status{Consumer: processor.ClientStatus{State: "down", Detail: "broker cannot be reached: dial tcp 10.1.2.3:9092: connect: connection refused"}, Joined: true, Generation: 12, Partitions: []int32{0, 1, 2, 5}},
				Workers:   &worker.Stats{Workers: 4, Busy: 2, Restarts: map[string]uint64{"memory": 3}, ResidentSum: 200 << 20, ResidentMax: 120 << 20},
				Sandbox:   &worker.Protections{Memory: true, Missing: []string{"Landlock: the kernel is older than 5.13", hostile[:200]}},
				Limits:    plan.Limits{MaxSteps: 6e9, Timeout: 5 * time.Minute, MaxMemory: 256 << 20},
			}
		},
		Plans: func() []plan.Detail {
			var list []plan.Detail
			for i := range 30 {
				list = append(list, plan.Detail{Status: plan.Status{Name: fmt.Sprintf("plan_%02d", i), State: plan.StateServing, Digest: src.Digest, LoadedAt: now}})
			}
			return append(list, plan.Detail{
				Status:   plan.Status{Name: hostile[:150], State: plan.StateLastGood, Digest: src.Digest, LoadedAt: now, LastError: hostile},
				Fault:    &plan.LoadError{File: "odd.star", Line: 2, Col: 30},
				Rejected: src.Files,
			})
		},
		LastReload: func() *statuspage.Reload { return nil },
	})
	srv := httptest.NewServer(page)
	t.Cleanup(srv.Close)
	t.Cleanup(page.Close)
	return srv
}

// TestBusy looks at a page that is full, of harmless and of hostile texts.
func TestBusy(t *testing.T) {
	srv := busy(t)
	b := startBrowser(t)
	for _, l := range looks {
		b.as(l)
		b.run(chromedp.Navigate(srv.URL))
		b.wait("document.getElementById('live').innerText === 'Live'")
		b.check("busy, " + l.name)
		b.screenshot("busy-" + l.name)
		b.run(chromedp.Navigate(srv.URL+"/?status=failed&plan=odd"), chromedp.Click("#rows tr:first-child a", chromedp.ByQuery))
		b.wait("document.querySelector('.excerpt')")
		b.check("hostile, " + l.name)
		b.axe("hostile, " + l.name)
		b.screenshot("hostile-" + l.name)
		b.eval("document.scripts.length", new(int))
	}
	b.quiet()
}

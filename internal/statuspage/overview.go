package statuspage

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"starplan/internal/history"
	"starplan/plan"
	"starplan/processor"
)

// overview answers "/".
func (p *Page) overview(w http.ResponseWriter, r *http.Request) {
	f, err := parseFilter(r.URL.Query())
	if err != nil {
		p.html(w, http.StatusBadRequest, "problem", problemData{p.frame("Wrong address", ""), err.Error()})
		return
	}
	data := overviewData{
		frame: p.frame("", ""), Regions: p.regions(f.Plan), Plan: f.Plan, Status: string(f.Status),
		Filtered: f.Plan != "" || f.Status != "", Limit: f.Limit, Last: p.position(p.opts.History.Last()),
		ShowPayloads: p.opts.ShowPayloads,
	}
	data.Rows = p.opts.History.Executions(f)
	data.Names = p.names(f.Plan)
	query := url.Values{"plan": {f.Plan}, "status": {string(f.Status)}, "limit": {strconv.Itoa(f.Limit)}}
	data.Events = "events?" + query.Encode()
	p.html(w, http.StatusOK, "overview", data)
}

type overviewData struct {
	frame
	Regions regions
	// Names are the plans to choose from.
	Names        []string
	Plan, Status string
	Filtered     bool
	Limit        int
	Rows         []*history.Execution
	ShowPayloads bool
	// Events is where changes come from, beginning after Last.
	Events, Last string
}

type problemData struct {
	frame
	Message string
}

// names lists the plans to filter by: those of the catalog, those that executions
// tell of, and the one that is filtered by.
func (p *Page) names(chosen string) []string {
	set := make(map[string]bool)
	for _, d := range p.opts.Plans() {
		set[strings.ToValidUTF8(d.Label(), "\uFFFD")] = true
	}
	for _, x := range p.opts.History.Executions(history.Filter{}) {
		set[x.Plan] = true
	}
	if chosen != "" {
		set[chosen] = true
	}
	delete(set, "")
	return slices.Sorted(maps.Keys(set))
}

// regions are the parts of the page that are replaced as a whole, by the id of
// their element.
type regions struct {
	State, Facts, Graphs, Plans rendered
	// ready and faults are what is announced when it changes.
	ready  bool
	faults int
}

func (r *regions) all() map[string]rendered {
	return map[string]rendered{"state": r.State, "facts": r.Facts, "graphs": r.Graphs, "plans": r.Plans}
}

// cache keeps the regions for a moment, since all pages show the same ones.
type cache struct {
	mu      sync.Mutex
	made    time.Time
	regions map[string]regions
}

// regions gives the regions of a page whose graphs are those of a plan, or of all
// where it is empty.
func (p *Page) regions(planLabel string) regions {
	c := &p.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	// Half of the rhythm, so that no stream sees the same twice.
	if time.Since(c.made) > p.opts.Every/2 || c.regions == nil {
		c.regions, c.made = make(map[string]regions), time.Now()
	}
	r, ok := c.regions[planLabel]
	if !ok {
		r = p.renderRegions(planLabel)
		c.regions[planLabel] = r
	}
	return r
}

func (c *cache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.regions = nil
}

func (p *Page) renderRegions(planLabel string) regions {
	state, plans := p.opts.State(), p.planRows()
	r := regions{ready: len(state.NotReady) == 0}
	for _, row := range plans {
		if row.LastError != "" {
			r.faults++
		}
	}
	r.State = p.region("state", state)
	r.Facts = p.region("facts", newFacts(state))
	r.Graphs = p.region("graphs", graphs(p.opts.History.Graphs(planLabel)))
	r.Plans = p.region("plans", plansData{Reload: p.reload(), Plans: plans})
	return r
}

func (p *Page) region(name string, data any) rendered {
	text, err := render(name, data)
	if err != nil {
		p.log.Error("page not rendered", "template", name, "err", err)
		return "This part of the page could not be rendered; the log says why."
	}
	return rendered(text)
}

// fact is a line of what is known of the service.
type fact struct {
	Name, Value string
	// Bad marks what operators should see first, Wide what is long.
	Bad, Wide bool
}

func newFacts(s State) []fact {
	var facts []fact
	add := func(name, value string, bad bool) {
		facts = append(facts, fact{Name: name, Value: value, Bad: bad, Wide: len(value) > 40})
	}
	if st := s.Processor; st != nil {
		client := func(c processor.ClientStatus) string { return strings.TrimSuffix(c.State+": "+c.Detail, ": ") }
		add("Consumer", client(st.Consumer), st.Consumer.State == processor.StateDown)
		add("Producer", client(st.Producer), st.Producer.State == processor.StateDown)
		if st.Joined {
			add("Group", fmt.Sprintf("generation %d, %s", st.Generation, partitions(st.Partitions)), false)
		} else {
			add("Group", "not joined", true)
		}
		add("In flight", formatCount(st.InFlight)+" records", false)
		// The age moves all the time; the graph shows it.
		add("Lag", formatCount(s.Lag.Records)+" records", false)
	}
	if ws := s.Workers; ws != nil {
		add("Workers", fmt.Sprintf("%d (%d busy, %d slow), %s records wait", ws.Workers, ws.Busy, ws.Slow, formatCount(ws.Waiting)), false)
		add("Worker memory", fmt.Sprintf("%d MiB, largest %d MiB", ws.ResidentSum>>20, ws.ResidentMax>>20), false)
		add("Worker restarts", restarts(ws.Restarts), false)
		if ws.StartError != nil {
			add("Worker start", ws.StartError.Error(), true)
		}
		if ws.HeldPlans > 0 {
			add("Plans held back", formatCount(ws.HeldPlans)+" that keep killing workers", true)
		}
	}
	if sb := s.Sandbox; sb != nil {
		if sb.Complete() {
			add("Sandbox", "complete: "+sb.String(), false)
		} else {
			add("Sandbox", "incomplete: "+sb.String(), true)
		}
		for _, missing := range sb.Missing {
			add("Sandbox lacks", missing, true)
		}
	}
	if l := s.Limits; l.MaxSteps > 0 {
		add("Limits", fmt.Sprintf("%s steps, %s, %s", formatCount(l.MaxSteps), formatSeconds(l.Timeout.Seconds()), formatBytes(l.MaxMemory)), false)
	}
	return facts
}

// restarts lists the reasons for which there were any.
func restarts(counts map[string]uint64) string {
	var list []string
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		if n := counts[reason]; n > 0 {
			list = append(list, fmt.Sprintf("%s %s", formatCount(n), reason))
		}
	}
	return cmp.Or(strings.Join(list, ", "), "none")
}

// partitions writes numbers in runs: "partitions 0–3, 7".
func partitions(list []int32) string {
	if len(list) == 0 {
		return "no partitions"
	}
	var runs []string
	for i := 0; i < len(list); {
		j := i
		for j+1 < len(list) && list[j+1] == list[j]+1 {
			j++
		}
		if i == j {
			runs = append(runs, strconv.Itoa(int(list[i])))
		} else {
			runs = append(runs, fmt.Sprintf("%d–%d", list[i], list[j]))
		}
		i = j + 1
	}
	if len(list) == 1 {
		return "partition " + runs[0]
	}
	return "partitions " + strings.Join(runs, ", ")
}

type plansData struct {
	Reload *reloadData
	Plans  []planRow
}

// planRow is a plan as it is shown.
type planRow struct {
	plan.Detail
	Label string
	Total history.Total
	// Excerpt is where the fault lies; often nil.
	Excerpt *history.Excerpt
}

// planRows lists the plans, those with a fault first.
func (p *Page) planRows() []planRow {
	totals := p.opts.History.Totals()
	details := p.opts.Plans()
	rows := make([]planRow, 0, len(details))
	for _, d := range details {
		row := planRow{Detail: d, Label: d.Label()}
		row.Total = totals[row.Label]
		if f := d.Fault; f != nil {
			row.Excerpt = history.NewExcerpt(d.Rejected, f.File, f.Line, f.Col)
		}
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(a, b planRow) int {
		return cmp.Compare(min(len(b.LastError), 1), min(len(a.LastError), 1))
	})
	return rows
}

// reloadData is what the last reload came to, in words.
type reloadData struct {
	At      time.Time
	Trigger string
	Summary string
	Err     string
	Bad     bool
}

func (p *Page) reload() *reloadData {
	last := p.opts.LastReload()
	if last == nil {
		return nil
	}
	d := &reloadData{At: last.At, Trigger: last.Trigger}
	if last.Err != nil {
		d.Err, d.Bad = last.Err.Error(), true
		return d
	}
	counts := make(map[plan.Result]int)
	for _, change := range last.Report {
		counts[change.Result]++
	}
	var list []string
	for _, result := range []plan.Result{plan.ResultLoaded, plan.ResultUnchanged, plan.ResultRemoved, plan.ResultKept, plan.ResultFailed} {
		if n := counts[result]; n > 0 {
			list = append(list, fmt.Sprintf("%d %s", n, result))
		}
	}
	d.Summary = cmp.Or(strings.Join(list, ", "), "no plans")
	d.Bad = counts[plan.ResultKept]+counts[plan.ResultFailed] > 0
	return d
}

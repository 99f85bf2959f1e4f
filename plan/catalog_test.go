package plan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"starplan/plan/execution"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// named is a plan whose next task is name.
func named(name string) string {
	return fmt.Sprintf("def plan(plan_input):\n    return PlanResult(next_task_names = [%q])\n", name)
}

// open opens a catalog of opts with an InProcess engine where it has none.
func open(t *testing.T, opts Options) *Catalog {
	t.Helper()
	c, err := Open(context.Background(), withEngine(opts))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func withEngine(opts Options) Options {
	opts.Tenant = "acme"
	if opts.Engine == nil {
		opts.Engine = NewInProcess("acme", Limits{MaxSteps: 10_000})
	}
	return opts
}

// answer runs a record with that key and waits for its outcome.
func answer(t *testing.T, c *Catalog, key string) execution.Outcome {
	t.Helper()
	rec := recordOf(t, sampleInput(t))
	rec.Key = []byte(key)
	out := make(chan execution.Outcome, 1)
	c.Start(context.Background(), rec, func(o execution.Outcome) { out <- o })
	return <-out
}

// next is the first next task that answers a key, or else the message.
func next(t *testing.T, c *Catalog, key string) string {
	t.Helper()
	out := answer(t, c, key)
	if names := decodeExecution(t, out).GetResult().GetNextTaskNames(); len(names) > 0 {
		return names[0]
	}
	return string(out.Reason) + ": " + out.Message
}

func write(t *testing.T, text string, path ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path...), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func reload(t *testing.T, c *Catalog) Report {
	t.Helper()
	report, err := c.Reload(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// results writes a report as "plan: result" lines.
func results(report Report) []string {
	var lines []string
	for _, change := range report {
		lines = append(lines, change.Plan+": "+string(change.Result))
	}
	return lines
}

func TestOpenErrors(t *testing.T) {
	dir := writeTree(t, map[string]string{"a.star": okPlan, "b/plan.star": okPlan, "g/c/plan.star": okPlan, "lib/readme.txt": ""})
	twice := writeTree(t, map[string]string{"a.star": okPlan, "a/plan.star": okPlan})
	broken := writeTree(t, map[string]string{"a.star": okPlan, "b.star": "def plan(:\n", "c.star": "x = 1\n"})
	for _, test := range []struct {
		name string
		opts Options
		want string
	}{
		{"no path", Options{}, "open catalog: no path given"},
		{"absent path", Options{Path: "/nowhere/plans"}, "open catalog: stat /nowhere/plans: no such file or directory"},
		{"file and no name", Options{Path: dir + "/a.star"}, "open catalog: DIR/a.star is a file, so exactly one plan name is wanted: got 0"},
		{"file and two names", Options{Path: dir + "/a.star", Names: []string{"a", "b"}}, "open catalog: DIR/a.star is a file, so exactly one plan name is wanted: got 2"},
		{"listed plan absent", Options{Path: dir, Names: []string{"a", "x"}}, `open catalog: plan "x" is not in DIR (plans there: a, b, g:c)`},
		{"listed plan of another graph", Options{Path: dir, Names: []string{"c"}, Graph: "h"}, `open catalog: plan "c" is not in DIR (plans there: a, b)`},
		{"no plan at all", Options{Path: dir + "/lib", Names: []string{"x"}}, `open catalog: plan "x" is not in DIR/lib (plans there: none)`},
		{"two plans of one name", Options{Path: twice}, `open catalog: two plans are named "a": DIR/a/plan.star and DIR/a.star; rename or remove one`},
		{
			"strict", Options{Path: broken, Strict: true},
			"open catalog: plan \"b\": b.star:1:10: got ':', want ')'\nplan \"c\": c.star:1:1: no function plan(plan_input) is defined",
		},
	} {
		c, err := Open(context.Background(), withEngine(test.opts))
		if err == nil {
			c.Close()
			t.Errorf("%s: Open gives no error, want %s", test.name, test.want)
			continue
		}
		got := strings.NewReplacer(dir, "DIR", twice, "DIR", broken, "DIR").Replace(err.Error())
		if got != test.want {
			t.Errorf("%s: Open = %s, want %s", test.name, got, test.want)
		}
	}
	if _, err := Open(context.Background(), Options{Path: dir, Tenant: "acme"}); err == nil {
		t.Error("Open without an engine gives no error")
	}
	if _, err := Open(context.Background(), Options{Path: dir, Engine: NewInProcess("", Limits{})}); err == nil {
		t.Error("Open without a tenant gives no error")
	}
}

func TestAccept(t *testing.T) {
	dir := writeTree(t, map[string]string{"a.star": okPlan, "b.star": okPlan})
	for _, test := range []struct {
		names []string
		graph string
		key   []byte
		want  execution.Skip
	}{
		{nil, "", nil, execution.SkipNoKey},
		{nil, "", []byte(""), execution.SkipNoKey},
		{nil, "", []byte("a\xff"), execution.SkipNoKey},
		{nil, "", []byte("g:"), execution.SkipNoKey},
		{nil, "", []byte("a"), ""},
		{nil, "", []byte("unknown"), ""},
		{nil, "", []byte("g:a"), ""},
		{[]string{"a"}, "", []byte("a"), ""},
		{[]string{"a"}, "", []byte("g:a"), ""},
		{[]string{"a"}, "", []byte("b"), execution.SkipForeign},
		{[]string{"a", "b"}, "", []byte("g:b"), ""},
		{[]string{"a"}, "g", []byte("g:a"), ""},
		{[]string{"a"}, "g", []byte("a"), ""},
		{[]string{"a"}, "g", []byte("h:a"), execution.SkipForeign},
		{[]string{"a"}, "g", []byte("g:b"), execution.SkipForeign},
		{nil, "g", []byte("g:unknown"), ""},
		{nil, "g", []byte("h:a"), execution.SkipForeign},
		{nil, "g", []byte(":a"), ""},
	} {
		c := open(t, Options{Path: dir, Names: test.names, Graph: test.graph})
		if got := c.Accept(test.key); got != test.want {
			t.Errorf("names %q, graph %q: Accept(%q) = %q, want %q", test.names, test.graph, test.key, got, test.want)
		}
	}
}

// TestLookup checks which plan answers a key.
func TestLookup(t *testing.T) {
	dir := writeTree(t, map[string]string{
		"a.star":        named("a of any"),
		"b.star":        named("b of any"),
		"g/a/plan.star": named("a of g"),
		"h/a/plan.star": named("a of h"),
		"h/c/plan.star": named("c of h"),
	})
	for _, test := range []struct {
		graph string
		names []string
		key   string
		want  string
	}{
		{"", nil, "a", "a of any"},
		{"", nil, "g:a", "a of g"},
		{"", nil, "h:a", "a of h"},
		{"", nil, "i:a", "a of any"},
		{"", nil, "g:b", "b of any"},
		{"", nil, "h:c", "c of h"},
		{"", []string{"a"}, "g:a", "a of g"},
		{"g", nil, "g:a", "a of g"},
		{"g", nil, "a", "a of g"},
		{"g", nil, "b", "b of any"},
		{"", nil, "c", `unknown_plan: No plan "c" is loaded; loaded plans: a, b, g:a, h:a, h:c`},
		{"", nil, "g:c", `unknown_plan: No plan "g:c" is loaded; loaded plans: a, b, g:a, h:a, h:c`},
		{"g", nil, "c", `unknown_plan: No plan "c" is loaded; loaded plans: a, b, g:a`},
		{"h", []string{"c"}, "c", "c of h"},
	} {
		c := open(t, Options{Path: dir, Graph: test.graph, Names: test.names})
		if got := next(t, c, test.key); got != test.want {
			t.Errorf("graph %q, names %q: %q is answered by %q, want %q", test.graph, test.names, test.key, got, test.want)
		}
	}
}

func TestSingleFile(t *testing.T) {
	dir := writeTree(t, map[string]string{"whatever.star": named("one")})
	c := open(t, Options{Path: filepath.Join(dir, "whatever.star"), Names: []string{"collect"}})
	if got := next(t, c, "g:collect"); got != "one" {
		t.Errorf("collect is answered by %q, want one", got)
	}
	if got := c.Accept([]byte("whatever")); got != execution.SkipForeign {
		t.Errorf("Accept(whatever) = %q, want %q", got, execution.SkipForeign)
	}
	write(t, named("two"), dir, "whatever.star")
	if got := results(reload(t, c)); !cmp.Equal(got, []string{"collect: loaded"}) {
		t.Errorf("Reload = %q", got)
	}
	if got := next(t, c, "collect"); got != "two" {
		t.Errorf("collect is answered by %q, want two", got)
	}
}

func TestUnknownPlanListIsBounded(t *testing.T) {
	files := make(map[string]string)
	for i := range 25 {
		files[fmt.Sprintf("p%02d.star", i)] = okPlan
	}
	c := open(t, Options{Path: writeTree(t, files)})
	out := answer(t, c, strings.Repeat("x", 300))
	want := `No plan "` + strings.Repeat("x", 100) + `" is loaded; loaded plans: p00, p01, p02, p03, p04, p05, p06, p07, p08, p09, p10, p11, p12, p13, p14, p15, p16, p17, p18, p19 and 5 more`
	if out.Message != want || out.Reason != execution.ReasonUnknownPlan || out.Plan != "" {
		t.Errorf("outcome = %+v, want message %q", out, want)
	}
	none := open(t, Options{Path: t.TempDir()})
	if out := answer(t, none, "x"); out.Message != `No plan "x" is loaded; loaded plans: none` {
		t.Errorf("message = %q", out.Message)
	}
}

func TestPlanThatDoesNotLoad(t *testing.T) {
	var logged bytes.Buffer
	dir := writeTree(t, map[string]string{"bad/plan.star": "x = 1\n\ny = z\n", "good.star": named("good"), "unreadable.star": ""})
	symlink(t, "/nowhere", filepath.Join(dir, "dangling.star"))
	write(t, "\xff", dir, "unreadable.star")
	c := open(t, Options{Path: dir, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	for key, want := range map[string]string{
		"good":       "good",
		"g:bad":      "load: Plan could not be loaded: plan.star:3:5: undefined: z",
		"unreadable": `load: Plan could not be loaded: unreadable.star:1:1: byte "\xff" is not valid UTF-8`,
		"dangling":   `load: Plan could not be loaded: read plan "dangling": path escapes from parent`,
	} {
		if got := next(t, c, key); got != want {
			t.Errorf("%s is answered by %q, want %q", key, got, want)
		}
	}
	out := answer(t, c, "bad")
	if out.Position != "plan.star:3:5" || out.Plan != "" {
		t.Errorf("outcome = %+v, want position plan.star:3:5 and no plan", out)
	}
	if !strings.Contains(logged.String(), `level=ERROR msg="plan could not be loaded" plan=bad error="plan.star:3:5: undefined: z" result=failed`) {
		t.Errorf("log = %s", logged.String())
	}
}

// TestReload goes through everything that can happen to a plan.
func TestReload(t *testing.T) {
	dir := writeTree(t, map[string]string{
		"same.star": named("same"), "changed.star": named("old"), "breaks.star": named("good"),
		"removed.star": named("removed"), "broken.star": "x\n", "fixed.star": "x\n",
	})
	engine := &countingEngine{Engine: NewInProcess("acme", Limits{})}
	c := open(t, Options{Path: dir, Engine: engine})
	before := c.Plans()
	engine.take()

	write(t, named("new"), dir, "changed.star")
	write(t, "def plan(\n", dir, "breaks.star")
	write(t, named("fixed"), dir, "fixed.star")
	write(t, named("added"), dir, "added.star")
	if err := os.Remove(filepath.Join(dir, "removed.star")); err != nil {
		t.Fatal(err)
	}
	report := reload(t, c)
	want := []string{
		"added: loaded", "breaks: kept last good version", "broken: failed", "changed: loaded",
		"fixed: loaded", "removed: removed", "same: unchanged",
	}
	if diff := cmp.Diff(want, results(report)); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	var fault *LoadError
	if err := report.Err(); !errors.As(err, &fault) || !strings.Contains(err.Error(), `plan "breaks": breaks.star:2:1:`) || !strings.Contains(err.Error(), `plan "broken": broken.star:1:1: undefined: x`) {
		t.Errorf("report.Err() = %v", err)
	}
	if diff := cmp.Diff(map[string]int{"added": 1, "breaks": 1, "broken": 1, "changed": 1, "fixed": 1}, engine.take()); diff != "" {
		t.Errorf("loads by the engine (-want +got):\n%s", diff)
	}
	for key, want := range map[string]string{
		"same": "same", "changed": "new", "breaks": "good", "fixed": "fixed", "added": "added",
		"broken":  "load: Plan could not be loaded: broken.star:1:1: undefined: x",
		"removed": `unknown_plan: No plan "removed" is loaded; loaded plans: added, breaks, changed, fixed, same`,
	} {
		if got := next(t, c, key); got != want {
			t.Errorf("%s is answered by %q, want %q", key, got, want)
		}
	}
	states := make(map[string]State)
	for _, status := range c.Plans() {
		states[status.Name] = status.State
		if (status.State == StateServing) != (status.LastError == "") || (status.State == StateFailed) != (status.Digest == "") {
			t.Errorf("status = %+v", status)
		}
		for _, old := range before {
			if old.Name == status.Name && status.Name == "same" && !old.LoadedAt.Equal(status.LoadedAt) {
				t.Error("an unchanged plan was loaded again")
			}
		}
	}
	if diff := cmp.Diff(map[string]State{
		"added": StateServing, "breaks": StateLastGood, "broken": StateFailed,
		"changed": StateServing, "fixed": StateServing, "same": StateServing,
	}, states); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}

	// Back to what is served: nothing to load, and the error is gone.
	engine.take()
	write(t, named("good"), dir, "breaks.star")
	write(t, named("mended"), dir, "broken.star")
	if report := reload(t, c); report.Err() != nil {
		t.Errorf("report.Err() = %v", report.Err())
	}
	if diff := cmp.Diff(map[string]int{"broken": 1}, engine.take()); diff != "" {
		t.Errorf("loads by the engine (-want +got):\n%s", diff)
	}
}

// TestReloadAllOrNothing checks the reloads that change nothing.
func TestReloadAllOrNothing(t *testing.T) {
	dir := writeTree(t, map[string]string{"a.star": named("old a"), "b.star": named("old b")})
	c := open(t, Options{Path: dir, Names: []string{"a", "b"}})
	unchanged := func(when string) {
		t.Helper()
		if a, b := next(t, c, "a"), next(t, c, "b"); a != "old a" || b != "old b" {
			t.Errorf("%s: a, b are answered by %q, %q, want the old ones", when, a, b)
		}
	}
	write(t, named("new a"), dir, "a.star")
	if err := os.Rename(filepath.Join(dir, "b.star"), filepath.Join(dir, "_b.star")); err != nil {
		t.Fatal(err)
	}
	_, err := c.Reload(context.Background())
	if want := `reload: plan "b" is not in ` + dir + ` (plans there: a)`; err == nil || err.Error() != want {
		t.Errorf("Reload without a listed plan = %v, want %s", err, want)
	}
	unchanged("listed plan absent")
	if got := c.Plans()[0]; got.State != StateLastGood || !strings.Contains(got.LastError, `plan "b" is not in`) {
		t.Errorf("status = %+v, want the reload's error", got)
	}

	if err := os.Rename(dir, dir+"2"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Reload(context.Background()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Reload without the directory = %v, want os.ErrNotExist", err)
	}
	unchanged("directory absent")
	if err := os.Rename(dir+"2", dir); err != nil {
		t.Fatal(err)
	}
	write(t, named("new b"), dir, "b.star")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Reload(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Reload with an ended context = %v, want context.Canceled", err)
	}
	unchanged("context ended")
	reload(t, c)
	if a, b := next(t, c, "a"), next(t, c, "b"); a != "new a" || b != "new b" {
		t.Errorf("a, b are answered by %q, %q, want the new ones", a, b)
	}
}

// countingEngine counts loads by plan.
type countingEngine struct {
	Engine
	mu    sync.Mutex
	loads map[string]int
}

func (e *countingEngine) Load(ctx context.Context, src *Source) error {
	e.mu.Lock()
	if e.loads == nil {
		e.loads = make(map[string]int)
	}
	e.loads[src.Name]++
	e.mu.Unlock()
	return e.Engine.Load(ctx, src)
}

func (e *countingEngine) take() map[string]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	loads := e.loads
	e.loads = nil
	return loads
}

// heldEngine runs a record when it is told to.
type heldEngine struct {
	Engine
	started chan func()
}

func (e *heldEngine) Start(ctx context.Context, src *Source, rec execution.Record, done func(execution.Outcome)) {
	e.started <- func() { e.Engine.Start(ctx, src, rec, done) }
}

// TestInFlightKeepsItsVersion reloads, and removes, a plan while a record of it is
// at the engine.
func TestInFlightKeepsItsVersion(t *testing.T) {
	dir := writeTree(t, map[string]string{"a.star": named("old")})
	engine := &heldEngine{Engine: NewInProcess("acme", Limits{}), started: make(chan func(), 2)}
	c := open(t, Options{Path: dir, Engine: engine})
	start := func() (run func(), out chan execution.Outcome) {
		rec := recordOf(t, sampleInput(t))
		rec.Key = []byte("a")
		out = make(chan execution.Outcome, 1)
		c.Start(context.Background(), rec, func(o execution.Outcome) { out <- o })
		return <-engine.started, out
	}
	runOld, oldOut := start()
	write(t, named("new"), dir, "a.star")
	reload(t, c)
	runNew, newOut := start()
	if err := os.Remove(filepath.Join(dir, "a.star")); err != nil {
		t.Fatal(err)
	}
	reload(t, c)
	runNew()
	runOld()
	for _, test := range []struct {
		out  chan execution.Outcome
		want string
	}{{oldOut, "old"}, {newOut, "new"}} {
		if got := decodeExecution(t, <-test.out).GetResult().GetNextTaskNames(); len(got) != 1 || got[0] != test.want {
			t.Errorf("next tasks = %q, want %q", got, test.want)
		}
	}
}

// TestUnknownPlanAppears puts a plan in place without a reload.
func TestUnknownPlanAppears(t *testing.T) {
	dir := writeTree(t, map[string]string{"a.star": named("a")})
	c := open(t, Options{Path: dir})
	write(t, named("b"), dir, "b.star")
	if got := next(t, c, "b"); got != "b" {
		t.Errorf("b is answered by %q, want b", got)
	}
}

// TestRescan checks that the plans are read again at most once a second, for all
// records that wait together, and never before a record that asked for it.
func TestRescan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var scans []time.Duration
		var r *rescanner
		r = newRescanner(func(context.Context) {
			scans = append(scans, time.Since(begin))
			if len(scans) == 1 {
				// A record that comes while the plans are being read waits for the next.
				r.add(func() { scans = append(scans, -time.Since(begin)) })
			}
			<-time.After(100 * time.Millisecond) // This is how long reading takes.
		})
		var answered atomic.Int32
		for range 5 {
			r.add(func() { answered.Add(1) })
		}
		synctest.Wait()
		<-time.After(3 * time.Second)
		if n := answered.Load(); n != 5 {
			t.Errorf("%d answered, want 5", n)
		}
		r.add(func() {})
		synctest.Wait()
		r.close()
		r.add(func() { t.Error("answered after close") })
		want := []time.Duration{0, 1100 * time.Millisecond, -1200 * time.Millisecond, 3 * time.Second}
		if diff := cmp.Diff(want, scans); diff != "" {
			t.Errorf("scans, and the late answer as negative (-want +got):\n%s", diff)
		}
	})
}

// TestRescanIsBounded checks that a flood of unknown plans does not pile up.
func TestRescanIsBounded(t *testing.T) {
	scanning, release := make(chan struct{}, 1), make(chan struct{})
	r := newRescanner(func(context.Context) {
		scanning <- struct{}{}
		<-release
	})
	r.add(func() {})
	<-scanning // The first record is no longer among those that wait.
	for range maxWaiting {
		r.add(func() { t.Error("a record that waits was answered before the next scan") })
	}
	answered := make(chan struct{})
	r.add(func() { close(answered) })
	<-answered
	r.cancel() // So that no second scan begins.
	close(release)
	r.close()
}

// TestUnknownPlanHoldsUpNobody runs a known plan while the plans are being read
// again for an unknown one.
func TestUnknownPlanHoldsUpNobody(t *testing.T) {
	dir := writeTree(t, map[string]string{"a.star": named("a")})
	engine := &slowLoads{Engine: NewInProcess("acme", Limits{}), release: make(chan struct{}), loading: make(chan struct{}, 1)}
	close(engine.release)
	c := open(t, Options{Path: dir, Engine: engine})
	<-engine.loading
	engine.release = make(chan struct{})
	write(t, named("b"), dir, "b.star")
	rec := recordOf(t, sampleInput(t))
	rec.Key = []byte("b")
	late := make(chan execution.Outcome, 1)
	c.Start(context.Background(), rec, func(o execution.Outcome) { late <- o })
	<-engine.loading
	if got := next(t, c, "a"); got != "a" {
		t.Errorf("a is answered by %q, want a", got)
	}
	select {
	case out := <-late:
		t.Errorf("the unknown plan is answered by %+v before it is loaded", out)
	default:
	}
	close(engine.release)
	if out := <-late; out.Reason != "" || out.Plan != "b" {
		t.Errorf("outcome = %+v, want a success of plan b", out)
	}
}

// slowLoads holds Load until it is released.
type slowLoads struct {
	Engine
	loading chan struct{}
	release chan struct{}
}

func (e *slowLoads) Load(ctx context.Context, src *Source) error {
	e.loading <- struct{}{}
	<-e.release
	return e.Engine.Load(ctx, src)
}

// TestRescanLeavesRejectedVersions checks that records for unknown plans do not
// run a failing top level again and again, and that a reload on demand does.
func TestRescanLeavesRejectedVersions(t *testing.T) {
	dir := writeTree(t, map[string]string{"a.star": named("a"), "bad.star": "fail('no')\n" + okPlan})
	engine := &countingEngine{Engine: NewInProcess("acme", Limits{})}
	c := open(t, Options{Path: dir, Engine: engine})
	engine.take()
	c.rescan(context.Background())
	if got := engine.take(); len(got) != 0 {
		t.Errorf("a rescan loads %v, want nothing", got)
	}
	if got, want := next(t, c, "bad"), "load: Plan could not be loaded: bad.star:1:5: fail: no"; got != want {
		t.Errorf("bad is answered by %q, want %q", got, want)
	}
	reload(t, c)
	if diff := cmp.Diff(map[string]int{"bad": 1}, engine.take()); diff != "" {
		t.Errorf("loads of a reload (-want +got):\n%s", diff)
	}
}

// TestReloadUnderLoad reloads all the time while records run: each is answered by
// one version or the other.
func TestReloadUnderLoad(t *testing.T) {
	dir := writeTree(t, map[string]string{"a.star": named("v0")})
	c := open(t, Options{Path: dir})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
				write(t, named(fmt.Sprintf("v%d", i)), dir, "new")
				if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "a.star")); err != nil {
					t.Error(err)
				}
				if _, err := c.Reload(context.Background()); err != nil {
					t.Error(err)
				}
			}
		}
	})
	last := 0
	for range 500 {
		var version int
		if _, err := fmt.Sscanf(next(t, c, "a"), "v%d", &version); err != nil || version < last {
			t.Errorf("answered by version %d after %d, %v", version, last, err)
		}
		last = version
	}
	close(stop)
	wg.Wait()
	if last == 0 {
		t.Error("no reload came through")
	}
}

func TestCatalogFail(t *testing.T) {
	dir := writeTree(t, map[string]string{"a.star": okPlan})
	c := open(t, Options{Path: dir})
	for key, plan := range map[string]string{"a": "a", "g:a": "a", "x": ""} {
		rec := recordOf(t, sampleInput(t))
		rec.Key = []byte(key)
		out := c.Fail(rec, execution.ReasonTooLarge, "Execution of 2 bytes exceeds 1")
		if out.Reason != execution.ReasonTooLarge || out.Plan != plan || (out.Digest == "") != (plan == "") {
			t.Errorf("Fail(%q) = %+v, want plan %q", key, out, plan)
		}
		if h := decodeExecution(t, out).GetHeader(); h.GetTenantId() != "acme" {
			t.Errorf("tenant_id = %q, want acme", h.GetTenantId())
		}
	}
}

func TestStartWithoutKey(t *testing.T) {
	c := open(t, Options{Path: t.TempDir()})
	if out := answer(t, c, ""); out.Reason != execution.ReasonUnknownPlan || out.Message != "The record's key names no plan" {
		t.Errorf("outcome = %+v", out)
	}
}

func TestPrintsAreLogged(t *testing.T) {
	dir := writeTree(t, map[string]string{"a.star": "def plan(plan_input):\n    print('hello')\n    return PlanResult()\n"})
	for level, want := range map[slog.Level]bool{slog.LevelDebug: true, slog.LevelInfo: false} {
		var logged bytes.Buffer
		c := open(t, Options{Path: dir, Logger: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: level}))})
		out := answer(t, c, "a")
		line := fmt.Sprintf(`level=DEBUG msg=print plan=a exec_id=%s text="a.star:2:10: hello"`, out.ExecID)
		if got := strings.Contains(logged.String(), line); got != want {
			t.Errorf("level %v: log has %q: %v, want %v", level, line, got, want)
		}
	}
}

func TestMetrics(t *testing.T) {
	dir := writeTree(t, map[string]string{"a.star": okPlan, "g/b/plan.star": okPlan, "bad.star": "x\n"})
	reg := prometheus.NewPedanticRegistry()
	c, err := Open(context.Background(), withEngine(Options{Path: dir, Registerer: reg, Limits: Limits{MaxSteps: 500, Timeout: 90 * time.Second}}))
	if err != nil {
		t.Fatal(err)
	}
	lint, err := testutil.GatherAndLint(reg)
	if err != nil || len(lint) > 0 {
		t.Errorf("GatherAndLint = %v, %v", lint, err)
	}
	digest, label := c.Plans()[0].Digest, InterpreterVersion()
	check := func(want string, names ...string) {
		t.Helper()
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want), names...); err != nil {
			t.Error(err)
		}
	}
	check(`
# HELP starplan_plan_last_reload_successful Whether the newest version of the plan is the one that is served.
# TYPE starplan_plan_last_reload_successful gauge
starplan_plan_last_reload_successful{plan="a"} 1
starplan_plan_last_reload_successful{plan="bad"} 0
starplan_plan_last_reload_successful{plan="g:b"} 1
# HELP starplan_plan_max_steps Step limit of an execution.
# TYPE starplan_plan_max_steps gauge
starplan_plan_max_steps 500
# HELP starplan_plan_timeout_seconds Wall clock limit of an execution.
# TYPE starplan_plan_timeout_seconds gauge
starplan_plan_timeout_seconds 90
# HELP starplan_plan_reloads_total Times that the plans were read again.
# TYPE starplan_plan_reloads_total counter
starplan_plan_reloads_total 0
# HELP starplan_plan_reload_failures_total Reloads in which a plan, or all of them, could not be read or loaded.
# TYPE starplan_plan_reload_failures_total counter
starplan_plan_reload_failures_total 0
`, "starplan_plan_last_reload_successful", "starplan_plan_max_steps", "starplan_plan_timeout_seconds", "starplan_plan_reloads_total", "starplan_plan_reload_failures_total")
	if err := os.RemoveAll(filepath.Join(dir, "g")); err != nil {
		t.Fatal(err)
	}
	reload(t, c) // One that fails for bad, and then one that does not.
	if err := os.Remove(filepath.Join(dir, "bad.star")); err != nil {
		t.Fatal(err)
	}
	reload(t, c)
	check(`
# HELP starplan_plan_info Plans that are served, by the digest of their sources and the version of the Starlark interpreter.
# TYPE starplan_plan_info gauge
starplan_plan_info{digest="`+digest+`",interpreter="`+label+`",plan="a"} 1
# HELP starplan_plan_last_reload_successful Whether the newest version of the plan is the one that is served.
# TYPE starplan_plan_last_reload_successful gauge
starplan_plan_last_reload_successful{plan="a"} 1
# HELP starplan_plan_reload_failures_total Reloads in which a plan, or all of them, could not be read or loaded.
# TYPE starplan_plan_reload_failures_total counter
starplan_plan_reload_failures_total 1
# HELP starplan_plan_reloads_total Times that the plans were read again.
# TYPE starplan_plan_reloads_total counter
starplan_plan_reloads_total 2
`, "starplan_plan_info", "starplan_plan_last_reload_successful", "starplan_plan_reloads_total", "starplan_plan_reload_failures_total")
	if got := testutil.CollectAndCount(c.metrics, "starplan_plan_last_reload_success_timestamp_seconds"); got != 1 {
		t.Errorf("%d series of timestamps, want 1", got)
	}
	if seconds := time.Since(c.table.Load().plans[0].checkedAt); seconds < 0 || seconds > time.Minute {
		t.Errorf("last success %v ago", seconds)
	}
	readable := func(want string) {
		t.Helper()
		check(`
# HELP starplan_plans_readable Whether the plans as a whole could be read when that was last tried; where not, those of before are served.
# TYPE starplan_plans_readable gauge
starplan_plans_readable `+want+"\n", "starplan_plans_readable")
	}
	readable("1")
	if err := os.Mkdir(filepath.Join(dir, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, okPlan, dir, "a", "plan.star") // Two files claim the name a.
	if _, err := c.Reload(context.Background()); err == nil {
		t.Error("Reload = nil, want an error")
	}
	readable("0")
	if err := os.RemoveAll(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	reload(t, c)
	readable("1")
	c.Close()
	c.Close()
	if n, err := testutil.GatherAndCount(reg); n != 0 || err != nil {
		t.Errorf("%d series after Close, %v, want none", n, err)
	}
}

func TestInProcess(t *testing.T) {
	e := NewInProcess("acme", Limits{MaxSteps: 1000})
	good, bad := source(t, named("x")), source(t, "x\n")
	if err := e.Load(context.Background(), good); err != nil {
		t.Error(err)
	}
	var fault *LoadError
	if err := e.Load(context.Background(), bad); !errors.As(err, &fault) {
		t.Errorf("Load of a bad plan = %v, want a *LoadError", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := e.Load(ctx, good); !errors.Is(err, context.Canceled) {
		t.Errorf("Load with an ended context = %v", err)
	}
	out := make(chan execution.Outcome, 1)
	e.Start(context.Background(), bad, recordOf(t, sampleInput(t)), func(o execution.Outcome) { out <- o })
	if o := <-out; o.Reason != execution.ReasonLoad || o.Message != "Plan could not be loaded: plan.star:1:1: undefined: x" {
		t.Errorf("outcome = %+v", o)
	}
	// Two plans of one text keep their names.
	other := *good
	other.Name, other.Graph = "other", "g"
	e.Start(context.Background(), &other, recordOf(t, sampleInput(t)), func(o execution.Outcome) { out <- o })
	if o := <-out; o.Plan != "g:other" {
		t.Errorf("Plan = %q, want g:other", o.Plan)
	}
}

// TestInProcessCache fills the cache beyond its bound.
func TestInProcessCache(t *testing.T) {
	e := NewInProcess("acme", Limits{})
	for i := range maxCached + 10 {
		src := source(t, okPlan)
		src.Name = fmt.Sprint(i)
		if err := e.Load(context.Background(), src); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(e.programs); n > maxCached {
		t.Errorf("%d programs are kept, want at most %d", n, maxCached)
	}
}

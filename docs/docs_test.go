// Package docs_test holds the documentation to the truth: its examples run, its
// links lead somewhere, and its tables list what the code has.
//
// A block of a page that is fenced as starlark is run. What it must give stands in
// a comment right above the fence, which readers do not see:
//
//	<!-- test: next=a,b -->          plan() SUCCEEDED and names these tasks
//	<!-- test: error="…" -->         plan() SUCCEEDED with this error message
//	<!-- test: fails="…" -->         it does not load, or FAILED, and the message matches
//	<!-- test: input=two_step/x -->  the input is that of a sample in scripts/
//	<!-- test: file=lib.star -->     it is a module that later blocks of the page load
//	<!-- test: tests=x_test.star --> it is a test file of such modules; all its tests pass
//	<!-- test: exec=… -->        a part of what TestExecShown compares
//
// A block with lines "EXPRESSION  # => VALUE" need not define plan(): its lines
// run inside one, and each such expression must equal the value. A block fenced
// as json and marked <!-- test: plan-input --> is the input of the blocks that
// follow it; one marked <!-- test: execution --> must be what the last plan gives.
package docs_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"starplan/internal/config"
	"starplan/internal/pbjson"
	"starplan/internal/plantest"
	"starplan/plan"
	"starplan/plan/execution"
	"starplan/plan/worker"
	"starplan/processor"
	"starplan/proto/planpb"
	"starplan/scripts"
)

// defaultInput is a sample; it is the input of blocks that name none.
const defaultInput = "two_step/goes_on"

func TestMain(m *testing.M) {
	worker.Divert() // A pool starts this binary again as its worker.
	os.Exit(m.Run())
}

func TestExamples(t *testing.T) {
	for _, page := range []string{"writing-plans.md", "moving-from-plan-py.md"} {
		t.Run(page, func(t *testing.T) {
			p := pageRunner{t: t, files: make(map[string]string), input: sampleRecord(t, defaultInput)}
			tested := 0
			for _, b := range blocks(t, page) {
				if p.run(b) {
					tested++
				}
			}
			if tested < 10 {
				t.Errorf("%s: %d examples were tested; is the page still read as it should be?", page, tested)
			}
		})
	}
}

// TestReadme runs the plan that the README shows.
func TestReadme(t *testing.T) {
	p := pageRunner{t: t}
	ran := false
	for _, b := range blocks(t, "../README.md") {
		if !strings.Contains(b.text, "def plan(") {
			continue
		}
		ran = true
		if _, message := p.execute(sampleRecord(t, defaultInput), b.text); message != "" {
			t.Errorf("%v: %s", b, message)
		}
	}
	if !ran {
		t.Error("the README shows no plan")
	}
}

// pageRunner runs the blocks of one page in order.
type pageRunner struct {
	t     *testing.T
	files map[string]string
	input execution.Record
	last  *planpb.PlanExecution
}

// run tests one block and reports whether there was anything to test.
func (p *pageRunner) run(b block) bool {
	switch {
	case b.marks["exec"] != "":
		return false // That is for TestExecShown.
	case b.marks["tests"] != "":
		p.t.Run(fmt.Sprint("line ", b.line), func(t *testing.T) { p.testFile(t, b) })
	case b.lang == "starlark":
		p.t.Run(fmt.Sprint("line ", b.line), func(t *testing.T) { p.starlark(t, b) })
	case has(b.marks, "plan-input"):
		rec, err := scripts.Sample{Plan: "example", Case: b.String(), Input: []byte(b.text)}.Record()
		if err != nil {
			p.t.Fatal(err)
		}
		p.input = rec
	case has(b.marks, "execution"):
		want := new(planpb.PlanExecution)
		if err := pbjson.Unmarshal([]byte(b.text), want); err != nil {
			p.t.Errorf("%v: %v", b, err)
		}
		if diff := cmp.Diff(want, p.last, protocmp.Transform()); diff != "" {
			p.t.Errorf("%v: the last plan gives another execution (-page +got):\n%s", b, diff)
		}
	case b.marks != nil:
		p.t.Errorf("%v: marks %v on a block of %q, which is not tested", b, b.marks, b.lang)
	default:
		return false
	}
	return true
}

func (p *pageRunner) starlark(t *testing.T, b block) {
	for key := range b.marks {
		if !slices.Contains([]string{"file", "input", "next", "error", "fails"}, key) {
			t.Fatalf("%v: unknown mark %q", b, key)
		}
	}
	if name := b.marks["file"]; name != "" {
		p.files[name] = b.text
		b.text = fmt.Sprintf("load(%q, _f = %s)\ndef plan(plan_input):\n    return PlanResult()\n", name, firstGlobal(t, b))
	} else if strings.Contains(b.text, "# =>") {
		b.text = doctest(b.text)
	} else if !strings.Contains(b.text, "def plan(") && !has(b.marks, "fails") {
		t.Fatalf("%v: the block has no plan(), no value to compare and no mark: it tests nothing", b)
	}
	rec := p.input
	if name := b.marks["input"]; name != "" {
		rec = sampleRecord(t, name)
	}
	got, message := p.execute(rec, b.text)
	if pattern, ok := b.marks["fails"]; ok {
		if !regexp.MustCompile(pattern).MatchString(message) {
			t.Errorf("%v: failure is %q, want a match of %q", b, message, pattern)
		}
		return
	}
	if message != "" {
		t.Fatalf("%v: %s", b, message)
	}
	p.last = got
	if next, ok := b.marks["next"]; ok {
		if got := strings.Join(got.GetResult().GetNextTaskNames(), ","); got != next {
			t.Errorf("%v: next tasks are %q, want %q", b, got, next)
		}
	}
	if got, want := got.GetResult().GetErrorMessage(), b.marks["error"]; got != want {
		t.Errorf("%v: error message is %q, want %q", b, got, want)
	}
}

// testFile runs a test file beside the modules of the page.
func (p *pageRunner) testFile(t *testing.T, b block) {
	dir := t.TempDir()
	name := b.marks["tests"]
	files := maps.Clone(p.files)
	files[name] = b.text
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	report, err := plantest.Run(t.Context(), plantest.Options{
		Files:  []string{filepath.Join(dir, name)},
		Limits: plan.Limits{MaxSteps: 1_000_000, Timeout: time.Minute},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Count(b.text, "\ndef test_"); report.Passed != want || report.Failed != 0 {
		var text strings.Builder
		if err := report.Write(&text, true); err != nil {
			t.Fatal(err)
		}
		t.Errorf("%v: %d passed and %d failed, want %d passed:\n%s", b, report.Passed, report.Failed, want, text.String())
	}
}

// execute runs text as plan.star. message says why it failed; empty where it did not.
func (p *pageRunner) execute(rec execution.Record, text string) (exec *planpb.PlanExecution, message string) {
	files := map[string]string{plan.EntryFile: text}
	for name, module := range p.files {
		files[name] = module
	}
	src, err := plan.NewSource("example", plan.EntryFile, files)
	if err != nil {
		return nil, err.Error()
	}
	prog, err := plan.Compile(src, plan.Limits{MaxSteps: 1_000_000})
	if err != nil {
		return nil, err.Error()
	}
	out := prog.Run(scripts.Tenant, rec)
	exec = new(planpb.PlanExecution)
	if err := proto.Unmarshal(out.Value, exec); err != nil {
		return nil, err.Error()
	}
	if out.Reason != "" {
		return nil, out.Message
	}
	return exec, ""
}

// valueLine is a line that states what an expression gives.
var valueLine = regexp.MustCompile(`(?m)^(\S.*?)  # => (.*)$`)

// doctest makes a plan of a block that states values.
func doctest(text string) string {
	var top, body strings.Builder
	for line := range strings.Lines(valueLine.ReplaceAllString(text, `_same($1, $2)`)) {
		if strings.HasPrefix(line, "load(") {
			top.WriteString(line)
		} else {
			body.WriteString("    " + line)
		}
	}
	return top.String() + `
def _same(got, want):
    if type(got) != type(want) or got != want:
        fail("got %r, want %r" % (got, want))

def plan(plan_input):
` + body.String() + `    return PlanResult()
`
}

// firstGlobal gives the quoted name of the first function of a module.
func firstGlobal(t *testing.T, b block) string {
	m := regexp.MustCompile(`(?m)^def ([a-z]\w*)\(`).FindStringSubmatch(b.text)
	if m == nil {
		t.Fatalf("%v: a module without a public function", b)
	}
	return fmt.Sprintf("%q", m[1])
}

func has(marks map[string]string, key string) bool {
	_, ok := marks[key]
	return ok
}

func sampleRecord(t *testing.T, name string) execution.Record {
	t.Helper()
	samples, err := scripts.Samples()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range samples {
		if s.String() == name {
			rec, err := s.Record()
			if err != nil {
				t.Fatal(err)
			}
			return rec
		}
	}
	t.Fatalf("no sample %q in scripts/", name)
	return execution.Record{}
}

// TestDependencies holds dependencies.md to what go.mod requires directly.
func TestDependencies(t *testing.T) {
	text, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	required := make(map[string]string)
	requirement := regexp.MustCompile(`(?m)^\t(\S+) (v\S+)$`) // Indirect ones have a comment.
	for _, m := range requirement.FindAllStringSubmatch(string(text), -1) {
		required[m[1]] = m[2]
	}
	documented := make(map[string]string)
	for _, row := range table(t, "dependencies.md", "## Libraries") {
		documented[strings.Trim(row[0], "`")] = row[1]
		if len(row) != 3 || len(row[2]) < 10 {
			t.Errorf("%s: want a reason, got %q", row[0], row[2:])
		}
	}
	if diff := cmp.Diff(required, documented); diff != "" {
		t.Errorf("dependencies.md differs from the direct requirements of go.mod (-go.mod +page):\n%s", diff)
	}
}

// TestSettings holds operating.md to the variables that the service reads.
func TestSettings(t *testing.T) {
	var read []string
	addVariables(reflect.TypeFor[config.Flags](), &read)
	var documented []string
	for _, row := range table(t, "operating.md", "## Settings") {
		for _, m := range code.FindAllStringSubmatch(row[0], -1) {
			documented = append(documented, m[1])
		}
	}
	slices.Sort(read)
	slices.Sort(documented)
	if diff := cmp.Diff(read, documented); diff != "" {
		t.Errorf("operating.md differs from the variables that are read (-code +page):\n%s", diff)
	}
}

// code is text in backticks.
var code = regexp.MustCompile("`([^`]+)`")

// addVariables collects the variables in the tags of a struct of flags and of the
// structs embedded in it.
func addVariables(typ reflect.Type, names *[]string) {
	for i := range typ.NumField() {
		f := typ.Field(i)
		if _, embedded := f.Tag.Lookup("embed"); embedded {
			addVariables(f.Type, names)
		} else if env := f.Tag.Get("env"); env != "" {
			*names = append(*names, strings.Split(env, ",")...)
		}
	}
}

// TestMetrics holds metrics.md to the metrics that a service's parts register. The
// page is written from a scrape, which does not show a metric without a series.
func TestMetrics(t *testing.T) {
	reg := new(registerer)
	pool, err := worker.NewPool(t.Context(), worker.Options{Tenant: "t", Workers: 1, Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := pool.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	plans, err := plan.Open(t.Context(), plan.Options{Path: "../scripts", Tenant: "t", Engine: pool, Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := processor.New(processor.Options{
		Brokers: []string{"localhost:9092"}, Tenant: "t", Group: "g", Serving: processor.ServingAll,
		Runner: plans, Registerer: reg,
	}); err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, row := range table(t, "metrics.md", "# Metrics") {
		if name := strings.Trim(row[0], "`"); name != "starplan_build_info" { // That is the service's own.
			documented = append(documented, name+"{"+strings.ReplaceAll(strings.ReplaceAll(row[2], "`", ""), " ", "")+"}")
		}
	}
	slices.Sort(reg.names)
	slices.Sort(documented)
	if diff := cmp.Diff(reg.names, documented); diff != "" {
		t.Errorf("metrics.md differs from the metrics that are registered; give each a series from the start (-code +page):\n%s", diff)
	}
}

// registerer notes the metrics that are registered, as name{label,label} with the
// labels in order.
type registerer struct{ names []string }

var descText = regexp.MustCompile(`fqName: "([^"]*)".*variableLabels: \{([^}]*)\}`)

func (r *registerer) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		c.Describe(descs)
	}()
	for d := range descs {
		m := descText.FindStringSubmatch(d.String())
		if m == nil {
			return fmt.Errorf("no name and labels in %v", d)
		}
		labels := strings.Split(m[2], ",")
		slices.Sort(labels)
		r.names = append(r.names, m[1]+"{"+strings.Join(labels, ",")+"}")
	}
	return nil
}

func (r *registerer) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := r.Register(c); err != nil {
			panic(err)
		}
	}
}

func (r *registerer) Unregister(prometheus.Collector) bool { return true }

// TestFileMap holds DESIGN.md to the folders and files that there are.
func TestFileMap(t *testing.T) {
	listed := make(map[string]bool)
	for _, row := range table(t, "DESIGN.md", "## 10. File map") {
		dir := strings.TrimSuffix(strings.Trim(row[0], "`"), "/")
		listed[dir] = true
		if _, err := os.Stat(filepath.Join("..", dir)); err != nil {
			t.Errorf("DESIGN.md lists %s: %v", dir, err)
		}
		for _, m := range code.FindAllStringSubmatch(row[1], -1) {
			if files, err := filepath.Glob(filepath.Join("..", dir, m[1])); err != nil || len(files) == 0 {
				t.Errorf("DESIGN.md lists %s in %s, which is not there", m[1], dir)
			}
		}
	}
	files, err := filepath.Glob("../*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"../*/*/*.go", "../*/*/*/*.go"} {
		deeper, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, deeper...)
	}
	for _, file := range files {
		dir, err := filepath.Rel("..", filepath.Dir(file))
		if err != nil {
			t.Fatal(err)
		}
		if dir = filepath.ToSlash(dir); !listed[dir] {
			listed[dir] = true
			t.Errorf("DESIGN.md does not list %s/, which holds Go files", dir)
		}
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	fenced  = regexp.MustCompile("(?ms)^```.*?^```$")
)

// TestLinks follows every link of the pages that leads to another file or to a heading.
func TestLinks(t *testing.T) {
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	pages = append(pages, "../CHANGELOG.md", "../README.md")
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			name, anchor, _ := strings.Cut(m[1], "#")
			target := page
			if name != "" {
				target = filepath.Join(filepath.Dir(page), name)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: link %s: %v", page, m[1], err)
			} else if anchor != "" && !slices.Contains(anchors(t, target), anchor) {
				t.Errorf("%s: link %s: no such heading", page, m[1])
			}
		}
	}
}

// anchors gives the anchors of a page's headings as GitHub makes them.
func anchors(t *testing.T, page string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(string(text), ""), -1) {
		anchor := regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		list = append(list, strings.ReplaceAll(anchor, " ", "-"))
	}
	return list
}

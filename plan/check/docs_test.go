package check_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"starplan/plan/check"
)

var update = flag.Bool("update", false, "write the table of codes to docs/check.md")

// TestDocumentedCodes compares the table of codes in the documentation with the
// code.
func TestDocumentedCodes(t *testing.T) {
	const page, begin, end = "../../docs/check.md", "-update -->\n", "<!-- end of codes -->"
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(data), begin)
	got, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", page)
	}
	var want strings.Builder
	want.WriteString("\n| code | severity | what it says |\n|---|---|---|\n")
	for _, c := range check.Codes() {
		fmt.Fprintf(&want, "| `%s` | %s | %s |\n", c.Code, c.Severity, strings.ReplaceAll(c.Meaning, "|", `\|`))
	}
	want.WriteString("\n")
	if *update {
		if err := os.WriteFile(page, []byte(head+begin+want.String()+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want.String(), got); diff != "" {
		t.Errorf("%s is not up to date; run go test ./plan/check -run TestDocumentedCodes -update (-want +got):\n%s", page, diff)
	}
}

// TestCodesAreListed checks that every finding of all test data has a documented
// code and its usual severity, and that nearly every code is found there.
func TestCodesAreListed(t *testing.T) {
	severity := make(map[string]check.Severity)
	for _, c := range check.Codes() {
		if _, ok := severity[c.Code]; ok {
			t.Errorf("code %q is listed twice", c.Code)
		}
		severity[c.Code] = c.Severity
	}
	found := make(map[string]bool)
	for _, file := range []string{"python/statements", "python/expressions", "rules/fields", "rules/values", "rules/flow"} {
		for _, c := range chunks(t, "testdata/"+file+".star") {
			for _, f := range findingsOf(t, c.text) {
				found[f.Code] = true
				want, ok := severity[f.Code]
				if !ok {
					t.Errorf("code %q is not listed", f.Code)
				}
				if f.Severity != want && f.Code != check.CodeReturnsNothing {
					t.Errorf("%v: severity %q, want %q", f, f.Severity, want)
				}
			}
		}
	}
	// These are tested with files, graphs and workers.
	elsewhere := []string{
		"load-cycle", "limit-memory", "limit-time", "worker-crash", "limit-source", "unknown-task", "missing-task", "graph-error", "unknown-plan", "python-requirements",
	}
	for code := range severity {
		if !found[code] && !slices.Contains(elsewhere, code) {
			t.Errorf("code %q is in no test", code)
		}
	}
}

// TestReportMatchesItsSchema validates reports, and documents that are none.
func TestReportMatchesItsSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("../../docs/check.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	tree(t, map[string]string{
		"agent_graph.dot": routes, "plans/start/plan.star": next(`"fetch", "stor"`), "plans/finish/plan.star": "import x\n",
		"many.star": "def plan(plan_input):\n    x = 1\n    return PlanResult(next_task_names = plan_input.nope)\n", "long.star": "#" + strings.Repeat("x", 300<<10),
	})
	for _, path := range []string{".", "many.star", "long.star", "plans"} {
		report, err := check.Files(context.Background(), []string{path}, check.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(report.Findings) == 0 {
			t.Errorf("%s has no findings", path)
		}
		doc, err := json.Marshal(report)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(schema, doc); err != nil {
			t.Errorf("report of %s does not match its schema: %v\n%s", path, err, doc)
		}
	}
	empty, err := check.Source(context.Background(), "p.star", okPlan, check.Options{})
	if err != nil {
		t.Fatal(err)
	}
	good, err := json.Marshal(empty)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"valid":true,"files":["p.star"],"errors":[],"warnings":[],"diagnostics":[]}`
	if string(good) != want {
		t.Errorf("report of a valid plan is %s, want %s", good, want)
	}
	if err := validate(schema, good); err != nil {
		t.Errorf("report of a valid plan: %v", err)
	}
	for _, bad := range []string{
		`[]`, `{}`, strings.Replace(want, "true", `"yes"`, 1), strings.Replace(want, `["p.star"]`, `[""]`, 1),
		strings.Replace(want, `"files"`, `"x":1,"files"`, 1), strings.Replace(want, `"diagnostics":[]`, `"diagnostics":[{}]`, 1),
		strings.Replace(want, `"diagnostics":[]`, `"diagnostics":[{"severity":"bad","code":"x","message":"m","hint":"","file":"f","plan":"","line":1,"col":1,"end_line":1,"end_col":2}]`, 1),
		strings.Replace(want, `"diagnostics":[]`, `"diagnostics":[{"severity":"info","code":"X","message":"m","hint":"","file":"f","plan":"","line":1,"col":1,"end_line":1,"end_col":2}]`, 1),
		strings.Replace(want, `"diagnostics":[]`, `"diagnostics":[{"severity":"info","code":"x","message":"m","hint":"","file":"f","plan":"","line":-1,"col":1,"end_line":1,"end_col":1.5}]`, 1),
	} {
		if err := validate(schema, []byte(bad)); err == nil {
			t.Errorf("the schema takes %s", bad)
		}
	}
}

// validate holds a JSON document to a schema.
func validate(schema *jsonschema.Schema, document []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return err
	}
	return schema.Validate(doc)
}

// TestDocumentedExample makes the finding that the documentation shows.
func TestDocumentedExample(t *testing.T) {
	page, err := os.ReadFile("../../docs/check.md")
	if err != nil {
		t.Fatal(err)
	}
	text := "def plan(plan_input):\n    for t in plan_input.task_executions:\n        if t.header.status == 4 or t.reslt.error_message:\n" +
		"            return PlanResult(next_task_names = [\"repair\"])\n    return PlanResult()\n"
	report, err := check.Source(context.Background(), "plans/route.star", text, check.Options{})
	if err != nil || len(report.Findings) != 1 {
		t.Fatalf("Source = %+v, %v, want one finding", report, err)
	}
	f := report.Findings[0]
	first, hint, _ := strings.Cut(f.String(), "\n")
	for _, want := range []string{first, strings.TrimSpace(hint), report.Excerpt(f)} {
		for line := range strings.Lines(want) {
			if !strings.Contains(string(page), strings.TrimRight(line, "\n")) {
				t.Errorf("docs/check.md does not show %q", line)
			}
		}
	}
	if want := fmt.Sprintf(`"line": %d, "col": %d, "end_line": %d, "end_col": %d`, f.Line, f.Col, f.EndLine, f.EndCol); !strings.Contains(string(page), want) {
		t.Errorf("docs/check.md does not show %s", want)
	}
}

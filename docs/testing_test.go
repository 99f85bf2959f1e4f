package docs_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
	"pgregory.net/rapid"

	"starplan/internal/plantest"
	"starplan/plan"
	"starplan/plan/check"
	"starplan/scripts"
)

// TestPlanTests runs the pages on tests. Beside what other pages have, a block may
// be a test file of the last plan before it, which must pass with as many tests:
//
//	<!-- test: passes=2 -->
func TestPlanTests(t *testing.T) {
	for page, least := range map[string]int{"testing-plans.md": 5, "graph-builder.md": 1} {
		t.Run(page, func(t *testing.T) {
			p := pageRunner{t: t, files: make(map[string]string), input: sampleRecord(t, defaultInput)}
			last, tests := "", 0
			for _, b := range blocks(t, page) {
				if want := b.marks["passes"]; want != "" {
					tests++
					t.Run(fmt.Sprint("line ", b.line), func(t *testing.T) { runTestFile(t, b, last, want) })
					continue
				}
				p.run(b)
				if strings.Contains(b.text, "def plan(") {
					last = b.text
				}
			}
			if tests < least {
				t.Errorf("%s: %d test files ran, want at least %d; is the page still read as it should be?", page, tests, least)
			}
		})
	}
}

func runTestFile(t *testing.T, b block, planText, want string) {
	dir := t.TempDir()
	for name, text := range map[string]string{plan.EntryFile: planText, "plan_test.star": b.text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	limits := plan.Limits{MaxSteps: 1_000_000, Timeout: plan.DefaultTimeout}
	report, err := plantest.Run(t.Context(), plantest.Options{
		Files: []string{filepath.Join(dir, "plan_test.star")}, Limits: limits,
		Engine: plan.NewInProcess(scripts.Tenant, limits),
	})
	if err != nil {
		t.Fatal(err)
	}
	if report.Failed > 0 || fmt.Sprint(report.Passed) != want {
		var text strings.Builder
		_ = report.Write(&text, true) // A Builder takes everything.
		t.Errorf("%v: want %s tests that pass:\n%s", b, want, &text)
	}
}

// TestReference runs the examples of the page that is generated.
func TestReference(t *testing.T) {
	const page = "plan-reference.md"
	p := pageRunner{t: t, files: make(map[string]string), input: sampleRecord(t, defaultInput)}
	tested := 0
	for _, b := range blocks(t, page) {
		if p.run(b) {
			tested++
		}
	}
	if tested < 6 {
		t.Errorf("%s: %d blocks were tested", page, tested)
	}
}

// TestLiterals holds graph-builder.md to its word: JSON's strings are Starlark's.
func TestLiterals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.String().Draw(t, "text")
		var literal strings.Builder
		enc := json.NewEncoder(&literal)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(want); err != nil {
			t.Fatal(err)
		}
		v, err := starlark.EvalOptions(&syntax.FileOptions{}, new(starlark.Thread), "literal", literal.String(), nil)
		if got, _ := starlark.AsString(v); err != nil || got != want {
			t.Errorf("%s is %q, %v, want %q", &literal, got, err, want)
		}
	})
}

// TestFailurePattern finds the position in a message, by the expression that
// graph-builder.md names.
func TestFailurePattern(t *testing.T) {
	text, err := os.ReadFile("graph-builder.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?m)^`([^`]+)` finds file, line and column").FindSubmatch(text)
	if m == nil {
		t.Fatal("graph-builder.md names no expression")
	}
	position := regexp.MustCompile(string(m[1]))
	src, err := plan.NewSource("p", plan.EntryFile, map[string]string{plan.EntryFile: "def plan(plan_input):\n    fail(\"(no) order (yet)\")\n"})
	if err != nil {
		t.Fatal(err)
	}
	prog, err := plan.Compile(src, plan.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	out := prog.Run("t", sampleRecord(t, defaultInput))
	if got := position.FindStringSubmatch(out.Message); len(got) != 4 || got[1] != plan.EntryFile || got[2] != "2" || got[3] != "9" {
		t.Errorf("%q has position %q, want plan.star, 2, 9", out.Message, got)
	}
}

// TestDocuments holds the JSON documents that the pages show to those that the
// commands print, by the names of their members.
func TestDocuments(t *testing.T) {
	for _, test := range []struct {
		page, begins string
		document     reflect.Type
	}{
		{"testing-plans.md", `    {"passed": `, reflect.TypeFor[plantest.Report]()},
		{"graph-builder.md", `    {"valid": `, reflect.TypeFor[check.Report]()},
	} {
		text, err := os.ReadFile(test.page)
		if err != nil {
			t.Fatal(err)
		}
		_, shown, ok := strings.Cut(string(text), "\n"+test.begins)
		if !ok {
			t.Errorf("%s shows no document that begins with %q", test.page, test.begins)
			continue
		}
		shown, _, _ = strings.Cut(test.begins+shown, "\n\n")
		var names []string
		for _, m := range regexp.MustCompile(`"(\w+)"(?:[:,}]|$)`).FindAllStringSubmatch(regexp.MustCompile(`: "[^"]*"`).ReplaceAllString(shown, ":"), -1) {
			names = append(names, m[1])
		}
		want := members(test.document)
		slices.Sort(names)
		slices.Sort(want)
		if diff := cmp.Diff(slices.Compact(want), slices.Compact(names)); diff != "" {
			t.Errorf("%s: members differ (-code +page):\n%s", test.page, diff)
		}
	}
}

// members lists the names in the JSON of a type, at any depth.
func members(typ reflect.Type) []string {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct {
		return nil
	}
	var names []string
	for i := range typ.NumField() {
		name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		names = append(append(names, name), members(typ.Field(i).Type)...)
	}
	return names
}

package check_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"starplan/plan/check"
)

// chunk is one plan of a file of plans, which are separated by lines "---".
type chunk struct {
	line int // Of the file, before the chunk's first.
	text string
}

func chunks(t *testing.T, path string) []chunk {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []chunk
	line := 0
	for text := range strings.SplitSeq(string(data), "\n---\n") {
		list = append(list, chunk{line, text + "\n"})
		line += strings.Count(text, "\n") + 2
	}
	return list
}

// expectation is what a comment `### COL code "message"` wants.
type expectation struct {
	line, col int
	code      string
	message   *regexp.Regexp
}

func (e expectation) String() string {
	return fmt.Sprintf("%d:%d: %s %q", e.line, e.col, e.code, e.message)
}

var expectationForm = regexp.MustCompile(`### (\d+) ([a-z-]+) ("(?:[^"\\]|\\.)*")`)

func expectations(t *testing.T, c chunk) []expectation {
	t.Helper()
	var list []expectation
	for i, line := range strings.Split(c.text, "\n") {
		all := expectationForm.FindAllStringSubmatch(line, -1)
		if len(all) != strings.Count(line, "### ") {
			t.Fatalf("line %d: want comments of the form ### COL code \"message\": %s", c.line+i+1, line)
		}
		for _, m := range all {
			col, _ := strconv.Atoi(m[1])
			list = append(list, expectation{i + 1, col, m[2], regexp.MustCompile(strings.Trim(m[3], `"`))})
		}
	}
	return list
}

// TestStar checks the plans in testdata, whose comments tell all findings.
func TestStar(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.star")
	if err != nil || len(files) < 2 {
		t.Fatalf("testdata: %v, %v", files, err)
	}
	python := 0
	for _, file := range files {
		for _, c := range chunks(t, file) {
			t.Run(fmt.Sprintf("%s:%d", filepath.Base(file), c.line+1), func(t *testing.T) {
				want := expectations(t, c)
				if strings.Contains(file, "python/") && len(want) > 0 {
					python++
				}
				for _, f := range findingsOf(t, c.text) {
					if f.Code == "missing-plan" && !strings.Contains(c.text, "missing-plan") {
						continue // Most chunks are about something else.
					}
					i := slices.IndexFunc(want, func(e expectation) bool {
						return e.line == f.Line && e.col == f.Col && e.code == f.Code && e.message.MatchString(f.Message)
					})
					if i < 0 {
						t.Errorf("line %d: unexpected finding %v", c.line+f.Line, f)
						continue
					}
					want = slices.Delete(want, i, i+1)
				}
				for _, e := range want {
					t.Errorf("line %d: no finding %v", c.line+e.line, e)
				}
			})
		}
	}
	if python < 60 {
		t.Errorf("%d plans with constructs of Python, want 60 at least", python)
	}
}

func findingsOf(t *testing.T, text string) []check.Finding {
	t.Helper()
	report, err := check.Source(context.Background(), "x/p.star", text, check.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return report.Findings
}

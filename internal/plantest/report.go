package plantest

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Report is what a run of tests gave.
type Report struct {
	Passed int      `json:"passed"`
	Failed int      `json:"failed"`
	Tests  []Result `json:"tests"`
	// Coverage is there where it was asked for.
	Coverage []Coverage `json:"coverage,omitempty"`
}

// Result is what one test gave.
type Result struct {
	// File is the path of the test file, or of a golden case's input.
	File string `json:"file"`
	// Name is the function's, followed by those of tests within it after slashes; or
	// "golden" and the case; or "load" for a file that cannot be loaded.
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	// Updated says that the want file was written.
	Updated bool `json:"updated,omitempty"`
	// Failure is nil where the test passed.
	Failure *Failure `json:"failure,omitempty"`
	// Prints are the lines that were printed, with their positions.
	Prints []string `json:"prints,omitempty"`
}

// Failure says why a test failed.
type Failure struct {
	Message string `json:"message"`
	// File, Line and Col say where, counted from 1; zero where unknown.
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	Col  int    `json:"col,omitempty"`
	// Source is the text of the line.
	Source string `json:"source,omitempty"`
	// Got and Want are the values of an assertion.
	Got  string `json:"got,omitempty"`
	Want string `json:"want,omitempty"`
	// Diff shows lines in which they differ, where they are long.
	Diff string `json:"diff,omitempty"`
	// Backtrace is the call stack, where it is more than the test itself.
	Backtrace string `json:"backtrace,omitempty"`
}

func newReport(results []Result) *Report {
	r := &Report{Tests: results}
	if r.Tests == nil {
		r.Tests = []Result{}
	}
	for _, result := range results {
		if result.Failure == nil {
			r.Passed++
		} else {
			r.Failed++
		}
	}
	return r
}

// Write prints a report for people: failures in full, other tests by file, or one
// by one where verbose is set. The last line is "N passed, N failed".
func (r *Report) Write(w io.Writer, verbose bool) error {
	var b strings.Builder
	for i := 0; i < len(r.Tests); {
		j := i
		passed := 0
		for ; j < len(r.Tests) && group(r.Tests[j]) == group(r.Tests[i]); j++ {
			t := r.Tests[j]
			switch {
			case t.Failure != nil:
				writeFailure(&b, t)
				continue
			case t.Updated:
				fmt.Fprintf(&b, "updated  %s: %s\n", t.File, t.Name)
			case verbose:
				fmt.Fprintf(&b, "ok    %s: %s (%.3fs)\n", t.File, t.Name, t.Seconds)
				writePrints(&b, t.Prints)
			}
			passed++
		}
		if !verbose && passed == j-i {
			fmt.Fprintf(&b, "ok    %s (%d)\n", group(r.Tests[i]), passed)
		}
		i = j
	}
	for _, c := range r.Coverage {
		fmt.Fprintf(&b, "cover %5.1f%%  %s", c.Percent, c.File)
		if len(c.Uncovered) > 0 {
			fmt.Fprintf(&b, "  not run: %s", c.Ranges())
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%d passed, %d failed\n", r.Passed, r.Failed)
	_, err := io.WriteString(w, b.String())
	return err
}

// group is what a line of the report stands for: a test file, or the golden cases
// of a folder.
func group(t Result) string {
	if dir := strings.LastIndexAny(t.File, `/\`); strings.HasSuffix(t.File, InputSuffix) {
		return t.File[:dir+1] + "*" + InputSuffix
	}
	return t.File
}

func writeFailure(b *strings.Builder, t Result) {
	f := t.Failure
	fmt.Fprintf(b, "FAIL  %s: %s\n", t.File, t.Name)
	if f.Line > 0 {
		fmt.Fprintf(b, "  %s:%d:%d: %s\n", f.File, f.Line, f.Col, clean(f.Message, "    "))
	} else {
		fmt.Fprintf(b, "  %s\n", clean(f.Message, "    "))
	}
	if f.Source != "" {
		fmt.Fprintf(b, "  %5d | %s\n        | %s\n", f.Line, clean(f.Source, ""), caret(f.Source, f.Col))
	}
	switch {
	case f.Diff != "":
		fmt.Fprintf(b, "    (-want +got)\n    %s\n", clean(f.Diff, "    "))
	case f.Want != "":
		fmt.Fprintf(b, "    got   %s\n    want  %s\n", clean(f.Got, "          "), clean(f.Want, "          "))
	case f.Got != "":
		fmt.Fprintf(b, "    got   %s\n", clean(f.Got, "          "))
	}
	if f.Backtrace != "" {
		fmt.Fprintf(b, "  %s\n", clean(strings.TrimRight(f.Backtrace, "\n"), "  "))
	}
	writePrints(b, t.Prints)
}

func writePrints(b *strings.Builder, prints []string) {
	for _, line := range prints {
		fmt.Fprintf(b, "  print: %s\n", clean(line, "    "))
	}
}

// caret gives the spaces and the caret that mark a column, which counts
// characters from 1. Tabs stay, so that the caret stands below what it marks.
func caret(source string, col int) string {
	var b strings.Builder
	for _, r := range source {
		if col--; col <= 0 {
			break
		}
		if r == '\t' {
			b.WriteByte('\t')
		} else {
			b.WriteByte(' ')
		}
	}
	return b.String() + "^"
}

// clean makes text fit for a terminal: other lines are indented, and characters
// that would move the cursor are shown as what they are not.
func clean(text, indent string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError {
			return '\uFFFD'
		}
		return r
	}, text)
	return strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n"+indent)
}

package check

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"go.starlark.net/syntax"

	"starplan/plan"
	"starplan/plan/lex"
)

// Severity is how bad a finding is.
type Severity string

// The severities.
const (
	// Error is a plan that cannot be served, or that fails when it gets there.
	Error Severity = "error"
	// Warning is something that is probably not meant.
	Warning Severity = "warning"
	// Info is something to know.
	Info Severity = "info"
)

// Finding is one thing that is wrong with a plan.
type Finding struct {
	Severity Severity `json:"severity"`
	// Code says what kind of fault it is. [Codes] lists all.
	Code string `json:"code"`
	// Message says what is wrong.
	Message string `json:"message"`
	// Hint says what to write instead; often empty.
	Hint string `json:"hint"`
	// File is the module's path.
	File string `json:"file"`
	// Plan is the label of a plan that the module belongs to: "name" or
	// "graph:name".
	Plan string `json:"plan"`
	// Line and Col count from 1, columns in characters; 0 where unknown. The end is
	// the position after the last character.
	Line    int `json:"line"`
	Col     int `json:"col"`
	EndLine int `json:"end_line"`
	EndCol  int `json:"end_col"`
}

// Position gives "file:line:col", as far as it is known.
func (f Finding) Position() string {
	if f.Line > 0 {
		return fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Col)
	}
	return f.File
}

// String gives "file:line:col: severity: message [code]", with the hint on a line
// of its own.
func (f Finding) String() string {
	s := fmt.Sprintf("%s: %s: %s [%s]", f.Position(), f.Severity, f.Message, f.Code)
	if f.Hint != "" {
		s += "\n  hint: " + f.Hint
	}
	return s
}

// findings collects those of one module.
type findings struct {
	// file is the module's path, plan the label of its plan, text its text.
	file, plan, text string
	list             []Finding
	tokens           []lex.Token // Of text, once they are needed.
}

// module makes a collector for a module of a plan whose files lie in dir.
func moduleFindings(dir, name, label, text string) *findings {
	return &findings{file: filepath.Join(dir, filepath.FromSlash(name)), plan: label, text: text}
}

// span adds a finding about a stretch of the text. An end that is not valid is
// that of the token at the beginning.
func (f *findings) span(sev Severity, code string, from, to syntax.Position, message, hint string) {
	f.add(Finding{
		Severity: sev, Code: code, Message: message, Hint: hint,
		Line: int(from.Line), Col: int(from.Col), EndLine: int(to.Line), EndCol: int(to.Col),
	})
}

// fault adds what keeps the plan from being loaded.
func (f *findings) fault(fault *plan.LoadError) {
	f.add(Finding{Severity: Error, Code: fault.Code, Message: fault.Message, Hint: fault.Hint, Line: fault.Line, Col: fault.Col})
}

// add adds a finding once.
func (f *findings) add(x Finding) {
	x.File, x.Plan = f.file, f.plan
	if x.Line > 0 && (x.EndLine < x.Line || x.EndLine == x.Line && x.EndCol <= x.Col) {
		x.EndLine, x.EndCol = f.tokenEnd(x.Line, x.Col)
	}
	if !slices.Contains(f.list, x) {
		f.list = append(f.list, x)
	}
}

// tokenEnd gives the end of the token that begins at a position, or else the
// position behind it.
func (f *findings) tokenEnd(line, col int) (endLine, endCol int) {
	if f.tokens == nil {
		f.tokens = lex.Scan(f.text)
	}
	i, _ := slices.BinarySearchFunc(f.tokens, line, func(t lex.Token, line int) int { return cmp.Compare(t.Line, line) })
	for ; i < len(f.tokens) && f.tokens[i].Line == line; i++ {
		t := f.tokens[i]
		if t.Col != col || t.Kind == lex.Newline {
			continue
		}
		// As f"text" and 1_000.
		for next := i + 1; next < len(f.tokens) && t.Kind < lex.Operator && f.tokens[next].Kind < lex.Operator && t.Touches(f.tokens[next]); next++ {
			t = f.tokens[next]
		}
		return t.EndLine, t.EndCol
	}
	return line, col + 1
}

// hasError reports whether there is an error on a line.
func (f *findings) hasError(line int) bool {
	return slices.ContainsFunc(f.list, func(x Finding) bool { return x.Severity == Error && x.Line == line })
}

// compareFindings orders findings by file and position.
func compareFindings(a, b Finding) int {
	return cmp.Or(
		cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col),
		cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message), cmp.Compare(a.Plan, b.Plan),
	)
}

// Report is what a check found.
type Report struct {
	// Valid says that no finding is an error.
	Valid bool `json:"valid"`
	// Files are the paths of all files that were checked, sorted.
	Files []string `json:"files"`
	// Errors and Warnings are the findings of these severities, a line each.
	Errors   []string `json:"errors"`
	Warnings []string `json:"warnings"`
	// Findings are sorted by file and position.
	Findings []Finding `json:"diagnostics"`

	texts map[string]string // By path.
}

// newReport sorts findings, and keeps one of those that differ in their plan only.
func newReport(list []Finding, texts map[string]string) *Report {
	r := &Report{Valid: true, Files: []string{}, Errors: []string{}, Warnings: []string{}, Findings: []Finding{}, texts: texts}
	for path := range texts {
		r.Files = append(r.Files, path)
	}
	slices.Sort(r.Files)
	slices.SortFunc(list, compareFindings)
	for _, f := range list {
		if n := len(r.Findings); n > 0 {
			last := r.Findings[n-1]
			last.Plan = f.Plan
			if last == f {
				continue
			}
		}
		r.Findings = append(r.Findings, f)
		line := f.Position() + ": " + f.Message
		switch f.Severity {
		case Error:
			r.Valid = false
			r.Errors = append(r.Errors, line)
		case Warning:
			r.Warnings = append(r.Warnings, line)
		case Info:
		}
	}
	return r
}

// Excerpt gives the line that a finding is about, with a line of carets below it;
// empty where there is no such line.
func (r *Report) Excerpt(f Finding) string {
	text, ok := r.texts[f.File]
	if !ok || f.Line < 1 {
		return ""
	}
	lines := lex.Lines(text)
	if f.Line > len(lines) {
		return ""
	}
	line := strings.ToValidUTF8(lines[f.Line-1], "\uFFFD")
	runes := []rune(line)
	from := min(max(f.Col-1, 0), len(runes))
	to := len(runes)
	if f.EndLine == f.Line {
		to = min(max(f.EndCol-1, from+1), max(len(runes), from+1))
	}
	const most = 120 // A line that is longer is shown around the finding.
	cut := 0
	if len(runes) > most {
		cut = max(0, from-most/2)
		runes = runes[cut:min(len(runes), cut+most)]
	}
	indent := make([]rune, 0, from-cut)
	for _, c := range runes[:min(from-cut, len(runes))] {
		if c != '\t' {
			c = ' '
		}
		indent = append(indent, c)
	}
	carets := strings.Repeat("^", max(1, min(to-from, most)))
	return string(runes) + "\n" + string(indent) + carets
}

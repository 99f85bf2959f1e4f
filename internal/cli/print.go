package cli

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/term"

	"starplan/internal/follow"
	"starplan/internal/pbjson"
	"starplan/plan/execution"
	"starplan/processor"
	"starplan/proto/planpb"
)

// What is shown of texts in a line for people, in characters. The lines of JSON
// hold everything.
const (
	maxPlanWidth = 32
	maxTaskShown = 60
	maxTasks     = 8
	maxShown     = 400
)

// printer prints executions on standard output. It is for one goroutine at a time.
type printer struct {
	p     Process
	text  bool
	color bool
	// day is that of the last line, plan the width of the column of plans.
	day  string
	plan int
}

// newPrinter makes a printer; format is auto, json or text, color is auto, always
// or never.
func newPrinter(p Process, format, color string) *printer {
	terminal := isTerminal(p.Stdout)
	// See https://no-color.org.
	fit := terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return &printer{
		p:     p,
		text:  format == "text" || format == "auto" && terminal,
		color: color == "always" || color == "auto" && fit,
		plan:  16,
	}
}

// execution prints one; what is no PlanExecution is named on standard error.
func (w *printer) execution(e follow.Execution) error {
	if e.Message == nil {
		return w.unreadable(e, "is no PlanExecution")
	}
	if w.text {
		return w.line(e)
	}
	line, err := pbjson.Marshal(e.Message)
	if err != nil {
		return w.unreadable(e, err.Error())
	}
	_, err = fmt.Fprintf(w.p.Stdout, "%s\n", harmless(line))
	return err
}

// harmless writes what JSON leaves as it is, and a terminal may obey or hide, as
// JSON's escapes: control characters beyond ASCII, and marks that turn the
// direction of text. They stand in strings only, so that the value is the same.
func harmless(text []byte) []byte {
	hidden := func(r rune) bool { return r >= 0x7f && !unicode.IsPrint(r) }
	if !bytes.ContainsFunc(text, hidden) {
		return text
	}
	var out []byte
	for _, r := range string(text) {
		switch {
		case !hidden(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

func (w *printer) unreadable(e follow.Execution, why string) error {
	_, err := fmt.Fprintf(w.p.Stderr, "starplan: %s/%d/%d %s\n", e.Record.Topic, e.Record.Partition, e.Record.Offset, printable(why))
	return err
}

// line prints an execution for people. Text that came from outside is cut, and
// quoted where it holds control characters, which could command a terminal.
func (w *printer) line(e follow.Execution) error {
	at := e.Record.Timestamp.UTC()
	if day := at.Format("2006-01-02"); day != w.day {
		w.day = day
		if _, err := fmt.Fprintln(w.p.Stdout, w.paint(faint, "— "+day+" (UTC)")); err != nil {
			return err
		}
	}
	status, how := statusOf(e.Message)
	header := e.Message.GetHeader()
	name := shown(header.GetName(), maxPlanWidth)
	w.plan = max(w.plan, utf8.RuneCountInString(name))
	id := printable(execution.Cut(header.GetExecId(), 8))
	columns := []string{at.Format("15:04:05.000"), pad(status, 6), pad(id, 8), pad(name, w.plan), pad(steps(e), 14)}
	indent := 0
	for _, c := range columns {
		indent += utf8.RuneCountInString(c) + len(gap)
	}
	for i, s := range []style{faint, how, faint, "", faint} {
		columns[i] = w.paint(s, columns[i])
	}
	lines := wrap(what(e.Message), w.width()-indent)
	_, err := fmt.Fprintln(w.p.Stdout, strings.Join(append(columns, strings.Join(lines, "\n"+strings.Repeat(" ", indent))), gap))
	return err
}

// gap is between columns.
const gap = "  "

// width is that of the terminal, in characters; 0 where there is none.
func (w *printer) width() int {
	f, ok := w.p.Stdout.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// wrap breaks text into lines of a width, at blanks where it can. It leaves text
// alone where the width is too small to be read, or unknown.
func wrap(text string, width int) []string {
	if width < 20 {
		return []string{text}
	}
	var lines []string
	runes := []rune(text)
	for len(runes) > width {
		end := width
		for i := width; i > width/3; i-- {
			if runes[i] == ' ' {
				end = i
				break
			}
		}
		lines = append(lines, string(runes[:end]))
		runes = runes[end:]
		if runes[0] == ' ' {
			runes = runes[1:]
		}
	}
	return append(lines, string(runes))
}

// statusOf gives the word for how an execution ended, and how it is written.
func statusOf(e *planpb.PlanExecution) (string, style) {
	switch {
	case e.GetHeader().GetStatus() == planpb.ExecutionStatus_EXECUTION_STATUS_FAILED:
		return "FAILED", red
	case e.GetResult().GetErrorMessage() != "":
		return "error", yellow
	default:
		return "ok", green
	}
}

// steps gives what the header says of steps; empty where it says nothing.
func steps(e follow.Execution) string {
	for _, h := range e.Record.Headers {
		if h.Key == processor.HeaderSteps {
			if n, err := strconv.ParseUint(string(h.Value), 10, 64); err == nil {
				return fmt.Sprintf("%8d steps", n)
			}
		}
	}
	return ""
}

// what says what an execution leads to.
func what(e *planpb.PlanExecution) string {
	tasks := e.GetResult().GetNextTaskNames()
	var next []string
	for _, task := range tasks[:min(len(tasks), maxTasks)] {
		next = append(next, shown(task, maxTaskShown))
	}
	if more := len(tasks) - len(next); more > 0 {
		next = append(next, fmt.Sprintf("and %d more", more))
	}
	text := "next: " + strings.Join(next, ", ")
	switch message := e.GetResult().GetErrorMessage(); {
	case message == "" && len(tasks) == 0:
		return "next: nothing"
	case message == "":
		return text
	case len(tasks) == 0:
		return shown(message, maxShown)
	default:
		return shown(message, maxShown) + "; " + text
	}
}

// style is the parameter of a terminal's SGR sequence (ECMA-48, 8.3.117).
type style string

const (
	red    style = "1;31"
	green  style = "32"
	yellow style = "33"
	faint  style = "2"
)

func (w *printer) paint(s style, text string) string {
	if !w.color || s == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// pad fills text with blanks to a width in characters.
func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}

// shown gives the first characters of a text, printable.
func shown(s string, limit int) string {
	if cut := execution.Cut(s, limit); len(cut) < len(s) {
		return printable(execution.Cut(cut, limit-1) + "…")
	}
	return printable(s)
}

// printable gives s as it is where that is harmless on a terminal, else quoted.
func printable(s string) string {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

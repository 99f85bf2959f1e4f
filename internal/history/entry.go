package history

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"starplan/plan"
	"starplan/plan/execution"
	"starplan/proto/planpb"
)

// Status is how an execution ended.
type Status string

// The statuses.
const (
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
)

// What is kept of lists and texts that a record or a plan can make long.
const (
	maxNames     = 100
	maxName      = 200
	maxBacktrace = 32 << 10
	// around is how many lines are kept before and after the one that failed.
	around = 4
	// maxLine is how many bytes of a line are kept.
	maxLine = 400
)

// Execution is an execution that is remembered. It is never changed.
type Execution struct {
	// Seq numbers executions in the order in which they ended, from 1 at each start.
	Seq uint64
	// Ended is when.
	Ended     time.Time
	Topic     string
	Partition int32
	Offset    int64
	// Timestamp is the record's.
	Timestamp time.Time
	Key       string
	ExecID    string
	GraphID   string
	// LifetimeID is header.lifetime_id.
	LifetimeID string
	// Plan is the plan's label, or what the key names where no plan was loaded; then
	// Digest is empty.
	Plan   string
	Digest string
	Status Status
	Reason execution.Reason
	// Message is the execution's error_message, that of the plan's own included.
	Message string
	// PlanError reports a success with such a message.
	PlanError bool
	Duration  time.Duration
	Steps     uint64
	// Parents and Next hold 100 at most; the counts tell how many there are.
	Parents      []Parent
	ParentsCount int
	Next         []string
	NextCount    int
	// Position is where the plan failed, as "plan.star:12:5"; often empty.
	Position  string
	Backtrace string
	// Source holds the lines around Position; often nil.
	Source   *Excerpt
	Warnings []string
	// InputSize and OutputSize are in bytes.
	InputSize, OutputSize int
}

// Parent is a task execution that led to this one.
type Parent struct {
	Name   string
	ExecID string
}

// Payloads are the bytes of a record and of its answer. They are never changed.
type Payloads struct {
	// Input is the serialized PlanInput, or whatever the record held instead; nil
	// where it is larger than 1 MiB.
	Input []byte
	// Output is the serialized PlanExecution; nil where it is larger than 1 MiB.
	Output []byte
	// Prints is what the plan printed.
	Prints []string
}

func (p *Payloads) size() int {
	n := len(p.Input) + len(p.Output)
	for _, line := range p.Prints {
		n += len(line)
	}
	return n
}

// entry is an execution as it was noted, and as it is shown once it is decoded.
type entry struct {
	seq uint64
	at  time.Time
	// A record with its answer, as they came; let go when view is set.
	rec execution.Record
	out execution.Outcome
	src *plan.Source
	// inputSize is that of rec's value, which may have been let go.
	inputSize int

	view     *Execution
	payloads *Payloads
}

// bytes is what the entry refers to and will let go; none once it is decoded.
func (e *entry) bytes() int {
	return len(e.rec.Value) + len(e.out.Value)
}

// execID is that of the execution.
func (e *entry) execID() string {
	if e.view != nil {
		return e.view.ExecID
	}
	return e.out.ExecID
}

// forget makes an entry that no reader finds, and gives the bytes that it let go.
func (e *entry) forget() int {
	n := e.bytes()
	*e = entry{seq: e.seq, view: new(Execution)}
	return n
}

// decode makes the view. All that it keeps is copied: a record's bytes belong to
// a batch that would otherwise stay in memory as a whole.
func (e *entry) decode(payloads bool) {
	rec, out, src := &e.rec, &e.out, e.src
	x := &Execution{
		Seq: e.seq, Ended: e.at, Topic: rec.Topic, Partition: rec.Partition, Offset: rec.Offset, Timestamp: rec.Timestamp,
		Key: cut(string(rec.Key[:min(len(rec.Key), 4*maxName)]), maxName), ExecID: out.ExecID,
		Plan: strings.ToValidUTF8(out.Plan, "\uFFFD"), Digest: out.Digest, Status: Succeeded, Reason: out.Reason,
		Message: out.Message, PlanError: out.PlanError, Duration: out.Duration, Steps: out.Steps,
		Position: cut(out.Position, maxName), Backtrace: cut(out.Backtrace, maxBacktrace),
		InputSize: e.inputSize, OutputSize: len(out.Value),
	}
	if out.Reason != "" {
		x.Status = Failed
	}
	if x.Plan == "" {
		x.Plan = x.Key
	}
	for _, w := range out.Warnings {
		x.Warnings = append(x.Warnings, string(w))
	}
	if src != nil && x.Position != "" {
		x.Source = excerptAt(src.Files, x.Position)
	}
	// What is no PlanExecution, which no runner gives, has no parents to show.
	var pb planpb.PlanExecution
	if proto.Unmarshal(out.Value, &pb) == nil {
		x.fill(&pb)
	}
	if payloads {
		e.payloads = &Payloads{Input: keep(rec.Value), Output: keep(out.Value), Prints: out.Prints}
	}
	*e = entry{seq: e.seq, at: e.at, view: x, payloads: e.payloads}
}

func keep(b []byte) []byte {
	if len(b) > maxPayload {
		return nil
	}
	return append([]byte{}, b...)
}

func (x *Execution) fill(pb *planpb.PlanExecution) {
	x.GraphID = cut(pb.GetHeader().GetGraphId(), maxName)
	x.LifetimeID = cut(pb.GetHeader().GetLifetimeId(), maxName)
	ids, names := pb.GetParentTaskExecIds(), pb.GetParentTaskNames()
	x.ParentsCount = len(ids)
	for i := range min(len(ids), len(names), maxNames) {
		x.Parents = append(x.Parents, Parent{Name: cut(names[i], maxName), ExecID: cut(ids[i], maxName)})
	}
	next := pb.GetResult().GetNextTaskNames()
	x.NextCount = len(next)
	for _, name := range next[:min(len(next), maxNames)] {
		x.Next = append(x.Next, cut(name, maxName))
	}
}

// cut shortens a text and detaches it from a longer one.
func cut(s string, limit int) string {
	if short := execution.Cut(s, limit); len(short) < len(s) {
		return short + "…"
	}
	return strings.Clone(strings.ToValidUTF8(s, "\uFFFD"))
}

// ring holds the newest entries.
type ring struct {
	entries [Executions]entry
	n       uint64 // Put so far.
}

// next gives the place of the oldest entry for one that is newer, and the bytes that
// the old one referred to.
func (r *ring) next() (slot *entry, freed int) {
	slot = &r.entries[r.n%Executions]
	if r.n >= Executions {
		freed = slot.bytes()
	}
	r.n++
	return slot, freed
}

// newest calls fn from the newest to the oldest until it returns false.
func (r *ring) newest(fn func(*entry) bool) {
	for i := range min(r.n, Executions) {
		if !fn(&r.entries[(r.n-1-i)%Executions]) {
			return
		}
	}
}

// find gives the newest entry that is wanted, or nil.
func (r *ring) find(want func(*entry) bool) *entry {
	var found *entry
	r.newest(func(e *entry) bool {
		if want(e) {
			found = e
		}
		return found == nil
	})
	return found
}

// Excerpt is a few lines of a plan around a place in it.
type Excerpt struct {
	// File is the module.
	File  string
	Lines []Line
	// Line and Col are the place, from 1; Col is 0 where unknown.
	Line, Col int
}

// Line is one line of a text.
type Line struct {
	Number int
	Text   string
	// Here marks the line of the place. Before is then what stands before the
	// column, for putting a caret below it.
	Here   bool
	Before string
}

// excerptAt takes the lines around "plan.star:12:5" out of a plan's modules.
func excerptAt(files map[string]string, position string) *Excerpt {
	rest, col, ok := cutNumber(position)
	if !ok {
		return nil
	}
	file, line, ok := cutNumber(rest)
	if !ok { // There is no column.
		file, line, col = rest, col, 0
	}
	return NewExcerpt(files, file, line, col)
}

func cutNumber(s string) (rest string, n int, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, 0, false
	}
	n, err := strconv.Atoi(s[i+1:])
	return s[:i], n, err == nil
}

// NewExcerpt takes the lines around a place out of a plan's modules. It gives nil
// where there is no such module or line. Long lines are cut around the column,
// which counts characters from 1; 0 stands for none.
func NewExcerpt(files map[string]string, file string, line, col int) *Excerpt {
	text, ok := files[file]
	if !ok || line < 1 {
		return nil
	}
	x := &Excerpt{File: file, Line: line, Col: col}
	number := 0
	for s := range strings.Lines(text) {
		number++
		if number < line-around {
			continue
		}
		if number > line+around {
			break
		}
		s = strings.TrimRight(s, "\r\n")
		if number == line {
			x.Lines = append(x.Lines, hereLine(number, s, col))
		} else {
			x.Lines = append(x.Lines, Line{Number: number, Text: cut(s, maxLine)})
		}
	}
	if number < line {
		return nil
	}
	return x
}

// hereLine is the line of the place; of a long one, what is around the column.
func hereLine(number int, s string, col int) Line {
	runes := bytes.Runes([]byte(strings.ToValidUTF8(s, "\uFFFD")))
	at := min(max(col-1, 0), len(runes))
	from := max(0, at-maxLine/2)
	to := min(len(runes), from+maxLine)
	l := Line{Number: number, Here: true, Text: string(runes[from:to]), Before: string(runes[from:at])}
	if from > 0 {
		l.Text, l.Before = "…"+l.Text, "…"+l.Before
	}
	if to < len(runes) {
		l.Text += "…"
	}
	return l
}

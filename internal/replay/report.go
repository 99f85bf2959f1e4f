package replay

import (
	"fmt"
	"io"
	"sync/atomic"

	"starplan/plan/execution"
)

// Report is what a replay found.
type Report struct {
	Plan string `json:"plan"`
	// Inputs is the number of inputs of the plan that were run.
	Inputs int `json:"inputs"`
	// Same is the number of executions that would be the same.
	Same int `json:"same"`
	// Different is the number of executions that would differ.
	Different int `json:"different"`
	// Missing is the number of inputs without a recorded execution.
	Missing int `json:"missing"`
	// Unreadable is the number of recorded values that are no PlanExecution.
	Unreadable int64 `json:"unreadable"`
	// Changes counts by kind; an execution may count under several.
	Changes map[Kind]int `json:"changes"`
	// Examples are the first few of each kind.
	Examples []Example `json:"examples"`

	unreadable atomic.Int64
	shown      map[Kind]int
}

// Example is one execution that would differ.
type Example struct {
	Kinds     []Kind `json:"kinds"`
	ExecID    string `json:"exec_id"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Before    string `json:"before"`
	After     string `json:"after"`
}

func newReport(plan string) *Report {
	return &Report{Plan: plan, Changes: make(map[Kind]int), Examples: []Example{}, shown: make(map[Kind]int)}
}

// add counts one comparison.
func (r *Report) add(p pair) {
	r.Inputs++
	kinds, before, after, err := compare(p.before, p.after)
	if err != nil {
		r.unreadable.Add(1)
		r.Inputs--
		return
	}
	if len(kinds) == 0 {
		r.Same++
		return
	}
	r.Different++
	isNew := false
	for _, kind := range kinds {
		r.Changes[kind]++
		if r.shown[kind] < maxExamples {
			r.shown[kind]++
			isNew = true
		}
	}
	if isNew {
		r.Examples = append(r.Examples, Example{
			Kinds: kinds, ExecID: p.id, Topic: p.rec.Topic, Partition: p.rec.Partition, Offset: p.rec.Offset,
			Before: execution.Cut(summary(before), 500), After: execution.Cut(summary(after), 500),
		})
	}
}

func (r *Report) addMissing(pair) {
	r.Inputs++
	r.Missing++
}

// Write prints the report for people. quote makes a text harmless for where it
// is printed.
func (r *Report) Write(w io.Writer, quote func(string) string) {
	fmt.Fprintf(w, "%d inputs of plan %s\n", r.Inputs, quote(r.Plan))
	fmt.Fprintf(w, "%d executions would be the same\n", r.Same)
	fmt.Fprintf(w, "%d would differ\n", r.Different)
	for _, kind := range Kinds() {
		if n := r.Changes[kind]; n > 0 {
			fmt.Fprintf(w, "    %d in %s\n", n, kind)
		}
	}
	if r.Missing > 0 {
		fmt.Fprintf(w, "%d have no recorded execution\n", r.Missing)
	}
	if r.Unreadable > 0 {
		fmt.Fprintf(w, "%d recorded values are no PlanExecution\n", r.Unreadable)
	}
	for _, e := range r.Examples {
		fmt.Fprintf(w, "\n%s/%d/%d  %s  %v\n", e.Topic, e.Partition, e.Offset, e.ExecID, e.Kinds)
		fmt.Fprintf(w, "  - %s\n  + %s\n", quote(e.Before), quote(e.After))
	}
}

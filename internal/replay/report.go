package replay

import (
	"cmp"
	"fmt"
	"io"
	"slices"

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
	// Examples are the first few of each kind, by partition and offset.
	Examples []Example `json:"examples"`

	first map[Kind][]Example // In order, maxExamples at most.
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
	return &Report{Plan: plan, Changes: make(map[Kind]int), Examples: []Example{}, first: make(map[Kind][]Example)}
}

// add counts one comparison.
func (r *Report) add(p pair) {
	r.Inputs++
	kinds, before, after, err := compare(p.before, p.after)
	if err != nil {
		r.Unreadable++
		r.Inputs--
		return
	}
	if len(kinds) == 0 {
		r.Same++
		return
	}
	r.Different++
	e := Example{Kinds: kinds, ExecID: p.id, Topic: p.rec.Topic, Partition: p.rec.Partition, Offset: p.rec.Offset}
	for _, kind := range kinds {
		r.Changes[kind]++
		// Runs end in any order, and a report is to be the same each time.
		i, _ := slices.BinarySearchFunc(r.first[kind], e, Example.compare)
		if i == maxExamples {
			continue
		}
		if e.Before == "" {
			e.Before, e.After = execution.Cut(summary(before), 500), execution.Cut(summary(after), 500)
		}
		list := slices.Insert(r.first[kind], i, e)
		r.first[kind] = list[:min(len(list), maxExamples)]
	}
}

func (e Example) compare(f Example) int {
	return cmp.Or(cmp.Compare(e.Partition, f.Partition), cmp.Compare(e.Offset, f.Offset))
}

func (r *Report) addMissing() {
	r.Inputs++
	r.Missing++
}

// finish completes the report. unreadable were found while reading.
func (r *Report) finish(unreadable int64) {
	r.Unreadable += unreadable
	for _, kind := range Kinds() {
		r.Examples = append(r.Examples, r.first[kind]...)
	}
	slices.SortFunc(r.Examples, Example.compare)
	r.Examples = slices.CompactFunc(r.Examples, func(e, f Example) bool { return e.compare(f) == 0 })
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

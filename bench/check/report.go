package check

import (
	"errors"
	"fmt"
	"strings"
)

// Kind is a kind of finding.
type Kind int

// The kinds of findings.
const (
	// Missing is an input that was never answered.
	Missing Kind = iota
	// Duplicate is a further answer to an input.
	Duplicate
	// Different is a duplicate with other bytes than the first answer.
	Different
	// Disordered is an input that was answered after a later one of its key.
	Disordered
	// Unexpected is an answer to a record that is to be skipped, or to none.
	Unexpected
	// WrongStatus is an answer with another status than was expected.
	WrongStatus
	// Misplaced is an answer under another key, or in another partition, than its
	// input's key asks for.
	Misplaced
	kinds
)

// String is for messages.
func (k Kind) String() string {
	return [...]string{"missing", "duplicate", "different bytes", "out of order", "unexpected", "wrong status", "misplaced"}[k]
}

// Finding is one thing that is not as it should be.
type Finding struct {
	Kind Kind
	// Input is nil for an answer to no known input.
	Input *Input
	// Answer is nil for a missing one.
	Answer *Answer
	Detail string
}

// String is one line.
func (f Finding) String() string {
	var b strings.Builder
	b.WriteString(f.Kind.String())
	if f.Input != nil {
		fmt.Fprintf(&b, ": %v", f.Input)
	}
	if f.Answer != nil {
		fmt.Fprintf(&b, ": %v", f.Answer)
	}
	fmt.Fprintf(&b, ": %s", f.Detail)
	return b.String()
}

// Report is the result of a comparison.
type Report struct {
	// Inputs is how many records were put in, Wanted how many of them are to be answered.
	Inputs, Wanted int
	// Answers is how many records were found on the output topic.
	Answers int
	// Findings are in the order of their kinds, and then of the inputs.
	Findings []Finding
}

// Count is the number of findings of a kind.
func (r *Report) Count(k Kind) int {
	n := 0
	for _, f := range r.Findings {
		if f.Kind == k {
			n++
		}
	}
	return n
}

// ExactlyOnce gives nil where there are no findings, else an error that counts
// them and shows some.
func (r *Report) ExactlyOnce() error { return r.fault(func(Kind) bool { return true }) }

// AtLeastOnce is as ExactlyOnce, and allows duplicates that repeat the bytes of
// the first answer.
func (r *Report) AtLeastOnce() error { return r.fault(func(k Kind) bool { return k != Duplicate }) }

// shown is how many findings of a kind an error shows.
const shown = 3

func (r *Report) fault(counts func(Kind) bool) error {
	var n [kinds]int
	var lines []string
	bad := false
	for _, f := range r.Findings {
		if !counts(f.Kind) {
			continue
		}
		bad = true
		if n[f.Kind]++; n[f.Kind] <= shown {
			lines = append(lines, "\t"+f.String())
		}
	}
	if !bad {
		return nil
	}
	return errors.New("check: " + r.String() + "\n" + strings.Join(lines, "\n"))
}

// String is one line of numbers, among them those that are zero.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d inputs, %d to be answered, %d answers", r.Inputs, r.Wanted, r.Answers)
	for k := range kinds {
		fmt.Fprintf(&b, ", %v %d", k, r.Count(k))
	}
	return b.String()
}

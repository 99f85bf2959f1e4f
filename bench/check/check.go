// Package check finds out whether every PlanInput was answered, once, in order.
//
// It is told which records were put on a tenant's input topic and which
// executions a reader found on its output topic, and compares the two:
//
//	c := check.New()
//	c.Produced(input)   // for each acknowledged record, in any order
//	c.Found(answer)     // for each record of the output topic
//	err := c.Report().ExactlyOnce()
//
// An execution names the record that it answers by its header.exec_id, which is a
// UUIDv5 of the record's topic, partition, offset and timestamp. The package
// computes that identifier, and the partition that a key belongs to, by code of
// its own: it shares nothing with the service but the generated messages, so that
// a mistake over there is not made again here.
package check

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"starplan/proto/planpb"
)

// Want is what is expected for an input.
type Want int

// The expectations.
const (
	// Unanswered is a record that is skipped: a foreign key, a tombstone.
	Unanswered Want = iota
	// Answered is one that is answered with any status.
	Answered
	// Succeeded and Failed are answered with that status.
	Succeeded
	Failed
)

// String is for messages.
func (w Want) String() string {
	return [...]string{"unanswered", "answered", "SUCCEEDED", "FAILED"}[w]
}

// allows reports whether an answer may have that status.
func (w Want) allows(status planpb.ExecutionStatus) bool {
	switch w {
	case Succeeded:
		return status == planpb.ExecutionStatus_EXECUTION_STATUS_SUCCEEDED
	case Failed:
		return status == planpb.ExecutionStatus_EXECUTION_STATUS_FAILED
	default:
		return true
	}
}

// Input is one record of the input topic, as the broker acknowledged it.
type Input struct {
	Topic     string
	Partition int32
	Offset    int64
	// Timestamp as the record carries it; only its milliseconds count.
	Timestamp time.Time
	Key       []byte
	Want      Want
}

// String names the record.
func (in Input) String() string {
	return fmt.Sprintf("%s/%d/%d (key %q)", in.Topic, in.Partition, in.Offset, in.Key)
}

// Answer is one record of the output topic.
type Answer struct {
	Partition int32
	Offset    int64
	Key       []byte
	Value     []byte
}

// String names the record.
func (a Answer) String() string {
	return fmt.Sprintf("output %d/%d (key %q)", a.Partition, a.Offset, a.Key)
}

// ExecID is the exec_id of the execution; empty where the value is none.
func (a Answer) ExecID() string {
	exec := new(planpb.PlanExecution)
	if proto.Unmarshal(a.Value, exec) != nil {
		return ""
	}
	return exec.GetHeader().GetExecId()
}

// Checker collects inputs and answers. It is safe for concurrent use; inputs and
// answers may come in any order, an answer also before its input.
type Checker struct {
	// Partitions of the output topic, for checking that a key's answers lie where
	// Java's clients put them; 0 checks only that they lie together. It is set
	// before the first call.
	Partitions int

	mu      sync.Mutex
	cases   map[string]*pair // by exec_id
	strange []Finding        // answers that are no PlanExecution
	open    int              // wanted and not yet found
	found   int              // cases with an input and an answer
	changed chan struct{}    // closed and replaced at every change
}

// pair is an input and its answers; either may be missing yet.
type pair struct {
	input    *Input
	answers  []Answer // values of all but the first are nil where they are the same
	statuses []planpb.ExecutionStatus
}

// New makes an empty Checker.
func New() *Checker {
	return &Checker{cases: make(map[string]*pair), changed: make(chan struct{})}
}

// Produced takes note of an input. A record that was acknowledged twice, which no
// producer does, counts once.
func (c *Checker) Produced(in Input) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pair(ExecID(in.Topic, in.Partition, in.Offset, in.Timestamp))
	if p.input != nil {
		return
	}
	in.Key = bytes.Clone(in.Key)
	p.input = &in
	switch {
	case len(p.answers) > 0:
		c.found++
	case in.Want != Unanswered:
		c.open++
	}
	c.change()
}

// Found takes note of an answer. An answer that was found before, at the same
// partition and offset, is one that its reader read twice: it is taken again and
// reported as a duplicate, so readers must not.
func (c *Checker) Found(a Answer) {
	exec := new(planpb.PlanExecution)
	err := proto.Unmarshal(a.Value, exec)
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.change()
	a.Key = bytes.Clone(a.Key)
	id := exec.GetHeader().GetExecId()
	if err != nil || id == "" {
		c.strange = append(c.strange, Finding{Kind: Unexpected, Answer: &a, Detail: fmt.Sprintf("no PlanExecution with an exec_id: %v", err)})
		return
	}
	p := c.pair(id)
	if len(p.answers) == 0 {
		if p.input != nil {
			c.found++
			if p.input.Want != Unanswered {
				c.open--
			}
		}
		a.Value = bytes.Clone(a.Value)
	} else if bytes.Equal(p.answers[0].Value, a.Value) {
		a.Value = nil
	} else {
		a.Value = bytes.Clone(a.Value)
	}
	p.answers = append(p.answers, a)
	p.statuses = append(p.statuses, exec.GetHeader().GetStatus())
}

// pair gives the case of an exec_id. c.mu is held.
func (c *Checker) pair(id string) *pair {
	p := c.cases[id]
	if p == nil {
		p = new(pair)
		c.cases[id] = p
	}
	return p
}

// change wakes those who wait. c.mu is held.
func (c *Checker) change() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// Open is the number of inputs that want an answer and have none yet.
func (c *Checker) Open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}

// Answered is the number of inputs that have an answer. Like Open it is cheap,
// where a Report looks at everything.
func (c *Checker) Answered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.found
}

// Wait returns when every input so far that wants an answer has one, or with an
// error that says how many are missing when ctx ends before.
func (c *Checker) Wait(ctx context.Context) error {
	return c.wait(ctx, func() bool { return c.open == 0 })
}

// WaitFound returns when n inputs have been answered.
func (c *Checker) WaitFound(ctx context.Context, n int) error {
	return c.wait(ctx, func() bool { return c.found >= n })
}

func (c *Checker) wait(ctx context.Context, done func() bool) error {
	for {
		c.mu.Lock()
		ok, changed, open, found := done(), c.changed, c.open, c.found
		c.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("check: %d inputs answered, %d still open: %w", found, open, context.Cause(ctx))
		}
	}
}

// Report compares inputs and answers as they are known by now. Answers that are
// still to be read are missing in it.
func (c *Checker) Report() *Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &Report{Findings: slices.Clone(c.strange), Answers: len(c.strange)}
	for _, p := range c.cases {
		r.Answers += len(p.answers)
		if p.input != nil {
			r.Inputs++
			if p.input.Want != Unanswered {
				r.Wanted++
			}
		}
		r.Findings = append(r.Findings, p.check(c.Partitions)...)
	}
	r.Findings = append(r.Findings, c.order()...)
	slices.SortFunc(r.Findings, compareFindings)
	return r
}

// check looks at one input and its answers alone.
func (p *pair) check(partitions int) []Finding {
	var out []Finding
	report := func(kind Kind, answer *Answer, format string, args ...any) {
		out = append(out, Finding{Kind: kind, Input: p.input, Answer: answer, Detail: fmt.Sprintf(format, args...)})
	}
	if p.input == nil || p.input.Want == Unanswered {
		for i := range p.answers {
			report(Unexpected, &p.answers[i], "nobody asked for it")
		}
		return out
	}
	if len(p.answers) == 0 {
		report(Missing, nil, "no answer")
		return out
	}
	first := &p.answers[0]
	for i := range p.answers {
		a := &p.answers[i]
		if i > 0 {
			report(Duplicate, a, "answered before at %v", first)
			if a.Value != nil {
				report(Different, a, "not the bytes of %v", first)
			}
		}
		if !p.input.Want.allows(p.statuses[i]) {
			report(WrongStatus, a, "got %v, want %v", p.statuses[i], p.input.Want)
		}
		if !bytes.Equal(a.Key, p.input.Key) {
			report(Misplaced, a, "key: got %q, want %q", a.Key, p.input.Key)
		} else if want := partitionOf(a.Key, partitions); partitions > 0 && a.Partition != want {
			report(Misplaced, a, "partition: got %d, want %d of %d", a.Partition, want, partitions)
		} else if a.Partition != first.Partition {
			report(Misplaced, a, "partition: got %d, want that of %v", a.Partition, first)
		}
	}
	return out
}

// order goes through each output partition and looks for an input that is
// answered after a later one of the same key. Only first answers count: what is
// run again after a crash is answered again from there on, in order.
func (c *Checker) order() []Finding {
	type step struct {
		input  *Input
		answer *Answer
	}
	var steps []step
	for _, p := range c.cases {
		if p.input != nil && p.input.Want != Unanswered && len(p.answers) > 0 {
			first := slices.MinFunc(p.answers, compareAnswers)
			steps = append(steps, step{p.input, &first})
		}
	}
	slices.SortFunc(steps, func(a, b step) int { return compareAnswers(*a.answer, *b.answer) })
	type place struct {
		key              string
		input, partition int32
	}
	last := make(map[place]*Input)
	var out []Finding
	for _, s := range steps {
		at := place{string(s.input.Key), s.input.Partition, s.answer.Partition}
		if before := last[at]; before != nil && before.Offset > s.input.Offset {
			out = append(out, Finding{Kind: Disordered, Input: s.input, Answer: s.answer, Detail: fmt.Sprintf("after the answer to offset %d", before.Offset)})
			continue
		}
		last[at] = s.input
	}
	return out
}

func compareAnswers(a, b Answer) int {
	if a.Partition != b.Partition {
		return int(a.Partition) - int(b.Partition)
	}
	return int(a.Offset - b.Offset)
}

// compareFindings orders by kind, then by the input's place, then by the answer's.
func compareFindings(a, b Finding) int {
	if a.Kind != b.Kind {
		return int(a.Kind) - int(b.Kind)
	}
	switch {
	case a.Input != nil && b.Input != nil:
		return cmp.Or(cmp.Compare(a.Input.Topic, b.Input.Topic), cmp.Compare(a.Input.Partition, b.Input.Partition), cmp.Compare(a.Input.Offset, b.Input.Offset))
	case a.Input == nil && b.Input == nil:
		return compareAnswers(*a.Answer, *b.Answer)
	case a.Input != nil:
		return -1
	default:
		return 1
	}
}

package replay

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"starplan/proto/planpb"
)

// Kind is one way in which an execution differs from another.
type Kind string

// The kinds of change.
const (
	// KindStatus: one succeeded, the other FAILED.
	KindStatus Kind = "status"
	// KindNextTasks: other next tasks, or another order of them.
	KindNextTasks Kind = "next_tasks"
	// KindResults: other upstream results.
	KindResults Kind = "results"
	// KindError: another error message.
	KindError Kind = "error"
	// KindOther: anything else, such as the header.
	KindOther Kind = "other"
)

// Kinds lists all kinds, in the order in which a report shows them.
func Kinds() []Kind { return []Kind{KindStatus, KindNextTasks, KindResults, KindError, KindOther} }

// compare tells how two serialized executions differ; not at all gives nil.
func compare(before, after []byte) ([]Kind, *planpb.PlanExecution, *planpb.PlanExecution, error) {
	if bytes.Equal(before, after) {
		return nil, nil, nil, nil
	}
	var a, b planpb.PlanExecution
	if err := proto.Unmarshal(before, &a); err != nil {
		return nil, nil, nil, fmt.Errorf("recorded value is no PlanExecution: %w", err)
	}
	if err := proto.Unmarshal(after, &b); err != nil {
		return nil, nil, nil, fmt.Errorf("new value is no PlanExecution: %w", err)
	}
	var kinds []Kind
	add := func(kind Kind, differs bool) {
		if differs {
			kinds = append(kinds, kind)
		}
	}
	ra, rb := a.GetResult(), b.GetResult()
	add(KindStatus, a.GetHeader().GetStatus() != b.GetHeader().GetStatus())
	add(KindNextTasks, !slices.Equal(ra.GetNextTaskNames(), rb.GetNextTaskNames()))
	add(KindResults, !slices.EqualFunc(ra.GetUpstreamTasksResults(), rb.GetUpstreamTasksResults(),
		func(x, y *planpb.TaskResult) bool { return proto.Equal(x, y) }))
	add(KindError, ra.GetErrorMessage() != rb.GetErrorMessage())
	// Other bytes for an equal message are no change: an older build wrote them.
	add(KindOther, len(kinds) == 0 && !proto.Equal(&a, &b))
	return kinds, &a, &b, nil
}

// summary is one execution in a line.
func summary(e *planpb.PlanExecution) string {
	r := e.GetResult()
	parts := []string{strings.TrimPrefix(e.GetHeader().GetStatus().String(), "EXECUTION_STATUS_")}
	if names := r.GetNextTaskNames(); len(names) > 0 {
		parts = append(parts, "next: "+strings.Join(names, ", "))
	}
	if n := len(r.GetUpstreamTasksResults()); n > 0 {
		parts = append(parts, fmt.Sprintf("%d results", n))
	}
	if msg := r.GetErrorMessage(); msg != "" {
		parts = append(parts, "error: "+msg)
	}
	return strings.Join(parts, "; ")
}

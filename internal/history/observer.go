package history

import (
	"starplan/plan"
	"starplan/plan/execution"
)

// Observer notes what a processor tells of, as a processor.Observer; neither
// knows of the other.
type Observer struct {
	history *History
	source  func(label string) *plan.Source
}

// Observer gives an observer that notes in h. source gives the version of a plan
// that is served, by the plan's label; nil where there is none.
func (h *History) Observer(source func(label string) *plan.Source) *Observer {
	return &Observer{h, source}
}

// Answered notes an answer. It is safe for concurrent use, as is Corrected.
func (o *Observer) Answered(rec execution.Record, out execution.Outcome) {
	var src *plan.Source
	if out.Position != "" {
		// A reload may have put another version in its place: no lines are better
		// than wrong ones.
		if s := o.source(out.Plan); s != nil && s.Digest == out.Digest {
			src = s
		}
	}
	o.history.Add(rec, out, src)
}

// Corrected notes what a record is answered with in the end, that was answered
// before.
func (o *Observer) Corrected(rec execution.Record, out execution.Outcome) {
	o.history.Correct(rec, out)
}

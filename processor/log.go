package processor

import (
	"context"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/plan/execution"
)

// logOutcome writes one line for an execution: a warning for a failure, and
// nothing but debugging for success.
func (p *Processor) logOutcome(r *kgo.Record, o execution.Outcome) {
	if o.Reason != "" {
		p.logFailure(r, o)
		return
	}
	if p.log.Enabled(context.Background(), slog.LevelDebug) {
		p.log.Debug("execution succeeded", append(coordinates(r), "plan", o.Plan, "exec_id", o.ExecID, "steps", o.Steps, "duration", o.Duration)...)
	}
	for _, w := range o.Warnings {
		p.log.Log(context.Background(), w.Level(), "execution has a flaw", append(coordinates(r), "plan", o.Plan, "exec_id", o.ExecID, "flaw", string(w))...)
	}
}

func (p *Processor) logFailure(r *kgo.Record, o execution.Outcome) {
	p.log.Warn("execution failed", append(coordinates(r),
		"plan", o.Plan, "exec_id", o.ExecID, "reason", string(o.Reason), "position", o.Position, "message", o.Message)...)
}

// faultKeys tell faults of the same message apart. Errors do not: many hold a port.
var faultKeys = []string{"op", "text", "reason"}

// kafkaError counts and logs an error in dealing with Kafka.
func (p *Processor) kafkaError(op, msg string, err error, attrs ...any) {
	p.metrics.kafkaErrors.WithLabelValues(op).Inc()
	p.faults.Warn(msg, append([]any{"op", op, "error", err}, attrs...)...) //nolint:sloglint // The few callers pass constants.
}

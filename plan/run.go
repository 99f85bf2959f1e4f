package plan

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"go.starlark.net/starlark"

	"starplan/plan/execution"
	"starplan/plan/predeclared"
	"starplan/plan/probe"
	"starplan/proto/planpb"
	"starplan/starlarkpb"
)

// Run answers one record: it decodes the value, calls plan() under the step
// limit, and fills and serializes the PlanExecution. It always gives an answer.
//
// Run is a pure function of the tenant, the record, the sources and the limits,
// except for Outcome.Duration. It is safe for concurrent use. Neither wall clock
// nor memory is limited here.
func (p *Program) Run(tenant string, rec execution.Record) execution.Outcome {
	return p.run(tenant, rec, p.newThread(rec))
}

// Watch answers a record as Run does, and calls step before each step of plan().
// At that time thread.Steps counts the step, and the innermost frame still has the
// position of the step before. stack is the call stack where plan() failed,
// outermost frame first; nil where it did not.
func (p *Program) Watch(tenant string, rec execution.Record, step func(thread *starlark.Thread)) (out execution.Outcome, stack starlark.CallStack) {
	t := p.newThread(rec)
	limit := p.lim.MaxSteps
	if p.probed {
		limit += probe.Steps
	}
	t.watch(limit, step)
	out = p.run(tenant, rec, t)
	return out, t.stack
}

// newThread makes a thread for one record.
func (p *Program) newThread(rec execution.Record) *thread {
	now := rec.Timestamp.UTC()
	return newThread(p.src.Label(), p.lim.MaxSteps, &now)
}

// run runs a record on a thread of its own.
func (p *Program) run(tenant string, rec execution.Record, t *thread) execution.Outcome {
	start := time.Now()
	out := p.runOn(t, tenant, rec)
	out.Plan = p.src.Label()
	out.Digest = p.src.Digest
	out.Duration = time.Since(start)
	return out
}

func (p *Program) runOn(t *thread, tenant string, rec execution.Record) execution.Outcome {
	in, err := execution.Decode(rec)
	if err != nil {
		return execution.Fail(tenant, rec, execution.ReasonDecode, err.Error())
	}
	answer := execution.NewAnswer(tenant, rec, in)
	out := p.answer(t, answer, in)
	out.Steps = t.thread.Steps
	out.Prints = t.prints
	return out
}

// answer calls plan() and ends the answer with what it gives.
func (p *Program) answer(t *thread, answer *execution.Answer, in *planpb.PlanInput) execution.Outcome {
	v, reason, f := p.call(t, in)
	if reason == "" {
		result, message := planResult(v)
		if message == "" {
			out, err := answer.Succeed(result, p.lim.MaxExecution)
			if err == nil {
				return out
			}
			var tooLarge *execution.SizeError
			if errors.As(err, &tooLarge) {
				return answer.Fail(execution.ReasonTooLarge, tooLargeMessage(tooLarge))
			}
			message = err.Error()
		}
		reason, f = execution.ReasonResult, failure{message: message}
	}
	pos := f.position()
	message := f.message
	switch reason {
	case execution.ReasonSteps:
		message = stepLimit(p.lim.MaxSteps, pos)
	case execution.ReasonResult:
		pos = p.defPos
		message = withPosition(message, pos)
	default:
		message = withPosition(message, pos)
	}
	out := answer.Fail(reason, message)
	out.Position = pos
	out.Backtrace = f.backtrace
	return out
}

// call calls plan(). A Go panic on the way is a failure of this plan and leaves
// others alone; the thread is not used again.
func (p *Program) call(t *thread, in *planpb.PlanInput) (v starlark.Value, reason execution.Reason, f failure) {
	defer func() {
		if r := recover(); r != nil {
			reason = execution.ReasonPlan
			f = failure{
				message:   fmt.Sprintf("internal error: %v; this is a fault of the interpreter, not of the plan", r),
				backtrace: string(debug.Stack()),
			}
		}
	}()
	input := starlarkpb.FromProto(in)
	input.Freeze()
	v, err := starlark.Call(t.thread, p.plan, starlark.Tuple{input}, nil)
	switch {
	case err == nil:
		return v, "", failure{}
	case t.limited:
		return nil, execution.ReasonSteps, t.failure(err)
	default:
		return nil, execution.ReasonPlan, t.failure(err)
	}
}

// planResult takes the PlanResult out of what plan() returned, or says what is
// wrong with it.
func planResult(v starlark.Value) (result *planpb.PlanResult, fault string) {
	if v == starlark.None {
		return nil, "plan() returned None, want PlanResult; is a return missing?"
	}
	if m, ok := v.(*starlarkpb.Message); ok {
		result, _ = m.Proto().(*planpb.PlanResult)
	}
	if result == nil {
		return nil, fmt.Sprintf("plan() returned %s, want PlanResult; write return PlanResult(next_task_names=[…])", v.Type())
	}
	return result, nameFault(result)
}

// nameFault says which of a result's next_task_names consumers would refuse.
func nameFault(result *planpb.PlanResult) string {
	for i, name := range result.GetNextTaskNames() {
		if fault := predeclared.CheckTaskName(name); fault != nil {
			return fmt.Sprintf("PlanResult: next_task_names[%d]: %v", i, fault)
		}
	}
	return ""
}

// stepLimit is the message of the timeout that users meet.
func stepLimit(limit uint64, pos string) string {
	at := ""
	if pos != "" {
		at = " at " + pos
	}
	return fmt.Sprintf("Execution timed out: step limit of %d reached%s; raise PLAN_TIMEOUT or PLAN_MAX_STEPS", limit, at)
}

// tooLargeMessage is the message for an execution that the broker would refuse.
func tooLargeMessage(e *execution.SizeError) string {
	return fmt.Sprintf("Execution of %d bytes exceeds the limit of %d bytes of the output topic; return less data, pass it as external_data, or raise max.message.bytes of the topic", e.Size, e.Limit)
}

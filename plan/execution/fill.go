package execution

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"starplan/proto/planpb"
)

// What consumers downstream store, in characters. An execution that breaks one
// of these is lost over there without a word.
const (
	// MaxName bounds header.name and each of next_task_names.
	MaxName = 100
	// MaxMessage bounds result.error_message.
	MaxMessage = 1000
	// MaxParentNames bounds parent_task_names joined with commas.
	MaxParentNames = 500
)

// CreatedAtLayout is header.created_at: RFC 3339 in UTC with milliseconds.
const CreatedAtLayout = "2006-01-02T15:04:05.000Z"

// namespace is the UUIDv5 namespace of execution identifiers (RFC 9562, section 5.5).
var namespace = uuid.MustParse("6f1d5a2e-3c57-5b0e-9a55-8c1f1f7e6a10")

// ID gives header.exec_id for a record: a UUIDv5 of its topic, partition, offset
// and timestamp. It is unique, and the same again when the record is redelivered.
func ID(rec Record) string {
	name := fmt.Appendf(nil, "%s\x00%d\x00%d\x00%d", rec.Topic, rec.Partition, rec.Offset, rec.Timestamp.UnixMilli())
	return uuid.NewSHA1(namespace, name).String()
}

// CreatedAt gives header.created_at for a record's timestamp. Times outside of
// the years 0 to 9999, which RFC 3339 cannot write, are moved to the nearest
// that it can.
func CreatedAt(t time.Time) string {
	t = t.UTC()
	switch {
	case t.Year() < 0:
		t = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	case t.Year() > 9999:
		t = time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC)
	}
	return t.Format(CreatedAtLayout)
}

// Decode reads a record's value. The error names the record's coordinates. Its
// text is the same in every build: protobuf puts either a space or a no-break
// space into its own, so that nobody relies on them.
func Decode(rec Record) (*planpb.PlanInput, error) {
	in := new(planpb.PlanInput)
	if err := proto.Unmarshal(rec.Value, in); err != nil {
		text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
		return nil, fmt.Errorf("value of %s/%d/%d is no PlanInput: %s", rec.Topic, rec.Partition, rec.Offset, text)
	}
	return in, nil
}

// Answer is a PlanExecution in the making: its header and parents are filled
// from the record, its result is still missing. Exactly one of Succeed and Fail
// ends it. An Answer belongs to one goroutine.
type Answer struct {
	exec    *planpb.PlanExecution
	outcome Outcome
}

// NewAnswer fills header and parents of the PlanExecution that answers rec.
// in is nil where the record's value could not be decoded.
func NewAnswer(tenant string, rec Record, in *planpb.PlanInput) *Answer {
	key, _ := ParseKey(rec.Key)
	var first *planpb.ExecutionHeader
	if parents := in.GetTaskExecutions(); len(parents) > 0 {
		first = parents[0].GetHeader()
	}
	header := &planpb.ExecutionHeader{
		Name:         Cut(key.Plan, MaxName),
		ExecId:       ID(rec),
		GraphId:      firstSet(in.GetGraphId(), first.GetGraphId(), key.Graph),
		LifetimeId:   firstSet(in.GetLifetimeId(), first.GetLifetimeId()),
		TenantId:     tenant,
		Attempt:      1,
		IterationIdx: first.GetIterationIdx(),
		CreatedAt:    CreatedAt(rec.Timestamp),
	}
	if first != nil {
		header.Attempt = first.GetAttempt()
	}
	a := &Answer{exec: &planpb.PlanExecution{Header: header}}
	a.outcome.ExecID = header.ExecId
	if name := in.GetPlanName(); name != "" {
		header.Name = Cut(name, MaxName)
		a.warn(name != key.Plan, WarnNameMismatch)
	}
	a.warn(strings.TrimSpace(header.GraphId) == "", WarnBlankGraph)
	a.warn(strings.TrimSpace(header.LifetimeId) == "", WarnBlankLifetime)
	a.addParents(in.GetTaskExecutions())
	return a
}

// addParents fills both parent lists in step, from the executions that have an exec_id.
func (a *Answer) addParents(parents []*planpb.TaskExecution) {
	joined := 0
	for _, p := range parents {
		id := p.GetHeader().GetExecId()
		if id == "" {
			continue
		}
		name := p.GetHeader().GetName()
		a.exec.ParentTaskExecIds = append(a.exec.ParentTaskExecIds, id)
		a.exec.ParentTaskNames = append(a.exec.ParentTaskNames, name)
		joined += utf8.RuneCountInString(name) + 1
	}
	a.warn(joined-1 > MaxParentNames, WarnParentNames)
}

func (a *Answer) warn(when bool, w Warning) {
	if when {
		a.outcome.Warnings = append(a.outcome.Warnings, w)
	}
}

// SizeError is an execution that is larger than the output topic takes, in bytes.
type SizeError struct{ Size, Limit int }

func (e *SizeError) Error() string {
	return fmt.Sprintf("execution of %d bytes exceeds %d bytes", e.Size, e.Limit)
}

// Succeed ends the answer with what plan() returned. The result is not copied
// and may be changed: an error_message longer than consumers store is cut. It
// fails with a [*SizeError] where the execution would exceed limit bytes, and
// otherwise where the result cannot be serialized, as with a string that is no
// UTF-8; then Fail can still end the answer.
func (a *Answer) Succeed(result *planpb.PlanResult, limit int) (Outcome, error) {
	if result == nil {
		result = new(planpb.PlanResult)
	}
	if msg := result.GetErrorMessage(); utf8.RuneCountInString(msg) > MaxMessage {
		result.ErrorMessage = Cut(msg, MaxMessage)
		a.warn(true, WarnMessageCut)
	}
	a.exec.Header.Status = planpb.ExecutionStatus_EXECUTION_STATUS_SUCCEEDED
	a.exec.Result = result
	// The size is asked first: a result may hold one large payload many times over,
	// and be small in memory only as long as it is not serialized.
	if n := proto.Size(a.exec); n > limit {
		return Outcome{}, &SizeError{Size: n, Limit: limit}
	}
	value, err := marshal(a.exec)
	if err != nil {
		return Outcome{}, fmt.Errorf("result of plan: %w", err)
	}
	out := a.outcome
	out.Value = value
	out.Message = result.GetErrorMessage()
	out.PlanError = out.Message != ""
	return out, nil
}

// Fail ends the answer as FAILED. The message is cut to what consumers store and
// never left empty; result holds it and nothing else.
func (a *Answer) Fail(reason Reason, message string) Outcome {
	message = Cut(strings.TrimSpace(message), MaxMessage)
	if message == "" {
		message = "Execution failed without a message: " + string(reason)
	}
	a.exec.Header.Status = planpb.ExecutionStatus_EXECUTION_STATUS_FAILED
	a.exec.Result = &planpb.PlanResult{ErrorMessage: message}
	value, err := marshal(a.exec)
	if err != nil {
		// Everything else came out of a decoded PlanInput and a valid key, so only
		// a tenant that is no UTF-8 could end here; configuration refuses that.
		panic(fmt.Sprintf("execution: marshal failed execution: %v", err))
	}
	out := a.outcome
	out.Value = value
	out.Reason = reason
	out.Message = message
	return out
}

// Fail answers rec as FAILED from the outside of a plan: by wall clock, memory,
// crash, size, or because there is no plan to run. The header is filled from the
// value where that can be decoded; where it cannot, that is what the answer says.
func Fail(tenant string, rec Record, reason Reason, message string) Outcome {
	in, err := Decode(rec)
	if err != nil {
		reason, message = ReasonDecode, sentence(err.Error())
	}
	return NewAnswer(tenant, rec, in).Fail(reason, message)
}

// sentence writes an error text as a message for people: it begins with a capital.
func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// marshal is deterministic: the same message gives the same bytes in one build.
func marshal(m proto.Message) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

func firstSet(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

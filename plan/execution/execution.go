// Package execution is the wire contract of Starplan: which record goes in,
// which PlanExecution comes out, and the closed set of reasons for which an
// execution fails or a record is skipped.
//
// It is the seam between the two halves of the program. The processor moves
// records and knows no Starlark; the plan packages run plans and know no Kafka;
// both speak in the types of this package, and data flows one way:
//
//	Record  ->  a runner  ->  Outcome  ->  in-order commit
//
// An Outcome is a pure function of the record, the plan's sources and the
// limits, unless its Reason says that it ended by wall clock, memory or crash.
// In particular nothing here reads a clock or draws a random number: exec_id is
// a UUIDv5 of the record's coordinates and created_at is the record's timestamp,
// so that a redelivered record gives the same bytes again.
package execution

import (
	"bytes"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"
)

// Record is one record of an input topic as a broker delivered it. Its slices
// are shared, not copied: nobody may change them.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	// Timestamp has millisecond precision, as the broker stores it.
	Timestamp time.Time
	// Key is nil for a record without one.
	Key []byte
	// Value is a serialized PlanInput; nil for a tombstone.
	Value []byte
	// Traceparent and Tracestate are the headers of those names; nil where the record
	// has none. No plan sees them: see [ParseTrace].
	Traceparent, Tracestate []byte
}

// Key is what a record's key says: which plan, and in the longer form of which graph.
type Key struct {
	// Graph is empty where the key is the plan's name alone.
	Graph string
	Plan  string
}

// ParseKey reads a record key: the plan's name, or "{graph_id}:{plan_name}"
// split at the last colon. It reports false for a key that is nil, empty or not
// valid UTF-8, or that ends in a colon and so names no plan.
func ParseKey(key []byte) (Key, bool) {
	if !utf8.Valid(key) {
		return Key{}, false
	}
	graph, plan := []byte(nil), key
	if i := bytes.LastIndexByte(key, ':'); i >= 0 {
		graph, plan = key[:i], key[i+1:]
	}
	if len(plan) == 0 {
		return Key{}, false
	}
	return Key{Graph: string(graph), Plan: string(plan)}, true
}

// String gives the key in the form it is written on the wire.
func (k Key) String() string {
	if k.Graph == "" {
		return k.Plan
	}
	return k.Graph + ":" + k.Plan
}

// Skip says why a record is left unanswered. The empty Skip means that it is not.
type Skip string

// The reasons to leave a record unanswered.
const (
	// SkipNoKey is a key that is null, empty or no UTF-8.
	SkipNoKey Skip = "no_key"
	// SkipForeign is a key that PLAN_NAME or GRAPH_ID leave to another process.
	SkipForeign Skip = "foreign_key"
	// SkipEmpty is a record with no value, or a value of 0 bytes.
	SkipEmpty Skip = "empty_value"
)

// Skips lists every reason to skip, in a stable order.
func Skips() []Skip { return []Skip{SkipNoKey, SkipForeign, SkipEmpty} }

// Reason says why an execution FAILED. It is the metric label, the dead-letter
// header and the log attribute alike. The empty Reason means SUCCEEDED.
type Reason string

// The reasons for a FAILED execution.
const (
	// ReasonDecode is a value that is no PlanInput.
	ReasonDecode Reason = "decode"
	// ReasonUnknownPlan is a key that names a plan nobody has loaded.
	ReasonUnknownPlan Reason = "unknown_plan"
	// ReasonLoad is a plan that could not be loaded and has no good version.
	ReasonLoad Reason = "load"
	// ReasonPlan is fail(), or an evaluation error, in the plan.
	ReasonPlan Reason = "plan"
	// ReasonResult is a plan that returned something other than a PlanResult.
	ReasonResult Reason = "result"
	// ReasonSteps is the step limit, the deterministic timeout.
	ReasonSteps Reason = "steps"
	// ReasonTimeout is the wall clock.
	ReasonTimeout Reason = "timeout"
	// ReasonMemory is the memory limit.
	ReasonMemory Reason = "memory"
	// ReasonCrash is a worker that died otherwise.
	ReasonCrash Reason = "crash"
	// ReasonTooLarge is an execution larger than the broker takes.
	ReasonTooLarge Reason = "too_large"
)

// Reasons lists every reason, in a stable order.
func Reasons() []Reason {
	return []Reason{
		ReasonDecode, ReasonUnknownPlan, ReasonLoad, ReasonPlan, ReasonResult,
		ReasonSteps, ReasonTimeout, ReasonMemory, ReasonCrash, ReasonTooLarge,
	}
}

// Deterministic reports whether the same record, plan and limits give this
// reason again. What ends by wall clock, memory or crash may end otherwise the
// next time.
func (r Reason) Deterministic() bool {
	switch r {
	case ReasonTimeout, ReasonMemory, ReasonCrash:
		return false
	default:
		return true
	}
}

// Outcome is the answer to one record.
type Outcome struct {
	// Value is the serialized PlanExecution; never empty.
	Value []byte
	// Reason is empty when the status is SUCCEEDED.
	Reason Reason
	// Message is the execution's result.error_message: the failure's, or the one
	// that a plan returned of its own accord (see PlanError).
	Message string
	// PlanError reports a SUCCEEDED execution whose result has an error_message.
	PlanError bool
	// Plan is the name of the loaded plan that ran; empty where none did.
	Plan string
	// Digest identifies the plan's sources; empty where no plan ran.
	Digest string
	// ExecID is header.exec_id.
	ExecID string
	// Position is where the plan failed, as "plan.star:12:5"; often empty.
	Position string
	// Backtrace is the plan's call stack on failure, many lines; often empty.
	Backtrace string
	// Steps is the number of Starlark steps that plan() took.
	Steps uint64
	// Duration is the wall time of decoding, running and encoding. It is for
	// metrics only: it never reaches a record.
	Duration time.Duration
	// Warnings are remarks for the log: a name that differs between key and value,
	// a field that consumers will cut or refuse.
	Warnings []Warning
	// Prints is what the plan printed, already bounded; often nil.
	Prints []string
}

// Warning is a remark about an execution that was answered all the same.
type Warning string

// The warnings.
const (
	// WarnNameMismatch: the value's plan_name differs from the key's.
	WarnNameMismatch Warning = "plan_name of the value differs from the key's"
	// WarnParentNames: the comma-joined parent_task_names exceed what consumers store.
	WarnParentNames Warning = "parent_task_names joined exceed 500 characters"
	// WarnBlankGraph: no graph_id in the value, its parents or the key.
	WarnBlankGraph Warning = "graph_id is blank"
	// WarnBlankLifetime: no lifetime_id in the value or its parents.
	WarnBlankLifetime Warning = "lifetime_id is blank"
	// WarnMessageCut: the plan's error_message was longer than consumers store.
	WarnMessageCut Warning = "error_message was cut to 1000 characters"
)

// Level is the log level that a warning deserves. Inputs of executors-py hold
// neither graph nor lifetime: where that is normal it must not fill the log.
func (w Warning) Level() slog.Level {
	switch w {
	case WarnBlankGraph, WarnBlankLifetime:
		return slog.LevelDebug
	default:
		return slog.LevelWarn
	}
}

// Cut shortens s to at most limit characters (runes), on a rune boundary. Bytes
// that are no UTF-8 are replaced first, since protobuf refuses them.
func Cut(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= limit {
		return s
	}
	n := 0
	for i := range s {
		if n == limit {
			return s[:i]
		}
		n++
	}
	return s
}

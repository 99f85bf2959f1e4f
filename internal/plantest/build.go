package plantest

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"go.starlark.net/starlark"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"starplan/plan"
	"starplan/plan/predeclared"
	"starplan/proto/planpb"
	"starplan/starlarkpb"
)

// testNames are the names that a test file finds: those of plans, and its own.
func testNames(f *testFile) starlark.StringDict {
	names := make(starlark.StringDict)
	for name, v := range predeclared.Values() {
		names[name] = v
	}
	names["assert"] = assertModule()
	names["any"] = anyNames{}
	names["task"] = starlark.NewBuiltin("task", buildTask)
	names["stored"] = starlark.NewBuiltin("stored", buildStored)
	names["run"] = starlark.NewBuiltin("run", runPlan)
	names["plan_input"] = starlark.NewBuiltin("plan_input", func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		return buildInput(b, args, kwargs, f.planName())
	})
	names.Freeze()
	return names
}

// planName is the plan that a test file is about, as far as its place tells: the
// folder for a plan.star, else what stands before _test.star.
func (f *testFile) planName() string {
	name := strings.TrimSuffix(f.entry, TestSuffix)
	if name+".star" != plan.EntryFile {
		return name
	}
	if dir, err := filepath.Abs(f.dir); err == nil {
		return filepath.Base(dir)
	}
	return name
}

// buildTask is task(name, result=None, error="", …): a TaskExecution.
func buildTask(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	h := &planpb.ExecutionHeader{GraphId: "graph", LifetimeId: "run", TenantId: "test", CreatedAt: "2026-01-02T03:04:05.000Z"}
	exec := &planpb.TaskExecution{Header: h, Result: new(planpb.TaskResult)}
	var result starlark.Value = starlark.None
	var status starlark.Value = starlark.None
	attempt, iteration := 1, 0
	id := ""
	err := starlark.UnpackArgs(b.Name(), args, kwargs,
		"name", &h.Name, "result?", &result, "error?", &exec.Result.ErrorMessage, "exec_id?", &h.ExecId,
		"attempt?", &attempt, "iteration_idx?", &iteration, "status?", &status, "edge_taken?", &h.EdgeTaken,
		"id?", &id, "parent_plan_name?", &exec.ParentPlanName, "parent_plan_exec_id?", &exec.ParentPlanExecId)
	if err != nil {
		return nil, err
	}
	message := exec.Result.ErrorMessage
	if err := setResult(exec, result); err != nil {
		return nil, fmt.Errorf("%s: result: %w", b.Name(), err)
	}
	exec.Result.Id = cmp.Or(id, exec.Result.Id)
	exec.Result.ErrorMessage = cmp.Or(message, exec.Result.ErrorMessage)
	h.ExecId = cmp.Or(h.ExecId, "exec-"+h.Name)
	if h.Attempt, h.IterationIdx = int32(attempt), int32(iteration); int(h.Attempt) != attempt || int(h.IterationIdx) != iteration {
		return nil, fmt.Errorf("%s: attempt and iteration_idx: got %d and %d, want 32 bits", b.Name(), attempt, iteration)
	}
	h.Status = planpb.ExecutionStatus_EXECUTION_STATUS_SUCCEEDED
	if exec.Result.ErrorMessage != "" {
		h.Status = planpb.ExecutionStatus_EXECUTION_STATUS_FAILED
	}
	if status != starlark.None {
		n, err := starlark.AsInt32(status)
		if err != nil {
			return nil, fmt.Errorf("%s: status: got %s, want ExecutionStatus.NAME or an int", b.Name(), status.Type())
		}
		h.Status = planpb.ExecutionStatus(n)
	}
	return newMessage(exec)
}

// setResult takes what a task gave: a TaskResult, a payload or stored data.
func setResult(exec *planpb.TaskExecution, v starlark.Value) error {
	if v == starlark.None {
		return nil
	}
	if m, ok := v.(*starlarkpb.Message); ok {
		switch m := proto.Clone(m.Proto()).(type) {
		case *planpb.TaskResult:
			exec.Result = m
			return nil
		case *anypb.Any:
			exec.Result.Data = &planpb.TaskResult_InlineData{InlineData: m}
			return nil
		case *planpb.StoredData:
			exec.Result.Data = &planpb.TaskResult_ExternalData{ExternalData: m}
			return nil
		}
	}
	return fmt.Errorf("got %s, want a payload such as any.struct({…}) or any.string(\"…\"), stored(uri) or TaskResult(…)", v.Type())
}

// buildInput is plan_input(*tasks, plan_name=…, graph_id="graph", …): a PlanInput.
func buildInput(b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple, name string) (starlark.Value, error) {
	in := &planpb.PlanInput{InputId: "input", PlanName: name, GraphId: "graph", LifetimeId: "run"}
	if err := starlark.UnpackArgs(b.Name(), nil, kwargs,
		"plan_name?", &in.PlanName, "graph_id?", &in.GraphId, "lifetime_id?", &in.LifetimeId, "input_id?", &in.InputId); err != nil {
		return nil, err
	}
	for i, arg := range args {
		m, ok := arg.(*starlarkpb.Message)
		if !ok {
			return nil, fmt.Errorf("%s: argument %d: got %s, want task(…)", b.Name(), i+1, arg.Type())
		}
		exec, ok := m.Proto().(*planpb.TaskExecution)
		if !ok {
			return nil, fmt.Errorf("%s: argument %d: got %s, want task(…)", b.Name(), i+1, arg.Type())
		}
		in.TaskExecutions = append(in.TaskExecutions, exec)
	}
	return newMessage(in)
}

// buildStored is stored(uri, metadata={}): a StoredData.
func buildStored(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	data := new(planpb.StoredData)
	metadata := new(starlark.Dict)
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "uri", &data.Uri, "metadata?", &metadata); err != nil {
		return nil, err
	}
	for _, item := range metadata.Items() {
		k, ok1 := starlark.AsString(item[0])
		v, ok2 := starlark.AsString(item[1])
		if !ok1 || !ok2 {
			return nil, fmt.Errorf("%s: metadata: got %s: %s, want strings", b.Name(), item[0].Type(), item[1].Type())
		}
		if data.Metadata == nil {
			data.Metadata = make(map[string]string)
		}
		data.Metadata[k] = v
	}
	return newMessage(data)
}

// newMessage gives a message as a frozen value, where it could go over the wire.
func newMessage(m proto.Message) (starlark.Value, error) {
	if _, err := proto.Marshal(m); err != nil {
		return nil, err
	}
	return starlarkpb.FromProto(m), nil
}

// runPlan is run(plan, input, now=…): what the service does with a plan. It gives
// the PlanResult, frozen.
func runPlan(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var fn starlark.Callable
	var input *starlarkpb.Message
	var at string
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "plan", &fn, "input", &input, "now?", &at); err != nil {
		return nil, err
	}
	if _, ok := input.Proto().(*planpb.PlanInput); !ok {
		return nil, fmt.Errorf("%s: got %s, want plan_input(…)", b.Name(), input.Type())
	}
	t, err := stateOf(thread)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	if at != "" {
		now, err := time.Parse(time.RFC3339, at)
		if err != nil {
			return nil, fmt.Errorf("%s: now: got %q, want RFC 3339, as 2026-01-02T03:04:05Z", b.Name(), at)
		}
		outer := t.now
		now = now.UTC()
		t.setNow(&now)
		defer t.setNow(outer)
	}
	input.Freeze()
	v, err := starlark.Call(thread, fn, starlark.Tuple{input}, nil)
	if err != nil {
		return nil, err
	}
	if m, ok := v.(*starlarkpb.Message); ok {
		if result, ok := m.Proto().(*planpb.PlanResult); ok {
			return newMessage(result)
		}
	}
	return nil, fmt.Errorf("%s: the plan returned %s, want PlanResult; is a return missing?", b.Name(), v.Type())
}

// anyNames is any: the function of all Starlark, and the builders of payloads.
type anyNames struct{}

var (
	_ starlark.Callable = anyNames{}
	_ starlark.HasAttrs = anyNames{}
)

// String implements starlark.Value.
func (anyNames) String() string { return "<any>" }

// Type implements starlark.Value.
func (anyNames) Type() string { return "builtin_function_or_method" }

// Freeze does nothing: there is nothing to change.
func (anyNames) Freeze() {}

// Truth implements starlark.Value.
func (anyNames) Truth() starlark.Bool { return true }

// Hash implements starlark.Value.
func (anyNames) Hash() (uint32, error) { return starlark.String("any").Hash() }

// Name implements starlark.Callable.
func (anyNames) Name() string { return "any" }

// CallInternal is any(iterable).
func (anyNames) CallInternal(thread *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	fn, ok := predeclared.Values()["any"]
	if !ok {
		fn = starlark.Universe["any"]
	}
	return starlark.Call(thread, fn, args, kwargs)
}

// AttrNames implements starlark.HasAttrs.
func (anyNames) AttrNames() []string { return []string{"raw", "string", "struct", "value"} }

// Attr implements starlark.HasAttrs.
func (anyNames) Attr(name string) (starlark.Value, error) {
	fn := map[string]builtin{"raw": anyRaw, "string": anyString, "struct": anyStruct, "value": anyValue}[name]
	if fn == nil {
		return nil, nil
	}
	return starlark.NewBuiltin("any."+name, fn), nil
}

// anyRaw is any.raw(type_url, value): a payload as it comes, malformed or not.
func anyRaw(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	payload := new(anypb.Any)
	var value starlark.Value
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "type_url", &payload.TypeUrl, "value", &value); err != nil {
		return nil, err
	}
	switch value := value.(type) {
	case starlark.Bytes:
		payload.Value = []byte(value)
	case starlark.String:
		payload.Value = []byte(value)
	default:
		return nil, fmt.Errorf("%s: value: got %s, want bytes or string", b.Name(), value.Type())
	}
	return newMessage(payload)
}

// anyString is any.string(text): a StringValue.
func anyString(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var text string
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &text); err != nil {
		return nil, err
	}
	return pack(b, wrapperspb.String(text))
}

// anyStruct is any.struct(dict): a Struct.
func anyStruct(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var dict *starlark.Dict
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &dict); err != nil {
		return nil, err
	}
	v, err := toValue(dict, maxDepth)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	return pack(b, v.GetStructValue())
}

// anyValue is any.value(x): a Value.
func anyValue(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x starlark.Value
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &x); err != nil {
		return nil, err
	}
	v, err := toValue(x, maxDepth)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	return pack(b, v)
}

func pack(b *starlark.Builtin, m proto.Message) (starlark.Value, error) {
	payload := new(anypb.Any)
	if err := anypb.MarshalFrom(payload, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	return newMessage(payload)
}

// maxExact is the largest int whose neighbours a double can tell apart.
const maxExact = 1 << 53

// toValue converts what JSON can say.
func toValue(v starlark.Value, depth int) (*structpb.Value, error) {
	if depth == 0 {
		return nil, fmt.Errorf("value nests deeper than %d", maxDepth)
	}
	switch v := v.(type) {
	case starlark.NoneType:
		return structpb.NewNullValue(), nil
	case starlark.Bool:
		return structpb.NewBoolValue(bool(v)), nil
	case starlark.Int:
		n, ok := v.Int64()
		if !ok || n > maxExact || n < -maxExact {
			return nil, fmt.Errorf("int %v: payloads hold numbers as doubles, which are exact up to 2**53 only", v)
		}
		return structpb.NewNumberValue(float64(n)), nil
	case starlark.Float:
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, fmt.Errorf("float %v has no place in JSON", v)
		}
		return structpb.NewNumberValue(float64(v)), nil
	case starlark.String:
		if !utf8.ValidString(string(v)) {
			return nil, errors.New("string is not valid UTF-8")
		}
		return structpb.NewStringValue(string(v)), nil
	case *starlark.Dict:
		return toStruct(v, depth)
	case starlark.Sequence:
		return toList(v, depth)
	default:
		return nil, fmt.Errorf("got %s, want None, bool, int, float, string, list or dict", v.Type())
	}
}

func toStruct(d *starlark.Dict, depth int) (*structpb.Value, error) {
	s := &structpb.Struct{Fields: make(map[string]*structpb.Value)}
	for _, item := range d.Items() {
		key, ok := starlark.AsString(item[0])
		if !ok {
			return nil, fmt.Errorf("got key %v, want a string", item[0])
		}
		value, err := toValue(item[1], depth-1)
		if err != nil {
			return nil, fmt.Errorf("[%q]: %w", key, err)
		}
		s.Fields[key] = value
	}
	return structpb.NewStructValue(s), nil
}

func toList(seq starlark.Sequence, depth int) (*structpb.Value, error) {
	l := new(structpb.ListValue)
	iter := seq.Iterate()
	defer iter.Done()
	var elem starlark.Value
	for i := 0; iter.Next(&elem); i++ {
		value, err := toValue(elem, depth-1)
		if err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
		l.Values = append(l.Values, value)
	}
	return structpb.NewListValue(l), nil
}

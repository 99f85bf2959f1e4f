package starlarkpb_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"go.starlark.net/starlark"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"starplan/proto/planpb"
	"starplan/starlarkpb"
)

// visit looks at everything that v gives, and at what that gives, to a depth.
func visit(t *testing.T, v starlark.Value, depth int) {
	t.Helper()
	_ = v.String()
	_ = v.Type()
	_ = v.Truth()
	_, _ = v.Hash()
	if same, err := starlark.EqualDepth(v, v, 1000); err == nil && !same {
		t.Errorf("%v differs from itself", v)
	}
	if m, ok := v.(json.Marshaler); ok {
		if data, err := m.MarshalJSON(); err == nil && !json.Valid(data) {
			t.Errorf("%v: not valid JSON: %s", v, data)
		}
	}
	if depth == 0 {
		return
	}
	switch v := v.(type) {
	case *starlarkpb.Message:
		visitMessage(t, v, depth)
	case starlark.IterableMapping:
		for _, item := range v.Items() {
			visit(t, item[1], depth-1)
		}
	case starlark.Iterable:
		for e := range starlark.Elements(v) {
			visit(t, e, depth-1)
		}
	}
}

func visitMessage(t *testing.T, m *starlarkpb.Message, depth int) {
	t.Helper()
	for _, name := range m.AttrNames() {
		v, err := m.Attr(name)
		if err != nil {
			t.Errorf("%s.%s: %v", m.Type(), name, err)
			continue
		}
		visit(t, v, depth-1)
		_, _ = call(m, "HasField", starlark.String(name))
	}
	_, _ = call(m, "WhichOneof", starlark.String("data"))
	for _, args := range [][]starlark.Value{nil, {starlark.None}} {
		v, err := call(m, "unpack", args...)
		if err == nil {
			visit(t, v, depth-1)
		} else if args != nil && slices.Contains(m.AttrNames(), "unpack") {
			t.Errorf("unpack with a default: %v", err)
		}
	}
}

func FuzzPlanInput(f *testing.F) {
	data, err := proto.Marshal(sampleInput())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte{0x1a, 0x04, 0x1a, 0x02, 0x12, 0x00})
	f.Fuzz(func(t *testing.T, data []byte) {
		in := new(planpb.PlanInput)
		if proto.Unmarshal(data, in) != nil {
			return
		}
		before := marshal(t, in)
		v := starlarkpb.FromProto(in)
		visit(t, v, 6)
		env := starlark.StringDict{"inp": v, "PlanInput": starlarkpb.Constructor(in), "PlanResult": starlarkpb.Constructor((*planpb.PlanResult)(nil))}
		copied := eval(t, `[(c, c.CopyFrom(inp), [(t.ClearField("parent_plan_name"), t.result.ClearField("id")) for t in c.task_executions]) for c in [PlanInput()]][0][0]`, env)
		visit(t, copied, 6)
		result := eval(t, `PlanResult(upstream_tasks_results=[t.result for t in inp.task_executions])`, env)
		marshal(t, result.(*starlarkpb.Message).Proto())
		if after := marshal(t, in); !bytes.Equal(after, before) {
			t.Errorf("input changed: got %x, want %x", after, before)
		}
	})
}

// FuzzPath evaluates expressions made of paths into an input and assignments to them.
func FuzzPath(f *testing.F) {
	f.Add("task_executions.0.result.inline_data.unpack", "x")
	f.Add("task_executions.-1.result.external_data.metadata.size", "")
	f.Add("task_executions.0.result.HasField", "data")
	f.Add("upstream_tasks_results.add.inline_data.type_url", "\xff")
	f.Fuzz(func(t *testing.T, path, arg string) {
		for _, typ := range planTypes() {
			m, err := starlark.Call(new(starlark.Thread), typ, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			follow(t, m, path, arg)
			marshal(t, m.(*starlarkpb.Message).Proto())
		}
		in := sampleInput()
		want := marshal(t, in)
		follow(t, starlarkpb.FromProto(in), path, arg)
		if got := marshal(t, in); !bytes.Equal(got, want) {
			t.Errorf("input changed: got %x, want %x", got, want)
		}
	})
}

// follow goes along a path, tries to set each name on it, and calls what can be called.
func follow(t *testing.T, v starlark.Value, path, arg string) {
	t.Helper()
	for name := range strings.SplitSeq(path, ".") {
		if v == nil {
			return
		}
		visit(t, v, 1)
		var next starlark.Value
		switch x := v.(type) {
		case starlark.Callable:
			next, _ = starlark.Call(new(starlark.Thread), x, nil, nil)
			if next == nil {
				next, _ = starlark.Call(new(starlark.Thread), x, starlark.Tuple{starlark.String(arg)}, nil)
			}
		case starlark.HasAttrs:
			next, _ = x.Attr(name)
		}
		if x, ok := v.(starlark.HasSetField); ok {
			_ = x.SetField(name, starlark.String(arg))
			_ = x.SetField(name, v)
			_ = x.SetField(name, starlark.NewList([]starlark.Value{starlark.String(arg), v}))
		}
		if x, ok := v.(starlark.HasSetKey); ok {
			_ = x.SetKey(starlark.String(name), starlark.String(arg))
		}
		if x, ok := v.(starlark.Indexable); ok && next == nil && x.Len() > 0 {
			next = x.Index(len(name) % x.Len())
		}
		v = next
	}
}

func FuzzUnpack(f *testing.F) {
	for name, v := range map[string]*structpb.Value{
		"google.protobuf.Value":       structpb.NewStringValue("x"),
		"google.protobuf.StringValue": structpb.NewNumberValue(1),
	} {
		data, err := proto.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add("type.googleapis.com/"+name, data)
	}
	f.Add("type.googleapis.com/google.protobuf.Struct", []byte("\n\x0b\n\x01k\x12\x06\x32\x04\n\x02 \x01"))
	f.Add("type.googleapis.com/google.protobuf.StringValue", []byte("plain"))
	f.Add("starplan.v1.PlanInput", []byte{0x1a, 0x00})
	f.Add("x/google.protobuf.Any", []byte{0x0a, 0x00})
	f.Fuzz(func(t *testing.T, url string, payload []byte) {
		a := &anypb.Any{TypeUrl: url, Value: payload}
		m := starlarkpb.FromProto(a)
		visit(t, m, 4)
		if _, err := call(m, "unpack", starlark.None); err != nil {
			t.Errorf("unpack(None): %v", err)
		}
		data, err := m.MarshalJSON()
		if err == nil && !json.Valid(data) {
			t.Errorf("not valid JSON: %s", data)
		}
		if again, _ := m.MarshalJSON(); !bytes.Equal(data, again) {
			t.Errorf("JSON differs: %s and %s", data, again)
		}
		if !bytes.Equal(a.GetValue(), payload) {
			t.Error("payload changed")
		}
	})
}

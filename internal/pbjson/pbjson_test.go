package pbjson_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"starplan/internal/pbjson"
	"starplan/proto/planpb"
)

func inline(a *anypb.Any) *planpb.TaskResult {
	return &planpb.TaskResult{Id: "r", Data: &planpb.TaskResult_InlineData{InlineData: a}}
}

func mustAny(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestRoundTrip(t *testing.T) {
	stringURL := "type.googleapis.com/google.protobuf.StringValue"
	for _, test := range []struct {
		name string
		in   *planpb.TaskResult
		want string
	}{
		{"well formed", inline(mustAny(t, wrapperspb.String("a"))),
			`{"id":"r","inline_data":{"@type":"type.googleapis.com/google.protobuf.StringValue","value":"a"}}`},
		{"malformed payload", inline(&anypb.Any{TypeUrl: stringURL, Value: []byte("hello")}),
			`{"id":"r","inline_data":{"type_url":"type.googleapis.com/google.protobuf.StringValue","value":"aGVsbG8="}}`},
		{"unknown type", inline(&anypb.Any{TypeUrl: "x.y/Z", Value: []byte{1}}),
			`{"id":"r","inline_data":{"type_url":"x.y/Z","value":"AQ=="}}`},
		{"no type", inline(&anypb.Any{Value: []byte{1}}),
			`{"id":"r","inline_data":{"type_url":"","value":"AQ=="}}`},
		{"empty", inline(&anypb.Any{}), `{"id":"r","inline_data":{}}`},
		{"nested malformed", inline(mustAny(t, inline(&anypb.Any{TypeUrl: stringURL, Value: []byte{0xff}}))),
			`{"id":"r","inline_data":{"type_url":"type.googleapis.com/starplan.v1.TaskResult","value":"CgFyEjQKL3R5cGUuZ29vZ2xlYXBpcy5jb20vZ29vZ2xlLnByb3RvYnVmLlN0cmluZ1ZhbHVlEgH/"}}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := proto.Clone(test.in)
			got, err := pbjson.Marshal(test.in)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.want {
				t.Errorf("Marshal = %s, want %s", got, test.want)
			}
			if !proto.Equal(before, test.in) {
				t.Error("Marshal changed its argument")
			}
			back := new(planpb.TaskResult)
			if err := pbjson.Unmarshal(got, back); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.in, back, protocmp.Transform()); diff != "" {
				t.Errorf("Unmarshal(Marshal(m)) differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTwoPayloadsKeepTheirPlaces(t *testing.T) {
	in := &planpb.PlanResult{UpstreamTasksResults: []*planpb.TaskResult{
		inline(&anypb.Any{TypeUrl: "a/A", Value: []byte("first")}),
		inline(mustAny(t, wrapperspb.Int64(7))),
		inline(&anypb.Any{TypeUrl: "b/B", Value: []byte("second")}),
	}}
	text, err := pbjson.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	back := new(planpb.PlanResult)
	if err := pbjson.Unmarshal(text, back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, back, protocmp.Transform()); diff != "" {
		t.Errorf("round trip differs (-want +got):\n%s", diff)
	}
}

func TestUnmarshalErrors(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"unknown field", `{"plan_nam": "x"}`, `unknown field "plan_nam"`},
		{"two values", `{} {}`, "more than one JSON value"},
		{"no JSON", `plan`, "invalid character"},
		{"bad base64", `{"task_executions":[{"result":{"inline_data":{"type_url":"a/A","value":"?"}}}]}`, `value of payload "a/A": want base64`},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := pbjson.Unmarshal([]byte(test.text), new(planpb.PlanInput))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Unmarshal(%s) = %v, want an error with %q", test.text, err, test.want)
			}
		})
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte(`{"plan_name":"x","task_executions":[{"result":{"inline_data":{"type_url":"a/A","value":"AQ=="}}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		in := new(planpb.PlanInput)
		if pbjson.Unmarshal(text, in) != nil {
			return
		}
		out, err := pbjson.Marshal(in)
		if err != nil {
			t.Fatalf("Marshal of a message that Unmarshal gave: %v", err)
		}
		back := new(planpb.PlanInput)
		if err := pbjson.Unmarshal(out, back); err != nil {
			t.Fatalf("Unmarshal(%s): %v", out, err)
		}
		if !proto.Equal(in, back) {
			t.Errorf("round trip of %s gave %s", text, out)
		}
	})
}

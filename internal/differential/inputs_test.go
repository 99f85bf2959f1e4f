//go:build differential

package differential

import (
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"starplan/proto/planpb"
)

// generator makes PlanInputs: the same ones for the same seed.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator { return generator{rand.New(rand.NewPCG(seed, 0))} }

func pick[T any](g generator, list ...T) T { return list[g.IntN(len(list))] }

// chance is true in one of n cases.
func (g generator) chance(n int) bool { return g.IntN(n) == 0 }

// input makes the serialized PlanInput of a record.
func (g generator) input() []byte {
	in := &planpb.PlanInput{
		InputId:    fmt.Sprintf("input-%d", g.IntN(1000)),
		PlanName:   pick(g, "", "plan", "Plan_B"),
		GraphId:    pick(g, "", "graph", "graph-é"),
		LifetimeId: pick(g, "", "run-1"),
	}
	for range pick(g, 0, 1, 1, 1, 2, 3, 5) {
		in.TaskExecutions = append(in.TaskExecutions, g.execution())
	}
	g.unknown(in)
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(in)
	if err != nil {
		panic(err) // All strings here are UTF-8.
	}
	return value
}

// unknown gives some messages a field that is not in the schema.
func (g generator) unknown(m proto.Message) {
	if !g.chance(5) {
		return
	}
	var raw []byte
	raw = protowire.AppendTag(raw, protowire.Number(100+g.IntN(3)), protowire.VarintType)
	raw = protowire.AppendVarint(raw, g.Uint64())
	if g.chance(2) {
		raw = protowire.AppendTag(raw, 200, protowire.BytesType)
		raw = protowire.AppendString(raw, "from a later version")
	}
	m.ProtoReflect().SetUnknown(raw)
}

func (g generator) execution() *planpb.TaskExecution {
	e := &planpb.TaskExecution{
		ParentPlanExecId: pick(g, "", "parent"),
		ParentPlanName:   pick(g, "", "start", "début"),
	}
	if !g.chance(8) {
		e.Header = g.header()
	}
	if !g.chance(8) {
		e.Result = g.result()
	}
	g.unknown(e)
	return e
}

func (g generator) header() *planpb.ExecutionHeader {
	at := time.Unix(g.Int64N(4_000_000_000), g.Int64N(1000)*1e6).UTC()
	h := &planpb.ExecutionHeader{
		Name:         pick(g, "", "fetch_page", "classify", "a", "banana_split_text", "X_x ", "Tête", "42"),
		ExecId:       fmt.Sprintf("exec-%d", g.IntN(50)),
		GraphId:      pick(g, "", "graph"),
		LifetimeId:   pick(g, "", "run-1"),
		TenantId:     "tenant",
		Attempt:      pick[int32](g, 0, 1, 1, 2, 3, 4, 5, -7, 1<<31-1, -1<<31),
		IterationIdx: pick[int32](g, 0, 0, 1, 2, 3, -2, 1000),
		CreatedAt:    at.Format("2006-01-02T15:04:05.000Z"),
		Status:       pick[planpb.ExecutionStatus](g, 0, 1, 2, 3, 3, 3, 4, 17, -1),
		EdgeTaken:    pick(g, "", "yes", "no"),
	}
	if g.chance(10) {
		h.CreatedAt = pick(g, "", "yesterday", "2026-02-30T00:00:00.000Z")
	}
	if g.chance(10) {
		h.ExecId = pick(g, "", "exec-", "exec-ff", "exec-0x1f", "exec-07", "exec-+5")
	}
	g.unknown(h)
	return h
}

func (g generator) result() *planpb.TaskResult {
	r := &planpb.TaskResult{Id: pick(g, "", "result-1", "résultat")}
	if g.chance(4) {
		r.ErrorMessage = pick(g, "no answer", "zu spät: é è", "日本 語 text", "a \"quoted\" \\ text\n\twith\x01control")
	}
	switch g.IntN(3) {
	case 0:
		r.Data = &planpb.TaskResult_InlineData{InlineData: g.payload()}
	case 1:
		r.Data = &planpb.TaskResult_ExternalData{ExternalData: g.stored()}
	}
	g.unknown(r)
	return r
}

func (g generator) stored() *planpb.StoredData {
	s := &planpb.StoredData{Uri: pick(g, "", "s3://bucket/key", "file:///été")}
	for range g.IntN(4) {
		if s.Metadata == nil {
			s.Metadata = make(map[string]string)
		}
		s.Metadata[pick(g, "size", "type", "owner", "", "ключ")] = pick(g, "", "0", "17", "4096", "12kB", "text/plain", "-3")
	}
	g.unknown(s)
	return s
}

func (g generator) payload() *anypb.Any {
	if g.chance(10) {
		return new(anypb.Any)
	}
	var m proto.Message
	switch g.IntN(6) {
	case 0:
		m = wrapperspb.String(pick(g, "", "a page", "seité", "{\"label\": 1}"))
	case 1:
		m = &structpb.Struct{Fields: g.fields(3)}
	case 2:
		m = structpb.NewStringValue(pick(g, "", "no JSON", `{"label":"invoice","tools":["a","b"]}`, `{"label":"é\u00e9","n":[1,2.5,-3e2]}`, `[1]`, `{"a":`, `"text"`, ` {"tools":["x"]} `))
	case 3:
		m = g.value(2)
	case 4:
		return &anypb.Any{TypeUrl: pick(g, "", "type.example.com/unknown.Type", "google.protobuf.StringValue", "/", "type.googleapis.com/google.protobuf.StringValue"), Value: g.bytes()}
	default:
		return &anypb.Any{TypeUrl: "type.googleapis.com/google.protobuf." + pick(g, "Struct", "Value", "StringValue"), Value: g.bytes()}
	}
	a := new(anypb.Any)
	if err := anypb.MarshalFrom(a, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		panic(err) // As above.
	}
	if g.chance(6) {
		a.TypeUrl = "example.com/" + string(m.ProtoReflect().Descriptor().FullName())
	}
	return a
}

func (g generator) bytes() []byte {
	b := make([]byte, g.IntN(12))
	for i := range b {
		b[i] = byte(g.IntN(256))
	}
	return b
}

func (g generator) fields(depth int) map[string]*structpb.Value {
	fields := make(map[string]*structpb.Value)
	for range g.IntN(4) {
		fields[pick(g, "a", "label", "ключ", "z z", "")] = g.value(depth - 1)
	}
	return fields
}

func (g generator) value(depth int) *structpb.Value {
	kind := g.IntN(6)
	if depth <= 0 {
		kind %= 4
	}
	switch kind {
	case 0:
		return structpb.NewNullValue()
	case 1:
		return structpb.NewBoolValue(g.chance(2))
	case 2:
		return structpb.NewNumberValue(pick(g, 0, 1, -1, 0.1, 2.5, -7.75, 1e9, 123456789.125))
	case 3:
		return structpb.NewStringValue(pick(g, "", "text", "été"))
	case 4:
		return structpb.NewStructValue(&structpb.Struct{Fields: g.fields(depth)})
	default:
		list := new(structpb.ListValue)
		for range g.IntN(3) {
			list.Values = append(list.Values, g.value(depth-1))
		}
		return structpb.NewListValue(list)
	}
}

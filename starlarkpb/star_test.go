package starlarkpb_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	starlarkjson "go.starlark.net/lib/json"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"starplan/proto/planpb"
	"starplan/starlarkpb"
)

// sampleInput is what the scripts of testdata see as inp.
func sampleInput() *planpb.PlanInput {
	return &planpb.PlanInput{
		InputId:  "in-1",
		PlanName: "route",
		TaskExecutions: []*planpb.TaskExecution{
			{
				Header: &planpb.ExecutionHeader{
					Name: "fetch", ExecId: "e-1", Attempt: 2,
					Status: planpb.ExecutionStatus_EXECUTION_STATUS_SUCCEEDED,
				},
				Result: &planpb.TaskResult{
					Id:   "r-1",
					Data: &planpb.TaskResult_InlineData{InlineData: pack(wrapperspb.String("héllo"))},
				},
			},
			{
				Header: &planpb.ExecutionHeader{Name: "store", Status: 99},
				Result: &planpb.TaskResult{
					Id: "r-2",
					Data: &planpb.TaskResult_ExternalData{ExternalData: &planpb.StoredData{
						Uri:      "s3://bucket/key",
						Metadata: map[string]string{"type": "csv", "size": "12", "a": ""},
					}},
				},
			},
			{},
		},
	}
}

func pack(m proto.Message) *anypb.Any {
	a, err := anypb.New(m)
	if err != nil {
		panic(err)
	}
	return a
}

// longName refuses names of more than 10 characters, so that scripts can see a Check at work.
func longName(fd protoreflect.FieldDescriptor, v protoreflect.Value) error {
	if fd.FullName() == "starplan.v1.PlanResult.next_task_names" && len(v.String()) > 10 {
		return errors.New("name is longer than 10 characters")
	}
	return nil
}

func predeclared(t testing.TB) starlark.StringDict {
	t.Helper()
	nested := func(n int) *structpb.Value {
		v := structpb.NewNullValue()
		for range n {
			v = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{v}})
		}
		return v
	}
	object, err := structpb.NewStruct(map[string]any{"b": 1.0, "a": []any{true, nil, "x", 0.5, 1e300}, "c": map[string]any{}})
	if err != nil {
		t.Fatal(err)
	}
	anys := map[string]*anypb.Any{
		"string":    pack(wrapperspb.String("héllo")),
		"bytes":     pack(wrapperspb.Bytes([]byte{0, 255})),
		"bool":      pack(wrapperspb.Bool(true)),
		"int64":     pack(wrapperspb.Int64(-1 << 63)),
		"uint64":    pack(wrapperspb.UInt64(1<<64 - 1)),
		"float":     pack(wrapperspb.Float(0.5)),
		"empty":     pack(wrapperspb.Int32(0)),
		"struct":    pack(object),
		"value":     pack(structpb.NewStringValue(`{"k": [1]}`)),
		"null":      pack(structpb.NewNullValue()),
		"list":      pack(structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewNumberValue(3)}})),
		"deep":      pack(nested(300)),
		"lists":     pack(nested(100)),
		"lists+1":   pack(nested(101)),
		"timestamp": pack(&timestamppb.Timestamp{Seconds: 12, Nanos: 34}),
		"duration":  pack(&durationpb.Duration{Seconds: -1}),
		"message":   pack(&planpb.StoredData{Uri: "u"}),
		"any":       pack(pack(wrapperspb.String("in"))),
		"raw":       {TypeUrl: "type.googleapis.com/google.protobuf.StringValue", Value: []byte("plain text")},
		"unknown":   {TypeUrl: "example.com/acme.Thing", Value: []byte{1, 2, 255}},
		"unset":     {},
	}
	dict := starlark.NewDict(len(anys))
	for name, a := range anys {
		if err := dict.SetKey(starlark.String(name), starlarkpb.FromProto(a)); err != nil {
			t.Fatal(err)
		}
	}
	return starlark.StringDict{
		"inp":             starlarkpb.FromProto(sampleInput()),
		"anys":            dict,
		"kinds":           starlarkpb.Constructor(kinds(t)),
		"json":            starlarkjson.Module,
		"PlanResult":      starlarkpb.Constructor((*planpb.PlanResult)(nil), longName),
		"PlanExecution":   starlarkpb.Constructor((*planpb.PlanExecution)(nil), longName),
		"TaskExecution":   starlarkpb.Constructor((*planpb.TaskExecution)(nil)),
		"TaskResult":      starlarkpb.Constructor((*planpb.TaskResult)(nil)),
		"StoredData":      starlarkpb.Constructor((*planpb.StoredData)(nil)),
		"Value":           starlarkpb.Constructor((*structpb.Value)(nil)),
		"ListValue":       starlarkpb.Constructor((*structpb.ListValue)(nil)),
		"Struct":          starlarkpb.Constructor((*structpb.Struct)(nil)),
		"ExecutionStatus": starlarkpb.Enum(planpb.ExecutionStatus(0).Descriptor()),
		"eq":              starlark.NewBuiltin("eq", assertEqual),
		"catch":           starlark.NewBuiltin("catch", catch),
		"freeze":          starlark.NewBuiltin("freeze", freeze),
	}
}

// assertEqual fails unless both arguments are equal, whichever is asked.
func assertEqual(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x, y starlark.Value
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 2, &x, &y); err != nil {
		return nil, err
	}
	for _, pair := range [][2]starlark.Value{{x, y}, {y, x}} {
		same, err := starlark.Equal(pair[0], pair[1])
		if err != nil {
			return nil, err
		}
		if !same {
			return nil, fmt.Errorf("got %v, want %v", x, y)
		}
	}
	return starlark.None, nil
}

// catch gives the error of a call as a string, and fails where there is none.
func catch(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var f starlark.Callable
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &f); err != nil {
		return nil, err
	}
	v, err := starlark.Call(thread, f, nil, nil)
	if err == nil {
		return nil, fmt.Errorf("got %v, want an error", v)
	}
	return starlark.String(err.Error()), nil
}

func freeze(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &v); err != nil {
		return nil, err
	}
	v.Freeze()
	return v, nil
}

// chunk is a script of its own within a file; chunks are separated by lines of "---".
type chunk struct {
	line int    // of its first line, from 1
	src  string // preceded by empty lines, so that positions are those of the file
	want map[int]*regexp.Regexp
}

var expectation = regexp.MustCompile(`###\s*("(?:[^"\\]|\\.)*")\s*$`)

func readChunks(t *testing.T, file string) []chunk {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var chunks []chunk
	line := 1
	for text := range strings.SplitSeq(string(data), "\n---\n") {
		c := chunk{line: line, src: strings.Repeat("\n", line-1) + text, want: map[int]*regexp.Regexp{}}
		for i, s := range strings.Split(text, "\n") {
			m := expectation.FindStringSubmatch(s)
			if m == nil {
				if strings.Contains(s, "###") {
					t.Fatalf("%s:%d: malformed expectation", file, line+i)
				}
				continue
			}
			pattern, err := strconv.Unquote(m[1])
			if err != nil {
				t.Fatalf("%s:%d: %v", file, line+i, err)
			}
			c.want[line+i] = regexp.MustCompile(pattern)
		}
		chunks = append(chunks, c)
		line += strings.Count(text, "\n") + 2
	}
	return chunks
}

// errorLine is where in the file a script failed.
func errorLine(err error, file string) int {
	var evalErr *starlark.EvalError
	if errors.As(err, &evalErr) {
		for i := range evalErr.CallStack {
			if pos := evalErr.CallStack.At(i).Pos; pos.Filename() == file {
				return int(pos.Line)
			}
		}
	}
	var syntaxErr syntax.Error
	if errors.As(err, &syntaxErr) {
		return int(syntaxErr.Pos.Line)
	}
	return 0
}

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.star")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	options := &syntax.FileOptions{TopLevelControl: true, GlobalReassign: true}
	for _, file := range files {
		for _, c := range readChunks(t, file) {
			t.Run(fmt.Sprintf("%s:%d", filepath.Base(file), c.line), func(t *testing.T) {
				thread := &starlark.Thread{Name: file}
				_, err := starlark.ExecFileOptions(options, thread, file, c.src, predeclared(t))
				checkError(t, err, file, c)
			})
		}
	}
}

func checkError(t *testing.T, err error, file string, c chunk) {
	t.Helper()
	if err == nil {
		for line, want := range c.want {
			t.Errorf("%s:%d: no error, want one that matches %q", file, line, want)
		}
		return
	}
	line := errorLine(err, file)
	want := c.want[line]
	switch {
	case want == nil:
		t.Errorf("%s:%d: unexpected error: %v", file, line, err)
	case !want.MatchString(err.Error()):
		t.Errorf("%s:%d: got error %q, want one that matches %q", file, line, err, want)
	case len(c.want) != 1:
		t.Errorf("%s:%d: a chunk ends at its first error, but expects %d", file, line, len(c.want))
	}
}

package plan

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"starplan/plan/execution"
	"starplan/proto/planpb"
)

// sampleTime is the timestamp of sample records.
var sampleTime = time.UnixMilli(1767323045678)

// sampleInput is what the plans of the tests are called with.
func sampleInput(t testing.TB) *planpb.PlanInput {
	t.Helper()
	payload, err := anypb.New(wrapperspb.String(`{"total": 12}`))
	if err != nil {
		t.Fatal(err)
	}
	task := func(name, id string, result *planpb.TaskResult) *planpb.TaskExecution {
		return &planpb.TaskExecution{
			Header: &planpb.ExecutionHeader{
				Name: name, ExecId: id, GraphId: "g1", LifetimeId: "l1", TenantId: "acme", Attempt: 1,
				CreatedAt: "2026-01-02T03:04:05.678Z", Status: planpb.ExecutionStatus_EXECUTION_STATUS_SUCCEEDED,
			},
			ParentPlanExecId: "p0", ParentPlanName: "start", Result: result,
		}
	}
	return &planpb.PlanInput{
		InputId: "in-1", PlanName: "demo", GraphId: "g1", LifetimeId: "l1",
		TaskExecutions: []*planpb.TaskExecution{
			task("fetch", "t1", &planpb.TaskResult{Id: "r1", Data: &planpb.TaskResult_InlineData{InlineData: payload}}),
			task("scan", "t2", &planpb.TaskResult{Id: "r2", Data: &planpb.TaskResult_ExternalData{
				ExternalData: &planpb.StoredData{Uri: "s3://b/k", Metadata: map[string]string{"size": "10", "kind": "csv"}},
			}}),
		},
	}
}

// recordOf is a record that holds in.
func recordOf(t testing.TB, in *planpb.PlanInput) execution.Record {
	t.Helper()
	value, err := proto.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	return execution.Record{
		Topic: "plan-inputs-acme", Partition: 3, Offset: 42,
		Timestamp: sampleTime, Key: []byte("g1:demo"), Value: value,
	}
}

// TestStar runs the chunks of testdata/*.star. Chunks are separated by lines of
// "---". Each is a plan of its own, which may load names from assert.star; one that
// defines no plan gets one that does nothing. A line that ends in
//
//	### "regular expression"
//
// must give an error that matches, and no other line may: at the top level, or
// where the plan is called with the sample record.
func TestStar(t *testing.T) {
	asserts, err := os.ReadFile("testdata/assert.star")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/*_chunks.star")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files to test: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		line := 1
		for chunk := range strings.SplitSeq(string(text), "\n---\n") {
			t.Run(fmt.Sprintf("%s:%d", filepath.Base(file), line), func(t *testing.T) {
				runChunk(t, strings.Repeat("\n", line-1)+chunk, string(asserts))
			})
			line += strings.Count(chunk, "\n") + 2
		}
	}
}

var (
	expectation = regexp.MustCompile(`### (".*"|` + "`.*`" + `)\s*$`)
	planDef     = regexp.MustCompile(`(?m)^(def plan\b|plan =)`)
)

func runChunk(t *testing.T, text, asserts string) {
	wants := make(map[int]*regexp.Regexp)
	for i, line := range strings.Split(text, "\n") {
		if m := expectation.FindStringSubmatch(line); m != nil {
			pattern, err := strconv.Unquote(m[1])
			if err != nil {
				t.Fatalf("line %d: %v", i+1, err)
			}
			wants[i+1] = regexp.MustCompile(pattern)
		}
	}
	if !planDef.MatchString(text) {
		text += "\n" + okPlan
	}
	for _, got := range chunkErrors(t, text, asserts) {
		want := wants[got.line]
		if want == nil || !want.MatchString(got.message) {
			t.Errorf("line %d: got error %q, want %v", got.line, got.message, want)
		}
		delete(wants, got.line)
	}
	for line, want := range wants {
		t.Errorf("line %d: got no error, want %v", line, want)
	}
}

type lineError struct {
	line    int
	message string
}

// chunkErrors compiles and runs one plan.
func chunkErrors(t *testing.T, text, asserts string) []lineError {
	t.Helper()
	p, err := Compile(source(t, text, "assert.star", asserts), Limits{MaxSteps: 1_000_000})
	if err != nil {
		var fault *LoadError
		if !errors.As(err, &fault) || fault.File != "plan.star" {
			t.Fatalf("%v\n%s", err, fault.Backtrace)
		}
		return []lineError{{fault.Line, fault.Message}}
	}
	out := p.Run("acme", recordOf(t, sampleInput(t)))
	for _, line := range out.Prints {
		t.Log(line)
	}
	if out.Reason == "" {
		return nil
	}
	var line, col int
	if _, err := fmt.Sscanf(out.Position, "plan.star:%d:%d", &line, &col); err != nil {
		t.Fatalf("%s: %s\n%s", out.Reason, out.Message, out.Backtrace)
	}
	return []lineError{{line, out.Message}}
}

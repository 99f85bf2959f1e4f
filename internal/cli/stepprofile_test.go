package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
)

// TestExecProfile reads the profile of two inputs as go tool pprof does.
func TestExecProfile(t *testing.T) {
	plan := planFile(t, "route.star", `def plan(plan_input):
    total = 0
    for i in range(100):
        total += square(i)
    return PlanResult(error_message = str(total))

def square(x):
    return x * x
`)
	path := filepath.Join(t.TempDir(), "steps.pprof")
	in := inputFile(t, `{"plan_name": "route"}`)
	if code, stdout, stderr := command(t.Context(), "exec", "--profile="+path, plan, in, in); code != 0 {
		t.Fatalf("exec = %d\n%s%s", code, stdout, stderr)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	p, err := profile.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.SampleType) != 1 || p.SampleType[0].Type != "steps" || p.SampleType[0].Unit != "count" {
		t.Errorf("sample type = %v, want steps", p.SampleType)
	}
	var got []string
	for _, s := range p.Sample {
		text := fmt.Sprint(s.Value[0])
		for _, l := range s.Location {
			fn := l.Line[0].Function
			if fn.Filename != plan {
				t.Errorf("file of %s = %s, want %s, where pprof finds the text", fn.Name, fn.Filename, plan)
			}
			text += fmt.Sprintf(" %s:%d(%d)", fn.Name, l.Line[0].Line, fn.StartLine)
		}
		got = append(got, text)
	}
	slices.Sort(got)
	want := []string{
		"18 plan:3(1)", "20 plan:5(1)", "2394 plan:4(1)", "4 plan:2(1)", "800 square:8(7) plan:4(1)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("samples (-want +got):\n%s", diff)
	}
}

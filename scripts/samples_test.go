package scripts_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"go.starlark.net/syntax"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"starplan/internal/pbjson"
	"starplan/plan"
	"starplan/plan/execution"
	"starplan/proto/planpb"
	"starplan/scripts"
)

var update = flag.Bool("update", false, "rewrite the want files from what the plans decide")

// TestSamples runs every sample from the checkout, not from the embedded copy, so
// that a want file just written is seen.
func TestSamples(t *testing.T) {
	samples, err := scripts.Read(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	programs := make(map[string]*plan.Program)
	for _, dir := range planDirs(t) {
		programs[dir] = compile(t, dir)
	}
	tested := make(map[string]bool)
	for _, s := range samples {
		tested[s.Plan] = true
		t.Run(s.String(), func(t *testing.T) {
			rec, err := s.Record()
			if err != nil {
				t.Fatal(err)
			}
			out := programs[s.Plan].Run(scripts.Tenant, rec)
			if again := programs[s.Plan].Run(scripts.Tenant, rec); !bytes.Equal(out.Value, again.Value) {
				t.Errorf("the same record gave %x, then %x", out.Value, again.Value)
			}
			got := new(planpb.PlanExecution)
			if err := proto.Unmarshal(out.Value, got); err != nil {
				t.Fatal(err)
			}
			if *update {
				write(t, filepath.Join(s.Plan, s.Case+".want.json"), got)
				return
			}
			want := new(planpb.PlanExecution)
			if err := pbjson.Unmarshal(s.Want, want); err != nil {
				t.Fatalf("want file: %v (go test ./scripts -update writes it)", err)
			}
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Errorf("execution differs (-want +got):\n%s", diff)
			}
		})
	}
	for dir := range programs {
		if !tested[dir] {
			t.Errorf("plan %s has no sample: want at least one %s/CASE.input.json", dir, dir)
		}
	}
}

// TestPlansAreDocumented holds every plan and module to a docstring.
func TestPlansAreDocumented(t *testing.T) {
	files, err := filepath.Glob("*/*.star")
	if err != nil || len(files) == 0 {
		t.Fatalf("no plans found: %v", err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file, err := plan.Parse(name, string(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if doc, ok := docstring(file); !ok || !strings.HasSuffix(strings.TrimSpace(doc), ".") {
			t.Errorf("%s: want a docstring of full sentences on top, got %q", name, doc)
		}
	}
}

func docstring(file *syntax.File) (string, bool) {
	if len(file.Stmts) == 0 {
		return "", false
	}
	expr, ok := file.Stmts[0].(*syntax.ExprStmt)
	if !ok {
		return "", false
	}
	lit, ok := expr.X.(*syntax.Literal)
	if !ok {
		return "", false
	}
	doc, ok := lit.Value.(string)
	return doc, ok
}

func TestEmbeddedSamplesAreThoseOfTheCheckout(t *testing.T) {
	if *update {
		t.Skip("the want files on disk are newer than the binary")
	}
	embedded, err := scripts.Samples()
	if err != nil {
		t.Fatal(err)
	}
	onDisk, err := scripts.Read(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(onDisk, embedded); diff != "" {
		t.Errorf("embedded samples differ from the checkout (-disk +embedded):\n%s", diff)
	}
}

func TestUnpack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "plans")
	if err := scripts.Unpack(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range planDirs(t) {
		want, err := plan.ReadFile(name, "")
		if err != nil {
			t.Fatal(err)
		}
		got, err := plan.ReadFile(filepath.Join(dir, name), "")
		if err != nil {
			t.Errorf("unpacked plan %s: %v", name, err)
			continue
		}
		if got.Digest != want.Digest {
			t.Errorf("unpacked plan %s has digest %s, want %s", name, got.Digest, want.Digest)
		}
	}
	got, err := scripts.Read(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	want, err := scripts.Samples()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unpacked samples differ (-want +got):\n%s", diff)
	}

	mine := filepath.Join(dir, "two_step", "plan.star")
	if err := os.WriteFile(mine, []byte("# mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := scripts.Unpack(dir); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Unpack over files that are there = %v, want %v", err, fs.ErrExist)
	}
	if text, err := os.ReadFile(mine); err != nil || string(text) != "# mine\n" {
		t.Errorf("Unpack changed a file that was there: %q, %v", text, err)
	}
}

func TestRead(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for _, test := range []struct {
		name    string
		tree    fstest.MapFS
		want    []scripts.Sample
		wantErr string
	}{
		{"none", fstest.MapFS{"a/plan.star": file("")}, []scripts.Sample{}, ""},
		{"input alone", fstest.MapFS{"a/x.input.json": file("{}")},
			[]scripts.Sample{{Plan: "a", Case: "x", Input: []byte("{}")}}, ""},
		{"in order", fstest.MapFS{
			"b/x.input.json": file("1"), "a/y.input.json": file("2"),
			"a/x.input.json": file("3"), "a/y.want.json": file("4"),
		}, []scripts.Sample{
			{Plan: "a", Case: "x", Index: 0, Input: []byte("3")},
			{Plan: "a", Case: "y", Index: 1, Input: []byte("2"), Want: []byte("4")},
			{Plan: "b", Case: "x", Index: 0, Input: []byte("1")},
		}, ""},
		{"want alone", fstest.MapFS{"a/x.want.json": file("{}")}, nil,
			"scripts: a/x.want.json: no input x.input.json beside it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := scripts.Read(test.tree)
			if text := errText(err); text != test.wantErr {
				t.Fatalf("Read = %q, want error %q", text, test.wantErr)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Read differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRecord(t *testing.T) {
	for _, test := range []struct {
		name, input, wantKey, wantErr string
	}{
		{"plan alone", `{"plan_name": "p"}`, "p", ""},
		{"plan of a graph", `{"plan_name": "p", "graph_id": "g"}`, "g:p", ""},
		{"no PlanInput", `{"plan_nam": "p"}`, "", "unknown field"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := scripts.Sample{Plan: "p", Case: "c", Index: 3, Input: []byte(test.input)}
			rec, err := s.Record()
			if test.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantErr) || !strings.Contains(err.Error(), "p/c") {
					t.Errorf("Record = %v, want an error that names p/c and has %q", err, test.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := string(rec.Key); got != test.wantKey {
				t.Errorf("key = %q, want %q", got, test.wantKey)
			}
			if got, want := rec.Topic, "plan-inputs-sample"; got != want {
				t.Errorf("topic = %q, want %q", got, want)
			}
			if rec.Partition != 0 || rec.Offset != 3 {
				t.Errorf("partition, offset = %d, %d, want 0, 3", rec.Partition, rec.Offset)
			}
			if got, want := execution.CreatedAt(rec.Timestamp), "2026-01-02T03:04:05.678Z"; got != want {
				t.Errorf("timestamp = %s, want %s", got, want)
			}
		})
	}
}

// planDirs lists the plans of the checkout.
func planDirs(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*/" + plan.EntryFile)
	if err != nil || len(files) == 0 {
		t.Fatalf("no plans found: %v", err)
	}
	for i, name := range files {
		files[i] = filepath.Dir(name)
	}
	return files
}

func compile(t *testing.T, dir string) *plan.Program {
	t.Helper()
	src, err := plan.ReadFile(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	prog, err := plan.Compile(src, plan.Limits{MaxSteps: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	return prog
}

// write pretty prints an execution to a want file.
func write(t *testing.T, name string, exec *planpb.PlanExecution) {
	t.Helper()
	line, err := pbjson.Marshal(exec)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := json.Indent(&text, line, "", "  "); err != nil {
		t.Fatal(err)
	}
	text.WriteByte('\n')
	if err := os.WriteFile(name, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

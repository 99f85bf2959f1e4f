//go:build differential

package differential

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/descriptorpb"

	"starplan/plan"
	"starplan/plan/execution"
	"starplan/proto/planpb"
)

const (
	inputCount = 2000
	seed       = 1
)

func TestSameResults(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	python := environment(t, ctx)
	g := newGenerator(seed)
	inputs := make([][]byte, inputCount)
	for i := range inputs {
		inputs[i] = g.input()
	}
	files, err := filepath.Glob("testdata/*.star")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d plans, want at least 30: %v", len(files), err)
	}
	answers := runPython(t, ctx, python, inputs, files)
	for i, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".star")
		t.Run(name, func(t *testing.T) { compare(t, file, inputs, answers[i]) })
	}
}

// answer is what Python made of one input.
type answer struct {
	failed bool
	value  []byte
}

// compare runs a plan on all inputs and holds the results to Python's.
func compare(t *testing.T, file string, inputs [][]byte, answers []answer) {
	src, err := plan.ReadFile(file, "plan")
	if err != nil {
		t.Fatal(err)
	}
	prog, err := plan.Compile(src, plan.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	results, failures, differences := 0, 0, 0
	for i, value := range inputs {
		out := prog.Run("tenant", execution.Record{Topic: "t", Offset: int64(i), Key: []byte("plan"), Value: value})
		if out.Reason != "" && out.Reason != execution.ReasonPlan && out.Reason != execution.ReasonResult {
			t.Fatalf("input %d: %s: %s", i, out.Reason, out.Message)
		}
		exec := new(planpb.PlanExecution)
		if err := proto.Unmarshal(out.Value, exec); err != nil {
			t.Fatal(err)
		}
		want := new(planpb.PlanResult)
		if err := proto.Unmarshal(answers[i].value, want); err != nil {
			t.Fatalf("input %d: Python's result: %v", i, err)
		}
		// The one thing that is ours: messages that consumers could not store are cut.
		want.ErrorMessage = execution.Cut(want.GetErrorMessage(), execution.MaxMessage)
		failed := out.Reason != ""
		switch {
		case failed != answers[i].failed:
			t.Errorf("input %d: failed = %v (%s), in Python %v\n%s", i, failed, out.Message, answers[i].failed, show(value))
		case failed:
			failures++
			continue
		case !bytes.Equal(serialize(t, exec.GetResult()), serialize(t, want)):
			t.Errorf("input %d: results differ (-Python +Starplan):\n%s\n%s", i, cmp.Diff(want, exec.GetResult(), protocmp.Transform()), show(value))
		default:
			results++
			continue
		}
		if differences++; differences == 3 {
			t.Fatal("and so on")
		}
	}
	if results == 0 {
		t.Errorf("the plan failed on all %d inputs, so nothing was compared", len(inputs))
	}
	t.Logf("%d results and %d failures are the same", results, failures)
}

func serialize(t *testing.T, m proto.Message) []byte {
	t.Helper()
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func show(value []byte) string {
	in := new(planpb.PlanInput)
	if err := proto.Unmarshal(value, in); err != nil {
		return err.Error()
	}
	return in.String()
}

// environment gives a Python that has the pinned protobuf.
func environment(t *testing.T, ctx context.Context) string {
	t.Helper()
	requirements, err := filepath.Abs("testdata/requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	pinned, err := os.ReadFile(requirements)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "starplan", fmt.Sprintf("python-%x", sha256.Sum256(pinned))[:23])
	python := filepath.Join(dir, "bin", "python")
	if _, err := os.Stat(filepath.Join(dir, "ready")); err == nil {
		return python
	}
	for _, args := range [][]string{
		{"python3", "-m", "venv", "--clear", dir},
		{python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements},
	} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("this test needs python3 with venv and pip, and a package index that has %s: %s: %v\n%s", bytes.TrimSpace(pinned), strings.Join(args, " "), err, out)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "ready"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return python
}

// runPython gives Python's answers by plan and input. Plans are shared among as
// many processes as there are CPUs.
func runPython(t *testing.T, ctx context.Context, python string, inputs [][]byte, files []string) [][]answer {
	t.Helper()
	dir := t.TempDir()
	descriptors := filepath.Join(dir, "descriptors")
	set := &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{protodesc.ToFileDescriptorProto(planpb.File_plan_proto)}}
	if err := os.WriteFile(descriptors, serialize(t, set), 0o600); err != nil {
		t.Fatal(err)
	}
	var recorded []byte
	for _, value := range inputs {
		recorded = binary.BigEndian.AppendUint32(recorded, uint32(len(value)))
		recorded = append(recorded, value...)
	}
	recordedFile := filepath.Join(dir, "inputs")
	if err := os.WriteFile(recordedFile, recorded, 0o600); err != nil {
		t.Fatal(err)
	}
	answers := make([][]answer, len(files))
	share := runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	for k := range share {
		wg.Go(func() {
			out := filepath.Join(dir, fmt.Sprint("out", k))
			args := []string{"testdata/run.py", descriptors, recordedFile, out}
			var mine []int
			for i := k; i < len(files); i += share {
				mine = append(mine, i)
				args = append(args, strings.TrimSuffix(files[i], ".star")+".py")
			}
			cmd := exec.CommandContext(ctx, python, args...)
			cmd.Env = append(os.Environ(), "PYTHONHASHSEED=0", "PYTHONDONTWRITEBYTECODE=1")
			if text, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", strings.Join(args, " "), err, text)
				return
			}
			if err := readAnswers(out, mine, len(inputs), answers); err != nil {
				t.Errorf("answers of Python: %v", err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return answers
}

func readAnswers(path string, plans []int, count int, answers [][]answer) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	for _, i := range plans {
		answers[i] = make([]answer, count)
		for j := range answers[i] {
			var head [5]byte
			if _, err := io.ReadFull(r, head[:]); err != nil {
				return err
			}
			a := answer{failed: head[0] != 0, value: make([]byte, binary.BigEndian.Uint32(head[1:]))}
			if _, err := io.ReadFull(r, a.value); err != nil {
				return err
			}
			answers[i][j] = a
		}
	}
	if _, err := r.ReadByte(); err != io.EOF {
		return fmt.Errorf("more answers than inputs")
	}
	return nil
}

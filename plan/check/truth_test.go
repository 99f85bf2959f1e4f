package check_test

import (
	"context"
	"fmt"
	"go/build"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"starplan/plan"
	"starplan/plan/check"
	"starplan/plan/execution"
	"starplan/plan/lex"
	"starplan/proto/planpb"
)

// record is an input for generated plans: three tasks, of which one failed.
func record(t testing.TB) execution.Record {
	t.Helper()
	in := &planpb.PlanInput{InputId: "i", PlanName: "p", GraphId: "g", LifetimeId: "l"}
	for i := range 3 {
		task := &planpb.TaskExecution{
			Header: &planpb.ExecutionHeader{Name: fmt.Sprint("t", i), ExecId: fmt.Sprint(i), Attempt: 1, Status: 3},
			Result: &planpb.TaskResult{Id: fmt.Sprint("r", i)},
		}
		if i == 2 {
			task.Result.ErrorMessage = "failed"
		}
		in.TaskExecutions = append(in.TaskExecutions, task)
	}
	value, err := proto.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	return execution.Record{Topic: "plan-inputs-t", Key: []byte("p"), Value: value, Timestamp: time.UnixMilli(1_700_000_000_000)}
}

// runs compiles and runs a plan. It gives why the run fails, or "", and why the
// plan does not load.
func runs(text string, rec execution.Record) (failure string, loadErr error) {
	src, err := plan.NewSource("p", "p.star", map[string]string{"p.star": text})
	if err != nil {
		return err.Error(), err
	}
	prog, err := plan.Compile(src, plan.Limits{MaxSteps: 1_000_000})
	if err != nil {
		return err.Error(), err
	}
	if out := prog.Run("t", rec); out.Reason != "" {
		return out.Message, nil
	}
	return "", nil
}

// errorsOf gives the findings of a text that are errors.
func errorsOf(t testing.TB, text string) []check.Finding {
	t.Helper()
	report, err := check.Source(context.Background(), "nowhere/p.star", text, check.Options{Limits: plan.Limits{MaxSteps: 1_000_000}})
	if err != nil {
		t.Fatal(err)
	}
	var list []check.Finding
	for _, f := range report.Findings {
		if f.Severity == check.Error {
			list = append(list, f)
		}
	}
	if report.Valid != (len(list) == 0) {
		t.Errorf("Valid = %v with %d errors", report.Valid, len(list))
	}
	return list
}

// TestGeneratedPlans checks that no plan which runs without an error has one here:
// 10,000 of them.
func TestGeneratedPlans(t *testing.T) {
	t.Parallel()
	want := int64(10_000)
	if testing.Short() || raceEnabled {
		want = 1_500
	}
	rec := record(t)
	var good, seed, made atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for good.Load() < want && !t.Failed() {
				n := seed.Add(1)
				text := generate(uint64(n), 5+int(n%40))
				made.Add(1)
				if failure, _ := runs(text, rec); failure != "" {
					continue
				}
				good.Add(1)
				if found := errorsOf(t, text); len(found) > 0 {
					t.Errorf("seed %d runs without an error, but: %v\n%s", n, found[0], text)
					return
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d of %d generated plans run without an error", good.Load(), made.Load())
	if good.Load()*10 < made.Load()*9 {
		t.Errorf("only %d of %d generated plans run: the generator is not what it should be", good.Load(), made.Load())
	}
}

// TestFoundPlans checks generated plans that once had an error all the same.
func TestFoundPlans(t *testing.T) {
	rec := record(t)
	for _, found := range []struct {
		seed       uint64
		statements int
	}{
		{5_035_468, 33}, // A list that is put into itself by another name.
	} {
		text := generate(found.seed, found.statements)
		if failure, _ := runs(text, rec); failure != "" {
			t.Errorf("seed %d does not run any more: %s", found.seed, failure)
		}
		for _, f := range errorsOf(t, text) {
			t.Errorf("seed %d runs without an error, but: %v", found.seed, f)
		}
	}
}

// mutate changes a text in one place.
func mutate(rng *rand.Rand, text string) string {
	lines := strings.Split(text, "\n")
	i, j := rng.IntN(len(lines)), rng.IntN(len(lines))
	at := rng.IntN(len(text))
	pieces := []string{
		"(", ")", "]", ":", ",", " ", "\n", "    ", "x", "S", "plan_input", "None", "1/0", "fail('x')", "load('x.star', 'y')",
		"[][0]", "\"", "#", "=", "==", ".zz", "def plan(a, b): pass\n", "plan = 1\n", "del x", "{1: 2, 1: 3}", "\x00", "\xff",
	}
	switch rng.IntN(6) {
	case 0:
		lines[i], lines[j] = lines[j], lines[i]
	case 1:
		lines = append(lines[:i], lines[i+1:]...)
	case 2:
		lines[i] = strings.TrimPrefix(lines[i], "    ")
	case 3:
		end := min(len(text), at+1+rng.IntN(8))
		return text[:at] + text[end:]
	default:
		return text[:at] + pieces[rng.IntN(len(pieces))] + text[at:]
	}
	return strings.Join(lines, "\n")
}

// TestMutatedPlans checks that the check and the loader agree: no plan is valid
// here that does not load, and whatever does not load has an error.
func TestMutatedPlans(t *testing.T) {
	t.Parallel()
	rec := record(t)
	n := 3000
	if testing.Short() || raceEnabled {
		n = 600
	}
	broken := 0
	for seed := range n {
		rng := rand.New(rand.NewPCG(uint64(seed), 2))
		text := generate(uint64(seed), 5)
		text = mutate(rng, text)
		_, loadErr := runs(text, rec)
		found := errorsOf(t, text)
		if loadErr != nil {
			broken++
		}
		if loadErr != nil && len(found) == 0 {
			t.Fatalf("seed %d does not load (%v) but is valid:\n%s", seed, loadErr, text)
		}
	}
	if broken < n/10 || broken > n*9/10 {
		t.Errorf("%d of %d changed plans do not load: the test says little", broken, n)
	}
}

// FuzzSource checks any text: nothing panics, positions lie in the text, and no
// plan is valid that does not load.
func FuzzSource(f *testing.F) {
	for seed := range uint64(5) {
		f.Add(generate(seed, 10))
	}
	for _, file := range []string{"testdata/python/statements.star", "testdata/python/expressions.star", "testdata/rules/fields.star", "testdata/rules/values.star", "testdata/rules/flow.star"} {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for text := range strings.SplitSeq(string(data), "\n---\n") {
			f.Add(text)
		}
	}
	rec := record(f)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 10_000 || strings.Contains(text, "**") || strings.Contains(text, "range") || strings.Count(text, "*") > 3 {
			return // What takes memory is for the workers.
		}
		report, err := check.Source(context.Background(), "nowhere/p.star", text, check.Options{Limits: plan.Limits{MaxSteps: 10_000}})
		if err != nil {
			t.Fatal(err)
		}
		lines := lex.Lines(text)
		for _, found := range report.Findings {
			if found.Line > len(lines)+1 || found.EndLine < found.Line || found.EndLine == found.Line && found.EndCol <= found.Col && found.Line > 0 {
				t.Errorf("%v ends at %d:%d in a text of %d lines", found, found.EndLine, found.EndCol, len(lines))
			}
			report.Excerpt(found)
		}
		if report.Valid {
			if _, loadErr := runs(text, rec); loadErr != nil {
				t.Errorf("valid, but does not load: %v", loadErr)
			}
		}
	})
}

// TestSamples checks that the sample plans have no finding at all.
func TestSamples(t *testing.T) {
	report, err := check.Files(context.Background(), []string{"../../scripts"}, check.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Files) < 10 {
		t.Errorf("samples: %v", report.Files)
	}
	for _, f := range report.Findings {
		t.Errorf("sample: %v", f)
	}
}

// TestInterpretersOwnFiles checks the tests of the interpreter itself: those
// chunks that are valid in the dialect of plans have no error, where they do not
// mean to fail.
func TestInterpretersOwnFiles(t *testing.T) {
	pkg, err := build.Import("go.starlark.net/starlark", ".", build.FindOnly)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(pkg.Dir, "testdata", "*.star"))
	if err != nil || len(files) < 10 {
		t.Fatalf("no files of tests beside the interpreter in %s: %v", pkg.Dir, err)
	}
	const assert = "assert = struct(eq = lambda x, y: None, ne = lambda x, y: None, true = lambda c, *msg: None, lt = lambda x, y: None, contains = lambda x, y: None, fails = lambda f, m: None)\n" +
		"freeze = lambda x: x\nmatches = lambda x, y: True\n"
	valid := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, text := range strings.Split(string(data), "\n---\n") {
			text = strings.NewReplacer(`load("assert.star", "assert", "freeze")`, "", `load("assert.star", "assert", "freeze", "matches")`, "", `load("assert.star", "assert")`, "", `load("assert.star", "freeze")`, "").Replace(text)
			if strings.Contains(text, "###") {
				continue // It is meant to fail.
			}
			text = assert + text + "\ndef plan(plan_input):\n    return PlanResult()\n"
			src, err := plan.NewSource("p", "p.star", map[string]string{"p.star": text})
			if err != nil {
				continue
			}
			if _, err := plan.Compile(src, plan.Limits{MaxSteps: 50_000_000}); err != nil {
				continue // Another dialect, or predeclared names that plans lack.
			}
			valid++
			lines := strings.Split(text, "\n")
			for _, f := range errorsOf(t, text) {
				// Some of it is only there to fail, or never runs.
				if line := lines[f.Line-1]; strings.Contains(line, "assert.fails") || strings.Contains(line, "lambda:") ||
					strings.Contains(line, "assert.true(False,") || strings.TrimSpace(line) == `for x in "abc":` || strings.Contains(line, `"abc"[1] = `) {
					continue
				}
				t.Errorf("%s, part %d: %v\n%s", filepath.Base(file), i, f, lines[f.Line-1])
			}
		}
	}
	t.Logf("%d parts are valid plans", valid)
	if valid < 10 {
		t.Errorf("%d parts are valid in the dialect of plans, want 10 at least", valid)
	}
}

//go:build pyright

package reference_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"starplan/internal/reference"
)

// pyrightVersion is the version of the npm package.
const pyrightVersion = "1.1.414"

// install gives Pyright's program, which is kept from run to run.
func install(t *testing.T, ctx context.Context) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "starplan", "pyright-"+pyrightVersion)
	program := filepath.Join(dir, "node_modules", ".bin", "pyright")
	if _, err := os.Stat(filepath.Join(dir, "ready")); err == nil {
		return program
	}
	cmd := exec.CommandContext(ctx, "npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", dir, "pyright@"+pyrightVersion)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("this test needs npm, and a registry that has pyright %s: %v\n%s", pyrightVersion, err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "ready"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return program
}

// findings runs Pyright on files of Python beside the stub and gives what it finds, as
// "file:line: rule", sorted.
func findings(t *testing.T, files map[string]string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	program := install(t, ctx)
	dir := t.TempDir()
	files["__builtins__.pyi"] = reference.Stubs()
	files["pyrightconfig.json"] = `{"typeCheckingMode": "standard"}`
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(ctx, program, "--outputjson", "--project", dir)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	var report struct {
		GeneralDiagnostics []struct {
			File, Severity, Rule, Message string
			Range                         struct{ Start struct{ Line int } }
		}
		Summary struct{ FilesAnalyzed int }
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("pyright: %v\n%s", err, out)
	}
	if report.Summary.FilesAnalyzed < len(files)-2 {
		t.Fatalf("pyright looked at %d files: %s", report.Summary.FilesAnalyzed, out)
	}
	var list []string
	for _, d := range report.GeneralDiagnostics {
		list = append(list, fmt.Sprintf("%s:%d: %s", filepath.Base(d.File), d.Range.Start.Line+1, d.Rule))
		t.Logf("%s:%d: %s: %s", filepath.Base(d.File), d.Range.Start.Line+1, d.Severity, d.Message)
	}
	slices.Sort(list)
	return list
}

// TestPyrightTakesPlans runs Pyright on the sample plans: it knows every name and
// every type, but for what load() brings in.
func TestPyrightTakesPlans(t *testing.T) {
	plans, err := filepath.Glob("../../scripts/*/plan.star")
	if err != nil || len(plans) < 10 {
		t.Fatalf("%d sample plans: %v", len(plans), err)
	}
	files := make(map[string]string)
	for _, path := range plans {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		typed := strings.Replace(string(text), "def plan(plan_input):\n", "def plan(plan_input):\n    # type: (PlanInput) -> PlanResult\n", 1)
		files[filepath.Base(filepath.Dir(path))+".py"] = typed
	}
	want := []string{
		"triage_ticket.py:11: reportUndefinedVariable", "triage_ticket.py:12: reportUndefinedVariable", "triage_ticket.py:18: reportUndefinedVariable",
	}
	if diff := cmp.Diff(want, findings(t, files)); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

// TestPyrightFindsMistakes has one mistake a line.
func TestPyrightFindsMistakes(t *testing.T) {
	got := findings(t, map[string]string{"bad.py": `def plan(plan_input):
    # type: (PlanInput) -> PlanResult
    for task in plan_input.task_executions:
        print(task.hedaer.name)
        print(task.header.attempt + task.header.name)
        task.result.inline_data.unpak()
    json.decode(7)
    later = time.now() + time.now()
    math.exp(1)
    PlanResult(next_task_name = ["a"])
    PlanResult(next_task_names = [1])
    PlanResult("a")
    ExecutionStatus.DONE
    return [1]
`})
	want := []string{
		"bad.py:10: reportCallIssue", "bad.py:11: reportArgumentType", "bad.py:12: reportCallIssue", "bad.py:13: reportAttributeAccessIssue",
		"bad.py:14: reportReturnType", "bad.py:4: reportAttributeAccessIssue", "bad.py:5: reportOperatorIssue", "bad.py:6: reportAttributeAccessIssue",
		"bad.py:7: reportArgumentType", "bad.py:8: reportOperatorIssue", "bad.py:9: reportAttributeAccessIssue",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"starplan/internal/cli"
)

// writePlans writes n plans. Those with an odd number have a top level that has to
// run in a worker.
func writePlans(t testing.TB, n int) string {
	t.Helper()
	sample, err := os.ReadFile("../../scripts/approval_gate/plan.star")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for i := range n {
		text := string(sample)
		if i%2 == 1 {
			text += fmt.Sprintf("\nNAMES = [\"task_%%d\" %% i for i in range(%d)]\n", i)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("p%d.star", i)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// run runs a command in this process.
func run(t testing.TB, args ...string) (code int, stdout string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = cli.Main(context.Background(), cli.Process{Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs})
	if errs.Len() > 0 {
		t.Errorf("%v: standard error: %s", args, errs.String())
	}
	return code, out.String()
}

// TestCheckManyPlans checks 1,000 plans in less than two seconds, half of them in
// workers. A machine that does something else meanwhile gets more than one try.
func TestCheckManyPlans(t *testing.T) {
	n, limit := 1000, 2*time.Second
	if raceEnabled || testing.Short() {
		n, limit = 100, 20*time.Second
	}
	dir := writePlans(t, n)
	var took []time.Duration
	for range 5 {
		start := time.Now()
		code, out := run(t, "check", dir)
		took = append(took, time.Since(start))
		if code != cli.ExitOK || !strings.HasSuffix(out, ": ok\n") {
			t.Fatalf("check gives %d: %s", code, out)
		}
		if took[len(took)-1] < limit {
			t.Logf("%d plans in %v", n, took)
			return
		}
	}
	t.Errorf("%d plans take %v, want less than %v", n, took, limit)
}

// TestCheckOnePlan checks one plan in less than 50 ms, from the start of the process
// to its end. A machine that does something else meanwhile gets more than one try.
func TestCheckOnePlan(t *testing.T) {
	limit := 50 * time.Millisecond
	if raceEnabled {
		limit = 5 * time.Second
	}
	path := filepath.Join(writePlans(t, 1), "p0.star")
	var took []time.Duration
	for range 20 {
		// This program is the command when it is called by its name.
		cmd := exec.CommandContext(t.Context(), os.Args[0], "check", path)
		cmd.Args[0] = "starplan"
		cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
		start := time.Now()
		out, err := cmd.CombinedOutput()
		took = append(took, time.Since(start))
		if err != nil || string(out) != path+": ok\n" {
			t.Fatalf("check: %v\n%s", err, out)
		}
		if took[len(took)-1] < limit {
			return
		}
	}
	t.Errorf("one plan takes %v, want less than %v", took, limit)
}

// TestCheckFindsOneAmongMany checks that plans which are loaded together are
// judged apart.
func TestCheckFindsOneAmongMany(t *testing.T) {
	dir := writePlans(t, 40)
	for _, broken := range []struct{ name, text string }{
		{"fails.star", "x = [i for i in range(3)][7]\n"},
		{"endless.star", "x = [i for i in range(1 << 40)]\n"},
		{"memory.star", "x = [0] * (1 << 26)\ny = [x + x, x + x, x + x]\n"},
	} {
		text := broken.text + "def plan(plan_input):\n    return PlanResult()\n"
		if err := os.WriteFile(filepath.Join(dir, broken.name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, out := run(t, "check", "--plan-max-steps=100000", dir)
	if code != cli.ExitFailure {
		t.Errorf("check gives %d, want %d", code, cli.ExitFailure)
	}
	for _, want := range []string{
		"fails.star:1:26: error: list index 7 out of range", "endless.star:1:", "step limit of 100000 reached", "memory.star: error: ", "[limit-memory]", "3 errors, 0 warnings in 43 files",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("check does not say %q:\n%s", want, out)
		}
	}
}

// BenchmarkCheck measures one plan and many.
func BenchmarkCheck(b *testing.B) {
	for _, n := range []int{1, 2, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir := writePlans(b, n)
			for b.Loop() {
				if code, out := run(b, "check", dir); code != cli.ExitOK {
					b.Fatal(out)
				}
			}
		})
	}
}

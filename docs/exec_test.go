package docs_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"starplan/internal/cli"
)

// TestExecShown runs the plan on the input that writing-plans.md has beside each
// other, and looks for what the page says that is printed. They are marked
//
//	<!-- test: exec=plan.star -->
//	<!-- test: exec=input.json -->
//	<!-- test: exec=plain -->  what is printed on standard error
//	<!-- test: exec=trace -->  a part of what is printed with --trace
func TestExecShown(t *testing.T) {
	dir := t.TempDir()
	run := func(flags ...string) string {
		args := append([]string{"exec"}, flags...)
		var stdout, stderr bytes.Buffer
		code := cli.Main(t.Context(), cli.Process{
			Args:  append(args, filepath.Join(dir, "plan.star"), filepath.Join(dir, "input.json")),
			Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr,
		})
		if code != 0 || !strings.Contains(stdout.String(), "EXECUTION_STATUS_FAILED") {
			t.Fatalf("exec = %d: %s%s", code, &stdout, &stderr)
		}
		return stderr.String()
	}
	shown := 0
	for _, b := range blocks(t, "writing-plans.md") {
		switch kind := b.marks["exec"]; kind {
		case "":
		case "plan.star", "input.json":
			if err := os.WriteFile(filepath.Join(dir, kind), []byte(b.text), 0o600); err != nil {
				t.Fatal(err)
			}
		case "plain":
			shown++
			if got := run(); got != b.text {
				t.Errorf("%v: exec prints\n%s", b, got)
			}
		default:
			shown++
			if got := run("--" + kind); !strings.Contains(got, b.text) {
				t.Errorf("%v: exec --%s prints\n%s", b, kind, got)
			}
		}
	}
	if shown != 2 {
		t.Errorf("%d outputs were compared, want 2", shown)
	}
}

//go:build linux && (amd64 || arm64)

package worker

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"golang.org/x/sys/unix"

	"starplan/plan"
)

// withoutLandlock marks a run of this test in a process where the kernel answers
// as one without Landlock does, to it and to the workers that it starts.
const withoutLandlock = "STARPLAN_TEST_WITHOUT_LANDLOCK"

// A kernel without Landlock is no reason not to run, unless it is asked for.
func TestRequireSandbox(t *testing.T) {
	if os.Getenv(withoutLandlock) == "" {
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestRequireSandbox$", "-test.v")
		cmd.Env = append(os.Environ(), withoutLandlock+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestRequireSandbox") {
			t.Errorf("without Landlock: %v\n%s", err, out)
		}
		return
	}
	err := seccomp.LoadFilter(seccomp.Filter{
		NoNewPrivs: true, Flag: seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{
			DefaultAction: seccomp.ActionAllow,
			Syscalls: []seccomp.SyscallGroup{{
				Names:  []string{"landlock_create_ruleset"},
				Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS),
			}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	limits := plan.Limits{Timeout: 10 * time.Second, MaxSteps: 1e6, MaxMemory: 64 << 20}
	_, err = NewPool(t.Context(), Options{Tenant: "acme", Workers: 1, Limits: limits, RequireSandbox: true})
	if err == nil || !strings.Contains(err.Error(), "sandbox is required and not complete: ") || !strings.Contains(err.Error(), "andlock") {
		t.Errorf("NewPool with RequireSandbox = %v, want that Landlock is missing", err)
	}
	p, err := NewPool(t.Context(), Options{Tenant: "acme", Workers: 1, Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close(t.Context()) }()
	if got := p.Sandbox(); got.Complete() || len(got.Missing) == 0 {
		t.Errorf("Sandbox = %v, missing %v, want Landlock missing", got, got.Missing)
	}
}

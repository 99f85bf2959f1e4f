package worker

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"starplan/plan"
	"starplan/plan/execution"
)

// parentMode is the variable that makes the test binary a pool's process that
// waits for its death.
const parentMode = "STARPLAN_TEST_PARENT"

// beParent starts workers that are busy for minutes, and prints their pids.
func beParent() {
	if os.Getenv(parentMode) == "" {
		return
	}
	p, err := NewPool(context.Background(), Options{Tenant: "t", Workers: 2})
	if err != nil {
		panic(err)
	}
	for i, text := range []string{"spin 5m", "hang"} {
		src, err := plan.NewSource(text, "plan.star", map[string]string{"plan.star": directive + text})
		if err != nil {
			panic(err)
		}
		p.Start(context.Background(), src, execution.Record{Topic: "x", Offset: int64(i), Key: []byte("x")}, func(execution.Outcome) {})
	}
	for p.Stats().Slow < 2 {
		<-time.After(time.Millisecond)
	}
	p.mu.Lock()
	for _, w := range p.workers {
		fmt.Println(w.proc.pid())
	}
	p.mu.Unlock()
	fmt.Println("ready")
	select {}
}

// SIGKILL of the process of a pool leaves no worker, be it busy or idle.
func TestNoOrphans(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("looks at processes in /proc")
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), parentMode+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pids []int
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "ready"; {
		pid, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	if len(pids) < 2 {
		t.Errorf("workers = %v, want 2 or more", pids)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	cmd.Wait()
	for _, pid := range pids {
		waitFor(t, "worker "+strconv.Itoa(pid)+" has ended", func() bool { return !runs(pid) })
	}
	if took := time.Since(begin); took > time.Second && !raceEnabled {
		t.Errorf("workers outlived their parent by %v, want less than 1s", took)
	}
}

// runs reports whether a process is there and more than a zombie.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	state := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))[0]
	return state != "Z" && state != "X"
}

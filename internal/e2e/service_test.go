package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// service is a running "starplan run".
type service struct {
	t       *testing.T
	cmd     *exec.Cmd
	started time.Time
	addr    string // of the HTTP side
	ended   chan struct{}

	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed and replaced at each line
}

// startService starts the program with this environment and no other, and returns
// when its HTTP side listens. It is killed when the test ends.
func startService(ctx context.Context, t *testing.T, env map[string]string) *service {
	t.Helper()
	s := launch(t, env)
	line := s.awaitLine(ctx, "http server listening")
	s.addr, _ = line["addr"].(string)
	return s
}

// launch starts the program and waits for nothing.
func launch(t *testing.T, env map[string]string) *service {
	t.Helper()
	s := &service{t: t, cmd: exec.Command(suite.program, "run"), ended: make(chan struct{}), more: make(chan struct{})}
	// The race detector holds a process for a second at its end; that is of no use here.
	s.cmd.Env = []string{"HTTP_ADDR=127.0.0.1:0", "GORACE=atexit_sleep_ms=10"}
	for k, v := range env {
		s.cmd.Env = append(s.cmd.Env, k+"="+v)
	}
	// A pipe of our own: Wait must not close it before it is read to its end.
	r, w, err := os.Pipe()
	must(t, err)
	s.cmd.Stdout, s.cmd.Stderr = w, w
	s.started = time.Now()
	must(t, s.cmd.Start())
	must(t, w.Close())
	read := make(chan struct{})
	go func() {
		defer close(read)
		s.read(r)
	}()
	go func() {
		defer close(s.ended)
		_ = s.cmd.Wait() // ProcessState says the same.
		<-read
	}()
	t.Cleanup(s.cleanUp)
	return s
}

func (s *service) read(r io.ReadCloser) {
	defer r.Close()
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		s.mu.Lock()
		s.lines = append(s.lines, in.Text())
		close(s.more)
		s.more = make(chan struct{})
		s.mu.Unlock()
	}
}

// cleanUp ends the process with the test, and shows what it said if the test failed.
func (s *service) cleanUp() {
	_ = s.cmd.Process.Kill() // It may have ended.
	<-s.ended
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, line := range s.lines {
		if strings.Contains(line, "DATA RACE") || strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") {
			s.t.Errorf("pid %d: %s", s.cmd.Process.Pid, line)
		}
	}
	if s.t.Failed() {
		lines := s.lines
		if n := len(lines) - 200; n > 0 {
			lines = append([]string{fmt.Sprintf("… %d lines …", n)}, lines[n:]...)
		}
		s.t.Logf("output of pid %d, %v:\n%s", s.cmd.Process.Pid, s.cmd.ProcessState, strings.Join(lines, "\n"))
	}
}

// output is all that the program has said so far.
func (s *service) output() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n")
}

// awaitLine returns the first log line with this message.
func (s *service) awaitLine(ctx context.Context, msg string) map[string]any {
	s.t.Helper()
	for at := 0; ; {
		s.mu.Lock()
		lines, more := s.lines[at:], s.more
		s.mu.Unlock()
		for _, line := range lines {
			var attrs map[string]any
			if json.Unmarshal([]byte(line), &attrs) == nil && attrs["msg"] == msg {
				return attrs
			}
		}
		at += len(lines)
		select {
		case <-more:
		case <-s.ended:
			s.t.Fatalf("the program ended before it logged %q: %v", msg, s.cmd.ProcessState)
		case <-ctx.Done():
			s.t.Fatalf("the program did not log %q: %v", msg, context.Cause(ctx))
		}
	}
}

// do asks the HTTP side.
func (s *service) do(ctx context.Context, method, path string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.addr+path, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// await asks until done says so. The program tells of nothing by itself, so it is
// asked again and again.
func (s *service) await(ctx context.Context, what string, done func() bool) {
	s.t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !done() {
		select {
		case <-again.C:
		case <-s.ended:
			s.t.Fatalf("await %s: the program ended: %v", what, s.cmd.ProcessState)
		case <-ctx.Done():
			_, ready, _ := s.do(context.WithoutCancel(ctx), http.MethodGet, "/readyz")
			s.t.Fatalf("await %s: %v; /readyz: %s", what, context.Cause(ctx), ready)
		}
	}
}

// awaitReady returns when /readyz says 200, with the time since the process was started.
func (s *service) awaitReady(ctx context.Context) time.Duration {
	s.t.Helper()
	s.await(ctx, "readiness", func() bool {
		code, _, err := s.do(ctx, http.MethodGet, "/readyz")
		return err == nil && code == http.StatusOK
	})
	return time.Since(s.started)
}

// metric sums the samples of a metric that have all of the given labels, each as
// name="value".
func (s *service) metric(ctx context.Context, name string, labels ...string) float64 {
	s.t.Helper()
	_, body, err := s.do(ctx, http.MethodGet, "/metrics")
	must(s.t, err)
	sum := 0.0
	for line := range strings.Lines(body) {
		sample, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if family, _, _ := strings.Cut(sample, "{"); !ok || family != name {
			continue
		}
		all := true
		for _, l := range labels {
			all = all && strings.Contains(sample, l)
		}
		if all {
			v, err := strconv.ParseFloat(value, 64)
			must(s.t, err)
			sum += v
		}
	}
	return sum
}

// hangUp sends SIGHUP and returns when the reload is done.
func (s *service) hangUp(ctx context.Context) {
	s.t.Helper()
	before := s.metric(ctx, "starplan_plan_reloads_total")
	must(s.t, s.cmd.Process.Signal(syscall.SIGHUP))
	s.await(ctx, "reload", func() bool { return s.metric(ctx, "starplan_plan_reloads_total") > before })
}

// reload asks for a reload over HTTP.
func (s *service) reload(ctx context.Context) {
	s.t.Helper()
	if code, body, err := s.do(ctx, http.MethodPost, "/-/reload"); err != nil || code != http.StatusOK {
		s.t.Fatalf("POST /-/reload = %d %s %v, want 200", code, body, err)
	}
}

// terminate sends SIGTERM and returns how long the process took to end. It ends
// with exit code 0, or the test fails.
func (s *service) terminate(ctx context.Context) time.Duration {
	s.t.Helper()
	sent := time.Now()
	must(s.t, s.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-s.ended:
	case <-ctx.Done():
		s.t.Fatalf("the program did not end after SIGTERM: %v", context.Cause(ctx))
	}
	took := time.Since(sent)
	if !s.cmd.ProcessState.Success() {
		s.t.Errorf("after SIGTERM: %v, want exit status 0", s.cmd.ProcessState)
	}
	return took
}

// awaitEnd returns the exit code of a process that ends by itself.
func (s *service) awaitEnd(ctx context.Context) int {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-ctx.Done():
		s.t.Fatalf("the program goes on: %v", context.Cause(ctx))
	}
	return s.cmd.ProcessState.ExitCode()
}

// kill sends SIGKILL and returns when the process and all its workers are gone.
func (s *service) kill(ctx context.Context) {
	s.t.Helper()
	workers := children(s.t, s.cmd.Process.Pid)
	if len(workers) == 0 {
		s.t.Error("the program has no workers")
	}
	must(s.t, s.cmd.Process.Kill())
	<-s.ended
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for _, pid := range workers {
		// A worker that has ended may stay as a zombie until its new parent looks at it.
		for state(pid) != "" && state(pid) != "Z" {
			select {
			case <-again.C:
			case <-ctx.Done():
				s.t.Fatalf("worker %d outlives the program that was killed: state %s", pid, state(pid))
			}
		}
	}
}

// children lists the child processes of a process.
func children(t *testing.T, parent int) []int {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	must(t, err)
	var out []int
	for _, file := range all {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		must(t, err)
		if fields := stat(pid); len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			out = append(out, pid)
		}
	}
	return out
}

// state is the state of a process as /proc has it, or empty where there is none.
func state(pid int) string {
	if fields := stat(pid); len(fields) > 0 {
		return fields[0]
	}
	return ""
}

// stat gives the fields of /proc/PID/stat that come after the command: state,
// parent and so on.
func stat(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return strings.Fields(rest)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

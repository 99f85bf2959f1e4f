// Package fleet runs members of the service as processes of their own, and ends
// them in every way in which a process ends.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Build builds the program into dir and gives its path. It runs in the module.
func Build(ctx context.Context, dir string) (string, error) {
	program := filepath.Join(dir, "starplan")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, "starplan/cmd/starplan")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("fleet: build: %w\n%s", err, out)
	}
	return program, nil
}

// Fleet is members that are configured alike. It is safe for concurrent use.
type Fleet struct {
	program string
	env     []string
	logs    string

	mu      sync.Mutex
	members []*Member
	started int
}

// New makes a fleet without members. They run program with the environment env,
// and each writes what it says to a file of its own in the directory logs.
func New(program, logs string, env []string) *Fleet {
	return &Fleet{program: program, env: env, logs: logs}
}

// Member is one process of the service.
type Member struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// Start adds a member. It dies with this process.
func (f *Fleet) Start() (*Member, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.started++
	log, err := os.Create(filepath.Join(f.logs, fmt.Sprintf("member-%02d.log", f.started)))
	if err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	defer func() { _ = log.Close() }() // The process has its own.
	m := &Member{cmd: exec.Command(f.program, "run"), ended: make(chan struct{})}
	m.cmd.Env = f.env
	m.cmd.Stdout, m.cmd.Stderr = log, log
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.cmd.Start(); err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	go func() {
		defer close(m.ended)
		_ = m.cmd.Wait() // It is mostly killed.
	}()
	f.members = append(f.members, m)
	return m, nil
}

// Pick takes the i-th member, counted round, out of the fleet; nil when it is empty.
func (f *Fleet) Pick(i int) *Member {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.members) == 0 {
		return nil
	}
	i %= len(f.members)
	m := f.members[i]
	f.members = append(f.members[:i:i], f.members[i+1:]...)
	return m
}

// PickLast takes the member that was started last out of the fleet; nil when it is
// empty.
func (f *Fleet) PickLast() *Member {
	f.mu.Lock()
	n := len(f.members)
	f.mu.Unlock()
	return f.Pick(max(0, n-1))
}

// All gives the members.
func (f *Fleet) All() []*Member {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*Member(nil), f.members...)
}

// StopAll ends all members in their own time; those that are not through when ctx
// ends are killed.
func (f *Fleet) StopAll(ctx context.Context) error {
	var errs []error
	for m := f.Pick(0); m != nil; m = f.Pick(0) {
		errs = append(errs, m.Stop(ctx))
	}
	return errors.Join(errs...)
}

// Reload asks every member to read the plans again.
func (f *Fleet) Reload() {
	for _, m := range f.All() {
		_ = m.cmd.Process.Signal(syscall.SIGHUP) // It may have ended.
	}
}

// KillWorker kills one of the fleet's worker processes; i chooses which.
func (f *Fleet) KillWorker(i int) bool {
	var workers []int
	for _, m := range f.All() {
		workers = append(workers, children(m.cmd.Process.Pid)...)
	}
	if len(workers) == 0 {
		return false
	}
	return syscall.Kill(workers[i%len(workers)], syscall.SIGKILL) == nil
}

// Kill ends a member as a crash does, and returns when it has ended.
func (m *Member) Kill() {
	_ = m.cmd.Process.Kill() // It may have ended.
	<-m.ended
}

// Stop ends a member in its own time; when ctx ends first it is killed, which is
// an error.
func (m *Member) Stop(ctx context.Context) error {
	_ = m.cmd.Process.Signal(syscall.SIGTERM) // It may have ended.
	select {
	case <-m.ended:
		return nil
	case <-ctx.Done():
		m.Kill()
		return errors.New("fleet: member did not stop in time")
	}
}

// Ended is closed when the process has ended.
func (m *Member) Ended() <-chan struct{} { return m.ended }

// CPU is the processor time that the member and its workers, those that have ended
// included, have taken so far. It is 0 where there is no /proc.
func (m *Member) CPU() (self, workers time.Duration) {
	pid := m.cmd.Process.Pid
	self, workers = ProcessorTime(pid)
	for _, child := range children(pid) {
		own, _ := ProcessorTime(child)
		workers += own
	}
	return self, workers
}

// ticks a second of /proc/PID/stat.
const ticks = 100

// ProcessorTime of the process pid, and of those of its children that it has waited
// for, so far. Both are 0 where there is no such process, or no /proc.
func ProcessorTime(pid int) (self, ended time.Duration) {
	fields := stat(pid)
	if len(fields) < 15 {
		return 0, 0
	}
	at := func(i int) time.Duration {
		n, _ := strconv.ParseInt(fields[i], 10, 64) // The kernel writes numbers.
		return time.Duration(n) * time.Second / ticks
	}
	// Of the fields that follow the name: 11 and 12 are its own, 13 and 14 its children's.
	return at(11) + at(12), at(13) + at(14)
}

// stat gives the fields of /proc/PID/stat that follow the process's name; none
// where it has ended.
func stat(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	// pid (name) state ppid …; the name may hold anything.
	return strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
}

// children lists the processes whose parent is pid.
func children(pid int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // The pattern is good.
	var found []int
	for _, path := range stats {
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		if fields := stat(child); len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			found = append(found, child)
		}
	}
	return found
}

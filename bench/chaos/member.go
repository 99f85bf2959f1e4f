package main

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

// fleet is the members of the group, one process each.
type fleet struct {
	program string
	env     []string
	logs    string // Directory of their logs.

	mu      sync.Mutex
	members []*member
	started int
}

// member is one process of the service.
type member struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// start adds a member.
func (f *fleet) start() (*member, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.started++
	log, err := os.Create(filepath.Join(f.logs, fmt.Sprintf("member-%02d.log", f.started)))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // The process has its own.
	m := &member{cmd: exec.Command(f.program, "run"), ended: make(chan struct{})}
	m.cmd.Env = f.env
	m.cmd.Stdout, m.cmd.Stderr = log, log
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(m.ended)
		_ = m.cmd.Wait() // It is mostly killed.
	}()
	f.members = append(f.members, m)
	return m, nil
}

// pick takes the i-th member, counted round, out of the fleet; nil when it is empty.
func (f *fleet) pick(i int) *member {
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

// all gives the members that run.
func (f *fleet) all() []*member {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*member(nil), f.members...)
}

// kill ends a member as a crash does.
func (m *member) kill() {
	_ = m.cmd.Process.Kill() // It may have ended.
	<-m.ended
}

// stop ends a member in its own time.
func (m *member) stop(ctx context.Context) error {
	_ = m.cmd.Process.Signal(syscall.SIGTERM) // It may have ended.
	select {
	case <-m.ended:
		return nil
	case <-ctx.Done():
		m.kill()
		return errors.New("member did not stop in time")
	}
}

// stopAll ends all members.
func (f *fleet) stopAll(ctx context.Context) error {
	var errs []error
	for m := f.pick(0); m != nil; m = f.pick(0) {
		errs = append(errs, m.stop(ctx))
	}
	return errors.Join(errs...)
}

// reload asks every member to read the plans again.
func (f *fleet) reload() {
	for _, m := range f.all() {
		_ = m.cmd.Process.Signal(syscall.SIGHUP) // It may have ended.
	}
}

// killWorker kills one of the fleet's worker processes; i chooses which.
func (f *fleet) killWorker(i int) bool {
	var workers []int
	for _, m := range f.all() {
		workers = append(workers, children(m.cmd.Process.Pid)...)
	}
	if len(workers) == 0 {
		return false
	}
	return syscall.Kill(workers[i%len(workers)], syscall.SIGKILL) == nil
}

// children lists the processes whose parent is pid.
func children(pid int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // The pattern is good.
	var found []int
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // It has ended.
		}
		// pid (name) state ppid …; the name may hold anything.
		_, rest, _ := strings.Cut(string(text[strings.LastIndexByte(string(text), ')')+1:]), " ")
		fields := strings.Fields(rest)
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			if child, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				found = append(found, child)
			}
		}
	}
	return found
}

// sleep waits, and reports false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

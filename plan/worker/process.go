package worker

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// readyTimeout bounds how long a worker may take from start to ready.
const readyTimeout = 10 * time.Second

// keepStderr is how much of a worker's stderr is kept: the reason for its death
// comes first.
const keepStderr = 8 << 10

// protocol counts the changes of the frames.
const protocol = 2

// version identifies the build, so that a pool and a worker from an executable
// that was replaced in between do not talk past each other.
var version = sync.OnceValue(func() string {
	v := "protocol " + strconv.Itoa(protocol)
	if info, ok := debug.ReadBuildInfo(); ok {
		h := fnv.New64a()
		h.Write([]byte(info.String()))
		v += fmt.Sprintf(", build %x", h.Sum64())
	}
	return v
})

// process is one worker process seen from the pool: its pipes and its death. The
// owner reads frames until an error, then calls wait.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	frames *splitter
	stderr *headBuffer

	protections Protections
	oomKills    int64         // As the process started.
	cpu         time.Duration // As last seen in /proc; guarded by the pool's mutex.
}

// start starts a worker and waits until it is ready. When ctx ends first the
// worker is killed.
func start(ctx context.Context, h hello, env []string, answerLimit int) (*process, error) {
	p, err := launch(env, answerLimit)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, p.kill)
	err = p.greet(h)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		p.kill()
		if text := p.wait().stderr; text != "" {
			err = fmt.Errorf("%w: %s", err, firstLine(text))
		}
		return nil, fmt.Errorf("start worker: %w", err)
	}
	return p, nil
}

// launch starts the process with nothing but its pipes. Its environment holds one
// variable, by which the Go runtime prints no goroutines when it dies.
func launch(env []string, answerLimit int) (*process, error) {
	exe, err := executable()
	if err != nil {
		return nil, fmt.Errorf("start worker: %w", err)
	}
	cmd := &exec.Cmd{
		Path: exe,
		Args: []string{marker, marker},
		Env:  append([]string{"GOTRACEBACK=none"}, env...),
		Dir:  "/",
		// A worker cannot leave children that hold stderr open; where nothing
		// confines it, do not wait for them for long.
		WaitDelay: time.Second,
	}
	detach(cmd)
	p := &process{cmd: cmd, stderr: &headBuffer{}, oomKills: oomKills()}
	cmd.Stderr = p.stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start worker: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start worker: %w", err)
	}
	p.stdin, p.frames = stdin, newSplitter(stdout, answerLimit)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start worker: %w", err)
	}
	return p, nil
}

// greet configures the worker and takes in how it is protected.
func (p *process) greet(h hello) error {
	var e encoder
	e.hello(h)
	if _, err := p.stdin.Write(e.buf); err != nil && !errors.Is(err, syscall.EPIPE) {
		return err
	}
	k, payload, err := p.frames.next()
	if err != nil {
		return err
	}
	if k != kindReady {
		return &frameError{fmt.Sprintf("first frame of worker: got %q, want ready", byte(k))}
	}
	v, protections, err := decodeReady(payload)
	if err != nil {
		return err
	}
	if v != h.version {
		return fmt.Errorf("version of worker: got %q, want %q", v, h.version)
	}
	p.protections = protections
	return nil
}

// kill ends the process at once. It is safe for concurrent use, and when the
// process has ended already.
func (p *process) kill() {
	// An error says that the process has ended, which is what is wanted.
	_ = p.cmd.Process.Kill()
	_ = p.stdin.Close()
}

// pid is the process's number.
func (p *process) pid() int { return p.cmd.Process.Pid }

// death is how a process ended.
type death struct {
	code   int // Exit code; -1 where a signal ended it.
	signal string
	killed bool   // By SIGKILL.
	oom    bool   // The kernel killed a process for want of memory meanwhile.
	stderr string // Its beginning.
	cpu    time.Duration
}

// wait reaps the process. It is called once, when stdout has ended or the process
// was killed.
func (p *process) wait() death {
	// The error repeats the state.
	_ = p.cmd.Wait()
	_ = p.stdin.Close()
	d := death{code: -1, stderr: p.stderr.String()}
	state := p.cmd.ProcessState
	if state == nil {
		return d
	}
	d.code = state.ExitCode()
	d.cpu = state.UserTime() + state.SystemTime()
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		d.signal = status.Signal().String()
		d.killed = status.Signal() == syscall.SIGKILL
		d.oom = d.killed && oomKills() > p.oomKills
	}
	return d
}

// headBuffer keeps the first bytes that are written to it. It is safe for
// concurrent use.
type headBuffer struct {
	mu  sync.Mutex
	buf []byte
}

func (b *headBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf = append(b.buf, p[:min(len(p), keepStderr-len(b.buf))]...)
	return len(p), nil
}

func (b *headBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.ToValidUTF8(string(b.buf), "\uFFFD")
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// exhausted are the words with which the Go runtime dies when it is refused
// memory. There is no other sign: it ends with the exit code of any fatal error.
// In a few places it does not look before it uses what it was refused, so that a
// fault inside of the allocator or the collector is the same.
var exhausted = []string{
	"out of memory",
	"cannot allocate",
	"cannot reserve arena",
	"cannot map pages",
	"failed to reserve",
	"failed to allocate",
	"failed to create new OS thread",
	"too many address space collisions", // A race detector's build.
	"errno=12",
	"runtime/mgc",
	"runtime/mheap",
	"runtime/mcentral",
	"runtime/mcache",
	"runtime/mfixalloc",
	"runtime/malloc",
}

// outOfMemory reports whether the process died for want of memory.
func (d death) outOfMemory() bool {
	if d.oom {
		return true
	}
	if d.code != 2 && d.code != 66 { // 66 is a race detector's.
		return false
	}
	for _, words := range exhausted {
		if strings.Contains(d.stderr, words) {
			return true
		}
	}
	return false
}

// overflow reports whether the process died of a stack that outgrew maxStack.
func (d death) overflow() bool {
	return d.code == 2 && strings.Contains(d.stderr, "stack overflow")
}

// outside reports whether somebody killed the process who is neither the pool,
// as far as this can tell, nor the kernel for want of memory.
func (d death) outside() bool { return d.killed && !d.outOfMemory() }

// cause describes a death in a few words, for messages and the log.
func (d death) cause() string {
	switch {
	case d.outOfMemory():
		return "out of memory"
	case d.overflow():
		return fmt.Sprintf("stack limit of %d MiB exceeded", maxStack>>20)
	case d.outside():
		return "killed from outside"
	case d.signal != "":
		return "signal: " + d.signal
	case d.stderr != "":
		return fmt.Sprintf("exit code %d: %s", d.code, firstLine(d.stderr))
	default:
		return fmt.Sprintf("exit code %d", d.code)
	}
}

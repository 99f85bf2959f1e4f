//go:build linux && (amd64 || arm64)

package worker

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// executable is what a pool starts: this very file, also where another one has
// taken its name on disk.
func executable() (string, error) { return "/proc/self/exe", nil }

// detach puts a worker into a process group of its own, so that Ctrl-C at a
// terminal reaches the service alone, which may still need its workers to end well.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// claimPipes takes stdin and stdout for frames, and turns what others may write
// to os.Stdout to stderr. Reading goes through the network poller: a goroutine
// that waits for input must not keep the running one off the processor.
func claimPipes() (in, out *os.File) {
	// Service managers signal all processes of a service. How a worker ends is up
	// to the pool.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	if err := syscall.SetNonblock(0, true); err == nil {
		in = os.NewFile(0, "stdin")
	} else {
		in = os.Stdin
	}
	// os.Stdin stays referenced: its finalizer would close the descriptor.
	out, os.Stdout = os.Stdout, os.Stderr
	return in, out
}

// seal limits this process for good, as far as the kernel lets it. Whatever needs
// a file is done first.
func seal(maxMemory int64) Protections {
	runtime.GOMAXPROCS(childProcs)
	debug.SetMaxStack(maxStack)
	debug.SetMemoryLimit(maxMemory / 10 * 6)
	var p Protections
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0); err != nil {
		p.miss("out-of-memory score", err)
	} else {
		p.OOMScore = true
	}
	if err := limitCore(); err != nil {
		p.miss("no core dumps", err)
	}
	if err := limitMemory(maxMemory); err != nil {
		p.miss("memory limit", err)
	} else {
		p.Memory = true
	}
	return p
}

func limitCore() error {
	return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
}

// limitMemory lets the address space grow by budget bytes from where it is. An
// absolute limit would say nothing: Go and the interpreter reserve gigabytes that
// they never touch.
func limitMemory(budget int64) error {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	pages, _, _ := bytes.Cut(data, []byte(" "))
	n, err := strconv.ParseInt(string(pages), 10, 64)
	if err != nil {
		return fmt.Errorf("/proc/self/statm: %w", err)
	}
	limit := uint64(n)*uint64(os.Getpagesize()) + uint64(budget)
	return unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: limit, Max: limit})
}

// oomKills counts the kernel's kills for want of memory since boot, those in
// control groups included; 0 where that is not to be known.
func oomKills() int64 {
	data, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		return 0
	}
	_, rest, ok := bytes.Cut(data, []byte("\noom_kill "))
	if !ok {
		return 0
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	n, err := strconv.ParseInt(string(line), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// clockTick is the unit of processor time in /proc, 1/100 s on every Linux there is.
const clockTick = 10 * time.Millisecond

// usage gives a process's resident memory in bytes and its processor time; zeros
// when it has ended.
func usage(pid int) (rss int64, cpu time.Duration) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, 0
	}
	// The second field is the name in parentheses, which may hold anything; the
	// third follows the last one.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	number := func(field int) int64 {
		i := field - 3
		if i >= len(fields) {
			return 0
		}
		n, _ := strconv.ParseInt(fields[i], 10, 64)
		return n
	}
	// proc_pid_stat(5): 14 utime, 15 stime, 24 rss in pages.
	return number(24) * int64(os.Getpagesize()), time.Duration(number(14)+number(15)) * clockTick
}

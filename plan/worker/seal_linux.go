//go:build linux && (amd64 || arm64)

package worker

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/landlock-lsm/go-landlock/landlock"
	lls "github.com/landlock-lsm/go-landlock/landlock/syscall"
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
	runtime.GOMAXPROCS(childProcs)
	closeInherited()
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

// closeInherited closes what the parent's parent may have left open without
// marking it, and the files in which the Go runtime would watch the number of
// processors, which is fixed by now.
func closeInherited() {
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= 2 {
			continue
		}
		// The runtime's poller has descriptors without a file.
		if target, err := os.Readlink(dir + "/" + e.Name()); err == nil && !strings.HasPrefix(target, "anon_inode:") {
			// The directory that was just read is closed already: an error is fine.
			_ = unix.Close(fd)
		}
	}
}

// seal limits this process for good, as far as the kernel lets it. What needs a
// file comes first.
func seal(maxMemory int64) Protections {
	limitHeap(maxMemory)
	var p Protections
	try := func(what string, apply func() error) bool {
		err := apply()
		if err != nil {
			p.miss(what, err)
		}
		return err == nil
	}
	p.OOMScore = try("preference of the out-of-memory killer", func() error {
		return os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	})
	// That is thrift, not protection: where it fails nothing is missing.
	_ = forgetStart()
	try("no core dumps", func() error { return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) })
	p.Memory = try("memory limit", func() error { return limitMemory(maxMemory) })
	try("Landlock", func() (err error) {
		p.Landlock, err = applyLandlock()
		return err
	})
	p.Seccomp = try("seccomp", applySeccomp)
	p.NoNewPrivileges = try("no new privileges", checkNoNewPrivileges)
	return p
}

// forgetStart gives back the pages of the executable that only the start of the
// process needed: the kernel maps them generously, and all packages of the service
// have initialized themselves. What is needed again is read again, mostly from the
// page cache.
func forgetStart() error {
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return err
	}
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	var from, to uintptr
	candidate := false
	for line := range strings.Lines(string(smaps)) {
		switch {
		case strings.HasSuffix(line, " "+exe+"\n"):
			var rights string
			if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &rights); err != nil {
				return fmt.Errorf("/proc/self/smaps: %q: %w", line, err)
			}
			candidate = rights == "r-xp" || rights == "r--p"
		case candidate && strings.HasPrefix(line, "Anonymous:"):
			candidate = false
			// Only what nobody has written to, as a dynamic linker does before it
			// takes the right away, is the same when it is read again.
			if strings.HasSuffix(line, " 0 kB\n") {
				if _, _, errno := syscall.RawSyscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED); errno != 0 {
					return errno
				}
			}
		}
	}
	return nil
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

// newestLandlock is the version of the interface that landlock.V11 stands for.
const newestLandlock = 11

var errNoEffect = errors.New("applied, but without effect")

// applyLandlock refuses all files, sockets and signals to others that the kernel's
// version of Landlock knows of, and gives that version.
func applyLandlock() (int, error) {
	version, err := lls.LandlockGetABIVersion()
	if err != nil {
		return 0, fmt.Errorf("kernel has none, or it is not enabled: %w", err)
	}
	if err := landlock.V11.BestEffort().Restrict(); err != nil {
		return 0, err
	}
	if fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
		_ = unix.Close(fd)
		return 0, errNoEffect
	}
	return min(version, newestLandlock), nil
}

func checkNoNewPrivileges() error {
	on, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err == nil && on != 1 {
		err = errNoEffect
	}
	return err
}

//go:build linux && (amd64 || arm64)

package worker

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// attempts are what a worker must not be able to do. Each is tried by system call
// itself, past the checks of libraries.
var attempts = map[string]func() error{
	"open":   func() error { return fdError(unix.Open("/etc/passwd", unix.O_RDONLY, 0)) },
	"openat": func() error { return fdError(unix.Openat(unix.AT_FDCWD, "/etc", unix.O_RDONLY, 0)) },
	"openat2": func() error {
		return fdError(unix.Openat2(unix.AT_FDCWD, "/etc/passwd", &unix.OpenHow{}))
	},
	"create": func() error { return fdError(unix.Open(os.TempDir()+"/escaped", unix.O_CREAT|unix.O_RDWR, 0o600)) },
	"stat":   func() error { return unix.Stat("/", new(unix.Stat_t)) },
	"socket": func() error { return fdError(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)) },
	"socket unix": func() error {
		return fdError(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0))
	},
	"connect": func() error {
		return unix.Connect(0, &unix.SockaddrInet4{Port: 80, Addr: [4]byte{127, 0, 0, 1}})
	},
	"execve": func() error { return unix.Exec("/proc/self/exe", []string{"x"}, nil) },
	"fork":   func() error { return call(unix.SYS_CLONE, uintptr(unix.SIGCHLD)) },
	"clone3": func() error { return call(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&unix.Utsname{})), 64) },
	"ptrace": func() error { return call(unix.SYS_PTRACE, unix.PTRACE_ATTACH, uintptr(os.Getppid())) },
	"kill":   func() error { return unix.Kill(os.Getppid(), 0) },
	"tgkill": func() error { return unix.Tgkill(os.Getppid(), os.Getppid(), 0) },
	"setrlimit": func() error {
		return unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
	},
	"prlimit parent": func() error {
		return unix.Prlimit(os.Getppid(), unix.RLIMIT_NOFILE, nil, new(unix.Rlimit))
	},
	"io_uring": func() error { return call(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(new([120]byte)))) },
	"bpf":      func() error { return call(unix.SYS_BPF, 0, 0, 0) },
	"mount":    func() error { return unix.Mount("none", "/mnt", "tmpfs", 0, "") },
	"unshare":  func() error { return unix.Unshare(unix.CLONE_NEWUTS) },
	"memfd":    func() error { return fdError(unix.MemfdCreate("x", 0)) },
	"map code": func() error {
		_, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE)
		return err
	},
	"userfaultfd": func() error { return call(unix.SYS_USERFAULTFD, 0) },
	"process_vm_readv": func() error {
		_, err := unix.ProcessVMReadv(os.Getppid(), nil, nil, 0)
		return err
	},
}

func fdError(fd int, err error) error {
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func call(number uintptr, args ...uintptr) error {
	var a [3]uintptr
	copy(a[:], args)
	pid, _, errno := unix.RawSyscall(number, a[0], a[1], a[2])
	if errno != 0 {
		return errno
	}
	if number == unix.SYS_CLONE && pid == 0 {
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	return nil
}

// attempt runs in a worker.
func attempt(what string) string {
	if err := attempts[what](); err != nil {
		return err.Error()
	}
	return "succeeded"
}

func TestEscapesAreRefused(t *testing.T) {
	p := newPool(t, Options{Workers: 1})
	if got := p.Sandbox(); !got.Complete() {
		t.Skipf("this machine lacks a protection: %+v", got.Missing)
	}
	src := source(t, "escape", directive+"value")
	for what := range attempts {
		got := await(t, p, src, record(t, "escape", 1, "do "+what))
		want := unix.EPERM.Error()
		if what == "clone3" {
			want = unix.ENOSYS.Error()
		}
		if got.Message != want {
			t.Errorf("%s in a worker: %q %q, want %q", what, got.Reason, got.Message, want)
		}
	}
	if got := p.Stats().Restarts; got["crash"]+got["memory"]+got["protocol"] > 0 {
		t.Errorf("restarts = %v, want none", got)
	}
}

// The attempts are real: outside of a worker those that need no right succeed.
func TestAttemptsSucceedOutside(t *testing.T) {
	for _, what := range []string{"open", "openat", "openat2", "stat", "socket", "socket unix", "fork", "kill", "tgkill", "map code", "memfd"} {
		if got := attempt(what); got != "succeeded" {
			t.Errorf("%s in the test itself: %q, want it to succeed", what, got)
		}
	}
}

func TestSandboxIsComplete(t *testing.T) {
	p := newPool(t, Options{Workers: 1, RequireSandbox: true})
	got := p.Sandbox()
	if !got.Complete() || len(got.Missing) > 0 {
		t.Errorf("Sandbox() = %+v, want all of it", got)
	}
	for _, name := range []string{"memory limit", "seccomp", "Landlock", "no new privileges"} {
		if !strings.Contains(got.String(), name) {
			t.Errorf("Sandbox().String() = %q, want it to name %q", got, name)
		}
	}
}

func TestWorkerInheritsNothing(t *testing.T) {
	t.Setenv("SECRET", "hunter2")
	p := newPool(t, Options{Workers: 1})
	out := await(t, p, source(t, "env", directive+"env"), record(t, "env", 1, ""))
	if want := "GOTRACEBACK=none"; out.Message != want {
		t.Errorf("environment of a worker = %q, want %q", out.Message, want)
	}
	dir := fmt.Sprintf("/proc/%d/fd", pidOf(t, p))
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		target, err := os.Readlink(dir + "/" + e.Name())
		if err != nil {
			continue
		}
		ours := strings.HasPrefix(target, "pipe:") || strings.HasPrefix(target, "anon_inode:[event")
		if !ours {
			t.Errorf("descriptor %s of a worker is %s, want pipes and the runtime's own", e.Name(), target)
		}
	}
}

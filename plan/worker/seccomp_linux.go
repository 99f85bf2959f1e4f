//go:build linux && (amd64 || arm64)

package worker

import (
	"errors"
	"fmt"
	"os"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// refused are the system calls that a worker has no use for and that reach
// outside of it. It is a list of what is denied, not of what is allowed: the Go
// runtime may need another call with each release, and what is listed here it
// never needs once it runs. Names that an architecture does not have are skipped.
var refused = []string{
	// Files and directories.
	"open", "openat", "openat2", "creat", "open_by_handle_at", "name_to_handle_at", "open_tree", "open_tree_attr",
	"link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "rename", "renameat", "renameat2",
	"mkdir", "mkdirat", "rmdir", "mknod", "mknodat", "truncate", "readlink", "readlinkat", "access", "faccessat", "faccessat2",
	"stat", "lstat", "newfstatat", "statx", "statfs", "getdents", "getdents64",
	"chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat",
	"utime", "utimes", "utimensat", "futimesat", "chdir", "fchdir", "chroot", "pivot_root", "umask",
	"setxattr", "lsetxattr", "fsetxattr", "setxattrat", "removexattr", "lremovexattr", "fremovexattr", "removexattrat",
	"inotify_init", "inotify_init1", "inotify_add_watch", "fanotify_init", "fanotify_mark",
	"memfd_create", "memfd_secret", "uselib", "ioctl",
	// Sockets and other means to talk.
	"socket", "socketpair", "connect", "bind", "listen", "accept", "accept4",
	"sendto", "sendmsg", "sendmmsg", "recvfrom", "recvmsg", "recvmmsg", "setsockopt", "getsockopt",
	"shmget", "shmat", "shmctl", "msgget", "msgsnd", "msgrcv", "semget", "semop", "semctl",
	"mq_open", "mq_unlink", "mq_timedsend", "mq_timedreceive",
	// Other processes.
	"execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease",
	"tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_open", "pidfd_send_signal", "pidfd_getfd", "kcmp",
	"setpgid", "setsid", "setpriority", "sched_setscheduler", "sched_setparam", "sched_setattr", "ioprio_set",
	// Limits, identity, namespaces.
	"setrlimit", "prlimit64", "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid",
	"setgroups", "capset", "personality", "unshare", "setns",
	// The kernel.
	"bpf", "io_uring_setup", "io_uring_enter", "io_uring_register", "io_setup", "io_submit", "perf_event_open", "userfaultfd",
	"mount", "umount2", "mount_setattr", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "swapon", "swapoff",
	"init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "syslog", "acct",
	"quotactl", "quotactl_fd", "sethostname", "setdomainname", "settimeofday", "clock_settime", "adjtimex", "clock_adjtime",
	"iopl", "ioperm", "modify_ldt", "add_key", "request_key", "keyctl", "lookup_dcookie", "nfsservctl", "vhangup",
}

// applySeccomp installs two filters for all threads: the list above, and the calls
// whose arguments decide.
func applySeccomp() error {
	native, err := arch.GetInfo("")
	if err != nil {
		return err
	}
	var names []string
	for _, name := range refused {
		if _, ok := native.SyscallNames[name]; ok {
			names = append(names, name)
		}
	}
	err = seccomp.LoadFilter(seccomp.Filter{
		NoNewPrivs: true,
		Flag:       seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{
			DefaultAction: seccomp.ActionAllow,
			Syscalls:      []seccomp.SyscallGroup{{Action: seccomp.ActionErrno, Names: names}},
		},
	})
	if err != nil {
		return err
	}
	if err := loadFilter(argumentFilter(uint32(native.ID), uint32(os.Getpid()))); err != nil {
		return fmt.Errorf("filter of arguments: %w", err)
	}
	if fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err == nil {
		_ = unix.Close(fd)
		return errNoEffect
	} else if !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("socket: got %w, want it to be refused", err)
	}
	return nil
}

// Offsets in struct seccomp_data, seccomp(2). Both architectures are little-endian.
const (
	offsetNumber = 0
	offsetArch   = 4
)

func offsetArgument(i uint32) uint32 { return 16 + 8*i }

// Answers of a filter.
const (
	answerAllow  = unix.SECCOMP_RET_ALLOW
	answerRefuse = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	answerAbsent = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
)

// argumentFilter refuses
//   - calls by the numbers of another architecture, as 32-bit ones, which name
//     lists do not see,
//   - clone other than for a thread; clone3, whose arguments a filter cannot read,
//     seems not to exist, so that those who can fall back to clone,
//   - signals to any process but this one, pid,
//   - memory that can be executed: all the code that there is has been mapped.
func argumentFilter(audit, pid uint32) []bpf.Instruction {
	prog := []bpf.Instruction{
		bpf.LoadAbsolute{Off: offsetArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: audit, SkipTrue: 1},
		bpf.RetConstant{Val: answerRefuse},
		bpf.LoadAbsolute{Off: offsetNumber, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_CLONE3, SkipTrue: 1},
		bpf.RetConstant{Val: answerAbsent},
	}
	// Each rule ends in an answer, so that the next one finds the call's number in
	// the accumulator still.
	rule := func(call, argument uint32, test bpf.JumpTest, value, yes, no uint32) {
		prog = append(prog,
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: call, SkipTrue: 4},
			bpf.LoadAbsolute{Off: offsetArgument(argument), Size: 4},
			bpf.JumpIf{Cond: test, Val: value, SkipFalse: 1},
			bpf.RetConstant{Val: yes},
			bpf.RetConstant{Val: no})
	}
	rule(unix.SYS_CLONE, 0, bpf.JumpBitsSet, unix.CLONE_THREAD, answerAllow, answerRefuse)
	rule(unix.SYS_KILL, 0, bpf.JumpEqual, pid, answerAllow, answerRefuse)
	rule(unix.SYS_TGKILL, 0, bpf.JumpEqual, pid, answerAllow, answerRefuse)
	rule(unix.SYS_MMAP, 2, bpf.JumpBitsSet, unix.PROT_EXEC, answerRefuse, answerAllow)
	rule(unix.SYS_MPROTECT, 2, bpf.JumpBitsSet, unix.PROT_EXEC, answerRefuse, answerAllow)
	rule(unix.SYS_PKEY_MPROTECT, 2, bpf.JumpBitsSet, unix.PROT_EXEC, answerRefuse, answerAllow)
	return append(prog, bpf.RetConstant{Val: answerAllow})
}

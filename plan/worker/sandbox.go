package worker

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// Protections is what a worker has applied to itself.
type Protections struct {
	// Memory is a hard limit of the address space at what the worker itself needs
	// plus Limits.MaxMemory.
	Memory bool
	// Seccomp is a filter that refuses system calls which open, connect, start or
	// touch anything outside of the process.
	Seccomp bool
	// Landlock is the version of the kernel's Landlock interface under which all
	// files and sockets are refused; 0 where it is not in force.
	Landlock int
	// NoNewPrivileges is PR_SET_NO_NEW_PRIVS.
	NoNewPrivileges bool
	// OOMScore reports that the kernel, when it is short of memory, kills a worker
	// before anything else.
	OOMScore bool
	// Missing says what could not be applied and why, one sentence each.
	Missing []string
}

// Complete reports whether plans are confined as intended: everything but the
// preference of the kernel's out-of-memory killer is in force.
func (p Protections) Complete() bool {
	return p.Memory && p.Seccomp && p.Landlock > 0 && p.NoNewPrivileges
}

// String lists what is in force, for people: "memory limit, seccomp, Landlock 7,
// no new privileges".
func (p Protections) String() string {
	var list []string
	add := func(on bool, name string) {
		if on {
			list = append(list, name)
		}
	}
	add(p.Memory, "memory limit")
	add(p.Seccomp, "seccomp")
	add(p.Landlock > 0, fmt.Sprintf("Landlock %d", p.Landlock))
	add(p.NoNewPrivileges, "no new privileges")
	add(p.OOMScore, "killed first when memory is short")
	if len(list) == 0 {
		return "process isolation only"
	}
	return strings.Join(list, ", ")
}

// miss notes a protection that could not be applied.
func (p *Protections) miss(what string, err error) {
	p.Missing = append(p.Missing, fmt.Sprintf("%s: %v", what, err))
}

// maxStack bounds a goroutine's stack. Deep recursion inside the interpreter
// then ends early instead of using up the memory limit.
const maxStack = 64 << 20

// childProcs is GOMAXPROCS of a worker. A second processor would only look for
// work to steal: it costs 1 to 3 µs a record. What must happen while a plan runs,
// as to notice that the pool is gone, waits 10 ms at most for the runtime to
// interrupt the plan.
const childProcs = 1

// gcPercent is GOGC of a worker. A heap of a few megabytes is collected so often
// that ten megabytes more save a good part of what the pipes cost.
const gcPercent = 400

// limitHeap tunes the garbage collector: lazy while there is room, and hard at
// work before the memory limit is met.
func limitHeap(maxMemory int64) {
	debug.SetMaxStack(maxStack)
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(maxMemory / 10 * 6)
}

//go:build !linux || !(amd64 || arm64)

package worker

import (
	"errors"
	"os"
	"os/exec"
	"time"
)

// claimPipes takes stdin and stdout for frames.
func claimPipes() (in, out *os.File) {
	in, out = os.Stdin, os.Stdout
	os.Stdout = os.Stderr
	return in, out
}

// seal applies what there is without help of the kernel: the limit of the stack,
// and a garbage collector that works harder near the memory limit.
func seal(maxMemory int64) Protections {
	limitHeap(maxMemory)
	var p Protections
	unsupported := errors.ErrUnsupported
	p.miss("memory limit", unsupported)
	p.miss("seccomp", unsupported)
	p.miss("Landlock", unsupported)
	p.miss("no new privileges", unsupported)
	return p
}

// executable is what a pool starts. It may have been replaced on disk, which the
// handshake of versions finds out.
func executable() (string, error) { return os.Executable() }

// detach is for what a platform needs beside the command itself: nothing.
func detach(*exec.Cmd) {}

// oomKills counts the kernel's kills for want of memory; it is not known here.
func oomKills() int64 { return 0 }

// usage tells nothing here.
func usage(int) (rss int64, cpu time.Duration) { return 0, 0 }

// lowerPriority does nothing here.
func lowerPriority(int) {}

// processCPU stands in for processor time by the clock, which is never less.
func processCPU() time.Duration { return time.Since(started) }

var started = time.Now()

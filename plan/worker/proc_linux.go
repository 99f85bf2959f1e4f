//go:build linux && (amd64 || arm64)

package worker

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

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
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	// proc_pid_stat(5): 14 utime, 15 stime, 24 rss in pages.
	return number(24) * int64(os.Getpagesize()), time.Duration(number(14)+number(15)) * clockTick
}

// slowNice is the niceness of a worker that runs for long. Beside one that is not
// nice it gets a ninth of the processor.
const slowNice = 10

// lowerPriority makes all threads of a process nice, and so those that they start.
func lowerPriority(pid int) {
	tasks, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	if err != nil {
		return
	}
	for _, task := range tasks {
		if tid, err := strconv.Atoi(task.Name()); err == nil {
			// A thread that has ended needs none.
			_ = unix.Setpriority(unix.PRIO_PROCESS, tid, slowNice)
		}
	}
}

// processCPU is the processor time of this process.
func processCPU() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

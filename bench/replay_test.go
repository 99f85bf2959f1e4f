package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"starplan/bench/load"
	"starplan/internal/cli"
	"starplan/internal/replay"
	"starplan/processor"
)

// replayVariable makes this program the command that its arguments name, so that
// its memory is its own.
const replayVariable = "STARPLAN_BENCH_REPLAY"

// replayed is what the command did, beside its report.
type replayed struct {
	Report replay.Report
	// Seconds is the wall clock of the whole command.
	Seconds float64
	// Self and Worker are the largest resident set of the command and of one of its
	// workers, in bytes.
	Self, Worker int64
}

// maxReplayMemory is beyond what a replay takes of any number of inputs.
const maxReplayMemory = 150 << 20

// serveReplay runs the command and prints a replayed.
func serveReplay() error {
	var out bytes.Buffer
	var r replayed
	ctx, cancel := context.WithCancel(context.Background())
	sampled := make(chan struct{})
	go func() {
		defer close(sampled)
		r.Worker = watchChildren(ctx)
	}()
	begin := time.Now()
	code := cli.Main(ctx, cli.Process{Args: os.Args[1:], Stdin: os.Stdin, Stdout: &out, Stderr: os.Stderr})
	r.Seconds = time.Since(begin).Seconds()
	cancel()
	<-sampled
	if err := json.Unmarshal(out.Bytes(), &r.Report); err != nil {
		return fmt.Errorf("exit code %d, report: %w", code, err)
	}
	r.Self = peak("self")
	return json.NewEncoder(os.Stdout).Encode(r)
}

// watchChildren gives the largest resident set that a child of this process has had,
// in bytes, until ctx ends.
func watchChildren(ctx context.Context) (most int64) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		lists, err := filepath.Glob("/proc/self/task/*/children")
		if err != nil {
			return 0
		}
		for _, list := range lists {
			pids, _ := os.ReadFile(list) // The thread may have ended.
			for _, pid := range strings.Fields(string(pids)) {
				most = max(most, peak(pid))
			}
		}
		select {
		case <-ctx.Done():
			return most
		case <-ticker.C:
		}
	}
}

var highWater = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peak is the largest resident set that a process has had, in bytes; 0 where it has
// ended. Getrusage would tell the size that its parent had when it was started.
func peak(pid string) int64 {
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0
	}
	m := highWater.FindSubmatch(status)
	if m == nil {
		return 0
	}
	kib, _ := strconv.ParseInt(string(m[1]), 10, 64)
	return kib << 10
}

// BenchmarkReplay has the service answer inputs as BenchmarkService does, and then
// `starplan replay` run them again, in a process of its own and on the same broker.
// An operation is one record.
//
// of-service is the throughput of the replay, from the start of its process to its
// end, by that of the service in the same run; it is to be 0.7 or more. cpu-µs/record
// is the CPU time of its process and its workers, service-cpu-µs/record that of the
// service, its workers and the reader of answers: a busy machine changes these less.
// self-MiB and worker-MiB are the largest resident set of the replay's process and of
// one of its workers: they must not grow with the number of inputs.
func BenchmarkReplay(b *testing.B) {
	addr, _ := startBroker(b)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	perSecond, self, workers := measureService(ctx, b, addr, processor.ExactlyOnce, []string{"route"})
	path := filepath.Join(b.TempDir(), "route.star")
	must(b, os.WriteFile(path, []byte(load.Plan), 0o600))
	cmd := exec.CommandContext(ctx, os.Args[0], "replay", "--tenant-id="+tenant, "--kafka-bootstrap-servers="+addr, "--plan="+path, "--format=json")
	cmd.Env = append(os.Environ(), replayVariable+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	must(b, err)
	var r replayed
	must(b, json.Unmarshal(out, &r))
	if r.Report.Inputs != b.N || r.Report.Same != b.N {
		b.Fatalf("report = %+v, want %d inputs whose executions are the same", r.Report, b.N)
	}
	n := float64(b.N) / r.Seconds
	if b.N >= 100_000 && n < 0.7*perSecond {
		b.Errorf("replay runs %.0f inputs a second, want 0.7 of the service's %.0f at least", n, perSecond)
	}
	if r.Self > maxReplayMemory {
		b.Errorf("replay takes %d MiB, want %d at most, however many inputs there are", r.Self>>20, maxReplayMemory>>20)
	}
	b.ReportMetric(perSecond, "service-records/s")
	b.ReportMetric(n, "records/s")
	b.ReportMetric(n/perSecond, "of-service")
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	b.ReportMetric(float64(used.Microseconds())/float64(b.N), "cpu-µs/record")
	b.ReportMetric(float64((self+workers).Microseconds())/float64(b.N), "service-cpu-µs/record")
	b.ReportMetric(float64(r.Self)/(1<<20), "self-MiB")
	b.ReportMetric(float64(r.Worker)/(1<<20), "worker-MiB")
}

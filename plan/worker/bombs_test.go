package worker

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"starplan/plan"
	"starplan/plan/execution"
)

// bomb is a plan of testdata/bombs that uses up something. Its header says what
// it does, and by which limits it may end:
//
//	# want: memory|plan: recursion
//
// Each alternative is a reason, and a regular expression for the message.
type bomb struct {
	name string
	text string
	want []expectation
}

type expectation struct {
	reason  execution.Reason
	message *regexp.Regexp
}

// limitMessages are what the message of a reason says, where the header does not.
var limitMessages = map[execution.Reason]string{
	execution.ReasonMemory:   `^Execution ran out of memory: limit of \d+ MiB$`,
	execution.ReasonTimeout:  `^Execution timed out after \d+ seconds$`,
	execution.ReasonSteps:    `^Execution timed out: step limit of \d+ reached`,
	execution.ReasonCrash:    `^Execution crashed its worker: stack limit of \d+ MiB exceeded$`,
	execution.ReasonTooLarge: `exceeds the limit of \d+ bytes`,
}

var repeatLine = regexp.MustCompile(`^#:repeat (\d+) (.*)$`)

// readBombs reads the suite. A line "#:repeat N text" stands for the text N times,
// with {i} counting and \n as a line's end.
func readBombs(t testing.TB) []bomb {
	files, err := filepath.Glob("testdata/bombs/*.star")
	if err != nil {
		t.Fatal(err)
	}
	var bombs []bomb
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		b := bomb{name: strings.TrimSuffix(filepath.Base(file), ".star")}
		var text strings.Builder
		for lines := bufio.NewScanner(f); lines.Scan(); {
			line := lines.Text()
			if want, ok := strings.CutPrefix(line, "# want: "); ok {
				b.want = expectations(t, file, want)
			}
			if m := repeatLine.FindStringSubmatch(line); m != nil {
				n, err := strconv.Atoi(m[1])
				if err != nil {
					t.Fatal(err)
				}
				for i := range n {
					line := strings.ReplaceAll(strings.ReplaceAll(m[2], "{i}", strconv.Itoa(i)), `\n`, "\n")
					text.WriteString(line + "\n")
				}
				continue
			}
			text.WriteString(line + "\n")
		}
		f.Close()
		b.text = text.String()
		if len(b.want) == 0 {
			t.Fatalf("%s: no line \"# want:\"", file)
		}
		bombs = append(bombs, b)
	}
	return bombs
}

func expectations(t testing.TB, file, header string) []expectation {
	var list []expectation
	for _, alternative := range strings.Split(header, "|") {
		reason, message, _ := strings.Cut(alternative, ":")
		e := expectation{reason: execution.Reason(reason)}
		message = strings.TrimSpace(message)
		if message == "" {
			message = limitMessages[e.reason]
		}
		if message == "" || !slices.Contains(execution.Reasons(), e.reason) {
			t.Fatalf("%s: want %q: no such reason, or it needs a message", file, alternative)
		}
		e.message = regexp.MustCompile(message)
		list = append(list, e)
	}
	return list
}

// bombLimits are small, so that the suite is short.
var bombLimits = plan.Limits{MaxSteps: 5_000_000, Timeout: 3 * time.Second, MaxMemory: 256 << 20}

func TestBombs(t *testing.T) {
	bombs := readBombs(t)
	if len(bombs) < 60 {
		t.Fatalf("bombs = %d, want at least 60", len(bombs))
	}
	p := newPool(t, Options{Workers: 2, Limits: bombLimits})
	good := newGoodTraffic(t, p)
	memory := residentOf(os.Getpid())
	stop := make(chan struct{})
	var background sync.WaitGroup
	background.Go(func() { good.run(stop) })
	var peaks peaks
	background.Go(func() { peaks.watch(p, stop) })

	rand.Shuffle(len(bombs), func(i, j int) { bombs[i], bombs[j] = bombs[j], bombs[i] })
	var wg sync.WaitGroup
	for i, b := range bombs {
		wg.Add(1)
		p.Start(t.Context(), source(t, b.name, b.text), record(t, b.name, int64(i), "in"), func(out execution.Outcome) {
			defer wg.Done()
			b.check(t, out)
		})
	}
	wg.Wait()
	close(stop)
	background.Wait()

	good.check(t, 150*time.Millisecond)
	if raceEnabled {
		return // Its memory is not that of a plan.
	}
	if grown := peaks.self - memory; grown > 50<<20 {
		t.Errorf("memory of the pool's process grew by %d MiB, want less than 50", grown>>20)
	}
	if limit := bombLimits.MaxMemory + 64<<20; peaks.worker > limit {
		t.Errorf("largest worker had %d MiB resident, want at most %d", peaks.worker>>20, limit>>20)
	}
	t.Logf("largest worker %d MiB, this process %+d MiB, restarts %v", peaks.worker>>20, (peaks.self-memory)>>20, p.Stats().Restarts)
}

func (b bomb) check(t *testing.T, out execution.Outcome) {
	ok := slices.ContainsFunc(b.want, func(e expectation) bool {
		return e.reason == out.Reason && e.message.MatchString(out.Message)
	})
	if limitMessage(out) && (raceEnabled || out.Reason == execution.ReasonTimeout && (b.wants(execution.ReasonMemory) || !long())) {
		ok = true // A machine that is busy or slow meets the clock before anything else.
	}
	if !ok {
		t.Errorf("%s: %q %q, want one of %v", b.name, out.Reason, out.Message, b.want)
	}
	if limit := bombLimits.Timeout + time.Second; out.Duration > limit {
		t.Errorf("%s: took %v, want less than %v", b.name, out.Duration, limit)
	}
	if testing.Verbose() {
		t.Logf("%-22s %-9s %7v %.150s", b.name, out.Reason, out.Duration.Round(time.Millisecond), out.Message)
	}
}

func (b bomb) wants(reason execution.Reason) bool {
	return slices.ContainsFunc(b.want, func(e expectation) bool { return e.reason == reason })
}

// limitMessage reports whether an outcome names the clock, the memory or the stack.
func limitMessage(out execution.Outcome) bool {
	pattern := limitMessages[out.Reason]
	return pattern != "" && !out.Reason.Deterministic() && regexp.MustCompile(pattern).MatchString(out.Message)
}

// String writes an expectation as the header has it.
func (e expectation) String() string { return fmt.Sprintf("%s: %s", e.reason, e.message) }

// goodTraffic is a stream of records of a plan that does no harm.
type goodTraffic struct {
	pool  *Pool
	src   *plan.Source
	recs  []execution.Record
	every time.Duration
	wg    sync.WaitGroup

	mu    sync.Mutex
	took  []time.Duration
	fails []string
}

// goodRecords is how many records there are at least.
const goodRecords = 200

func newGoodTraffic(t testing.TB, p *Pool) *goodTraffic {
	g := &goodTraffic{pool: p, src: source(t, "ship", shipPlan), every: 20 * time.Millisecond}
	for i := range 10 * goodRecords {
		g.recs = append(g.recs, record(t, "ship", int64(1000+i), "in"))
	}
	return g
}

// run sends a record at each tick, goodRecords at least and until stop closes.
func (g *goodTraffic) run(stop <-chan struct{}) {
	tick := time.NewTicker(g.every)
	defer tick.Stop()
	for i := 0; i < len(g.recs); i++ {
		if i >= goodRecords {
			select {
			case <-stop:
				g.wg.Wait()
				return
			default:
			}
		}
		<-tick.C
		begin := time.Now()
		g.wg.Add(1)
		g.pool.Start(g.pool.ctx, g.src, g.recs[i], func(out execution.Outcome) {
			defer g.wg.Done()
			took := time.Since(begin)
			g.mu.Lock()
			defer g.mu.Unlock()
			g.took = append(g.took, took)
			if out.Reason != "" {
				g.fails = append(g.fails, out.Message)
			}
		})
	}
	g.wg.Wait()
}

// check demands that all succeeded, 99 of 100 within limit. Where tests do not run
// at their full length it grants three times as much: the machine may be compiling
// something else, and a short run has few records to make up for one such moment.
func (g *goodTraffic) check(t *testing.T, limit time.Duration) {
	t.Helper()
	for _, message := range g.fails {
		t.Errorf("good record failed: %s", message)
	}
	if !long() {
		limit *= 3
	}
	p99 := percentile(g.took, 99)
	t.Logf("%d good records: p50 %v, p99 %v, max %v", len(g.took), percentile(g.took, 50), p99, percentile(g.took, 100))
	if p99 > limit && !raceEnabled {
		t.Errorf("p99 of good records = %v, want less than %v", p99, limit)
	}
}

func percentile(list []time.Duration, percent int) time.Duration {
	list = slices.Clone(list)
	slices.Sort(list)
	return list[(len(list)-1)*percent/100]
}

// peaks are the largest sizes seen.
type peaks struct{ self, worker int64 }

func (k *peaks) watch(p *Pool, stop <-chan struct{}) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		k.self = max(k.self, residentOf(os.Getpid()))
		k.worker = max(k.worker, p.Stats().ResidentMax)
	}
}

func residentOf(pid int) int64 {
	rss, _ := usage(pid)
	return rss
}

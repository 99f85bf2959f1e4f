package worker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"starplan/plan"
	"starplan/plan/execution"
	"starplan/proto/planpb"

	"google.golang.org/protobuf/proto"
)

// The test binary is its own worker. Its compiler takes plans of a second kind
// too, whose text is a directive to this process: see testProgram.
func TestMain(m *testing.M) {
	divert(testCompile)
	beParent()
	goleak.VerifyTestMain(m)
}

const directive = "#!test "

func testCompile(src *plan.Source, lim plan.Limits) (program, error) {
	text, ok := strings.CutPrefix(src.Files[src.Entry], directive)
	if !ok {
		return compilePlan(src, lim)
	}
	if text == "hang while loading" {
		select {}
	}
	return testProgram(strings.TrimSpace(text)), nil
}

// testProgram misbehaves as its text says. The text "value" takes what to do from
// the record's input_id.
type testProgram string

func (p testProgram) Run(tenant string, rec execution.Record) execution.Outcome {
	in, err := execution.Decode(rec)
	if err != nil {
		return execution.Fail(tenant, rec, execution.ReasonDecode, err.Error())
	}
	begin := time.Now()
	what := string(p)
	if what == "value" {
		what = in.GetInputId()
	}
	verb, arg, _ := strings.Cut(what, " ")
	result := &planpb.PlanResult{NextTaskNames: []string{"done"}}
	switch verb {
	case "", "nothing":
	case "spin":
		d, err := time.ParseDuration(arg)
		if err != nil {
			panic(err)
		}
		for time.Since(begin) < d {
		}
	case "hang":
		select {}
	case "panic":
		panic(arg)
	case "exit":
		os.Exit(7)
	case "raw":
		raw(arg)
	case "do":
		result.ErrorMessage = attempt(arg)
	case "allocate":
		hog(arg)
	case "pid":
		result.ErrorMessage = fmt.Sprint(os.Getpid())
	case "env":
		result.ErrorMessage = strings.Join(os.Environ(), " ")
	default:
		panic("unknown directive " + what)
	}
	out, err := execution.NewAnswer(tenant, rec, in).Succeed(result, math.MaxInt)
	if err != nil {
		panic(err)
	}
	out.Duration = time.Since(begin)
	return out
}

// raw breaks the protocol.
func raw(how string) {
	switch how {
	case "garbage":
		os.NewFile(1, "").WriteString("this is no frame at all, and it goes on and on")
	case "length":
		os.NewFile(1, "").Write([]byte{0xff, 0xff, 0xff, 0xff, byte(kindAnswer)})
	case "unknown":
		var e encoder
		e.answer(1<<40, execution.Outcome{Value: []byte("x")}, 0)
		os.NewFile(1, "").Write(e.buf)
	case "kind":
		var e encoder
		e.number('?', 1)
		os.NewFile(1, "").Write(e.buf)
	case "close":
		os.NewFile(1, "").Close()
	}
	select {}
}

var hogged [][]byte

// hog allocates a number of MiB and keeps it.
func hog(mib string) {
	var n int
	if _, err := fmt.Sscan(mib, &n); err != nil {
		panic(err)
	}
	for range n {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		hogged = append(hogged, b)
	}
}

// source makes a plan of one file.
func source(t testing.TB, name, text string) *plan.Source {
	t.Helper()
	src, err := plan.NewSource(name, "plan.star", map[string]string{"plan.star": text})
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// record makes a record whose value is a PlanInput with the given input_id.
func record(t testing.TB, planName string, offset int64, inputID string) execution.Record {
	t.Helper()
	value, err := proto.Marshal(&planpb.PlanInput{InputId: inputID, PlanName: planName, GraphId: "g", LifetimeId: "l"})
	if err != nil {
		t.Fatal(err)
	}
	return execution.Record{
		Topic: "plan-inputs-t", Partition: 0, Offset: offset,
		Timestamp: time.UnixMilli(1_700_000_000_000 + offset).UTC(),
		Key:       []byte(planName), Value: value,
	}
}

// newPool starts a pool that is closed with the test.
func newPool(t testing.TB, opts Options) *Pool {
	t.Helper()
	if opts.Tenant == "" {
		opts.Tenant = "t"
	}
	p, err := NewPool(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

// await runs one record and gives its outcome.
func await(t testing.TB, p *Pool, src *plan.Source, rec execution.Record) execution.Outcome {
	t.Helper()
	got := make(chan execution.Outcome, 1)
	p.Start(t.Context(), src, rec, func(out execution.Outcome) { got <- out })
	select {
	case out := <-got:
		return out
	case <-time.After(30 * time.Second):
		t.Fatalf("no answer to record %d in 30 s; %+v", rec.Offset, p.Stats())
		panic("unreachable")
	}
}

func asFault(err error) *plan.LoadError {
	var fault *plan.LoadError
	errors.As(err, &fault)
	return fault
}

package check_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"starplan/bench/check"
	"starplan/plan/execution"
	"starplan/proto/planpb"
)

const (
	topic      = "plan-inputs-acme"
	partitions = 4
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)

// history is what a flawless service makes of some inputs.
type history struct {
	inputs  []check.Input
	answers []check.Answer
}

// keys of the history below, with the partition of 4 that Java puts each in.
var keys = map[string]int32{"alpha": 0, "beta": 0, "graph-1:alpha": 2, "graph-3:beta": 3}

// flawless has n inputs for each key, of which some are to be skipped.
func flawless(t interface{ Fatal(...any) }, n int) history {
	var h history
	offsets, outputs := make(map[int32]int64), make(map[int32]int64)
	for i := range n {
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			at := keys[key]
			in := check.Input{Topic: topic, Partition: at, Offset: offsets[at], Timestamp: start.Add(time.Duration(i) * time.Millisecond), Key: []byte(key), Want: check.Want(i % 4)}
			offsets[at] += 2 // a gap, as markers of transactions leave it
			h.inputs = append(h.inputs, in)
			if in.Want == check.Unanswered {
				continue
			}
			h.answers = append(h.answers, check.Answer{Partition: at, Offset: outputs[at], Key: in.Key, Value: value(t, in)})
			outputs[at]++
		}
	}
	return h
}

// value is a PlanExecution that answers in.
func value(t interface{ Fatal(...any) }, in check.Input) []byte {
	status := planpb.ExecutionStatus_EXECUTION_STATUS_SUCCEEDED
	if in.Want == check.Failed {
		status = planpb.ExecutionStatus_EXECUTION_STATUS_FAILED
	}
	b, err := proto.Marshal(&planpb.PlanExecution{Header: &planpb.ExecutionHeader{
		ExecId: check.ExecID(in.Topic, in.Partition, in.Offset, in.Timestamp), Status: status}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// report has a Checker look at a history.
func (h history) report() *check.Report {
	c := check.New()
	c.Partitions = partitions
	for _, in := range h.inputs {
		c.Produced(in)
	}
	for _, a := range h.answers {
		c.Found(a)
	}
	return c.Report()
}

// counts are the numbers of findings, without those that are zero.
func counts(r *check.Report) map[string]int {
	out := make(map[string]int)
	for _, f := range r.Findings {
		out[f.Kind.String()]++
	}
	return out
}

// of finds the answers of a key.
func (h history) of(key string) []int {
	var out []int
	for i, a := range h.answers {
		if string(a.Key) == key {
			out = append(out, i)
		}
	}
	return out
}

// repeat appends answer i once more at the end of its partition.
func (h *history) repeat(i int) *check.Answer {
	again := h.answers[i]
	again.Value = slices.Clone(again.Value)
	again.Offset = 1 << 20
	h.answers = append(h.answers, again)
	return &h.answers[len(h.answers)-1]
}

// TestPlanted plants one fault at a time into a flawless history.
func TestPlanted(t *testing.T) {
	tests := []struct {
		name  string
		plant func(h *history)
		want  map[string]int
		// atLeastOnce is whether this is allowed where repeats are.
		atLeastOnce bool
	}{
		{"nothing", func(*history) {}, map[string]int{}, true},
		{"loss", func(h *history) { h.answers = slices.Delete(h.answers, 5, 6) }, map[string]int{"missing": 1}, false},
		{"loss at the end", func(h *history) { h.answers = h.answers[:len(h.answers)-1] }, map[string]int{"missing": 1}, false},
		{"everything lost", func(h *history) { h.answers = nil }, map[string]int{"missing": 60}, false},
		{"duplicate", func(h *history) { h.repeat(7) }, map[string]int{"duplicate": 1}, true},
		{"three times", func(h *history) { h.repeat(7); h.repeat(7) }, map[string]int{"duplicate": 2}, true},
		{"changed byte", func(h *history) {
			// The last byte is the status: the header's last field.
			again := h.repeat(h.of("alpha")[0])
			again.Value[len(again.Value)-1] = byte(planpb.ExecutionStatus_EXECUTION_STATUS_RUNNING)
		}, map[string]int{"duplicate": 1, "different bytes": 1}, false},
		{"reorder in a key", func(h *history) {
			of := h.of("alpha")
			a, b := &h.answers[of[3]], &h.answers[of[4]]
			a.Offset, b.Offset = b.Offset, a.Offset
		}, map[string]int{"out of order": 1}, false},
		{"reorder of keys", func(h *history) {
			a, b := &h.answers[h.of("alpha")[3]], &h.answers[h.of("beta")[3]]
			a.Offset, b.Offset = b.Offset, a.Offset
		}, map[string]int{}, true},
		{"run again from an earlier offset", func(h *history) {
			of := h.of("beta")
			for n, i := range of[2:8] {
				h.repeat(i).Offset += int64(n)
			}
		}, map[string]int{"duplicate": 6}, true},
		{"answer to a record that is to be skipped", func(h *history) {
			h.answers = append(h.answers, check.Answer{Offset: 99, Key: h.inputs[0].Key, Value: value(t, h.inputs[0])})
		}, map[string]int{"unexpected": 1}, false},
		{"answer to nothing", func(h *history) {
			h.answers = append(h.answers, check.Answer{Offset: 99, Value: value(t, check.Input{Topic: "other"})})
		}, map[string]int{"unexpected": 1}, false},
		{"no execution", func(h *history) {
			h.answers = append(h.answers, check.Answer{Offset: 99, Value: []byte{0xff}})
		}, map[string]int{"unexpected": 1}, false},
		{"no exec_id", func(h *history) {
			h.answers = append(h.answers, check.Answer{Offset: 99})
		}, map[string]int{"unexpected": 1}, false},
		{"wrong status", func(h *history) {
			for i := range h.inputs {
				if h.inputs[i].Want == check.Failed {
					h.inputs[i].Want = check.Succeeded
					break
				}
			}
		}, map[string]int{"wrong status": 1}, false},
		{"wrong key", func(h *history) { h.answers[3].Key = []byte("gamma") }, map[string]int{"misplaced": 1}, false},
		{"wrong partition", func(h *history) { h.answers[3].Partition = 1 }, map[string]int{"misplaced": 1}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := flawless(t, 20)
			test.plant(&h)
			r := h.report()
			if diff := cmp.Diff(test.want, counts(r)); diff != "" {
				t.Errorf("findings (-want +got):\n%s%v", diff, r.ExactlyOnce())
			}
			if err := r.ExactlyOnce(); (err == nil) != (len(test.want) == 0) {
				t.Errorf("ExactlyOnce() = %v with findings %v", err, test.want)
			}
			if err := r.AtLeastOnce(); (err == nil) != test.atLeastOnce {
				t.Errorf("AtLeastOnce() = %v, want nil to be %t", err, test.atLeastOnce)
			}
		})
	}
}

// TestPlantedAnywhere plants losses and repeats at random places, and hands over
// everything in random order.
func TestPlantedAnywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := flawless(t, 8)
		want := make(map[string]int)
		for range rapid.IntRange(0, 3).Draw(t, "repeats") {
			h.repeat(rapid.IntRange(0, 23).Draw(t, "repeat"))
			want["duplicate"]++
		}
		for range rapid.IntRange(0, 3).Draw(t, "losses") {
			i := rapid.IntRange(0, len(h.answers)-1).Draw(t, "lose")
			lost := string(h.answers[i].Value)
			h.answers = slices.DeleteFunc(h.answers, func(a check.Answer) bool { return string(a.Value) == lost })
		}
		// What was lost is told from what is there, not from how it was planted.
		left := make(map[string]int)
		for _, a := range h.answers {
			left[string(a.Value)]++
		}
		if lost := 24 - len(left); lost > 0 {
			want["missing"] = lost
		}
		if want["duplicate"] = len(h.answers) - len(left); want["duplicate"] == 0 {
			delete(want, "duplicate")
		}
		c := check.New()
		c.Partitions = partitions
		steps := make([]func(), 0, len(h.inputs)+len(h.answers))
		for _, in := range h.inputs {
			steps = append(steps, func() { c.Produced(in) })
		}
		for _, a := range h.answers {
			steps = append(steps, func() { c.Found(a) })
		}
		for _, step := range rapid.Permutation(steps).Draw(t, "order") {
			step()
		}
		got := counts(c.Report())
		// A repeat may well come first in this order; that is no disorder, since
		// the places on the topic count.
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("findings (-want +got):\n%s", diff)
		}
		if c.Open() != want["missing"] {
			t.Errorf("Open() = %d, want %d", c.Open(), want["missing"])
		}
	})
}

func TestReportText(t *testing.T) {
	h := flawless(t, 20)
	h.answers = h.answers[:len(h.answers)-5]
	h.repeat(0)
	r := h.report()
	err := r.ExactlyOnce()
	if err == nil {
		t.Fatal("ExactlyOnce() = nil, want an error")
	}
	for _, want := range []string{
		"check: 80 inputs, 60 to be answered, 56 answers, missing 5, duplicate 1, different bytes 0, out of order 0, unexpected 0, wrong status 0, misplaced 0\n",
		"missing: plan-inputs-acme/2/38 (key \"graph-1:alpha\"): no answer",
		"duplicate: plan-inputs-acme/0/4 (key \"alpha\"): output 0/1048576 (key \"alpha\"): answered before at output 0/0",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("ExactlyOnce() = %v\nwant it to contain %q", err, want)
		}
	}
	if got := strings.Count(err.Error(), "no answer"); got != 3 {
		t.Errorf("ExactlyOnce() shows %d missing ones, want 3 of 5", got)
	}
}

func TestWait(t *testing.T) {
	h := flawless(t, 4)
	c := check.New()
	for _, in := range h.inputs {
		c.Produced(in)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Wait(ended); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "0 inputs answered, 12 still open") {
		t.Errorf("Wait() = %v, want 12 still open", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	go func() {
		for _, a := range h.answers {
			c.Found(a)
		}
	}()
	if err := c.WaitFound(ctx, 5); err != nil {
		t.Errorf("WaitFound(5) = %v", err)
	}
	if err := c.Wait(ctx); err != nil {
		t.Errorf("Wait() = %v", err)
	}
	if err := c.WaitFound(ended, 13); err == nil {
		t.Error("WaitFound(13) = nil, want an error: there are 12")
	}
}

// TestExecID holds the checker's own rule against the service's.
func TestExecID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rec := execution.Record{
			Topic:     rapid.StringMatching(`[a-z.-]{1,20}`).Draw(t, "topic"),
			Partition: rapid.Int32Range(0, 1<<30).Draw(t, "partition"),
			Offset:    rapid.Int64Range(0, 1<<60).Draw(t, "offset"),
			Timestamp: time.UnixMilli(rapid.Int64Range(-1, 1<<45).Draw(t, "timestamp")).Add(time.Duration(rapid.IntRange(0, 999999).Draw(t, "ns"))),
		}
		got := check.ExecID(rec.Topic, rec.Partition, rec.Offset, rec.Timestamp)
		if want := execution.ID(rec); got != want {
			t.Errorf("ExecID(%+v) = %s, want %s", rec, got, want)
		}
	})
	// One by hand, with Python: uuid.uuid5(uuid.UUID("6f1d5a2e-3c57-5b0e-9a55-8c1f1f7e6a10"), "plan-inputs-acme\x003\x0042\x001767323045678").
	const want = "99b5bf87-7e39-5254-a50e-36da4b71ecf5"
	if got := check.ExecID(topic, 3, 42, start); got != want {
		t.Errorf("ExecID(%s, 3, 42, %v) = %s, want %s", topic, start, got, want)
	}
}

func ExampleChecker() {
	c := check.New()
	c.Produced(check.Input{Topic: "plan-inputs-acme", Offset: 7, Timestamp: start, Key: []byte("two_step"), Want: check.Succeeded})
	fmt.Println(c.Report().ExactlyOnce())
	// Output:
	// check: 1 inputs, 1 to be answered, 0 answers, missing 1, duplicate 0, different bytes 0, out of order 0, unexpected 0, wrong status 0, misplaced 0
	// 	missing: plan-inputs-acme/0/7 (key "two_step"): no answer
}

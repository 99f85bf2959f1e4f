package processor

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"starplan/plan/execution"
)

// gate lets runs of chosen keys wait until the test opens it.
type gate struct {
	key  string
	open chan struct{}
	held atomic.Int32
	// abandoned counts runs whose context ended first.
	abandoned atomic.Int32
}

func newGate(key string) *gate { return &gate{key: key, open: make(chan struct{})} }

func (g *gate) run(ctx context.Context, rec execution.Record, done func(execution.Outcome)) {
	if string(rec.Key) != g.key {
		done(answerTo(rec))
		return
	}
	go func() {
		g.held.Add(1)
		select {
		case <-g.open:
			done(answerTo(rec))
		case <-ctx.Done():
			g.abandoned.Add(1)
		}
	}()
}

func TestSlowKeyHoldsUpItselfOnly(t *testing.T) { each(t, testSlowKeyHoldsUpItselfOnly) }

func testSlowKeyHoldsUpItselfOnly(t *testing.T, d Delivery) {
	c := cluster(t, 1)
	cl := client(t, c)
	var slow, fast []*kgo.Record
	for i := range 100 {
		s, f := input("slow", fmt.Sprint(i)), input("fast", fmt.Sprint(i))
		slow, fast = append(slow, s), append(fast, f)
		send(t, cl, s, f)
	}
	g := newGate("slow")
	p := start(t, optionsFor(t, c, d, &fakeRunner{run: g.run}))
	out := read(t, c, outputs)
	out.count(len(fast))
	checkAnswers(t, fast, out.records, false)
	eventually(t, "the commit of what is done beyond the slow key", func() bool {
		return beyond(t, committed(t, cl)[0]) > 0
	})
	if at := committed(t, cl)[0].At; at != slow[0].Offset {
		t.Errorf("committed offset is %d, want that of the first record without an answer, %d", at, slow[0].Offset)
	}
	close(g.open)
	out.count(len(slow) + len(fast))
	checkAnswers(t, append(slow, fast...), out.records, false)
	p.stop()
	if at := committed(t, cl)[0]; at.At != 200 || beyond(t, at) != 0 {
		t.Errorf("committed %d, %q after a clean stop, want 200 and no metadata", at.At, at.Metadata)
	}
}

func TestLaterAnswerOfAKeyWaits(t *testing.T) {
	c := cluster(t, 1)
	cl := client(t, c)
	sent := []*kgo.Record{input("k", "first"), input("k", "second"), input("other", "x")}
	send(t, cl, sent...)
	first := make(chan struct{})
	second := make(chan struct{})
	r := &fakeRunner{run: func(_ context.Context, rec execution.Record, done func(execution.Outcome)) {
		go func() {
			switch string(rec.Value) {
			case "first":
				<-first
			case "second":
				defer close(second)
			}
			done(answerTo(rec))
		}()
	}}
	start(t, options(t, c, r))
	out := read(t, c, outputs)
	out.count(1)
	<-second // The second is answered, the first still runs: both are waited for.
	close(first)
	checkAnswers(t, sent, out.count(3), false)
}

func TestRestartContinuesWithoutLossAndRepeats(t *testing.T) {
	each(t, testRestartContinuesWithoutLossAndRepeats)
}

func testRestartContinuesWithoutLossAndRepeats(t *testing.T, d Delivery) {
	c := cluster(t, 4)
	cl := client(t, c)
	var sent []*kgo.Record
	more := func(n int) {
		var batch []*kgo.Record
		for range n {
			batch = append(batch, input(fmt.Sprintf("plan-%d", len(sent)%7), fmt.Sprint(len(sent))))
			sent = append(sent, batch[len(batch)-1])
		}
		send(t, cl, batch...)
	}
	out := read(t, c, outputs)
	r := &fakeRunner{}
	for range 4 {
		more(300)
		p := start(t, optionsFor(t, c, d, r))
		// Stopped somewhere in the middle.
		out.count(len(sent) - 200)
		p.stop()
	}
	start(t, optionsFor(t, c, d, r))
	checkAnswers(t, sent, out.count(len(sent)), false)
	for rec, n := range r.started() {
		if n != 1 {
			t.Errorf("record %s was run %d times after clean stops, want once", rec, n)
		}
	}
}

func TestStopFinishesWhatRuns(t *testing.T) { each(t, testStopFinishesWhatRuns) }

func testStopFinishesWhatRuns(t *testing.T, d Delivery) {
	c := cluster(t, 1)
	cl := client(t, c)
	sent := []*kgo.Record{input("slow", "1")}
	send(t, cl, sent...)
	g := newGate("slow")
	p := start(t, optionsFor(t, c, d, &fakeRunner{run: g.run}))
	eventually(t, "the run", func() bool { return g.held.Load() == 1 })
	p.cancel()
	eventually(t, "the drain", func() bool { return mentions(p.Status().Reasons, "stopping") })
	close(g.open)
	if err := p.wait(); err != nil {
		t.Errorf("Run() = %v", err)
	}
	checkAnswers(t, sent, read(t, c, outputs).count(1), false)
	if at := committed(t, cl)[0].At; at != 1 {
		t.Errorf("committed %d, want 1", at)
	}
}

func mentions(reasons []string, want string) bool {
	for _, r := range reasons {
		if strings.Contains(r, want) {
			return true
		}
	}
	return false
}

func TestStopTimeoutAbandonsWhatRuns(t *testing.T) { each(t, testStopTimeoutAbandonsWhatRuns) }

func testStopTimeoutAbandonsWhatRuns(t *testing.T, d Delivery) {
	c := cluster(t, 1)
	cl := client(t, c)
	send(t, cl, input("slow", "1"), input("fast", "2"))
	g := newGate("slow")
	o := optionsFor(t, c, d, &fakeRunner{run: g.run})
	o.StopTimeout = 50 * time.Millisecond
	p := start(t, o)
	read(t, c, outputs).count(1)
	eventually(t, "the run", func() bool { return g.held.Load() == 1 })
	p.stop()
	eventually(t, "the end of the run's context", func() bool { return g.abandoned.Load() == 1 })
	if at := committed(t, cl)[0]; at.At != 0 || beyond(t, at) != 1 {
		t.Errorf("committed %d, %q: want 0 and the second record in the metadata", at.At, at.Metadata)
	}
	// The next owner runs the abandoned one, and only that.
	r := &fakeRunner{}
	start(t, optionsFor(t, c, d, r))
	read(t, c, outputs).count(2)
	if got := r.started(); len(got) != 1 || got["0/0"] != 1 {
		t.Errorf("the next owner ran %v, want record 0/0 once", got)
	}
}

func TestSecondMemberJoinsAndLeaves(t *testing.T) { each(t, testSecondMemberJoinsAndLeaves) }

func testSecondMemberJoinsAndLeaves(t *testing.T, d Delivery) {
	c := cluster(t, 6)
	cl := client(t, c)
	var sent []*kgo.Record
	stop := make(chan struct{})
	var feeding sync.WaitGroup
	feeding.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			r := input(fmt.Sprintf("plan-%d", i%30), fmt.Sprint(i))
			send(t, cl, r)
			sent = append(sent, r)
		}
	})
	slowly := func(_ context.Context, rec execution.Record, done func(execution.Outcome)) {
		time.AfterFunc(time.Duration(rec.Offset%7)*time.Millisecond, func() { done(answerTo(rec)) })
	}
	first := start(t, optionsFor(t, c, d, &fakeRunner{run: slowly}))
	out := read(t, c, outputs)
	out.count(100)
	for range 2 {
		second := start(t, optionsFor(t, c, d, &fakeRunner{run: slowly}))
		eventually(t, "both to own three partitions", func() bool {
			return len(first.Status().Partitions) == 3 && len(second.Status().Partitions) == 3
		})
		out.count(len(out.records) + 100)
		second.stop()
		eventually(t, "the first to own all partitions", func() bool { return len(first.Status().Partitions) == 6 })
	}
	close(stop)
	feeding.Wait()
	out.until("all answers", func() bool {
		seen := make(map[string]bool)
		for _, r := range out.records {
			seen[string(r.Value)] = true
		}
		return len(seen) == len(sent)
	})
	checkAnswers(t, sent, out.records, true)
	if extra := len(out.records) - len(sent); extra > 0 {
		t.Errorf("%d of %d answers came twice over graceful rebalances, want none", extra, len(sent))
	}
}

func TestRunsOnKeptPartitionsSurviveARebalance(t *testing.T) {
	each(t, testRunsOnKeptPartitionsSurviveARebalance)
}

func testRunsOnKeptPartitionsSurviveARebalance(t *testing.T, d Delivery) {
	c := cluster(t, 2)
	cl := client(t, c)
	// One slow record on each partition.
	send(t, cl, input("plan-0", "a"), input("plan-1", "b"), input("plan-2", "c"), input("plan-3", "d"))
	open := make(chan struct{})
	var abandoned atomic.Int32
	r := &fakeRunner{}
	r.run = func(ctx context.Context, rec execution.Record, done func(execution.Outcome)) {
		go func() {
			select {
			case <-open:
				done(answerTo(rec))
			case <-ctx.Done():
				abandoned.Add(1)
			}
		}()
	}
	first := start(t, optionsFor(t, c, d, r))
	eventually(t, "all runs", func() bool { return len(r.started()) == 4 })
	second := start(t, optionsFor(t, c, d, r))
	eventually(t, "one partition each", func() bool {
		return len(first.Status().Partitions) == 1 && len(second.Status().Partitions) == 1
	})
	moved := second.Status().Partitions[0]
	eventually(t, "the moved partition's runs at the second member", func() bool {
		for rec, n := range r.started() {
			if strings.HasPrefix(rec, fmt.Sprint(moved)+"/") && n != 2 {
				return false
			}
		}
		return true
	})
	close(open)
	read(t, c, outputs).count(4)
	for rec, n := range r.started() {
		want := 1
		if strings.HasPrefix(rec, fmt.Sprint(moved)+"/") {
			want = 2
		}
		if n != want {
			t.Errorf("record %s was run %d times, want %d (partition %d moved)", rec, n, want, moved)
		}
	}
}

// failProduce makes the first n produce requests with records for topic fail.
func failProduce(c *kfake.Cluster, topic string, n int, code *kerr.Error) *atomic.Int32 {
	var failed atomic.Int32
	c.ControlKey(int16(kmsg.Produce), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req := kreq.(*kmsg.ProduceRequest)
		info := c.TopicInfo(topic)
		for _, rt := range req.Topics {
			if rt.Topic != topic && rt.TopicID != info.TopicID || int(failed.Load()) >= n {
				return nil, nil, false
			}
		}
		failed.Add(1)
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, rt := range req.Topics {
			st := kmsg.NewProduceResponseTopic()
			st.Topic, st.TopicID = rt.Topic, rt.TopicID
			for _, rp := range rt.Partitions {
				sp := kmsg.NewProduceResponseTopicPartition()
				sp.Partition = rp.Partition
				sp.ErrorCode = code.Code
				st.Partitions = append(st.Partitions, sp)
			}
			resp.Topics = append(resp.Topics, st)
		}
		return resp, nil, true
	})
	return &failed
}

func TestProduceErrors(t *testing.T) { each(t, testProduceErrors) }

func testProduceErrors(t *testing.T, d Delivery) {
	for _, tt := range []struct {
		name string
		code *kerr.Error
	}{
		{"franz-go retries it", kerr.NotEnoughReplicas},
		{"franz-go gives it up", kerr.InvalidRecord},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := cluster(t, 1)
			cl := client(t, c)
			var sent []*kgo.Record
			for i := range 50 {
				sent = append(sent, input(fmt.Sprintf("plan-%d", i%3), fmt.Sprint(i)))
			}
			send(t, cl, sent...)
			failed := failProduce(c, outputs, 3, tt.code)
			// The offset of an answer that is not on the topic is never committed.
			var early atomic.Int64
			c.ControlKey(int16(kmsg.OffsetCommit), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				if failed.Load() < 3 {
					early.Store(max(early.Load(), kreq.(*kmsg.OffsetCommitRequest).Topics[0].Partitions[0].Offset))
				}
				return nil, nil, false
			})
			start(t, optionsFor(t, c, d, &fakeRunner{}))
			checkAnswers(t, sent, read(t, c, outputs).count(len(sent)), false)
			if failed.Load() != 3 {
				t.Errorf("%d produce requests failed, want 3", failed.Load())
			}
			if at := early.Load(); at != 0 {
				t.Errorf("offset %d was committed while no answer was on the topic", at)
			}
			eventually(t, "the commit", func() bool { return committed(t, cl)[0].At == 50 })
		})
	}
}

func TestCommitErrors(t *testing.T) {
	c := cluster(t, 1)
	cl := client(t, c)
	var failed atomic.Int32
	codes := []*kerr.Error{kerr.RebalanceInProgress, kerr.UnknownServerError, kerr.IllegalGeneration, kerr.UnknownTopicID}
	c.ControlKey(int16(kmsg.OffsetCommit), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		i := int(failed.Add(1)) - 1
		if i >= len(codes) {
			return nil, nil, false
		}
		req := kreq.(*kmsg.OffsetCommitRequest)
		resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
		st := kmsg.NewOffsetCommitResponseTopic()
		st.Topic, st.TopicID = req.Topics[0].Topic, req.Topics[0].TopicID
		sp := kmsg.NewOffsetCommitResponseTopicPartition()
		sp.ErrorCode = codes[i].Code
		st.Partitions = append(st.Partitions, sp)
		resp.Topics = append(resp.Topics, st)
		return resp, nil, true
	})
	sent := []*kgo.Record{input("a", "1"), input("b", "2")}
	send(t, cl, sent...)
	o := options(t, c, &fakeRunner{})
	o.Delivery = AtLeastOnce // Offsets of transactions go by another request.
	start(t, o)
	checkAnswers(t, sent, read(t, c, outputs).count(2), false)
	eventually(t, "the commit after errors", func() bool { return committed(t, cl)[0].At == 2 })
	if n := int(failed.Load()); n <= len(codes) {
		t.Errorf("%d commits were tried, want more than %d", n, len(codes))
	}
}

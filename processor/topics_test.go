package processor

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"starplan/processor/ledger"
)

// sendAnew sends records with a client of its own: clients hold on to topics that
// were deleted.
func sendAnew(t *testing.T, c *kfake.Cluster, key string, n int) []*kgo.Record {
	t.Helper()
	cl := client(t, c)
	defer cl.Close()
	var sent []*kgo.Record
	for i := range n {
		sent = append(sent, input(fmt.Sprintf("%s-%d", key, i%7), fmt.Sprint(i)))
	}
	send(t, cl, sent...)
	return sent
}

func hasty(o Options) Options {
	o.lookPause = 50 * time.Millisecond
	return o
}

func remake(t *testing.T, c *kfake.Cluster, topic string, partitions int32) {
	t.Helper()
	if err := c.DeleteTopic(topic); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateTopic(topic, partitions, nil); err != nil {
		t.Fatal(err)
	}
}

func TestInputTopicMadeAnew(t *testing.T) { each(t, testInputTopicMadeAnew) }

func testInputTopicMadeAnew(t *testing.T, d Delivery) {
	c := cluster(t, 3)
	o := hasty(optionsFor(t, c, d, &fakeRunner{}))
	o.Start = Latest() // It is for what was there when the group began.
	p := start(t, o)
	out := read(t, c, outputs)
	eventually(t, "the first commit", func() bool { return len(committed(t, client(t, c))) == 3 })
	before := sendAnew(t, c, "old", 60)
	out.count(60)
	checkAnswers(t, before, out.records, false)
	eventually(t, "the commit", func() bool { return total(committed(t, client(t, c))) == 60 })
	// It is there again before anybody looks, with more records than the old one had.
	remake(t, c, inputs, 3)
	after := sendAnew(t, c, "new", 200)
	out.count(260)
	checkAnswers(t, append(before, after...), out.records, false)
	eventually(t, "the commit", func() bool { return total(committed(t, client(t, c))) == 200 })
	if n := testutil.ToFloat64(p.metrics.kafkaErrors.WithLabelValues("topic")); n != 1 {
		t.Errorf("kafka_errors_total{op=topic} = %v, want 1", n)
	}
	p.stop()
}

func total(offsets map[int32]kadm.Offset) int64 {
	n := int64(0)
	for _, o := range offsets {
		n += o.At
	}
	return n
}

func TestOffsetOfADeletedTopic(t *testing.T) {
	// The offset was committed for another topic under the same name, in the moment
	// between the end of the one and somebody's notice of it.
	c := cluster(t, 1)
	cl := client(t, c)
	sent := sendAnew(t, c, "plan", 20)
	var os kadm.Offsets
	os.Add(kadm.Offset{
		Topic: inputs, Partition: 0, At: 10, LeaderEpoch: -1,
		Metadata: ledger.Encode(10, ledger.Set{{From: 12, To: 14}}, ledger.Note{Topic: "AAAAAAAAAAAAAAAAAAAAAA"}),
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := kadm.NewClient(cl).CommitAllOffsets(ctx, group, os); err != nil {
		t.Fatal(err)
	}
	o := options(t, c, &fakeRunner{})
	o.Start = Latest()
	start(t, o)
	checkAnswers(t, sent, read(t, c, outputs).count(20), false)
}

func TestOutputTopicMadeAnew(t *testing.T) { each(t, testOutputTopicMadeAnew) }

func testOutputTopicMadeAnew(t *testing.T, d Delivery) {
	c := cluster(t, 3)
	p := start(t, hasty(optionsFor(t, c, d, &fakeRunner{})))
	before := sendAnew(t, c, "old", 60)
	read(t, c, outputs).count(60)
	eventually(t, "the commit", func() bool { return total(committed(t, client(t, c))) == 60 })
	remake(t, c, outputs, 5)
	after := sendAnew(t, c, "new", 60)
	// What was answered is gone with the old topic, and only that.
	checkAnswers(t, after, read(t, c, outputs).count(60), false)
	eventually(t, "readiness", func() bool { return p.Status().Ready })
	p.stop()
	wantCommitted(t, client(t, c), len(before)+len(after))
}

func TestTopicGoneForAWhile(t *testing.T) {
	for _, topic := range []string{inputs, outputs, letters} {
		t.Run(topic, func(t *testing.T) {
			c := cluster(t, 1)
			o := hasty(options(t, c, &fakeRunner{}))
			o.DeadLetterTopic = letters
			p := start(t, o)
			eventually(t, "readiness", func() bool { return p.Status().Ready })
			if err := c.DeleteTopic(topic); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the reason", func() bool { return mentions(p.Status().Reasons, "topic "+topic+" does not exist") })
			if err := c.CreateTopic(topic, 1, nil); err != nil {
				t.Fatal(err)
			}
			eventually(t, "readiness", func() bool { return p.Status().Ready })
			checkAnswers(t, sendAnew(t, c, "plan", 10), read(t, c, outputs).count(10), false)
		})
	}
}

func TestAddedPartitions(t *testing.T) {
	for _, s := range []Start{Oldest(), Latest()} {
		t.Run(s.String(), func(t *testing.T) {
			c := cluster(t, 1)
			sendAnew(t, c, "old", 10)
			o := hasty(options(t, c, &fakeRunner{}))
			o.Start = s
			p := start(t, o)
			eventually(t, "the first commit", func() bool { return len(committed(t, client(t, c))) == 1 })
			old := read(t, c, outputs)
			if s == Oldest() {
				old.count(10)
			}
			grow(t, c, inputs, 4)
			// They arrive before anybody knows of their partitions.
			sent := sendAnew(t, c, "new", 100)
			old.until("answers on all partitions", func() bool { return len(of(old.records, "new")) == len(sent) })
			checkAnswers(t, sent, of(old.records, "new"), false)
			if n := len(p.Status().Partitions); n != 4 {
				t.Errorf("%d partitions are assigned, want 4", n)
			}
		})
	}
}

// TestStartAtTheEndPassesNothingOver has records arrive while a new partition's
// beginning is looked for: there was none yet after the group's, and now there is.
func TestStartAtTheEndPassesNothingOver(t *testing.T) {
	c := cluster(t, 1)
	o := hasty(options(t, c, &fakeRunner{}))
	o.Start = Latest()
	start(t, o)
	eventually(t, "the first commit", func() bool { return len(committed(t, client(t, c))) == 1 })
	out := read(t, c, outputs)
	var sent []*kgo.Record
	searched := false
	c.ControlKey(int16(kmsg.ListOffsets), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		switch of := kreq.(*kmsg.ListOffsetsRequest).Topics[0].Partitions[0].Timestamp; {
		case of >= 0:
			searched = true
		case of == -1 && searched && sent == nil:
			c.SleepControl(func() { sent = sendAnew(t, c, "new", 100) })
		}
		return nil, nil, false
	})
	grow(t, c, inputs, 4)
	out.until("answers on all partitions", func() bool { return len(of(out.records, "new")) == 100 })
	checkAnswers(t, sent, of(out.records, "new"), false)
}

// of gives the records whose key begins with a text.
func of(records []*kgo.Record, key string) []*kgo.Record {
	var some []*kgo.Record
	for _, r := range records {
		if len(r.Key) >= len(key) && string(r.Key[:len(key)]) == key {
			some = append(some, r)
		}
	}
	return some
}

func grow(t *testing.T, c *kfake.Cluster, topic string, partitions int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	resp, err := kadm.NewClient(client(t, c)).UpdatePartitions(ctx, partitions, topic)
	if err == nil {
		err = resp.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestSecondMemberOfANewGroupStartsAtLatestToo(t *testing.T) {
	// A partition without a commit beside ones with commits need not be a new one:
	// members of a new group come one after the other.
	c := cluster(t, 4)
	sendAnew(t, c, "old", 100)
	o := options(t, c, &fakeRunner{})
	o.Start = Latest()
	cl := client(t, c)
	since := time.Now().UnixMilli()
	var os kadm.Offsets
	for n := range int32(2) {
		end := c.PartitionInfo(inputs, n).HighWatermark
		os.Add(kadm.Offset{Topic: inputs, Partition: n, At: end, LeaderEpoch: -1, Metadata: ledger.Encode(end, nil, ledger.Note{Since: since})})
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := kadm.NewClient(cl).CommitAllOffsets(ctx, group, os); err != nil {
		t.Fatal(err)
	}
	sent := sendAnew(t, c, "new", 100) // After the group began, before this member did.
	start(t, o)
	checkAnswers(t, sent, read(t, c, outputs).count(100), false)
	eventually(t, "commits that note the group's begin", func() bool {
		offsets := committed(t, cl)
		for _, at := range offsets {
			if _, note, err := ledger.Decode(at.At, at.Metadata); err != nil || note.Since != since {
				return false
			}
		}
		return len(offsets) == 4
	})
}

func TestDeletedRecords(t *testing.T) {
	c := cluster(t, 1)
	cl := client(t, c)
	sendAnew(t, c, "old", 10)
	commitFor(t, cl, group, 2)
	if err := c.DeleteRecords(inputs, 0, 5); err != nil {
		t.Fatal(err)
	}
	// While nobody reads, the records up to 5 go.
	log := newLines(t, "the broker has deleted records before they were answered")
	o := hasty(options(t, c, &fakeRunner{}))
	o.Logger = newLogger(log)
	p := start(t, o)
	out := read(t, c, outputs)
	out.count(5)
	deleted := func() float64 { return testutil.ToFloat64(p.metrics.deleted) }
	if got := deleted(); got != 3 || log.count("offsets=3") != 1 {
		t.Errorf("records_deleted_total = %v, log %q; want 3 and a line about it", got, *log.got)
	}
	p.stop()
	// While nobody reads, all go, and nothing comes after them.
	sendAnew(t, c, "more", 10)
	if err := c.DeleteRecords(inputs, 0, 20); err != nil {
		t.Fatal(err)
	}
	o.Registerer = nil
	p = start(t, o)
	eventually(t, "the position behind them", func() bool { return committed(t, cl)[0].At == 20 && p.Lag().Records == 0 })
	if got := deleted(); got != 10 {
		t.Errorf("records_deleted_total = %v, want 10", got)
	}
	checkAnswers(t, []*kgo.Record{}, of(out.records, "new"), false)
}

func TestCommitBeyondTheEnd(t *testing.T) {
	// As somebody's tool leaves it, or brokers that lost the end of the log.
	c := cluster(t, 1)
	cl := client(t, c)
	sent := sendAnew(t, c, "plan", 10)
	commitFor(t, cl, group, 100)
	start(t, options(t, c, &fakeRunner{}))
	checkAnswers(t, sent, read(t, c, outputs).count(10), false)
	eventually(t, "the commit", func() bool { return committed(t, cl)[0].At == 10 })
}

func TestCommitsCarryTheLeaderEpoch(t *testing.T) { each(t, testCommitsCarryTheLeaderEpoch) }

func testCommitsCarryTheLeaderEpoch(t *testing.T, d Delivery) {
	c := cluster(t, 1, kfake.NumBrokers(2))
	if err := c.MoveTopicPartition(inputs, 0, 1-c.LeaderFor(inputs, 0)); err != nil {
		t.Fatal(err)
	}
	want := c.PartitionInfo(inputs, 0).Epoch
	if want == 0 {
		t.Fatal("the partition is in its first epoch: the test shows nothing")
	}
	sendAnew(t, c, "plan", 10)
	start(t, optionsFor(t, c, d, &fakeRunner{}))
	cl := client(t, c)
	eventually(t, "the commit", func() bool { return committed(t, cl)[0].At == 10 })
	if got := committed(t, cl)[0].LeaderEpoch; got != want {
		t.Errorf("leader epoch of the commit is %d, want %d", got, want)
	}
}

func TestInputsOfTransactions(t *testing.T) {
	// The end of a producer's transaction takes an offset, too. Position and lag must
	// not stay behind it.
	c := cluster(t, 1)
	cl := client(t, c)
	tx := client(t, c, kgo.TransactionalID("control-plane"))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	end := func(commit kgo.TransactionEndTry, text string) *kgo.Record {
		if err := tx.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		r := input("plan", text)
		send(t, tx, r)
		if err := tx.EndTransaction(ctx, commit); err != nil {
			t.Fatal(err)
		}
		return r
	}
	end(kgo.TryAbort, "aborted")
	sent := []*kgo.Record{end(kgo.TryCommit, "committed")}
	end(kgo.TryAbort, "aborted again")
	const log = 6 // Three records, and the ends of three transactions.
	eventually(t, "the ends", func() bool { return c.PartitionInfo(inputs, 0).HighWatermark == log })
	p := start(t, options(t, c, &fakeRunner{}))
	checkAnswers(t, sent, read(t, c, outputs).count(1), false)
	eventually(t, "a commit of the end", func() bool { return committed(t, cl)[0].At == log })
	eventually(t, "no lag", func() bool { return p.Lag().Records == 0 })
	if n := testutil.ToFloat64(p.metrics.received.WithLabelValues(inputs)); n != 1 {
		t.Errorf("%v records were received, want 1", n)
	}
}

func TestCoordinatorsAndLeadersMove(t *testing.T) { each(t, testCoordinatorsAndLeadersMove) }

func testCoordinatorsAndLeadersMove(t *testing.T, d Delivery) {
	c := cluster(t, 4, kfake.NumBrokers(3))
	nothingTruncated(c)
	p := start(t, optionsFor(t, c, d, &fakeRunner{}))
	out := read(t, c, outputs)
	cl := client(t, c)
	var sent []*kgo.Record
	moved := 0
	for round := range 30 {
		var batch []*kgo.Record
		for range 20 {
			batch = append(batch, input(fmt.Sprintf("plan-%d", len(sent)%9), fmt.Sprint(len(sent))))
			sent = append(sent, batch[len(batch)-1])
		}
		send(t, cl, batch...)
		if round%3 == 0 {
			before := c.CoordinatorFor(group)
			c.RehashCoordinators()
			c.ShufflePartitionLeaders()
			if c.CoordinatorFor(group) != before {
				moved++
			}
		}
		out.until("answers", func() bool { return len(out.records) >= len(sent)-40 })
	}
	out.until("all answers", func() bool { return len(distinct(out.records)) == len(sent) })
	p.stop()
	checkAnswers(t, sent, out.records, d == AtLeastOnce)
	wantCommitted(t, cl, len(sent))
	if moved == 0 {
		t.Error("the group's coordinator never moved: the test shows nothing")
	}
}

// nothingTruncated has the cluster answer as Kafka does where the end of an epoch is
// asked for after which no record was written: with the end of the log. kfake says
// that it knows no such epoch, which stands for data loss.
func nothingTruncated(c *kfake.Cluster) {
	c.ControlKey(kmsg.OffsetForLeaderEpoch.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req := kreq.(*kmsg.OffsetForLeaderEpochRequest)
		resp := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		for _, rt := range req.Topics {
			st := kmsg.NewOffsetForLeaderEpochResponseTopic()
			st.Topic = rt.Topic
			for _, rp := range rt.Partitions {
				sp := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
				sp.Partition, sp.LeaderEpoch = rp.Partition, rp.LeaderEpoch
				sp.EndOffset = c.PartitionInfo(rt.Topic, rp.Partition).HighWatermark
				st.Partitions = append(st.Partitions, sp)
			}
			resp.Topics = append(resp.Topics, st)
		}
		return resp, nil, true
	})
}

func distinct(records []*kgo.Record) map[string]bool {
	seen := make(map[string]bool)
	for _, r := range records {
		seen[string(r.Value)] = true
	}
	return seen
}

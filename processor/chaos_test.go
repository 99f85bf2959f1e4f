package processor

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"starplan/plan/execution"
)

// troubles are errors that a broker may give to each request.
var troubles = map[kmsg.Key][]*kerr.Error{
	kmsg.Produce:         {kerr.NotEnoughReplicas, kerr.NotLeaderForPartition, kerr.InvalidRecord},
	kmsg.AddOffsetsToTxn: {kerr.CoordinatorLoadInProgress, kerr.ConcurrentTransactions, kerr.InvalidProducerEpoch},
	kmsg.TxnOffsetCommit: {kerr.CoordinatorLoadInProgress, kerr.IllegalGeneration, kerr.UnknownServerError, kerr.UnknownMemberID},
	kmsg.EndTxn:          {kerr.UnknownServerError, kerr.NotCoordinator, kerr.ProducerFenced, kerr.InvalidProducerEpoch},
	kmsg.InitProducerID:  {kerr.CoordinatorLoadInProgress, kerr.NotCoordinator},
	kmsg.OffsetCommit:    {kerr.RebalanceInProgress, kerr.UnknownServerError, kerr.IllegalGeneration},
	kmsg.OffsetFetch:     {kerr.CoordinatorLoadInProgress, kerr.UnknownServerError},
	kmsg.Heartbeat:       {kerr.UnknownMemberID, kerr.RebalanceInProgress, kerr.IllegalGeneration},
	kmsg.JoinGroup:       {kerr.CoordinatorLoadInProgress, kerr.UnknownServerError},
	kmsg.SyncGroup:       {kerr.RebalanceInProgress, kerr.UnknownServerError},
	kmsg.Fetch:           {kerr.NotLeaderForPartition, kerr.UnknownServerError},
}

// trouble gives faults that strike one request in twenty of each kind, either as a
// whole or in what it holds. The test's own producing is left alone.
func trouble(rng *rand.Rand) []kfake.Fault {
	var mu sync.Mutex
	var faults []kfake.Fault
	for key, errs := range troubles {
		strikes := func(kmsg.Request) bool {
			mu.Lock()
			defer mu.Unlock()
			return rng.IntN(20*len(errs)) == 0
		}
		for _, err := range errs {
			for _, f := range []kfake.Fault{{TopLevel: true}, {Topic: outputs}, {Topic: inputs}} {
				if key == kmsg.Produce && f.Topic == inputs {
					continue
				}
				f.Keys, f.Err, f.Count, f.When = []kmsg.Key{key}, err, -1, strikes
				faults = append(faults, f)
			}
		}
	}
	return faults
}

// TestTrouble gives the processor trouble with everything that it asks of the
// broker, while members come and go, and links break. What is promised must hold.
func TestTrouble(t *testing.T) {
	each(t, func(t *testing.T, d Delivery) { testTrouble(t, d, cluster(t, 4)) })
}

// Brokers before transaction version 2 (KIP-890 part 2, Kafka 4.0) are told of each
// transaction's offsets by a request of its own, and do not fence a producer at
// each of its transactions.
func TestTroubleWithOldBrokers(t *testing.T) {
	c := cluster(t, 4, kfake.MaxVersions(kversion.V3_9_0()))
	var told atomic.Int32
	c.ControlKey(kmsg.AddOffsetsToTxn.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		told.Add(1)
		return nil, nil, false
	})
	testTrouble(t, ExactlyOnce, c)
	if told.Load() == 0 {
		t.Error("no transaction was told of its offsets: the test shows nothing of old brokers")
	}
}

func testTrouble(t *testing.T, d Delivery, c *kfake.Cluster) {
	cl := client(t, c)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	faults := trouble(rand.New(rand.NewPCG(seed, 1)))
	var sent []*kgo.Record
	out := read(t, c, outputs)
	slowly := func(_ context.Context, rec execution.Record, done func(execution.Outcome)) {
		time.AfterFunc(time.Duration(rec.Offset%13)*time.Millisecond, func() { done(answerTo(rec)) })
	}
	member := func(l *link) *running {
		o := optionsFor(t, c, d, &fakeRunner{run: slowly})
		o.SessionTimeout = time.Second
		o.ClientOptions = []kgo.Opt{
			kgo.Dialer(l.dial),
			kgo.RequestRetries(2),
			kgo.RetryBackoffFn(func(int) time.Duration { return 10 * time.Millisecond }),
		}
		return start(t, o)
	}
	more := func(n int) {
		var batch []*kgo.Record
		for range n {
			batch = append(batch, input(fmt.Sprintf("plan-%d", len(sent)%11), fmt.Sprint(len(sent))))
			sent = append(sent, batch[len(batch)-1])
		}
		send(t, cl, batch...)
	}
	var links [3]link
	handle := c.Fault(faults...)
	members := []*running{member(&links[0]), member(&links[1])}
	for round := range 100 {
		more(10)
		seen := len(sent) - 100
		out.until("some answers", func() bool { return len(out.records) >= seen })
		switch round {
		case 20:
			links[0].set(true)
		case 30:
			links[0].set(false)
		case 40:
			members = append(members, member(&links[2]))
		case 60:
			members[1].cancel()
		case 70:
			links[2].set(true)
			links[2].set(false)
		}
	}
	hits := handle.Hits()
	handle.Remove()
	all := func() bool {
		seen := make(map[string]bool)
		for _, r := range out.records {
			seen[string(r.Value)] = true
		}
		return len(seen) == len(sent)
	}
	out.until("all answers", all)
	for _, m := range members {
		m.stop()
	}
	checkAnswers(t, sent, out.records, d == AtLeastOnce)
	wantCommitted(t, cl, len(sent))
	t.Logf("%d errors, %d records, %d answers came again", hits, len(sent), len(out.records)-len(sent))
	if hits < 20 {
		t.Errorf("%d errors struck: the test shows little", hits)
	}
}

package processor

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// static gives the options of a static member.
func static(t *testing.T, c *kfake.Cluster, d Delivery, instance string) Options {
	o := optionsFor(t, c, d, &fakeRunner{})
	o.InstanceID = instance
	o.SessionTimeout = 20 * time.Second // A restart fits in.
	return o
}

func TestStaticMemberComesBack(t *testing.T) { each(t, testStaticMemberComesBack) }

func testStaticMemberComesBack(t *testing.T, d Delivery) {
	c := cluster(t, 4)
	cl := client(t, c)
	a, b := start(t, static(t, c, d, "a")), start(t, static(t, c, d, "b"))
	eventually(t, "two partitions each", func() bool {
		return len(a.Status().Partitions) == 2 && len(b.Status().Partitions) == 2 && a.Status().Ready && b.Status().Ready
	})
	out := read(t, c, outputs)
	sent := stream(t, cl, out, 60)
	mine, rebalances := a.Status().Partitions, testutil.ToFloat64(b.metrics.rebalances)
	for range 2 {
		a.stop()
		// Nobody takes what it left: it waits for its owner.
		more := []*kgo.Record{}
		for i := range 40 {
			more = append(more, input(fmt.Sprintf("plan-%d", i%9), fmt.Sprint(len(sent)+i)))
		}
		send(t, cl, more...)
		sent = append(sent, more...)
		a = start(t, static(t, c, d, "a"))
		out.count(len(sent))
	}
	if got := a.Status().Partitions; fmt.Sprint(got) != fmt.Sprint(mine) {
		t.Errorf("the member came back to partitions %v, want %v", got, mine)
	}
	if n := testutil.ToFloat64(b.metrics.rebalances); n != rebalances {
		t.Errorf("the other member saw %v changes of its assignment, want %v: there is nothing to rebalance", n, rebalances)
	}
	a.stop()
	b.stop()
	checkAnswers(t, sent, out.records, false)
	wantCommitted(t, cl, len(sent))
}

func TestStaticMemberIsReplaced(t *testing.T) { each(t, testStaticMemberIsReplaced) }

func testStaticMemberIsReplaced(t *testing.T, d Delivery) {
	// Another process takes the instance id while the first one still works.
	c := cluster(t, 2)
	cl := client(t, c)
	first := start(t, static(t, c, d, "a"))
	out := read(t, c, outputs)
	sent := stream(t, cl, out, 60)
	second := start(t, static(t, c, d, "a"))
	sent = append(sent, stream(t, cl, out, 60)...)
	err := first.wait()
	var taken *InstanceTakenError
	if !errors.As(err, &taken) || !errors.Is(err, kerr.FencedInstanceID) {
		t.Fatalf("Run() of the first = %v, want an InstanceTakenError", err)
	}
	for _, want := range []string{`"a"`, group, "KAFKA_INSTANCE_ID of its own"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %s", err, want)
		}
	}
	sent = append(sent, stream(t, cl, out, 60)...)
	second.stop()
	checkAnswers(t, sent, out.records, d == AtLeastOnce)
	wantCommitted(t, cl, len(sent))
}

func TestIdleStaticMemberIsReplaced(t *testing.T) {
	c := cluster(t, 2)
	o := static(t, c, ExactlyOnce, "a")
	o.SessionTimeout = 3 * time.Second // A heartbeat tells it, each tenth of that.
	first := start(t, o)
	cl := client(t, c)
	eventually(t, "the first commit, after which it is idle", func() bool { return len(committed(t, cl)) == 2 })
	o.Registerer = nil
	second := start(t, o)
	var taken *InstanceTakenError
	if err := first.wait(); !errors.As(err, &taken) {
		t.Fatalf("Run() of the first = %v, want an InstanceTakenError", err)
	}
	eventually(t, "the second to be ready", func() bool { return second.Status().Ready })
}

func TestStaticMemberEndsItsOwnHangingTransaction(t *testing.T) {
	// It was killed in the middle of a transaction and is back before the group has
	// missed it: nobody has cleaned up behind it, and it still counts as a member.
	c := cluster(t, 1)
	cl := client(t, c)
	killed := start(t, static(t, c, ExactlyOnce, "a"))
	eventually(t, "the first commit", func() bool { return len(committed(t, cl)) == 1 })
	if want := group + "/a"; killed.transactionalID != want {
		t.Errorf("transactional id %q, want %q: the next process must know it", killed.transactionalID, want)
	}
	killed.stop() // A static member does not leave the group.
	sent := []*kgo.Record{input("plan", "1"), input("plan", "2")}
	send(t, cl, sent...)
	hang(t, c, killed.transactionalID)
	began := time.Now()
	start(t, static(t, c, ExactlyOnce, "a"))
	checkAnswers(t, sent, read(t, c, outputs).count(2), false)
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("the answers took %v with a transaction of a minute hanging", d)
	}
}

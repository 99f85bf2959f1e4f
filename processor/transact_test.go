package processor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path"
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

// lines collects log lines that contain a text.
type lines struct {
	slog.Handler
	text string
	// seen is called for each, where set.
	seen func()

	mu  *sync.Mutex
	got *[]string
}

func newLines(t *testing.T, text string) *lines {
	return &lines{Handler: testLog(t).Handler(), text: text, mu: new(sync.Mutex), got: new([]string)}
}

// on has a function called for each line.
func (l *lines) on(seen func()) *lines {
	l.seen = seen
	return l
}

func newLogger(l *lines) *slog.Logger { return slog.New(l) }

func (l *lines) Enabled(context.Context, slog.Level) bool { return true }

func (l *lines) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, l.text) {
		line := r.Message
		r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
		l.mu.Lock()
		*l.got = append(*l.got, line)
		l.mu.Unlock()
		if l.seen != nil {
			l.seen()
		}
	}
	if l.Handler.Enabled(ctx, r.Level) {
		return l.Handler.Handle(ctx, r)
	}
	return nil
}

// count is the number of lines that contain a further text.
func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, line := range *l.got {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// stream produces n records while the processor works on them, so that there are
// many transactions, and waits until all are answered.
func stream(t *testing.T, cl *kgo.Client, out *reader, n int) []*kgo.Record {
	t.Helper()
	before := len(distinct(out.records))
	answered := func(n int) {
		t.Helper()
		out.until(fmt.Sprintf("%d answers", n), func() bool { return len(distinct(out.records)) >= n })
	}
	var sent []*kgo.Record
	for len(sent) < n {
		var batch []*kgo.Record
		for range 10 {
			batch = append(batch, input(fmt.Sprintf("plan-%d", len(sent)%7), fmt.Sprint(before+len(sent))))
			sent = append(sent, batch[len(batch)-1])
		}
		send(t, cl, batch...)
		answered(before + len(sent) - 20)
	}
	answered(before + n)
	return sent
}

func TestUnknownOutcomeIsReadBack(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  *kerr.Error
		want string
	}{
		{"not committed", kerr.UnknownServerError, "committed=false"},
		{"fenced", kerr.ProducerFenced, "committed=false"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := cluster(t, 3)
			cl := client(t, c)
			log := newLines(t, "outcome of a transaction was read back")
			o := optionsFor(t, c, ExactlyOnce, &fakeRunner{})
			o.Logger = newLogger(log)
			o.ClientOptions = []kgo.Opt{kgo.RequestRetries(0)}
			// Every third commit of a transaction goes wrong.
			var n atomic.Int32
			fault := c.Fault(kfake.Fault{
				Keys: []kmsg.Key{kmsg.EndTxn}, TopLevel: true, Err: tt.err, Count: 3,
				When: func(req kmsg.Request) bool {
					return req.(*kmsg.EndTxnRequest).Commit && n.Add(1)%3 == 0
				},
			})
			p := start(t, o)
			out := read(t, c, outputs)
			sent := stream(t, cl, out, 200)
			p.stop()
			checkAnswers(t, sent, out.records, false)
			hits := fault.Hits()
			if hits == 0 {
				t.Error("no commit went wrong: the test shows nothing")
			}
			if got := log.count(tt.want); got != hits {
				t.Errorf("%d outcomes were read back as %s, want %d; all: %q", got, tt.want, hits, *log.got)
			}
			wantCommitted(t, cl, len(sent))
		})
	}
}

// wantCommitted checks that the committed offsets cover n records, and no more.
func wantCommitted(t *testing.T, cl *kgo.Client, n int) {
	t.Helper()
	total := int64(0)
	for number, o := range committed(t, cl) {
		total += o.At
		if set := beyond(t, o); set != 0 {
			t.Errorf("partition %d: %d records in the metadata, want none", number, set)
		}
	}
	if total != int64(n) {
		t.Errorf("committed offsets sum up to %d, want %d", total, n)
	}
}

// forgetful is a dialer whose connections lose the broker's answer to every fourth
// commit of a transaction, three times: the work is done, and nobody is told.
type forgetful struct {
	seen, lost atomic.Int32
}

func (f *forgetful) dial(ctx context.Context, network, host string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, host)
	return &forgetfulConn{Conn: conn, f: f}, err
}

type forgetfulConn struct {
	net.Conn
	f    *forgetful
	lose atomic.Bool
}

// Write is called with one request each: size, then key and version.
func (c *forgetfulConn) Write(b []byte) (int, error) {
	if len(b) > 6 && kmsg.Key(binary.BigEndian.Uint16(b[4:])) == kmsg.EndTxn && c.f.seen.Add(1)%4 == 0 && c.f.lost.Add(1) <= 3 {
		c.lose.Store(true)
	}
	return c.Conn.Write(b)
}

func (c *forgetfulConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && c.lose.Load() {
		c.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

func TestLostAnswerToACommit(t *testing.T) {
	c := cluster(t, 3)
	cl := client(t, c)
	log := newLines(t, "outcome of a transaction was read back")
	var f forgetful
	o := optionsFor(t, c, ExactlyOnce, &fakeRunner{})
	o.Logger = newLogger(log)
	o.ClientOptions = []kgo.Opt{kgo.Dialer(f.dial), kgo.RequestRetries(0)}
	p := start(t, o)
	out := read(t, c, outputs)
	sent := stream(t, cl, out, 200)
	p.stop()
	checkAnswers(t, sent, out.records, false)
	lost := min(int(f.lost.Load()), 3)
	if got := log.count("committed=true"); got != lost || lost == 0 {
		t.Errorf("%d outcomes were read back as committed, want %d, and one at least; all: %q", got, lost, *log.got)
	}
	wantCommitted(t, cl, len(sent))
}

func TestRefusedTransactionsAreReplayed(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault kfake.Fault
	}{
		{"offsets: rebalance", kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.IllegalGeneration, Count: 3}},
		{"offsets: unknown", kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.UnknownServerError, Count: 3}},
		{"offsets: fenced", kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.InvalidProducerEpoch, Count: 3}},
		{"records: refused", kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: outputs, Err: kerr.InvalidRecord, Count: 3}},
		{"records: fenced", kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: outputs, Err: kerr.ProducerFenced, Count: 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := cluster(t, 3)
			cl := client(t, c)
			fault := c.Fault(tt.fault)
			r := &fakeRunner{}
			p := start(t, optionsFor(t, c, ExactlyOnce, r))
			out := read(t, c, outputs)
			sent := stream(t, cl, out, 100)
			p.stop()
			checkAnswers(t, sent, out.records, false)
			if got := fault.Hits(); got != tt.fault.Count {
				t.Errorf("the fault struck %d times, want %d", got, tt.fault.Count)
			}
			for rec, n := range r.started() {
				if n != 1 {
					t.Errorf("record %s was run %d times, want once: a batch is replayed from memory", rec, n)
				}
			}
			wantCommitted(t, cl, len(sent))
		})
	}
}

// hang leaves a transaction with an answer and the offset behind it open, as a
// process does that is killed between the two.
func hang(t *testing.T, c *kfake.Cluster, transactionalID string) {
	t.Helper()
	group := path.Dir(transactionalID)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	dead := client(t, c, kgo.TransactionalID(transactionalID), kgo.TransactionTimeout(time.Minute))
	if err := dead.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	send(t, dead, &kgo.Record{Topic: outputs, Key: []byte("plan"), Value: []byte("hanging")})
	id, epoch, err := dead.ProducerID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.Group = transactionalID, group
	req.ProducerID, req.ProducerEpoch, req.Generation = id, epoch, -1
	topic := kmsg.NewTxnOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID = inputs, c.TopicInfo(inputs).TopicID
	part := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	part.Offset = 1
	topic.Partitions = append(topic.Partitions, part)
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, dead)
	if err == nil {
		err = kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestHangingTransactionIsEnded(t *testing.T) {
	c := cluster(t, 1)
	cl := client(t, c)
	sent := []*kgo.Record{input("plan", "1"), input("plan", "2")}
	send(t, cl, sent...)
	commitFor(t, cl, group, 0)
	hang(t, c, group+"/dead-1")
	// That of another group, whose name begins with ours, is none of our business.
	hang(t, c, group+"/other/dead-1")
	log := newLines(t, "ended a transaction that a dead member left hanging")
	o := optionsFor(t, c, ExactlyOnce, &fakeRunner{})
	o.Logger = newLogger(log)
	began := time.Now()
	start(t, o)
	eventually(t, "the commit", func() bool { return committed(t, cl)[0].At == 2 })
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("the first commit took %v with a transaction of a minute hanging", d)
	}
	if n := log.count(group + "/dead-1"); n != 1 {
		t.Errorf("the dead member's transaction was ended %d times, want once", n)
	}
	if n := log.count("other"); n != 0 {
		t.Errorf("another group's transaction was ended")
	}
}

func TestOwnHangingTransactionIsEnded(t *testing.T) {
	// The member loses its partitions while it commits a transaction, as when a broker
	// goes away: neither commit nor abort gets through. Nobody can begin on those
	// partitions while offsets hang in it, so nothing is run or answered that would
	// have the member ask for its producer id.
	c := cluster(t, 1)
	cl := client(t, c)
	o := optionsFor(t, c, ExactlyOnce, &fakeRunner{})
	var broken atomic.Bool
	lost := make(chan struct{})
	o.Logger = newLogger(newLines(t, "partitions lost").on(sync.OnceFunc(func() { close(lost) })))
	c.ControlKey(int16(kmsg.EndTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if !req.(*kmsg.EndTxnRequest).Commit || !broken.CompareAndSwap(false, true) {
			return nil, nil, false
		}
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, TopLevel: true, Err: kerr.UnknownMemberID, Count: 1})
		c.SleepControl(func() { <-lost })
		return nil, errors.New("the connection breaks"), true
	})
	send(t, cl, input("plan", "1"))
	start(t, o)
	<-lost
	began := time.Now()
	eventually(t, "the commit", func() bool { return committed(t, cl)[0].At == 1 })
	if d := time.Since(began); d > transactionTimeout/2 {
		t.Errorf("the commit took %v after the loss with a transaction of %v hanging", d, transactionTimeout)
	}
}

func TestFencedByAnotherProcess(t *testing.T) {
	// As the reaper of another member does that takes this one for dead.
	c := cluster(t, 2)
	cl := client(t, c)
	p := start(t, optionsFor(t, c, ExactlyOnce, &fakeRunner{}))
	out := read(t, c, outputs)
	sent := stream(t, cl, out, 50)
	for range 3 {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionalID = kmsg.StringPtr(p.transactionalID)
		req.TransactionTimeoutMillis = 10_000
		if _, err := req.RequestWith(ctx, cl); err != nil {
			t.Error(err)
		}
		cancel()
		var batch []*kgo.Record
		for range 20 {
			batch = append(batch, input("plan", fmt.Sprint(len(sent))))
			sent = append(sent, batch[len(batch)-1])
		}
		send(t, cl, batch...)
		out.count(len(sent))
	}
	p.stop()
	checkAnswers(t, sent, out.records, false)
	wantCommitted(t, cl, len(sent))
}

func TestLostMemberDropsItsBatch(t *testing.T) {
	c := cluster(t, 2)
	cl := client(t, c)
	// The first member's connection breaks in the middle of its work; the group
	// goes on without it, and the second member answers what is left.
	var l link
	slowly := func(_ context.Context, rec execution.Record, done func(execution.Outcome)) {
		time.AfterFunc(time.Duration(rec.Offset%5)*time.Millisecond, func() { done(answerTo(rec)) })
	}
	o := optionsFor(t, c, ExactlyOnce, &fakeRunner{run: slowly})
	o.ClientOptions = []kgo.Opt{kgo.Dialer(l.dial), kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond })}
	first := start(t, o)
	out := read(t, c, outputs)
	var sent []*kgo.Record
	more := func(n int) {
		var batch []*kgo.Record
		for range n {
			batch = append(batch, input(fmt.Sprintf("plan-%d", len(sent)%9), fmt.Sprint(len(sent))))
			sent = append(sent, batch[len(batch)-1])
		}
		send(t, cl, batch...)
	}
	more(1000)
	out.count(100)
	l.set(true)
	o.ClientOptions, o.Registerer = nil, nil
	second := start(t, o)
	more(200)
	out.count(len(sent))
	l.set(false)
	eventually(t, "both to have a partition", func() bool {
		return len(first.Status().Partitions) == 1 && len(second.Status().Partitions) == 1
	})
	more(200)
	out.count(len(sent))
	first.stop()
	second.stop()
	checkAnswers(t, sent, out.records, false)
	wantCommitted(t, cl, len(sent))
}

func TestMissingTransactionRights(t *testing.T) {
	c := cluster(t, 1)
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, TopLevel: true, Err: kerr.TransactionalIDAuthorizationFailed, Count: -1})
	err := start(t, optionsFor(t, c, ExactlyOnce, &fakeRunner{})).wait()
	var access *AccessError
	if !errors.As(err, &access) {
		t.Fatalf("Run() = %v, want an AccessError", err)
	}
	for _, want := range []string{"exactly-once", "Write on transactional ids", `"` + group + `/"`, "DELIVERY=at-least-once"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %s", err, want)
		}
	}
}

func TestFencedWithinATransaction(t *testing.T) {
	// Another process with the same transactional id takes over between the answers of
	// a transaction and their offsets, which aborts it. The id's epoch is the other's now.
	// Were this process to abort once more, kfake would take that for a retry and hand out
	// that epoch: what one of the two began the other would commit.
	c := cluster(t, 2)
	cl := client(t, c)
	o := optionsFor(t, c, ExactlyOnce, &fakeRunner{})
	o.InstanceID = "a"
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	other := client(t, c, kgo.TransactionalID(group+"/a"), kgo.TransactionTimeout(time.Minute), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	sent := []*kgo.Record{input("plan", "1"), input("plan", "2")}
	fencing, foreign := make(chan error, 1), make(chan error, 1)
	var commits atomic.Int32
	c.ControlKey(int16(kmsg.TxnOffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		switch commits.Add(1) {
		case 1:
			c.SleepControl(func() {
				_, _, err := other.ProducerID(ctx)
				fencing <- err
			})
		case 2:
			c.SleepControl(func() {
				if err := other.BeginTransaction(); err != nil {
					foreign <- err
					return
				}
				r := &kgo.Record{Topic: outputs, Partition: 1 - sent[0].Partition, Value: []byte("foreign")}
				foreign <- other.ProduceSync(ctx, r).FirstErr()
			})
		}
		return nil, nil, false
	})
	start(t, o)
	send(t, cl, sent...)
	checkAnswers(t, sent, read(t, c, outputs).count(2), false)
	if err := <-fencing; err != nil {
		t.Errorf("the other got no producer id: %v", err)
	}
	if err := <-foreign; err == nil {
		t.Error("the other's record got into this process's transaction")
	}
}

func TestTransactionIsProducedByOneRequest(t *testing.T) {
	// A broker holds a second one up, for 20 ms and more, until the first has added its
	// partitions to the transaction.
	c := cluster(t, 4)
	cl := client(t, c)
	var requests, most atomic.Int32
	c.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		requests.Store(0)
		return nil, nil, false
	})
	var sent []*kgo.Record
	for i := range 2000 {
		sent = append(sent, input(fmt.Sprintf("plan-%d", i%20), fmt.Sprint(i)))
	}
	send(t, cl, sent...)
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		most.Store(max(most.Load(), requests.Add(1)))
		return nil, nil, false
	})
	start(t, optionsFor(t, c, ExactlyOnce, &fakeRunner{}))
	checkAnswers(t, sent, read(t, c, outputs).count(len(sent)), false)
	if n := most.Load(); n != 1 {
		t.Errorf("up to %d produce requests in one transaction, want 1", n)
	}
}

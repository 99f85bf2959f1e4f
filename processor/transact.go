package processor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// transactionTimeout is when the broker gives up a transaction by itself. A cycle
// takes milliseconds.
const transactionTimeout = 10 * time.Second

// transactor is what the committer keeps between transactions.
type transactor struct {
	// seq makes the nonce of each transaction.
	seq int64
	// client produces within transactions. It is nil, and must be made anew before
	// another transaction begins, where the last one was fenced, or is in an
	// unknown state.
	client *kgo.Client
	// loaded are the partitions that client was seen to know; see awaitLoaded.
	loaded map[topicPartition]bool
	// old brokers have transactions before KIP-890 part 2: groups are added to a
	// transaction by a request of its own.
	old bool
}

type topicPartition struct {
	topic     string
	partition int32
}

// proposal is one transaction in the making: what to commit along with a batch.
type proposal struct {
	batch      []*entry
	commits    map[*partition]commit // as the books will know it
	sent       map[*partition]commit // the same with the nonce in the metadata
	member     string
	generation int32
}

// transact emits a batch and commits its offsets in one transaction. It returns
// what is left to do, which is the whole batch or nothing: after an abort the
// batch is replayed from memory, with the partitions that are still ours and the
// group's generation of then. Nothing is run again and nothing is fetched again.
func (c *committer) transact(ctx context.Context, batch []*entry) (left []*entry) {
	cycle, cancel := c.core.beginCycle(ctx)
	defer cancel()
	// Also without a batch: what the client before left hanging may be why there is
	// none. Nothing is read from a partition while a transaction holds its offsets.
	if err := c.openTransactions(cycle); err != nil {
		var link *net.OpError
		if len(batch) > 0 || !errors.As(err, &link) {
			c.transactionFailed(cycle, "open", err)
		}
		// Else no commit failed: that the broker is away is said of the connection.
		return batch
	}
	if len(batch) == 0 {
		return nil
	}
	answers := c.prepare(batch)
	silent, answers := unanswerable(answers)
	c.finished(silent)
	if len(answers) == 0 {
		return nil
	}
	p, ok := c.propose(answers)
	if !ok {
		return entries(answers)
	}
	client := c.txn.client
	if err := client.BeginTransaction(); err != nil {
		c.closeTransactions()
		c.transactionFailed(cycle, "begin", err)
		return p.batch
	}
	if !c.fill(cycle, client, answers, p) {
		c.abort(cycle)
		return p.batch
	}
	// The outcome of this request must be known: see resolve.
	if err := client.EndTransaction(cycle, kgo.TryCommit); err != nil {
		c.transactionFailed(cycle, "end", err)
		if committed := c.resolve(ctx, p); !committed {
			return p.batch
		}
	}
	for i := range answers {
		c.countLetter(&answers[i])
	}
	c.core.accept(p.commits)
	c.finished(p.batch)
	return nil
}

// fill puts answers and offsets into the transaction. It reports whether it may
// be committed: franz-go would commit what is there of it, too.
func (c *committer) fill(ctx context.Context, client *kgo.Client, answers []answer, p proposal) bool {
	produce(ctx, client, answers)
	ok := true
	for i := range answers {
		ok = c.acknowledged(&answers[i], len(answers) == 1) && ok
	}
	c.reportRefused(ctx)
	if !ok {
		return false
	}
	// Offsets go after the records, never beside them: two requests that add to
	// one transaction at the same time meet CONCURRENT_TRANSACTIONS.
	if err := c.offsets(ctx, client, p); err != nil {
		c.transactionFailed(ctx, "offsets", err)
		if errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) {
			// Who fenced us has aborted the transaction. To abort it once more could be taken
			// for a retry of that, and be answered with the epoch that is the other's now: two
			// producers would share one transaction.
			c.closeTransactions()
		}
		return false
	}
	if err := c.awaitLoaded(ctx, client, answers); err != nil {
		c.transactionFailed(ctx, "load partitions", err)
		return false
	}
	return true
}

// awaitLoaded waits until the client, asked for what it knows, knows each partition
// that answers went to.
//
// EndTransaction looks there for partitions with records to commit, and where it
// sees none it aborts instead, and returns nil: the answers would be gone, and the
// books say that they are emitted. It can see none although all are acknowledged.
// Where a topic is produced to for the first time, franz-go's metadata goroutine
// puts the waiting records into their partitions' buffers first and publishes the
// partitions after that; if it is held up in between, the records are produced,
// acknowledged, and their transaction ended before. It then also misses those
// partitions when it resets sequence numbers for the next transaction.
func (c *committer) awaitLoaded(ctx context.Context, client *kgo.Client, answers []answer) error {
	for i := range answers {
		for _, r := range answers[i].records {
			tp := topicPartition{r.Topic, r.Partition}
			for !c.txn.loaded[tp] {
				leader, _, _ := client.PartitionLeader(tp.topic, tp.partition)
				c.txn.loaded[tp] = leader >= 0
				if leader < 0 && !sleep(ctx, time.Millisecond) {
					return context.Cause(ctx)
				}
			}
		}
	}
	return nil
}

// unanswerable splits off the entries that put nothing on a topic.
func unanswerable(answers []answer) (silent []*entry, rest []answer) {
	rest = answers[:0]
	for _, a := range answers {
		if len(a.records) == 0 {
			silent = append(silent, a.entry)
		} else {
			rest = append(rest, a)
		}
	}
	return silent, rest
}

func entries(answers []answer) []*entry {
	batch := make([]*entry, len(answers))
	for i := range answers {
		batch[i] = answers[i].entry
	}
	return batch
}

// propose computes what to commit as if the batch were done. It reports false
// where this process is not in the group: the broker would take such a commit
// without checking whose the partitions are.
//
// Partitions that died since the batch was taken are caught here or by the
// broker. The group's callback must take core's mutex to let a partition die, so
// either this snapshot sees it dead, or it was alive when member and generation
// were read; and a partition can be somebody else's only in a later generation,
// with which the broker refuses this commit.
func (c *committer) propose(answers []answer) (proposal, bool) {
	c.txn.seq++
	nonce := fmt.Sprintf("%s.%d", c.incarnation, c.txn.seq)
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	p := proposal{commits: make(map[*partition]commit), sent: make(map[*partition]commit)}
	p.member, p.generation = c.consumer.GroupMetadata()
	if p.member == "" || p.generation < 0 {
		return p, false
	}
	byPart := make(map[*partition][]*entry)
	for i := range answers {
		e := answers[i].entry
		if e.Data.part.dead {
			return p, false // The next cycle takes the batch without it.
		}
		byPart[e.Data.part] = append(byPart[e.Data.part], e)
		p.batch = append(p.batch, e)
	}
	for part, batch := range byPart {
		position, finished := part.books.Snapshot(batch)
		p.commits[part] = part.noted(position, finished, "")
		p.sent[part] = part.noted(position, finished, nonce)
	}
	return p, true
}

// accept notes commits that came with a transaction.
func (c *core) accept(commits map[*partition]commit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, at := range commits {
		p.committed = at
	}
}

// offsets adds the commit to the transaction, in the name of the consumer.
func (c *committer) offsets(ctx context.Context, client *kgo.Client, p proposal) error {
	id, epoch, err := client.ProducerID(ctx)
	if err != nil {
		return err
	}
	if c.txn.old {
		add := kmsg.NewPtrAddOffsetsToTxnRequest()
		add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = c.transactionalID, id, epoch, c.opts.Group
		resp, err := add.RequestWith(ctx, client)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		if err != nil {
			return err
		}
	}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID = c.transactionalID
	req.Group = c.opts.Group
	req.ProducerID, req.ProducerEpoch = id, epoch
	req.MemberID, req.Generation, req.InstanceID = p.member, p.generation, c.instanceID()
	topic := kmsg.NewTxnOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID = c.input, c.inputID()
	for part, at := range p.sent {
		rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		rp.Partition, rp.Offset, rp.LeaderEpoch, rp.Metadata = part.number, at.offset, at.epoch, kmsg.StringPtr(at.metadata)
		topic.Partitions = append(topic.Partitions, rp)
	}
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	answered := 0
	for _, t := range resp.Topics {
		for _, rp := range t.Partitions {
			if err := kerr.ErrorForCode(rp.ErrorCode); err != nil {
				return err
			}
			answered++
		}
	}
	if answered != len(p.sent) {
		return fmt.Errorf("%d of %d offsets were answered", answered, len(p.sent))
	}
	return nil
}

// abort ends a transaction that must not be committed. Where that fails the
// client is made anew, which ends the transaction as well.
func (c *committer) abort(ctx context.Context) {
	client := c.txn.client
	if client == nil {
		return
	}
	err := client.EndTransaction(ctx, kgo.TryAbort)
	if err == nil {
		_, _, err = client.ProducerID(ctx)
	}
	if err != nil {
		c.log.Debug("transaction could not be aborted; the producer is made anew", "error", err)
		c.closeTransactions()
	}
}

// transactionFailed counts and logs, but is silent about what a rebalance brings.
func (c *committer) transactionFailed(ctx context.Context, step string, err error) {
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, kerr.RebalanceInProgress), errors.Is(err, kerr.IllegalGeneration), errors.Is(err, kerr.UnknownMemberID):
		c.log.Debug("transaction refused in a rebalance", "step", step, "error", err)
	case c.instanceTaken(err):
	case fatal(err):
		c.fail(c.transactionAccess(err))
	default:
		if doubtful(err) {
			c.doubtTopics()
		}
		c.kafkaError("commit", "transaction failed; trying again", err, "step", step, "transactional_id", c.transactionalID)
	}
}

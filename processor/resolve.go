package processor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"starplan/internal/rights"
)

// newIncarnation names this start of this process. Its transactional id is the
// group's, a slash and this: no two processes share one, so nobody fences a live
// process but to end what a dead one left hanging.
func newIncarnation() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	safe := func(r rune) rune {
		if r < '0' || r > 'z' || r == ':' || r == '/' {
			return '-'
		}
		return r
	}
	host = strings.Map(safe, host)
	return fmt.Sprintf("%.60s-%d-%s", host, os.Getpid(), strconv.FormatInt(time.Now().UnixNano(), 36))
}

// openTransactions makes the transactional client, where there is none, and gets
// its producer id, which ends whatever an earlier client of this process left
// hanging.
func (c *committer) openTransactions(ctx context.Context) error {
	if c.txn.client != nil {
		return nil
	}
	client, err := kgo.NewClient(c.transactionalOptions()...)
	if err != nil {
		return err
	}
	id, _, err := client.ProducerID(ctx)
	if err == nil && id < 0 {
		err = kerr.UnsupportedVersion
	}
	if err != nil {
		client.Close()
		return err
	}
	c.txn.client, c.txn.loaded = client, make(map[topicPartition]bool)
	return nil
}

// closeTransactions gives up the transactional client.
func (c *committer) closeTransactions() {
	if c.txn.client != nil {
		c.txn.client.Close()
		c.txn.client = nil
	}
}

func (c *committer) transactionalOptions() []kgo.Opt {
	opts := append(c.producing(),
		kgo.TransactionalID(c.transactionalID),
		kgo.TransactionTimeout(transactionTimeout),
		// The markers of the transaction before may still be on their way. The
		// client's own waits, of 20 ms and more, would be those of each cycle.
		kgo.ConcurrentTransactionsBackoff(3*time.Millisecond),
		kgo.MetadataMinAge(20*time.Millisecond),
	)
	if c.txn.old {
		versions := kversion.Stable()
		versions.SetMaxKeyVersion(kmsg.TxnOffsetCommit.Int16(), 4)
		opts = append(opts, kgo.MaxVersions(versions))
	}
	return opts
}

// prove makes sure, before anything is consumed, that the broker lets this process
// do transactions. It waits for a broker that is away.
func (c *committer) prove(ctx context.Context) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 3*time.Second) {
		err := c.tryTransactions(ctx)
		switch {
		case err == nil:
			c.membership.set(func(m *membership) { m.waiting = "" })
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case fatal(err), errors.Is(err, kerr.UnsupportedVersion):
			return c.transactionAccess(err)
		}
		c.membership.set(func(m *membership) { m.waiting = "no producer id: " + err.Error() })
		c.log.Warn("waiting for a transactional producer id", "error", err, "retry_in", wait)
		if !sleep(ctx, wait) {
			return context.Cause(ctx)
		}
	}
}

// tryTransactions learns which transactions the broker has, and opens the client.
func (c *committer) tryTransactions(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	resp, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, c.producer)
	if err != nil {
		return err
	}
	c.txn.old = true
	for _, f := range resp.FinalizedFeatures {
		if f.Name == "transaction.version" && f.MaxVersionLevel >= 2 {
			c.txn.old = false
		}
	}
	return c.openTransactions(ctx)
}

// transactionAccess names the right that transactions need, and the alternative.
func (c *committer) transactionAccess(err error) error {
	e := c.accessError("exactly-once delivery with transactional id "+c.transactionalID, c.input, err)
	const alternative = "set DELIVERY=at-least-once"
	switch {
	case e.Remedy == "":
		e.Remedy = alternative
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		e.Remedy += "; or " + alternative
	}
	return e
}

// resolve finds out whether a transaction was committed whose end is unknown. The
// producer is made anew with the same transactional id, which ends whatever
// hangs. Then the committed metadata of a partition that is still ours says it:
// the nonce was in this transaction and in no other. Where none is ours any more
// the answer is no, and the batch has nobody left to replay.
func (c *committer) resolve(ctx context.Context, p proposal) (committed bool) {
	c.closeTransactions()
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		part := c.core.oneAlive(p.sent)
		if part == nil || ctx.Err() != nil {
			return false
		}
		cycle, cancel := c.core.beginCycle(ctx)
		err := c.openTransactions(cycle)
		var at commit
		if err == nil {
			at, err = c.readBack(cycle, c.consumer, part.number)
		}
		cancel()
		if err == nil {
			committed = at.metadata == p.sent[part].metadata // The nonce is in it.
			c.log.Info("outcome of a transaction was read back", "committed", committed, "partition", part.number, "offset", at.offset)
			return committed
		}
		c.transactionFailed(cycle, "read back", err)
		sleep(ctx, wait) // The next round sees that ctx has ended.
	}
}

// oneAlive gives a partition that is still ours, or nil.
func (c *core) oneAlive(parts map[*partition]commit) *partition {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p := range parts {
		if !p.dead {
			return p
		}
	}
	return nil
}

// readBack asks for a committed offset, and refuses one that a transaction may
// still change.
func (p *Processor) readBack(ctx context.Context, client *kgo.Client, number int32) (commit, error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.RequireStable = true
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = p.opts.Group
	t := kmsg.NewOffsetFetchRequestGroupTopic()
	t.Topic, t.TopicID, t.Partitions = p.input, p.inputID(), []int32{number}
	g.Topics = append(g.Topics, t)
	req.Groups = append(req.Groups, g)
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return commit{}, err
	}
	for _, g := range resp.Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil {
			return commit{}, err
		}
		for _, t := range g.Topics {
			for _, tp := range t.Partitions {
				if err := kerr.ErrorForCode(tp.ErrorCode); err != nil {
					return commit{}, err
				}
				at := commit{offset: tp.Offset, epoch: tp.LeaderEpoch}
				if tp.Metadata != nil {
					at.metadata = *tp.Metadata
				}
				return at, nil
			}
		}
	}
	return commit{}, errors.New("offset fetch: empty answer")
}

// reapTimeout bounds what a new assignment costs in which something hangs: nothing
// is polled meanwhile.
const reapTimeout = 500 * time.Millisecond

// reap ends the transactions that dead members of the group left hanging. Offsets
// in them are pending: until the broker gives them up by itself, up to 20 s later,
// the new owner would get no committed offset to begin with. Records in them stop
// every read_committed reader of their partitions. It is for the group's callback
// that brings new partitions, and waits until their offsets can be read.
func (p *Processor) reap(ctx context.Context, client *kgo.Client, numbers []int32) {
	ctx, cancel := context.WithTimeout(ctx, reapTimeout)
	defer cancel()
	p.fenceDead(ctx, kadm.NewClient(client), client)
	for !p.stable(ctx, client, numbers) {
		if !sleep(ctx, 10*time.Millisecond) {
			return // franz-go goes on asking for the offsets.
		}
	}
}

// stable reports whether no transaction holds offsets of the partitions.
func (p *Processor) stable(ctx context.Context, client *kgo.Client, numbers []int32) bool {
	for _, n := range numbers {
		if _, err := p.readBack(ctx, client, n); errors.Is(err, kerr.UnstableOffsetCommit) {
			return false
		}
	}
	return true
}

// fenceDead fences the group's transactional ids whose processes are not in the
// group. A process that is, but was taken for dead by mistake, makes its producer
// anew and replays.
func (p *Processor) fenceDead(ctx context.Context, admin *kadm.Client, client *kgo.Client) {
	groups, err := admin.DescribeGroups(ctx, p.opts.Group)
	if err != nil {
		p.log.Debug("hanging transactions cannot be looked into", "error", err)
		return
	}
	alive := make(map[string]bool)
	for _, m := range groups[p.opts.Group].Members {
		alive[m.ClientID] = true
	}
	open, err := admin.ListTransactions(ctx, nil, []string{"Ongoing"})
	if err != nil {
		p.log.Debug("hanging transactions cannot be listed", "error", err)
		return
	}
	for id := range open {
		tail, ours := strings.CutPrefix(id, rights.TransactionalPrefix(p.opts.Group))
		if !ours || strings.Contains(tail, "/") || alive[id] {
			continue
		}
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionalID = kmsg.StringPtr(id)
		req.TransactionTimeoutMillis = int32(transactionTimeout.Milliseconds())
		resp, err := req.RequestWith(ctx, client)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		p.log.Info("ended a transaction that a dead member left hanging", "transactional_id", id, "error", err)
	}
}

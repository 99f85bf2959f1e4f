package processor

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// commit sends the positions that have moved. A failure is no loss: they stay
// dirty, and the next cycle tries again.
func (c *committer) commit(ctx context.Context) {
	commits := c.core.commits()
	if len(commits) == 0 {
		return
	}
	member, generation := c.consumer.GroupMetadata()
	if member == "" || generation < 0 {
		// The broker would accept it without checking whose the partitions are.
		c.core.committed(commits, nil)
		return
	}
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = c.opts.Group
	req.MemberID = member
	req.Generation = generation
	req.InstanceID = c.instanceID()
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic = c.input
	topic.TopicID = c.inputID()
	for p, at := range commits {
		part := kmsg.NewOffsetCommitRequestTopicPartition()
		part.Partition = p.number
		part.Offset, part.LeaderEpoch = at.offset, at.epoch
		part.Metadata = kmsg.StringPtr(at.metadata)
		topic.Partitions = append(topic.Partitions, part)
	}
	req.Topics = append(req.Topics, topic)
	ctx, cancel := context.WithTimeout(ctx, c.opts.SessionTimeout)
	defer cancel()
	resp, err := req.RequestWith(ctx, c.consumer)
	if err != nil {
		c.core.committed(commits, nil)
		c.commitFailed(ctx, err)
		return
	}
	ok := make(map[int32]bool)
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				c.commitFailed(ctx, err)
			} else {
				ok[p.Partition] = true
			}
		}
	}
	c.core.committed(commits, ok)
}

// instanceID is what requests in the consumer's name carry; nil for none.
func (p *Processor) instanceID() *string {
	if p.opts.InstanceID == "" {
		return nil
	}
	return &p.opts.InstanceID
}

// commitFailed is silent about what a rebalance brings with it.
func (c *committer) commitFailed(ctx context.Context, err error) {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
	case errors.Is(err, kerr.RebalanceInProgress), errors.Is(err, kerr.IllegalGeneration), errors.Is(err, kerr.UnknownMemberID):
		c.log.Debug("commit refused in a rebalance", "error", err)
	case c.instanceTaken(err):
	case fatal(err):
		c.fail(c.accessError("commit offsets of group "+c.opts.Group, c.input, err))
	default:
		if doubtful(err) {
			c.doubtTopics()
		}
		c.kafkaError("commit", "commit failed; trying again", err, "group", c.opts.Group)
	}
}

// commits gives what has moved since it was committed, and regards it as clean.
func (c *core) commits() map[*partition]commit {
	c.mu.Lock()
	defer c.mu.Unlock()
	var commits map[*partition]commit
	for _, p := range c.parts {
		if !p.dirty || p.books == nil {
			continue
		}
		position, finished := p.books.Snapshot(nil)
		at := p.noted(position, finished, "")
		p.dirty = false
		if at == p.committed {
			continue
		}
		if commits == nil {
			commits = make(map[*partition]commit)
		}
		commits[p] = at
	}
	return commits
}

// committed notes which partitions' commits the broker took; the others are
// dirty again.
func (c *core) committed(commits map[*partition]commit, ok map[int32]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, at := range commits {
		if ok[p.number] {
			p.committed = at
			c.moves++
		} else {
			p.dirty = true
		}
	}
}

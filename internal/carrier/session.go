package carrier

import (
	"context"

	"github.com/IBM/sarama"
)

// groupSession is a Session as sarama's handlers see it.
type groupSession struct {
	*Session
	ctx context.Context
}

// Claims gives the partitions by topic.
func (s *groupSession) Claims() map[string][]int32 {
	partitions := make([]int32, len(s.Session.Claims))
	for i, c := range s.Session.Claims {
		partitions[i] = c.Partition
	}
	return map[string][]int32{s.Topic: partitions}
}

// MemberID is the group member's id.
func (s *groupSession) MemberID() string { return s.Session.MemberID }

// GenerationID is the generation in which the session began.
func (s *groupSession) GenerationID() int32 { return s.Generation }

// Context ends with the session.
func (s *groupSession) Context() context.Context { return s.ctx }

// MarkOffset does nothing; nor do Commit, ResetOffset and MarkMessage. See the
// package comment.
func (s *groupSession) MarkOffset(string, int32, int64, string) {}

// Commit does nothing.
func (s *groupSession) Commit() {}

// ResetOffset does nothing.
func (s *groupSession) ResetOffset(string, int32, int64, string) {}

// MarkMessage does nothing.
func (s *groupSession) MarkMessage(*sarama.ConsumerMessage, string) {}

// groupClaim is a Claim as sarama's handlers see it.
type groupClaim struct {
	Claim
	topic    string
	messages chan *sarama.ConsumerMessage
}

// Topic is the claimed partition's topic.
func (c *groupClaim) Topic() string { return c.topic }

// Partition is the claimed partition.
func (c *groupClaim) Partition() int32 { return c.Claim.Partition }

// InitialOffset is unknown here: sessions begin before offsets were fetched.
func (c *groupClaim) InitialOffset() int64 { return sarama.OffsetNewest }

// HighWaterMarkOffset is the offset after the partition's last record.
func (c *groupClaim) HighWaterMarkOffset() int64 {
	if c.HighWater == nil {
		return 0
	}
	return c.HighWater()
}

// Messages gives the claim's records until the session ends.
func (c *groupClaim) Messages() <-chan *sarama.ConsumerMessage { return c.messages }

// feed hands records to goka until ctx ends, and closes the channel.
func (c *groupClaim) feed(ctx context.Context, from Feed) {
	defer close(c.messages)
	for {
		records := from.Next(ctx)
		if len(records) == 0 {
			return
		}
		for _, r := range records {
			// Headers stay behind: whoever answers the record has all of it.
			m := &sarama.ConsumerMessage{
				Timestamp: r.Timestamp,
				Key:       r.Key,
				Value:     r.Value,
				Topic:     r.Topic,
				Partition: r.Partition,
				Offset:    r.Offset,
			}
			select {
			case c.messages <- m:
			case <-ctx.Done():
				return
			}
		}
	}
}

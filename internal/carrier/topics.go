package carrier

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/IBM/sarama"
	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// requestTimeout bounds what goka asks without a context.
const requestTimeout = 10 * time.Second

// TopicManager gives a goka.TopicManagerBuilder that asks through client. It
// creates no topics: they belong to the platform.
func TopicManager(client *kgo.Client) goka.TopicManagerBuilder {
	return func([]string) (goka.TopicManager, error) {
		return &topicManager{admin: kadm.NewClient(client)}, nil
	}
}

type topicManager struct{ admin *kadm.Client }

// EnsureTableExists fails where the topic is missing.
func (m *topicManager) EnsureTableExists(topic string, npar int) error {
	return m.EnsureTopicExists(topic, npar, 0, nil)
}

// EnsureStreamExists fails where the topic is missing.
func (m *topicManager) EnsureStreamExists(topic string, npar int) error {
	return m.EnsureTopicExists(topic, npar, 0, nil)
}

// EnsureTopicExists fails where the topic is missing or has another number of
// partitions. Replication factor and configuration are not looked at.
func (m *topicManager) EnsureTopicExists(topic string, npar, _ int, _ map[string]string) error {
	partitions, err := m.Partitions(topic)
	if err != nil {
		return err
	}
	if len(partitions) != npar {
		return fmt.Errorf("topic %s: got %d partitions, want %d", topic, len(partitions), npar)
	}
	return nil
}

// Partitions gives the topic's partitions in ascending order.
func (m *topicManager) Partitions(topic string) ([]int32, error) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	return partitions(ctx, m.admin, topic)
}

// GetOffset gives the offset of the first record at or after a time in
// milliseconds, where -1 asks for the end and -2 for the start of the log.
func (m *topicManager) GetOffset(topic string, partition int32, millis int64) (int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	var list kadm.ListedOffsets
	var err error
	switch millis {
	case sarama.OffsetNewest:
		list, err = m.admin.ListEndOffsets(ctx, topic)
	case sarama.OffsetOldest:
		list, err = m.admin.ListStartOffsets(ctx, topic)
	default:
		list, err = m.admin.ListOffsetsAfterMilli(ctx, millis, topic)
	}
	if err != nil {
		return 0, fmt.Errorf("offset of %s/%d: %w", topic, partition, err)
	}
	o, ok := list.Lookup(topic, partition)
	if !ok {
		return 0, fmt.Errorf("offset of %s/%d: %w", topic, partition, kerr.UnknownTopicOrPartition)
	}
	return o.Offset, o.Err
}

// Close does nothing: the client belongs to whoever made it.
func (m *topicManager) Close() error { return nil }

// Consumer gives a goka.SaramaConsumerBuilder. goka reads tables with such a
// consumer, and takes high-water marks from it for its statistics; a processor
// without tables needs the marks alone.
func Consumer(client *kgo.Client, highWater func() map[string]map[int32]int64) goka.SaramaConsumerBuilder {
	return func([]string, string) (sarama.Consumer, error) {
		return &consumer{admin: kadm.NewClient(client), highWater: highWater}, nil
	}
}

type consumer struct {
	admin     *kadm.Client
	highWater func() map[string]map[int32]int64
}

// errTables is the answer to whoever wants to read a table.
var errTables = errors.New("carrier: reading single partitions is not supported: the processor has no tables")

// Topics lists all topics that the client may see.
func (c *consumer) Topics() ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	list, err := c.admin.ListTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	return list.Names(), nil
}

// Partitions gives the topic's partitions in ascending order.
func (c *consumer) Partitions(topic string) ([]int32, error) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	return partitions(ctx, c.admin, topic)
}

// ConsumePartition is not supported.
func (c *consumer) ConsumePartition(string, int32, int64) (sarama.PartitionConsumer, error) {
	return nil, errTables
}

// HighWaterMarks gives the offset after each partition's last record.
func (c *consumer) HighWaterMarks() map[string]map[int32]int64 { return c.highWater() }

// Close does nothing: the client belongs to whoever made it.
func (c *consumer) Close() error { return nil }

// Pause does nothing; nor do Resume, PauseAll and ResumeAll.
func (c *consumer) Pause(map[string][]int32) {}

// Resume does nothing.
func (c *consumer) Resume(map[string][]int32) {}

// PauseAll does nothing.
func (c *consumer) PauseAll() {}

// ResumeAll does nothing.
func (c *consumer) ResumeAll() {}

func partitions(ctx context.Context, admin *kadm.Client, topic string) ([]int32, error) {
	list, err := admin.ListTopics(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("partitions of topic %s: %w", topic, err)
	}
	detail, ok := list[topic]
	if !ok {
		return nil, fmt.Errorf("partitions of topic %s: %w", topic, kerr.UnknownTopicOrPartition)
	}
	if detail.Err != nil {
		return nil, fmt.Errorf("partitions of topic %s: %w", topic, detail.Err)
	}
	numbers := detail.Partitions.Numbers()
	sort.Slice(numbers, func(i, j int) bool { return numbers[i] < numbers[j] })
	return numbers, nil
}

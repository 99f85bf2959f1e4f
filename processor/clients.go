package processor

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/internal/carrier"
)

const (
	// leaveTimeout bounds the leaving of the group, which the broker may not answer.
	leaveTimeout = 2 * time.Second
	// minRebalance is the least time that members get to give up partitions.
	minRebalance = 5 * time.Second
	// maxHeartbeat is the longest time between two heartbeats, and so until a member
	// hears that another has left and that its partitions are to be had.
	maxHeartbeat = 500 * time.Millisecond
	// maxPoll is the number of records that one poll may bring.
	maxPoll = 2000
)

// common are the options of both clients.
func (p *Processor) common(c *contact) []kgo.Opt {
	return append(append([]kgo.Opt{kgo.RetryBackoffFn(backoff)}, p.opts.ClientOptions...),
		kgo.SeedBrokers(p.opts.Brokers...),
		kgo.WithLogger(carrier.KafkaLogger(p.faults)),
		kgo.WithHooks(c),
		kgo.DialTimeout(5*time.Second),
		kgo.DisableClientMetrics(),
		// In a description of the group it tells whose transactions are alive.
		kgo.ClientID(p.transactionalID),
	)
}

// backoff is the time before try number fails+1, jittered. franz-go's own grows to
// five seconds, which the group would stay without members after a broker has
// come back.
func backoff(fails int) time.Duration {
	d := min(100*time.Millisecond<<min(max(fails-1, 0), 10), time.Second)
	return d*4/5 + rand.N(d*2/5)
}

// producing are the options of clients that emit answers. Records are tried for as
// long as it takes: an answer is never given up.
func (p *Processor) producing() []kgo.Opt {
	return append(p.common(&p.producerContact),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), // murmur2, as Java and Python place keys
		kgo.ProducerBatchCompression(p.opts.Compression.codecs()...),
		kgo.ProducerBatchMaxBytesFn(func(string) int32 { return int32(p.maxRecord()) }),
		// The committer flushes; until then records of a partition gather in one batch, and
		// batches in one request to each broker. In a transaction, a second request under
		// way would wait for the first to have added its partitions.
		kgo.ProducerLinger(time.Second),
		kgo.MaxBufferedRecords(1<<20),
	)
}

// openProducer makes the client that asks the administrative questions and, at
// least once, emits answers. For exactly once the committer has another, which it
// makes anew after each failure that leaves a transaction in doubt.
func (p *Processor) openProducer() error {
	p.producerContact.begin()
	client, err := kgo.NewClient(append(p.producing(), kgo.MetadataMinAge(250*time.Millisecond))...)
	if err != nil {
		return fmt.Errorf("processor: producer: %w", err)
	}
	p.producer = client
	p.admin = kadm.NewClient(client)
	return nil
}

// closeProducer may be called twice.
func (p *Processor) closeProducer() {
	p.producerContact.stop()
	p.producer.Close()
}

// openConsumer makes the client that is the group's member. It joins at once.
func (p *Processor) openConsumer() error {
	p.consumerContact.begin()
	opts := append(p.common(&p.consumerContact),
		kgo.ConsumerGroup(p.opts.Group),
		kgo.ConsumeTopics(p.input),
		kgo.Balancers(carrier.Balancer(Assignor(p.opts.Serving))),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(p.opts.SessionTimeout),
		// A heartbeat is also how a member hears of a rebalance.
		kgo.HeartbeatInterval(min(p.opts.SessionTimeout/10, maxHeartbeat)),
		// A member that dies within a rebalance holds up all others for this long. The
		// callbacks of ours take two seconds at most.
		kgo.RebalanceTimeout(max(p.opts.SessionTimeout, minRebalance)),
		kgo.OnPartitionsAssigned(p.assigned),
		kgo.OnPartitionsRevoked(p.revoked),
		kgo.OnPartitionsLost(p.lost),
		kgo.OnOffsetsFetched(p.offsetsFetched),
		kgo.AdjustFetchOffsetsFn(p.adjustOffsets),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(16<<20),
		kgo.FetchMaxWait(time.Second),
		kgo.MetadataMinAge(250*time.Millisecond),
	)
	if p.opts.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(p.opts.InstanceID))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("processor: consumer: %w", err)
	}
	p.consumer = client
	return nil
}

func (p *Processor) closeConsumer() {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	p.consumerContact.stop()
	p.consumer.AllowRebalance()
	if err := p.consumer.LeaveGroupContext(ctx); err != nil {
		p.log.Warn("the group could not be left; it will miss this member after the session timeout", "error", err)
	}
	p.consumer.CloseAllowingRebalance()
	// Close polls a last time, which would block the second leaving in it for ever.
	p.consumer.AllowRebalance()
	if err := p.bridge.End(ctx); err != nil {
		p.log.Warn("goka session did not end", "error", err)
	}
}

package processor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/internal/carrier"
)

const (
	// probeTimeout bounds one look at the topics.
	probeTimeout = 5 * time.Second
	// leaveTimeout bounds the leaving of the group, which the broker may not answer.
	leaveTimeout = 2 * time.Second
	// minRebalance is the least time that members get to give up partitions.
	minRebalance = 5 * time.Second
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
		kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.NoCompression()),
		kgo.ProducerBatchMaxBytesFn(func(string) int32 { return int32(p.maxRecord()) }),
	)
}

// openProducer makes the client that asks the administrative questions and, at
// least once, emits answers. For exactly once the committer has another, which it
// makes anew after each failure that leaves a transaction in doubt.
func (p *Processor) openProducer() error {
	client, err := kgo.NewClient(append(p.producing(),
		kgo.MetadataMinAge(250*time.Millisecond),
		// The committer flushes; until then records of a partition gather in one batch.
		kgo.ProducerLinger(time.Second),
		kgo.MaxBufferedRecords(1<<20),
	)...)
	if err != nil {
		return fmt.Errorf("processor: producer: %w", err)
	}
	p.producer = client
	p.admin = kadm.NewClient(client)
	return nil
}

func (p *Processor) closeProducer() {
	p.closed.Do(func() {
		p.producerContact.stop()
		p.producer.Close()
	})
}

// openConsumer makes the client that is the group's member. It joins at once.
func (p *Processor) openConsumer() error {
	client, err := kgo.NewClient(append(p.common(&p.consumerContact),
		kgo.ConsumerGroup(p.opts.Group),
		kgo.ConsumeTopics(p.input),
		kgo.Balancers(carrier.Balancer(Assignor(p.opts.Serving))),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(p.opts.SessionTimeout),
		kgo.HeartbeatInterval(p.opts.SessionTimeout/10),
		// A member that dies within a rebalance holds up all others for this long. The
		// callbacks of ours take two seconds at most.
		kgo.RebalanceTimeout(max(p.opts.SessionTimeout, minRebalance)),
		kgo.OnPartitionsAssigned(p.assigned),
		kgo.OnPartitionsRevoked(p.revoked),
		kgo.OnPartitionsLost(p.lost),
		kgo.OnOffsetsFetched(p.offsetsFetched),
		kgo.AdjustFetchOffsetsFn(p.adjustOffsets),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(16<<20),
		kgo.FetchMaxWait(time.Second),
		kgo.MetadataMinAge(250*time.Millisecond),
	)...)
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

// probe waits until a broker answers and the topics are there, and learns what
// the output topic takes. It returns an error only for what waiting cannot mend.
func (p *Processor) probe(ctx context.Context) error {
	var why explanation
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 3*time.Second) {
		missing, err := p.look(ctx)
		if err == nil && missing == "" {
			err = p.permitted(ctx)
		}
		if err == nil && missing == "" {
			p.membership.set(func(m *membership) { m.waiting = "" })
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var access *AccessError
		if errors.As(err, &access) {
			return err
		}
		reason := missing
		if err != nil {
			why.of(ctx, p, err)
			if unwelcome(err) {
				return &AccessError{Err: fmt.Errorf("connect to %s: %w", strings.Join(p.opts.Brokers, ","), why.err)}
			}
			reason = "no broker answers: " + why.err.Error()
		}
		p.membership.set(func(m *membership) { m.waiting = reason })
		p.faults.Warn("waiting for kafka", "reason", reason, "brokers", p.opts.Brokers, "retry_in", wait)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

// look asks for the topics once. missing says which one is not there.
func (p *Processor) look(ctx context.Context) (missing string, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	topics := []string{p.input, p.output}
	if p.opts.DeadLetterTopic != "" {
		topics = append(topics, p.opts.DeadLetterTopic)
	}
	// One by one: an error over rights is one for the whole request.
	for _, t := range topics {
		list, err := p.admin.ListTopics(ctx, t)
		if err == nil {
			err = list[t].Err
		}
		switch {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			return fmt.Sprintf("topic %s does not exist", t), nil
		case fatal(err):
			if err := p.permitted(ctx); err != nil {
				return "", err // It names all that is missing.
			}
			return "", p.accessError("read about topic "+t, t, err)
		case err != nil:
			return "", err
		}
		if t == p.input {
			id := list[t].ID
			p.topicID.Store(&id)
		}
	}
	p.learnMaxBytes(ctx)
	return "", nil
}

// learnMaxBytes asks what the output topic takes. Without the right to ask, the
// default stands.
func (p *Processor) learnMaxBytes(ctx context.Context) {
	configs, err := p.admin.DescribeTopicConfigs(ctx, p.output)
	if err == nil {
		var config kadm.ResourceConfig
		if config, err = configs.On(p.output, nil); err == nil {
			err = config.Err
		}
		for _, c := range config.Configs {
			var n int64
			if c.Key != "max.message.bytes" || c.Value == nil {
				continue
			}
			if _, scanErr := fmt.Sscan(*c.Value, &n); scanErr == nil && n > 0 {
				// franz-go itself writes no request beyond 100 MiB.
				p.maxBytes.Store(min(n, 96<<20))
			}
		}
	}
	if err != nil {
		p.log.Info("max.message.bytes of the output topic is not known", "topic", p.output, "assumed", p.maxRecord(), "error", err)
	}
}

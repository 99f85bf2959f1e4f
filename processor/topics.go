package processor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

const (
	// probeTimeout bounds one look at the topics.
	probeTimeout = 5 * time.Second
	// topicsPause is how often it is looked whether the topics are still the same.
	topicsPause = 10 * time.Second
	// doubtPause is the least time between two looks, also where something asks for
	// more of them. A topic that was missing in two of them is gone.
	doubtPause = time.Second
)

// topicState is what the brokers say of one topic.
type topicState struct {
	// id is all zero where brokers have no ids of topics (before Kafka 2.8).
	id         kadm.TopicID
	partitions int
}

// topicGoneError ends one set of clients: they hold on to topics that are not
// there any more.
type topicGoneError struct {
	topic string
	how   string
}

func (e *topicGoneError) Error() string { return fmt.Sprintf("topic %s %s", e.topic, e.how) }

// topicNames are the topics that the processor needs.
func (p *Processor) topicNames() []string {
	names := []string{p.input, p.output}
	if p.opts.DeadLetterTopic != "" {
		names = append(names, p.opts.DeadLetterTopic)
	}
	return names
}

// probe waits until a broker answers and the topics are there, and learns what
// the output topic takes. It returns an error only for what waiting cannot mend.
func (p *Processor) probe(ctx context.Context) error {
	var why explanation
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 3*time.Second) {
		reason, err := p.tryProbe(ctx, &why)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		p.membership.set(func(m *membership) { m.waiting = reason })
		if reason == "" {
			return nil
		}
		p.faults.Warn("waiting for kafka", "reason", reason, "brokers", p.opts.Brokers, "retry_in", wait)
		if !sleep(ctx, wait) {
			return context.Cause(ctx)
		}
	}
}

// tryProbe gives what there is to wait for, or nothing.
func (p *Processor) tryProbe(ctx context.Context, why *explanation) (reason string, err error) {
	looking, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	topics, missing, err := p.look(looking)
	if err == nil && missing == "" {
		err = p.permitted(looking)
	}
	var access *AccessError
	switch {
	case errors.As(err, &access):
		return "", err
	case err != nil:
		why.of(ctx, p, err)
		if unwelcome(err) {
			return "", &AccessError{Err: fmt.Errorf("connect to %s: %w", strings.Join(p.opts.Brokers, ","), why.err)}
		}
		return "no broker answers: " + why.err.Error(), nil
	case missing != "":
		return fmt.Sprintf("topic %s does not exist", missing), nil
	}
	p.topics.Store(&topics)
	p.learnMaxBytes(looking)
	return "", nil
}

// look asks for the topics once. missing names one that is not there.
func (p *Processor) look(ctx context.Context) (topics map[string]topicState, missing string, err error) {
	topics = make(map[string]topicState)
	// One by one: an error over rights is one for the whole request.
	for _, t := range p.topicNames() {
		list, err := p.admin.ListTopics(ctx, t)
		if err == nil {
			err = list[t].Err
		}
		switch {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			return nil, t, nil
		case fatal(err):
			if err := p.permitted(ctx); err != nil {
				return nil, "", err // It names all that is missing.
			}
			return nil, "", p.accessError("read about topic "+t, t, err)
		case err != nil:
			return nil, "", err
		}
		topics[t] = topicState{list[t].ID, len(list[t].Partitions)}
	}
	return topics, "", nil
}

// watchTopics looks, now and then and when doubts arise, whether the topics are
// still those that the clients began with. franz-go holds on to a topic's id: one
// that was deleted and made anew under its name fails for good, so clients must
// be made anew, too. And partitions that were added should not wait for the
// clients' own look at the metadata, which they take every five minutes.
func (p *Processor) watchTopics(ctx context.Context) {
	tick := time.NewTicker(p.pause(topicsPause))
	defer tick.Stop()
	misses := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-p.doubt:
		}
		looking, cancel := context.WithTimeout(ctx, probeTimeout)
		now, missing, err := p.look(looking)
		cancel()
		switch {
		case err != nil:
			// The clients that carry records count and log what is wrong.
			p.log.Debug("topics could not be looked at", "error", err)
		case missing != "":
			if misses++; misses == 2 {
				p.fail(&topicGoneError{missing, "was deleted"})
				return
			}
			p.doubtTopics()
		default:
			misses = 0
			if err := p.compare(now); err != nil {
				p.fail(err)
				return
			}
		}
		// Faults come in swarms, and one look serves them all.
		if !sleep(ctx, p.pause(doubtPause)) {
			return
		}
	}
}

// compare gives an error where a topic is another than the clients began with.
func (p *Processor) compare(now map[string]topicState) error {
	then := *p.topics.Load()
	for name, t := range now {
		if t.id != then[name].id {
			return &topicGoneError{name, "was deleted and made anew"}
		}
	}
	if maps.Equal(now, then) {
		return nil
	}
	for name, t := range now {
		if n := then[name].partitions; n != t.partitions {
			p.log.Info("topic has another number of partitions", "topic", name, "partitions", t.partitions, "before", n)
		}
	}
	p.topics.Store(&now)
	p.consumer.ForceMetadataRefresh()
	p.producer.ForceMetadataRefresh()
	return nil
}

// doubtTopics has the topics looked at soon.
func (p *Processor) doubtTopics() {
	select {
	case p.doubt <- struct{}{}:
	default:
	}
}

// doubtful reports whether an error may mean that a topic is not there any more,
// or not the same.
func doubtful(err error) bool {
	return errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID)
}

// inputID is the input topic's id; all zero where there is none.
func (p *Processor) inputID() kadm.TopicID {
	if topics := p.topics.Load(); topics != nil {
		return (*topics)[p.input].id
	}
	return kadm.TopicID{}
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

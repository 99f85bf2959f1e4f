package processor

import (
	"context"
	"errors"
	"time"

	"github.com/lovoo/goka"

	"starplan/internal/carrier"
	"starplan/plan/execution"
)

// raw passes bytes. A codec that fails would end goka's processor for good, so
// that one bad record would stop the service.
type raw struct{}

// Encode gives the bytes.
func (raw) Encode(value any) ([]byte, error) {
	b, ok := value.([]byte)
	if !ok {
		return nil, errors.New("raw codec: want bytes")
	}
	return b, nil
}

// Decode gives the bytes.
func (raw) Decode(data []byte) (any, error) { return data, nil }

// graph is the goka group: the input with its callback, and the output, which the
// committer writes.
func (p *Processor) graph() *goka.GroupGraph {
	return goka.DefineGroup(goka.Group(p.opts.Group),
		goka.Input(goka.Stream(p.input), raw{}, p.callback),
		goka.Output(goka.Stream(p.output), raw{}),
	)
}

// callback takes on one record. It neither blocks nor uses its context after it
// has returned: DeferCommit keeps the record open in goka's eyes until the
// committer is done with it, or the session ends.
func (p *Processor) callback(ctx goka.Context, _ any) {
	release := ctx.DeferCommit()
	e, part, ok := p.core.submit(ctx.Partition(), ctx.Offset(), release)
	if !ok {
		release(nil)
		return
	}
	record := e.Data.record
	p.opts.Runner.Start(part.ctx, toRecord(record), func(o execution.Outcome) {
		// Before the committer sees it, who may correct it.
		if p.opts.Observer != nil {
			p.opts.Observer.Answered(toRecord(record), o)
		}
		if p.core.finish(part, e, o) {
			p.metrics.ended(o)
			p.logOutcome(record, o)
		}
	})
}

// runGoka keeps a goka processor running until ctx ends. Nothing is known to end
// one before; should it happen all the same, another is built.
func (p *Processor) runGoka(ctx context.Context) {
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		began := time.Now()
		proc, err := goka.NewProcessor(p.opts.Brokers, p.graph(),
			goka.WithClientID("starplan"),
			goka.WithConsumerGroupBuilder(p.bridge.ConsumerGroup),
			goka.WithConsumerSaramaBuilder(carrier.Consumer(p.producer, p.highWaters)),
			goka.WithProducerBuilder(carrier.Producer(p.producer)),
			goka.WithTopicManagerBuilder(carrier.TopicManager(p.producer)),
			goka.WithNilHandling(goka.NilProcess),
			goka.WithLogger(carrier.GokaLogger(p.log)),
		)
		if err == nil {
			p.membership.set(func(m *membership) { m.goka = "" })
			err = proc.Run(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("it ended without an error")
		}
		p.membership.set(func(m *membership) { m.goka = "goka processor ended: " + err.Error() })
		if time.Since(began) > time.Minute {
			wait = 250 * time.Millisecond
		}
		p.kafkaError("processor", "goka processor ended; building it anew", err, "retry_in", wait)
		if !sleep(ctx, wait) {
			return
		}
	}
}

// highWaters is what goka asks its consumer for.
func (p *Processor) highWaters() map[string]map[int32]int64 {
	marks := make(map[int32]int64)
	for _, part := range p.core.live() {
		marks[part.number] = p.core.highWater(part)
	}
	return map[string]map[int32]int64{p.input: marks}
}

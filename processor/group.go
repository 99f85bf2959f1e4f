package processor

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/internal/carrier"
)

const (
	// handover is how long a revoked partition waits for the committer, and how
	// long the callback waits after that for a cycle under way.
	handover = time.Second
	// sessionEnd bounds the end of a goka session, which takes milliseconds.
	sessionEnd = 10 * time.Second
)

// assigned is called when the group gave this member partitions: before their
// offsets are fetched, and while nothing is polled. After a partial revocation
// it is called with none.
func (p *Processor) assigned(ctx context.Context, client *kgo.Client, added map[string][]int32) {
	member, generation := client.GroupMetadata()
	p.membership.set(func(m *membership) { m.member, m.generation = member, generation })
	numbers := added[p.input]
	p.log.Info("joined the group", "group", p.opts.Group, "generation", generation, "new_partitions", numbers)
	if len(numbers) > 0 {
		p.metrics.rebalances.Inc()
		p.turn(func() { p.core.assign(p.runs, numbers) })
	}
	// Not before: without its partitions this member would look ready, and a record
	// that is produced then be passed over by a start at the end.
	p.membership.set(func(m *membership) { m.joined = true })
	if len(numbers) > 0 && p.opts.Delivery == ExactlyOnce {
		p.reap(ctx, client, numbers)
	}
}

// revoked is called when the group takes partitions away, or this member leaves.
// They are still ours while it runs. What is finished is emitted and committed;
// what runs is abandoned, and the next owner runs it again.
func (p *Processor) revoked(ctx context.Context, _ *kgo.Client, gone map[string][]int32) {
	numbers := gone[p.input]
	if len(numbers) == 0 {
		return
	}
	p.metrics.rebalances.Inc()
	p.log.Info("partitions revoked", "group", p.opts.Group, "partitions", numbers)
	p.core.freeze(numbers)
	p.core.seal(numbers)
	p.core.wakeCommitter()
	p.await(ctx, func() bool { return p.core.quiet(numbers, false) })
	p.turn(func() { p.core.kill(numbers) })
	// A commit that is under way must not arrive after this member has rejoined.
	p.await(ctx, func() bool { return !p.core.cycling })
}

// await waits for cond, but not longer than a handover may take.
func (p *Processor) await(ctx context.Context, cond func() bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), handover)
	defer cancel()
	p.core.wait(ctx, cond)
}

// lost is called when the group has gone on without us. Nothing can be committed.
func (p *Processor) lost(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	p.membership.set(func(m *membership) { m.joined = false })
	numbers := gone[p.input]
	if len(numbers) == 0 {
		return
	}
	p.metrics.rebalances.Inc()
	p.log.Warn("partitions lost", "group", p.opts.Group, "partitions", numbers)
	p.turn(func() { p.core.kill(numbers) })
	p.core.cutCycle()
}

// turn ends the goka session, changes what is ours, and begins a session with
// it. Runs on partitions that stay are not touched: they are ours, not goka's.
func (p *Processor) turn(change func()) {
	ctx, cancel := context.WithTimeout(context.Background(), sessionEnd)
	defer cancel()
	if err := p.bridge.End(ctx); err != nil {
		p.log.Error("goka session did not end", "error", err)
	}
	change()
	parts := p.core.live()
	if len(parts) == 0 {
		return
	}
	p.membership.mu.Lock()
	s := &carrier.Session{
		Topic:      p.input,
		MemberID:   p.membership.member,
		Generation: p.membership.generation,
		Open:       p.core.openSession,
		Release:    p.core.closeSession,
	}
	p.membership.mu.Unlock()
	for _, part := range parts {
		s.Claims = append(s.Claims, carrier.Claim{
			Partition: part.number,
			Open:      func() carrier.Feed { return p.core.newFeed(part) },
			HighWater: func() int64 { return p.core.highWater(part) },
		})
	}
	p.bridge.Begin(s)
}

func (c *core) highWater(p *partition) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return p.highWater
}

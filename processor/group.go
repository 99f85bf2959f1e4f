package processor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"starplan/internal/carrier"
	"starplan/internal/rights"
	"starplan/processor/ledger"
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
	p.membership.set(func(m *membership) { m.joined, m.member, m.generation = true, member, generation })
	numbers := added[p.input]
	p.log.Info("joined the group", "group", p.opts.Group, "generation", generation, "new_partitions", numbers)
	if len(numbers) == 0 {
		return
	}
	p.metrics.rebalances.Inc()
	if p.opts.Delivery == ExactlyOnce {
		p.reap(ctx, client, numbers)
	}
	p.turn(func() { p.core.assign(p.runs, numbers) })
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

// unplaced gives our partitions that have no books and are not in offsets.
func (c *core) unplaced(offsets map[int32]kgo.Offset) []int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	var numbers []int32
	for n, p := range c.parts {
		if _, ok := offsets[n]; p.books == nil && !ok {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

func (c *core) highWater(p *partition) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return p.highWater
}

// offsetsFetched takes the metadata, which franz-go does not keep. It is followed
// by adjustOffsets, in the same goroutine.
func (p *Processor) offsetsFetched(_ context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	p.fetched = make(map[int32]commit)
	for _, g := range resp.Groups {
		for _, t := range g.Topics {
			for _, part := range t.Partitions {
				f := commit{offset: part.Offset}
				if part.Metadata != nil {
					f.metadata = *part.Metadata
				}
				p.fetched[part.Partition] = f
			}
		}
	}
	return nil
}

// adjustOffsets gives new partitions their books, and says where to fetch: at the
// committed offset, or where the options say that a new group begins.
func (p *Processor) adjustOffsets(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	if forgotten := p.core.unplaced(offsets[p.input]); len(forgotten) > 0 {
		// franz-go goes on without partitions whose offset the broker refused to
		// tell, and does not ask again: nobody would read them. So join again.
		return nil, fmt.Errorf("no offsets for partitions %v", forgotten)
	}
	var fresh []int32
	for n := range offsets[p.input] {
		if f, ok := p.fetched[n]; !ok || f.offset < 0 {
			fresh = append(fresh, n)
		}
	}
	begin, err := p.beginnings(ctx, fresh)
	if err != nil {
		return nil, err
	}
	for n := range offsets[p.input] {
		f, isFresh := p.fetched[n], false
		if b, ok := begin[n]; ok {
			f, isFresh = b, true
		}
		finished, _, err := ledger.Decode(f.offset, f.metadata)
		if err != nil && !errors.Is(err, ledger.ErrForeign) {
			p.log.Warn("metadata of the committed offset cannot be used; records may be executed again", "partition", n, "offset", f.offset, "error", err)
		}
		if len(finished) > 0 {
			p.log.Info("records beyond the committed offset were answered before", "partition", n, "offset", f.offset, "records", finished.Len())
		}
		p.core.settle(n, f, finished, isFresh)
		o := offsets[p.input][n]
		if isFresh {
			o = kgo.NewOffset()
		}
		offsets[p.input][n] = o.At(f.offset)
	}
	return offsets, nil
}

// beginnings finds out where partitions without a committed offset begin. It
// gives concrete offsets, which are committed at once: "latest" must not move
// on when the process is started a second time.
func (p *Processor) beginnings(ctx context.Context, fresh []int32) (map[int32]commit, error) {
	if len(fresh) == 0 {
		return nil, nil
	}
	oldest, err := p.admin.ListStartOffsets(ctx, p.input)
	if err != nil {
		return nil, fmt.Errorf("start offsets: %w", err)
	}
	end, err := p.admin.ListEndOffsets(ctx, p.input)
	if err != nil {
		return nil, fmt.Errorf("end offsets: %w", err)
	}
	var at kadm.ListedOffsets
	var other kadm.OffsetResponses
	switch p.opts.Start.kind {
	case startLatest:
		at = end
	case startTime:
		at, err = p.admin.ListOffsetsAfterMilli(ctx, p.opts.Start.time.UnixMilli(), p.input)
	case startGroup:
		other, err = p.admin.FetchOffsets(ctx, p.opts.Start.group)
		if errors.Is(err, kerr.GroupIDNotFound) {
			err = nil
		}
	default:
		at = oldest
	}
	if errors.Is(err, kerr.GroupAuthorizationFailed) {
		other := rights.DescribeGroup(p.opts.Start.group)
		return nil, &AccessError{Op: "start at " + p.opts.Start.String(), Remedy: rights.Remedy(p.opts.Principal, other), Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("start at %v: %w", p.opts.Start, err)
	}
	begin := make(map[int32]commit, len(fresh))
	records := int64(0)
	for _, n := range fresh {
		first, _ := oldest.Lookup(p.input, n)
		last, _ := end.Lookup(p.input, n)
		f := commit{offset: first.Offset}
		if o, ok := other.Lookup(p.input, n); ok && o.Err == nil && o.At >= 0 {
			f = commit{o.At, o.Metadata}
		} else if o, ok := at.Lookup(p.input, n); ok {
			f.offset = o.Offset
		}
		for _, o := range []kadm.ListedOffset{first, last} {
			if o.Err != nil {
				return nil, fmt.Errorf("offsets of %s/%d: %w", p.input, n, o.Err)
			}
		}
		f.offset = max(f.offset, first.Offset)
		begin[n] = f
		records += last.Offset - f.offset
	}
	p.log.Info("the group has no committed offset", "group", p.opts.Group, "partitions", len(fresh), "start", p.opts.Start.String(), "records_to_run", records)
	return begin, nil
}

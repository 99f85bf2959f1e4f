package processor

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// boundsPause is how often the bounds of the partitions are asked for.
const boundsPause = 10 * time.Second

// watchBounds keeps lag true where nothing is fetched: a partition that is paused,
// since execution ran ahead as far as it may, hears of no new records, and the
// longer it is held up, the less of its lag would be seen. And where all that was
// to be read has been deleted, no record tells of it.
func (p *Processor) watchBounds(ctx context.Context) {
	tick := time.NewTicker(p.pause(boundsPause))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if len(p.core.live()) == 0 {
			continue
		}
		starts, err := p.admin.ListStartOffsets(ctx, p.input)
		var ends kadm.ListedOffsets
		if err == nil {
			ends, err = p.admin.ListEndOffsets(ctx, p.input)
		}
		if err != nil {
			// The clients that carry records count and log what is wrong.
			p.log.Debug("bounds of the partitions are not known", "error", err)
			continue
		}
		seen := make(map[int32]bounds)
		for n, start := range starts[p.input] {
			if end, ok := ends.Lookup(p.input, n); ok && start.Err == nil && end.Err == nil {
				seen[n] = bounds{start.Offset, end.Offset}
			}
		}
		for n, deleted := range p.core.noteBounds(seen) {
			p.deleted(n, deleted)
		}
	}
}

// noteBounds takes the bounds of partitions. An end that a fetch has moved on since
// they were asked for goes back a little, until the next fetch or question.
//
// It moves the books past records that were deleted, and gives how many those
// were. It does so only where nothing has arrived since the bounds were noted the
// last time: the client may hold records that it fetched before they were deleted,
// and those will be answered.
func (c *core) noteBounds(seen map[int32]bounds) (deleted map[int32]int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	deleted = make(map[int32]int64)
	for n, p := range c.parts {
		at, ok := seen[n]
		if !ok {
			continue
		}
		p.highWater = at.end
		if p.books == nil {
			continue
		}
		head := p.books.Head()
		if head < at.start && head == p.headSeen && p.books.Skip(at.start-1) {
			p.dirty = true
			deleted[n] = at.start - head
		}
		p.headSeen = head
	}
	return deleted
}

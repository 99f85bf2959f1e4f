package processor

import (
	"context"
	"time"
)

// endsPause is how often the ends of the partitions are asked for.
const endsPause = 10 * time.Second

// watchEnds keeps lag true where nothing is fetched: a partition that is paused,
// since execution ran ahead as far as it may, hears of no new records, and the
// longer it is held up, the less of its lag would be seen.
func (p *Processor) watchEnds(ctx context.Context) {
	pause := p.opts.endsPause
	if pause == 0 {
		pause = endsPause
	}
	tick := time.NewTicker(pause)
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
		ends, err := p.admin.ListEndOffsets(ctx, p.input)
		if err != nil {
			// The clients that carry records count and log what is wrong.
			p.log.Debug("ends of the partitions are not known", "error", err)
			continue
		}
		offsets := make(map[int32]int64)
		for _, e := range ends[p.input] {
			if e.Err == nil {
				offsets[e.Partition] = e.Offset
			}
		}
		p.core.noteEnds(offsets)
	}
}

// noteEnds takes the ends of partitions. One that a fetch has moved on since they
// were asked for goes back a little, until the next fetch or question.
func (c *core) noteEnds(offsets map[int32]int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n, p := range c.parts {
		if end, ok := offsets[n]; ok {
			p.highWater = end
		}
	}
}

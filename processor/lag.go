package processor

import "time"

// Lag is how far a member is behind.
type Lag struct {
	// Records is the number of offsets from the first unanswered record to the end
	// of each owned partition, as of its last fetch.
	Records int64
	// Age is that of the oldest record that was taken on and not answered yet.
	Age time.Duration
}

// Lag says how far this member is behind on the partitions that it owns. It is
// safe for concurrent use, before, during and after Run.
func (p *Processor) Lag() Lag {
	s := p.core.stats(time.Now())
	lag := Lag{Age: s.lag}
	for _, part := range s.partitions {
		lag.Records += part.lag
	}
	return lag
}

package history

import (
	"math"
	"math/bits"
	"time"
)

// tick numbers the intervals.
func tick(t time.Time) int64 { return t.UnixNano() / int64(Interval) }

// histogram counts durations in four buckets an octave, from 1 µs to half an hour,
// so that a percentile is off by a tenth at most.
type histogram [4 * 30]uint32

// bucketOf gives a duration's bucket. Below 4 µs a bucket is a microsecond.
func bucketOf(d time.Duration) int {
	us := uint64(max(0, d) / time.Microsecond)
	if us < 4 {
		return int(us)
	}
	n := bits.Len64(us) // 3 or more.
	return min(4*(n-2)+int(us>>(n-3))&3, len(histogram{})-1)
}

// lower is the smallest duration of a bucket, in microseconds.
func lower(bucket int) float64 {
	if bucket < 4 {
		return float64(bucket)
	}
	return float64((4 + uint64(bucket)&3) << (bucket/4 - 1))
}

func (h *histogram) merge(other *histogram) {
	for i, n := range other {
		h[i] += n
	}
}

// quantile gives the duration in seconds below which q of those counted lie; NaN
// where there are none.
func (h *histogram) quantile(q float64) float64 {
	var total uint64
	for _, n := range h {
		total += uint64(n)
	}
	if total == 0 {
		return math.NaN()
	}
	rank := q * float64(total)
	seen := 0.0
	for i, n := range h {
		if next := seen + float64(n); next >= rank && n > 0 {
			within := (rank - seen) / float64(n)
			return (lower(i) + within*(lower(i+1)-lower(i))) / 1e6
		}
		seen += float64(n)
	}
	return lower(len(h)) / 1e6
}

// interval is what ended in one interval.
type interval struct {
	tick      int64
	n, failed uint32
	durations histogram
}

// series are the intervals in which something ended, in order: a plan that rests
// costs nothing.
type series struct {
	intervals []*interval
}

// at gives the interval of a tick. Time that goes back counts as the last.
func (s *series) at(tick int64) *interval {
	if n := len(s.intervals); n > 0 && s.intervals[n-1].tick >= tick {
		return s.intervals[n-1]
	}
	s.prune(tick)
	i := &interval{tick: tick}
	s.intervals = append(s.intervals, i)
	return i
}

// prune drops the intervals that no graph shows any more.
func (s *series) prune(now int64) {
	old := 0
	for old < len(s.intervals) && s.intervals[old].tick < now-Points {
		old++
	}
	if old > 0 {
		n := copy(s.intervals, s.intervals[old:])
		clear(s.intervals[n:])
		s.intervals = s.intervals[:n]
	}
}

func (s *series) add(tick int64, d time.Duration, failed bool) {
	i := s.at(tick)
	i.n++
	if failed {
		i.failed++
	}
	if d > 0 { // No plan ran otherwise.
		i.durations[bucketOf(d)]++
	}
}

// fail counts a failure of what was counted as a success.
func (s *series) fail(tick int64) { s.at(tick).failed++ }

// Total is what ended in the fifteen minutes before the current interval.
type Total struct {
	Executions, Failures uint64
	// P50 and P99 are percentiles of the durations in seconds; NaN where there are none.
	P50, P99 float64
}

// total sums up the intervals before now.
func (s *series) total(now int64) Total {
	var t Total
	var sum histogram
	for _, i := range s.intervals {
		if i.tick >= now-Points && i.tick < now {
			t.Executions += uint64(i.n)
			t.Failures += uint64(i.failed)
			sum.merge(&i.durations)
		}
	}
	t.P50, t.P99 = sum.quantile(0.5), sum.quantile(0.99)
	return t
}

// lagSeries keeps the lag at the end of each interval.
type lagSeries struct {
	points [Points + 1]struct {
		tick int64
		lag  Lag
	}
}

func (l *lagSeries) add(tick int64, lag Lag) {
	p := &l.points[tick%int64(len(l.points))]
	p.tick, p.lag = tick, lag
}

// Graphs are the last fifteen minutes, [Points] values each, the oldest first.
// The current interval, which is not over, is left out.
type Graphs struct {
	// End is the end of the last interval.
	End time.Time
	// Rate is in executions a second, Failures in failures an interval.
	Rate, Failures []float64
	// P50 and P99 are in seconds; NaN where nothing ended.
	P50, P99 []float64
	// Lag is in records, Age in seconds, both of the whole service; NaN where unknown.
	Lag, Age []float64
	Total    Total
}

// Graphs gives the graphs of one plan, or of all where plan is empty.
func (h *History) Graphs(plan string) Graphs {
	now := tick(h.now())
	g := Graphs{
		End:  time.Unix(0, now*int64(Interval)),
		Rate: make([]float64, Points), Failures: make([]float64, Points),
		P50: filled(math.NaN()), P99: filled(math.NaN()), Lag: filled(math.NaN()), Age: filled(math.NaN()),
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.lag.points {
		if i := p.tick - (now - Points); i >= 0 && i < Points {
			g.Lag[i], g.Age[i] = float64(p.lag.Records), p.lag.Age.Seconds()
		}
	}
	s := &h.total
	if plan != "" {
		s = h.plans[plan]
	}
	if s == nil {
		g.Total = new(series).total(now)
		return g
	}
	for _, v := range s.intervals {
		i := v.tick - (now - Points)
		if i < 0 || i >= Points {
			continue
		}
		g.Rate[i] = float64(v.n) / Interval.Seconds()
		g.Failures[i] = float64(v.failed)
		g.P50[i], g.P99[i] = v.durations.quantile(0.5), v.durations.quantile(0.99)
	}
	g.Total = s.total(now)
	return g
}

func filled(v float64) []float64 {
	list := make([]float64, Points)
	for i := range list {
		list[i] = v
	}
	return list
}

// Totals gives what each plan did in fifteen minutes; the plan is empty for
// records that no loaded plan ran on. Nobody may change the map.
func (h *History) Totals() map[string]Total {
	now := tick(h.now())
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stats != nil && h.statsTick == now {
		return h.stats
	}
	stats := make(map[string]Total, len(h.plans))
	for name, s := range h.plans {
		s.prune(now)
		if len(s.intervals) == 0 {
			delete(h.plans, name)
			continue
		}
		stats[name] = s.total(now)
	}
	h.stats, h.statsTick = stats, now
	return stats
}

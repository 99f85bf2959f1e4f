package replay

import "context"

// joiner brings inputs that were run together with the executions that answered
// them at the time. It is for one goroutine.
type joiner struct {
	report  *Report
	aligned bool
	inputs  map[string]pair // Those without their execution.
	queue   *queue          // Executions without their input.
	// reached is the partition whose executions come: of the partitions before,
	// none will come any more.
	reached int32
}

func newJoiner(report *Report, aligned bool) *joiner {
	return &joiner{report: report, aligned: aligned, inputs: make(map[string]pair), queue: newQueue()}
}

// ran takes an input that was run.
func (j *joiner) ran(p pair) {
	var ok bool
	switch p.before, ok = j.queue.take(p.id); {
	case ok:
		j.report.add(p)
	case j.over(p):
		j.report.addMissing()
	default:
		j.inputs[p.id] = p
	}
}

// recorded takes an execution.
func (j *joiner) recorded(e recorded) {
	if j.aligned && e.partition > j.reached {
		j.reached = e.partition
		for id, p := range j.inputs {
			if j.over(p) {
				delete(j.inputs, id)
				j.report.addMissing()
			}
		}
	}
	p, ok := j.inputs[e.id]
	if !ok {
		j.queue.put(e)
		return
	}
	delete(j.inputs, e.id)
	p.before = e.value
	j.report.add(p)
}

// over reports whether no more executions can come for an input.
func (j *joiner) over(p pair) bool { return j.aligned && p.rec.Partition < j.reached }

// close gives up on the inputs that are left.
func (j *joiner) close() {
	for range j.inputs {
		j.report.addMissing()
	}
}

// join takes in both streams until nothing is left to compare. It is the only
// goroutine that touches the report's counts.
func (r *replay) join(ctx context.Context) error {
	j := newJoiner(r.report, r.aligned)
	results, stream := r.results, r.recorded
	for results != nil || stream != nil && len(j.inputs) > 0 {
		// The side that is far ahead waits. Executions that answer inputs outside of
		// what is replayed never find one; when both sides are full, the oldest of
		// those go.
		from, recorded := results, stream
		if len(j.inputs) >= maxWaiting && stream != nil {
			from = nil
		}
		switch n := j.queue.len(); {
		case n >= maxWaiting && from == nil:
			j.queue.drop()
		case n >= maxWaiting || n >= enoughAhead && len(j.inputs) == 0:
			recorded = nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case p, ok := <-from:
			switch {
			case !ok:
				results = nil
				continue
			case r.Against != nil:
				r.report.add(p)
			default:
				j.ran(p)
			}
			<-r.sem
		case e, ok := <-recorded:
			if !ok {
				stream = nil
				continue
			}
			j.recorded(e)
		}
	}
	j.close()
	return nil
}

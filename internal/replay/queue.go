package replay

import (
	"google.golang.org/protobuf/proto"

	"starplan/proto/planpb"
)

// queue keeps executions by id in the order in which they came.
type queue struct {
	values map[string][]byte
	order  []string // Holds ids that were taken too, until they are skipped.
}

func newQueue() *queue { return &queue{values: make(map[string][]byte)} }

func (q *queue) len() int { return len(q.values) }

// put keeps an execution. Of several with one id, as after a redelivery, the
// first counts.
func (q *queue) put(e recorded) {
	if _, ok := q.values[e.id]; ok {
		return
	}
	q.values[e.id] = e.value
	q.order = append(q.order, e.id)
	if len(q.order) > 2*maxWaiting {
		q.compact()
	}
}

func (q *queue) take(id string) ([]byte, bool) {
	v, ok := q.values[id]
	delete(q.values, id)
	return v, ok
}

// drop forgets the oldest.
func (q *queue) drop() {
	for len(q.order) > 0 {
		id := q.order[0]
		q.order = q.order[1:]
		if _, ok := q.take(id); ok {
			return
		}
	}
}

func (q *queue) compact() {
	kept := make([]string, 0, len(q.values))
	for _, id := range q.order {
		if _, ok := q.values[id]; ok {
			kept = append(kept, id)
		}
	}
	q.order = kept
}

// execID reads header.exec_id of a serialized PlanExecution.
func execID(value []byte) (string, error) {
	e := new(planpb.PlanExecution)
	if err := proto.Unmarshal(value, e); err != nil {
		return "", err
	}
	id := e.GetHeader().GetExecId()
	if id == "" {
		return "", errNoID
	}
	return id, nil
}

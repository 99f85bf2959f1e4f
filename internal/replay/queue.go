package replay

import (
	"bytes"
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
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
	// The value holds on to the whole batch of records that it came in.
	q.values[e.id] = bytes.Clone(e.value)
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

// errNoID is an execution that nothing can be compared with.
var errNoID = errors.New("value is no PlanExecution, or has no exec_id")

// execID reads header.exec_id of a serialized PlanExecution. It looks at nothing
// else: most executions are compared by their bytes.
func execID(value []byte) (string, error) {
	id := ""
	err := eachBytes(value, 1, func(header []byte) error {
		return eachBytes(header, 2, func(v []byte) error {
			id = string(v)
			return nil
		})
	})
	if err == nil && id == "" {
		err = errNoID
	}
	return id, err
}

// eachBytes visits the occurrences of a field whose value is bytes or a message.
func eachBytes(message []byte, field protowire.Number, visit func([]byte) error) error {
	for len(message) > 0 {
		num, typ, n := protowire.ConsumeTag(message)
		if n < 0 {
			return errNoID
		}
		message = message[n:]
		if num == field && typ == protowire.BytesType {
			v, n := protowire.ConsumeBytes(message)
			if n < 0 {
				return errNoID
			}
			if err := visit(v); err != nil {
				return err
			}
			message = message[n:]
			continue
		}
		if n = protowire.ConsumeFieldValue(num, typ, message); n < 0 {
			return errNoID
		}
		message = message[n:]
	}
	return nil
}

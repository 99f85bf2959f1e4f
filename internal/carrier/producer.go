package carrier

import (
	"hash"
	"sort"

	"github.com/IBM/sarama"
	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Producer gives a goka.ProducerBuilder whose producers emit through client. They
// do not own it: to close them does nothing.
func Producer(client *kgo.Client) goka.ProducerBuilder {
	return func([]string, string, func() hash.Hash32) (goka.Producer, error) {
		return &producer{client: client}, nil
	}
}

type producer struct{ client *kgo.Client }

// Emit produces a record. The promise is kept when the broker has acknowledged it.
func (p *producer) Emit(topic, key string, value []byte) *goka.Promise {
	return p.EmitWithHeaders(topic, key, value, nil)
}

// EmitWithHeaders produces a record with headers, ordered by name.
func (p *producer) EmitWithHeaders(topic, key string, value []byte, headers goka.Headers) *goka.Promise {
	promise, finish := goka.NewPromiseWithFinisher()
	r := &kgo.Record{Topic: topic, Key: []byte(key), Value: value}
	for name, v := range headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: v})
	}
	sort.Slice(r.Headers, func(i, j int) bool { return r.Headers[i].Key < r.Headers[j].Key })
	p.client.Produce(p.client.Context(), r, func(r *kgo.Record, err error) {
		if err != nil {
			finish(nil, err)
			return
		}
		finish(&sarama.ProducerMessage{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp}, nil)
	})
	return promise
}

// Close does nothing: the client belongs to whoever made it.
func (p *producer) Close() error { return nil }

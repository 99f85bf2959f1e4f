// Package carrier lets a goka processor run on franz-go.
//
// goka takes builders for everything that talks to Kafka, and their results are
// sarama's interfaces. This package implements those interfaces on a franz-go
// client; of sarama it uses the types alone, and none of its clients is opened:
//
//	sarama.ConsumerGroup   [Bridge.ConsumerGroup]
//	goka.Producer          [Producer]
//	goka.TopicManager      [TopicManager]
//	sarama.Consumer        [Consumer], which goka needs for tables; we have none
//
// [Balancer] gives a cooperative-sticky group balancer a name of its own.
//
// # Sessions
//
// sarama ends Consume at each rebalance and goka then waits five seconds before
// it calls Consume again; an error from Consume ends a goka processor for good.
// The bridge therefore stays inside of Consume and turns sessions there: the
// owner of the consumer client calls [Bridge.End] and [Bridge.Begin] as often as
// the assignment changes, and goka sees Setup, ConsumeClaim for each claim, and
// Cleanup, in this order, as often.
//
// A session ends in an order that goka's code demands:
//
//  1. The session's context is cancelled. goka's goroutines stop; what lies in
//     its channels is dropped, so the owner must be ready to feed it again.
//  2. [Session.Release] is called: the owner releases every DeferCommit that it
//     holds, with nil. goka's Cleanup would wait a minute for each, and an error
//     would end the processor.
//  3. All ConsumeClaim calls return.
//  4. Cleanup runs.
//
// Goka's marks of offsets are ignored. A mark is a high-water mark, and goka sets
// it when its own emits are done: if record 100 fails and 101 succeeds, 100 is
// passed over. Offsets are the business of the owner.
package carrier

// Package replay runs a changed plan on recorded traffic and tells what would
// differ. Executions are pure functions of record and plan, so whatever differs
// is due to the change.
//
// Two streams are joined by exec_id: the inputs of the plan, each run anew, and
// the executions that answered them at the time. Both are read from their
// topics, bounded at the offsets that they have at the start, and neither is
// written to. What waits for its counterpart is bounded too, so that memory does
// not grow with the traffic: the stream that is ahead waits for the other. Both go
// from partition to partition in the same order, since an execution lies where its
// input does. Only where the topics differ in partitions are all read together.
//
//	inputs      -> run the plan -> outcome   \
//	                                           compare -> Report
//	executions  ------------------> recorded /
//
// With Options.Against there is no second stream: both plans run on each input.
package replay

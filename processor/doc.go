// Package processor moves records: it takes PlanInputs from a tenant's input
// topic, hands them to a [Runner], and puts the executions that come back on the
// output topic. It never looks into a record's value, and knows no Starlark.
//
// # The parts
//
//	poll loop    one goroutine; takes records from the consumer client, sorts out
//	             those to skip, and enters the others in the books
//	books        one [ledger.Ledger] for each partition that is ours, behind one
//	             mutex together with the rest of the state they share (core)
//	goka         a goka processor group, carried by franz-go (internal/carrier);
//	             its callback starts runs
//	runner       runs plans, and answers from any goroutine
//	committer    one goroutine; owns the producer client and all commits
//	group        the callbacks of the consumer client: partitions come and go
//
// There are two clients. The consumer is the group's member and never produces;
// the producer emits, and asks the administrative questions. For exactly once the
// committer emits with a third, which has a transactional id.
//
// # The life of a record
//
// The poll loop gets it from the broker. The runner's Accept looks at its key; a
// record for another process, or one without a value, is passed over: the books
// note nothing but that its offset was seen. Another is entered, queued.
//
// The partition's feed hands it to the goka session, and goka calls callback,
// which marks it as running, takes goka's DeferCommit, starts the run and
// returns. So records of one partition run concurrently. When the answer comes
// it is kept until all earlier records of its key have theirs: output is in
// input order for each key, and keys do not wait for each other.
//
// The committer takes what is released and produces it: the execution under the
// input's own key, which franz-go places as Java does, and for a value that is
// no PlanInput a dead letter before it. The output record's timestamp is the
// time at which it is emitted; the input's is in header.created_at. The committer
// waits for the acknowledgement of all in-sync replicas. Then the record is
// done: goka's DeferCommit is released, and the next commit covers it.
//
// What the broker refuses is tried again, in front of everything that came after
// it, for as long as the partition is ours. An execution that is too large is
// replaced by one that says so; a record whose key alone is too large for the
// output topic cannot be answered, which is logged and counted.
//
// A commit is the offset of the first record that is not done, and in its
// metadata what is done beyond it. An offset never passes a record without an
// answer; what was answered beyond it is not run again by the next owner.
//
// # Exactly once
//
// With [ExactlyOnce] the committer's cycle is a transaction: begin, produce, wait
// for the acknowledgements, add the offsets in the name of the consumer, end. The
// offsets are what the books would say if the batch were done; only when the
// transaction is committed it is noted as done. A batch of nothing but offsets
// goes by a plain commit.
//
// A transaction that cannot be committed is aborted, and the batch is replayed
// from memory without the partitions that were lost meanwhile: nothing is run or
// fetched again. Where the answer to the end of a transaction is lost, its outcome
// is unknown: to replay blindly would repeat a batch, to drop it would lose one.
// Then the client is made anew, which ends whatever hangs, and the committed
// metadata is read back: each transaction wrote a nonce of its own there.
//
// What keeps two owners of a partition apart is the group's generation: an owner
// of the past is refused by the coordinator. What a process leaves hanging that is
// killed in the middle of a cycle, the next owner of its partitions ends (see
// reap); it knows the dead by their client ids, which are their transactional ids.
//
// Readers must read committed records only. Others see what an aborted transaction
// had, and so repeated answers, byte for byte the same.
//
// # The life of a rebalance
//
// Members rebalance cooperatively: who keeps a partition works on. The broker
// lets only members together that serve the same, because the balancer's name
// says what that is; others get a [GroupMismatchError].
//
// When partitions are revoked, franz-go calls revoked, while nothing is polled.
// They are frozen, so that no new run begins. The committer gets a second to emit
// and commit what is finished. Then the goka session ends, and the partitions
// die: their contexts end, which abandons what still runs, and an answer that
// comes all the same finds its partition object dead and is dropped, even where
// the same partition has come back meanwhile as another object. Last, a commit
// under way gets a second to return, because after this callback the partitions
// belong to somebody else. A new goka session begins with what is left; it feeds
// what goka had not taken over when the old one ended. Runs on partitions that
// stay know nothing of all this.
//
// When partitions are assigned they get objects of their own at once, and books
// as soon as the committed offset and its metadata are known. Where there is no
// committed offset, [Start] says where to begin; that place is committed before
// anything else, so that it stays put.
//
// When partitions are lost, because the group did not hear from us for too long,
// nothing can be committed any more and nothing is waited for. At least once, the
// next owner answers again what was answered and not committed; exactly once,
// there is no such thing.
//
// # When topics change
//
// franz-go holds on to a topic's id, so a topic that was deleted and made anew needs
// other clients. Run therefore has them in sets, one after the other (serve); a set
// ends with its topics (watchTopics), and the next one begins when they are there.
// What a commit notes beside the offset, the topic's id among it, tells whether
// the offset still stands for anything (placement).
//
// # Back-pressure
//
// The poll loop never blocks, since a blocked one would block the rebalance that
// a blocked commit may be waiting for, other than for a moment before it polls.
// Where that moment makes no room, a partition that has run ahead by its share of
// what the process may hold is paused at the client (see makeRoom).
//
// # What stops it
//
// Nothing that a record contains. Run ends with its context, for a
// [GroupMismatchError] or an [InstanceTakenError], and for an [AccessError]: a right
// that is missing, or, at the start, credentials that the broker does not take. A
// broker that is away, a topic that is missing, credentials that do not fit any
// more, a goka processor that ends: these are waited out or mended, with a line in
// the log, a count in kafka_errors_total, and a reason in Status. Where nothing
// moves for no reason that anybody knows of, the watchdog says so (watchStall).
package processor

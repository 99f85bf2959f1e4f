// Package ledger keeps the books of one input partition: which records were
// taken on, which of them are answered, what may be emitted now, and what may
// be committed.
//
// It is pure logic. It does no I/O, starts no goroutine, reads no clock and
// takes no lock: its owner serialises the calls.
//
// # The life of a record
//
//	Add     queued     the broker delivered it
//	Submit  running    its execution was started
//	Finish  finished   its answer is there, but an earlier record of the same
//	                   key has none yet
//	        released   its answer may be emitted: Finish returned the entry
//	Done    done       its answer is on the output topic
//
// Records of one partition run concurrently, also those of one key. What the
// ledger orders is their answers: Finish releases an entry only after all
// earlier entries of the same key were released, so that the owner can emit in
// the order of release. Keys do not wait for each other.
//
// # What is committed
//
// The position is the offset of the first record without an answer or, where
// every record has one, the offset after the last record that was delivered.
// Offsets need not be contiguous: transactions' control records and compaction
// leave holes, and records that are skipped leave no entry. So the position is
// never counted, it is always read off an entry.
//
// What is done beyond the position is a [Set]. It goes into the metadata of the
// commit (see [Encode]) and comes back with the partition's next owner, who
// gives it to [New]: those records are not executed again. A record listed in
// it stays listed until the position has passed it, also while it has not been
// delivered to the new owner. The metadata of a commit is limited to 4,096
// characters by the broker's default; to fit into that at all times the ledger
// starts no record more than [Window] offsets beyond the position.
package ledger

// Package worker runs plans in processes of their own, so that no plan can hang,
// exhaust or crash the service. [Pool] implements [plan.Engine].
//
// A worker is this executable started again: main calls [Divert] first, which
// returns at once unless the process was started as a worker. It inherits nothing
// but three pipes. Before it takes plan code it limits its own memory and gives up
// what the kernel lets it give up: files, sockets, new processes ([Protections]).
//
// # Protocol
//
// Frames go over stdin and stdout, several records at a time. A worker runs one
// record after the other, in the order of arrival, and announces each that it
// begins. Neither side allocates what a length claims before the bytes are there;
// lengths are capped, and whatever a worker says out of order ends it.
//
//	pool -> worker   hello, load(id, sources), drop(id), run(seq, id, record), check(seq, id), inspect(seq, id, record), recall
//	worker -> pool   ready(protections), begin(seq), answer(seq, outcome), checked(seq, fault), seen(seq, event), recalled
//
// Announcements and answers are gathered for up to a millisecond: one write for
// many records is what makes a worker cheap. A worker that dies takes what it had
// gathered with it. So the pool may blame the wrong one of a few records for a
// death, which the second try corrects, and it asks for announcements without
// delay wherever that costs little: for a plan's first records, for long ones, and
// after a death.
//
// # Deadlines and deaths
//
// The pool alone owns the clock: Limits.Timeout counts from the announcement, and
// at its end the worker is killed and the record answered FAILED. That is final.
// A record whose worker runs out of memory or dies otherwise is tried once more,
// alone in a fresh worker, within what is left of its time. The other records that
// the dead worker had at hand are run again elsewhere, which they cannot notice,
// since runs are pure. A plan that keeps killing workers is tried with one record
// at a time and growing pauses.
//
// # Scheduling
//
// Options.Workers records run at a time. Records of plans known to be quick share
// a worker's window, up to about 2 ms of work; all others run on a worker without
// anything behind them, and never take the last of the workers. A plan that never
// ran gets a short try beside them, since the slow ones before it may take minutes.
// A record that runs for 5 ms has those behind it recalled and given to other
// workers. A worker whose record runs for 100 ms is not counted any more and another
// takes its place, at most 16 times and 8 times for one plan: so a slow plan holds
// up itself. What has used much processor time gets low priority, and what plans
// cost is measured in processor time too: on a busy machine all is slow by the clock.
//
// # Files
//
//	pool.go      Options, start and end of a pool, Start
//	alone.go     Load, and whatever else needs a fresh worker
//	inspector.go looking into runs, in a worker of its own
//	schedule.go  queues, estimates, back-off; which record goes to which worker
//	watch.go     the clock: recall, slow workers, timeouts
//	serve.go     what a worker says, and where answers go
//	death.go     what follows from a worker's death
//	worker.go    one worker in the pool's books
//	process.go   one worker as an operating system process
//	frame.go, message.go   the protocol
//	child.go     the worker's own side
//	sandbox.go, seal_*.go  what a worker does to itself
//	metrics.go   Stats and metrics
package worker

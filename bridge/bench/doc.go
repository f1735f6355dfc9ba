// Package bench measures the bridge beside the raw limit: a minimal loop that
// does the same outside work, in the same run, on the same server and simulator.
// Absolute times vary from machine to machine and from hour to hour; the ratio
// within one run says what the bridge costs.
//
// The simulator and the JetStream server run in this process. The bridge runs in a
// process of its own, as the command "run" would run it, and after it the raw loop in
// another: processor time and memory are those of the process alone. All share the
// cores. Rates are read outside: from the stream, or from the consumer's
// acknowledgements, from the first item that is seen to the last.
//
// Cases:
//
//	outbound-load-400B     an initial load: pages of the simulator become events on the
//	outbound-load-2048B    stream. limit: the same pages drained unread, one page ahead,
//	                       while as many copies of one such event are committed in fenced
//	                       atomic batches of the same size. The server writes through to
//	                       the disk every two minutes, its default
//	outbound-load-400B-sync-always   the same with sync_interval: always
//	outbound-delta-400B    every row of a loaded table was changed: the pages of the
//	                       delta, compared with what is on the stream before they are
//	                       published. limit: drained and committed as above, nothing read
//	doorbell-p50, -p99     from a ring on the NATS subject, after a change, until a
//	                       subscriber of the stream has the event. limit: the delta link
//	                       read at the ring, one event committed
//	idle-cpu-50-tables     the share of a core that 50 tables cost of which nothing is heard
//	idle-requests-50-tables          requests per table and poll. limit: the delta links
//	                       read as often
//	inbound-patch-...      events become PATCHes, in order per key, acknowledged: with 52
//	                       and 256 in flight, 5 and 20 ms a request, plain and over TLS
//	                       with HTTP/1.1 (tls1) and HTTP/2 (tls2). limit: the same messages
//	                       read undecoded, the same PATCHes sent by as many plain loops in
//	                       no order, and acknowledged without a confirmation
//	inbound-batch100-...   the same with $batch requests of 100, 8 in flight, 5 ms each,
//	                       every write with its own outcome. limit: the same batches by
//	                       plain loops
//
// A tenth of the inbound messages is for 100 of some 4,600 keys; all records are there
// before, and in the end each must have what the last message of its key says. The
// simulator's time is that of a request, so that a batch costs it no more than a single
// write but for what it computes.
//
// What is promised of a case stands in owed.go.
package bench

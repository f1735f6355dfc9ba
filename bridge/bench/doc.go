// Package bench measures the bridge beside the raw limit: a minimal loop that
// does the same outside work, in the same run, on the same server and simulator.
// Absolute times vary from machine to machine and from hour to hour; the ratio
// within one run says what the bridge costs.
//
// Cases:
//
//	outbound-load   an initial load: pages of the simulator become acknowledged events.
//	                limit: the same pages drained unread, one page ahead, while messages
//	                of the same subjects and sizes are committed in atomic batches
//	inbound-patch   events become PATCHes, in order per key, acknowledged: with 52 and
//	                256 in flight, 5 and 20 ms a request, plain and over TLS (HTTP/1.1:
//	                the client speaks nothing else).
//	                limit: the same messages read undecoded, the same PATCHes sent by as
//	                many plain loops in no order, and acknowledged
//	inbound-batch   the same with $batch requests of 100, 8 in flight, 5 ms each, every
//	                write with its own outcome. limit: the same batches by plain loops
//
// An inbound rate runs from the first settled message to the last. A tenth of the
// messages is for 100 of some 4,600 keys. The simulator's time is that of a request,
// so that a batch costs it no more than a single write but for what it computes.
//
// The servers run in the same process and share the cores with what is measured,
// on both sides of the ratio. Memory is measured in a process of its own
// (Memory), which holds nothing but the bridge.
package bench

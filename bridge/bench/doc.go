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
//	inbound-patch   events become PATCHes, in order per key, acknowledged.
//	                limit: the same PATCHes sent by as many plain loops
//
// The servers run in the same process and share the cores with what is measured,
// on both sides of the ratio. Memory is measured in a process of its own
// (Memory), which holds nothing but the bridge.
package bench

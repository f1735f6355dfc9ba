// Package inbound applies the messages of a stream to Customer Engagement: each
// event becomes one keyed write, and its message is acknowledged only when that
// write was accepted or the message lies in the dead letters.
//
// A Route joins four ports: a Feed of deliveries, a Mapper from events to writes,
// a Writer, and an Outbox for dead letters and receipts. Each message goes
// through the same steps: decode, match, map, lane, apply, settle.
//
// # What a route promises
//
//   - No message is acknowledged before the Writer accepted its write, or before
//     its dead letter is confirmed, or before it was found not to match. Receipts
//     are confirmed before the acknowledgement too.
//   - No message is lost: each ends written, rejected, unmatched or shadowed, or is
//     left unacknowledged and comes again.
//   - Messages of one key are written in the order of the stream, one at a time,
//     whatever retries, redeliveries, crashes and take-overs happen. Keys are
//     those of schema.Write.Lane. Keys do not wait for each other.
//   - A message settled here is not written twice when its acknowledgement is lost,
//     as long as it is among the last 8192. Beyond that, and after a crash, it may
//     be written again, in its place.
//   - The end of the process, a pause or a lost connection is never a verdict about
//     a message.
//
// What it cannot promise: a write whose process was stopped, or cut off from its
// network, in the middle of a request may reach the server late, when another
// instance has already written newer messages of that key. Nothing on the stream
// can fence such a request; the deadlines of the Writer bound how late it can be.
// They should stay below a quarter of AckWait.
//
// # Verdicts
//
//	retry           again after a delay from RetryMin, doubling, to RetryMax, with jitter
//	retry-after     the same, at least as long as the server asked, an hour at most
//	retry-race      again at once, twice in a row; then rejected
//	park            again with delays until GiveUpParked has passed; then rejected
//	reauthenticate  as retry, with an alarm in Status and log until a write is accepted
//	reject          dead letter
//	stop            the route stops
//
// Retries wait in the lane without taking up a slot; at most half of the slots
// serve repeated attempts. An error without a verdict counts as retry. After an
// ambiguous failure the same request is sent again while the later messages of
// its key wait.
//
// The route also stops when the dead-letter stream is full, when the feed is
// lost, and when StopWindow writes in a row over distinct keys are refused. A
// stopped route lets running writes finish, acknowledges what they achieved and
// nothing else, and waits for Resume; Status tells what to do.
//
// A message that is not an event, that cannot be mapped, or whose mapping panics
// is rejected, and the route goes on.
//
// # Take-over
//
// A consumer has one active client at a time (the pinned one). Whatever the client
// before left unacknowledged is delivered again only after its AckWait, behind
// newer messages. So each session begins with a closed gate, and the gate closes
// again whenever Message.Claim changes, when Message.Number shows that deliveries
// were lost on the way, and when the route could take nothing in for a third of
// AckWait. It opens when everything that the server counts as unacknowledged is in
// hand; then what waited starts in the order of the stream.
//
// Everything in hand is extended every third of AckWait. When that fails for three
// quarters of it, or the process stood still for a third, the session ends at
// once: running writes are cancelled, nothing is acknowledged any more, and a new
// session begins with nothing in hand. When another client is the active one, or
// messages were held back for three AckWaits, the session ends softly.
//
// # Bounds
//
// At most MaxHeld messages, during a take-over at most the consumer's limit of
// unacknowledged ones, and as many goroutines; Concurrency writes at once; 8192
// remembered messages. The end takes at most Grace plus SettleTimeout, given
// ports that honour their contexts.
//
// # Sources
//
// ADR-42 (pinned consumers) and the JetStream consumer documentation for
// acknowledgement, redelivery and consumer positions; CloudEvents 1.0 with its
// NATS binding; W3C Trace Context, linked and not inherited.
package inbound

// Package inbound applies the messages of a stream to Customer Engagement: each
// event becomes a keyed write, or several, and its message is acknowledged only when
// those were accepted or the message lies in the dead letters or among the parked ones.
//
// A Route joins four ports: a Feed of deliveries, a Mapper from events to writes,
// a Writer, and an Outbox for dead letters and receipts. Each message goes
// through the same steps: decode, match, map, lane, apply, settle.
//
// # What a route promises
//
//   - No message is acknowledged before the Writer accepted all its writes, or before
//     its dead letter or parked copy is confirmed, or before it was found not to
//     match. Receipts and revisions are confirmed before the acknowledgement too.
//   - Nothing of a key is written before the acknowledgement of the message before is
//     confirmed. No goroutine waits for that confirmation where a Delivery is a Later one
//     and nothing but a count is left to do.
//   - No message is lost: each ends written, superseded, rejected, unmatched or
//     shadowed, or is parked, or left unacknowledged and comes again.
//   - With a Reviser and Revisions, no event is written that is not newer than what
//     this route applied last to its key, by whichever instance. A key about which
//     nothing is stored, and an event without a revision, are not guarded.
//   - An event is not written after its expirytime, unless an attempt before that
//     failed ambiguously or a write of it was accepted: then it is followed up, as
//     long as the message is in hand.
//   - Messages of one key are written in the order of the stream, one at a time,
//     whatever retries, redeliveries, crashes and take-overs happen. Keys are
//     those of schema.Write.Lane: two that a collation may take for one count as one.
//     A record that a key names, rather than having its GUID, counts by its name: that a
//     mapping names it in one form only is the Mapper's promise.
//     Keys do not wait for each other. Revisions are those of schema.Write.Identity.
//   - A message settled here is not written twice when its acknowledgement is lost,
//     as long as it is among the last 8192. Beyond that, and after a crash, it may
//     be written again, in its place.
//   - The end of the process, a pause or a lost connection is never a verdict about
//     a message.
//
// After an ambiguous failure, the next message of that key is written AmbiguityBound
// later at the earliest, so that what the server may still be doing cannot come after
// it. The same message is sent again at once. Other keys do not wait. The message is
// acknowledged when that time is over (a parked one at once), so that it comes again should the process be
// killed; at most half of MaxHeld is kept back so, beyond that a kill within the bound
// is not covered.
//
// A message that is delivered again may have been sent by whoever had it before. It is
// written at once, and the next of its key as if that attempt had failed without an
// answer. The bound is counted from a quarter of an AckWait before the message arrived
// here: an instance sends nothing of a message three quarters of an AckWait after it
// last extended it, and the server delivers it to another a whole one after that at the
// earliest. What arrived after this client's first write under its claim is its own, as
// the gate opens only when everything of others is in hand. With Revisions, the route
// keeps there, under a key of its own, that somebody works on it, before the first write
// of a session, and that it was left in order: every write answered, none ambiguous
// within the bound. Whoever comes after such an end waits for nothing.
//
// A create that was tried before, or may have been by another instance, or is a dead
// letter sent again, is marked as repeated (schema.Write.Repeat): the Writer then takes
// the record that the earlier attempt made as its own, so that no lost answer ends as a
// dead letter.
//
// What it cannot promise: a process that is stopped (a frozen machine) between the
// check that a message is still its own and the sending of the request, and goes on
// later, may write what is old by then. Nothing on the stream can fence such a request.
// Nor does it cover a request that the server carries out later than AmbiguityBound,
// which should therefore be no shorter than the server's own limit of an operation, nor
// attempts that another instance made for a parked message. The deadlines of the Writer
// may be longer than AckWait: a message in hand is extended as long as its write runs,
// and the write is cancelled when that cannot be done.
//
// # Several writes
//
// The writes of one message are made in their order, the next one when the one
// before was accepted. Meanwhile the message occupies the lanes of all its keys: it
// begins when no earlier message of any of them is left, and later messages of any of
// them wait for its last write. Other keys do not. All lanes have one order, so
// nobody waits in a circle. A message takes up one slot, however many writes it has.
//
//   - In hand, a failed write is repeated from itself on. A message that is delivered
//     again is written again from its first write, so the writes must be repeatable:
//     upsert, update or delete of a record by its key, create as far as Write.Repeat
//     goes, and no update of what a later write of the same message deletes.
//   - When a write is rejected, those after it are not made and those before it stay.
//     The dead letter tells how many were accepted, their paths, and the exact request
//     that was not. Sent again, the message is written from its first write.
//   - When the record is missing that a write refers to, the message is parked under
//     all its keys, and later messages of any of them follow it. It is tried again when
//     nothing older of any of them is parked, from the write that failed on; by another
//     instance, after a restart and with receipts, from the first.
//   - The revision guards the key of the first write alone, the record that the event
//     is about: of a contact that two orders write, the revision of an order says
//     nothing. It is stored when the last write was accepted, and also when a later one
//     was rejected, so that no older event comes after the accepted ones; then the dead
//     letter of this message can still be sent again.
//   - After an ambiguous failure AmbiguityBound holds for the key of that write: the
//     next write to it waits, also a later one of the same message.
//   - There is one receipt of a message. It tells of the first write, and lists all
//     that were accepted.
//   - A mapping that makes no write of an event leaves it unmatched.
//
// # Verdicts
//
//	retry           again after a delay from RetryMin, doubling, to RetryMax, with jitter
//	retry-after     the same, at least as long as the server asked, an hour at most
//	retry-race      again at once, twice in a row; then rejected
//	park            again with delays; parked after ParkAfter; rejected after GiveUpParked
//	reauthenticate  as retry, with an alarm in Status and log until a write is accepted
//	reject          dead letter
//	stop            the route stops
//
// Retries wait in the lane without taking up a slot; at most half of the slots
// serve repeated attempts. An error without a verdict counts as retry. After an
// ambiguous failure the same request is sent again while the later messages of
// its key wait.
//
// The route also stops when the stream of dead letters or of revisions is full, when the feed is
// lost, and when StopWindow writes in a row over distinct keys are refused: what was
// rejected until then stays so, and Status names the missing privilege. A
// stopped route lets running writes finish, acknowledges what they achieved and
// nothing else, and waits for Resume; Status tells what to do.
//
// A message that is not an event, that cannot be mapped, or whose mapping panics
// is rejected, and the route goes on.
//
// # Rehearsals
//
// Rehearse takes a message through the steps before the first call, by the same code as
// a Route, and tells what would be written, or why nothing would. It calls nobody but the Mapper.
//
// # Parking
//
// With a Parking, a message whose reference is missing for ParkAfter is stored there
// and acknowledged, and so is a key with more than 100 messages behind one that fails
// for a reason of its own. When half of what may be in hand is taken, so is one that
// failed four times while later ones are accepted: a few bad keys never fill the
// consumer's window. While a key has parked messages, every later one is parked
// behind them. They go through all steps again, one at a time per key, oldest first:
// when Arrivals tells that a record they bind is there, and on a timer of at most
// five minutes. Routes announce what they write; Arrivals.Expected tells whoever sees
// other records, such as those published from Customer Engagement, when to look. GiveUpParked counts from the first attempt, or from the parking.
//
// One instance at a time does that: whoever became the active client begins a term,
// and renews it while anything is parked. An
// instance that cannot renew tries nothing after three quarters of an AckWait, and
// what it still parks is refused. Where nothing is delivered, so that nobody is the
// active client, a term that was ended, or is unchanged for two AckWaits, is taken over.
//
// What was parked before the term is tried an AckWait after its beginning, when an earlier
// holder, even if it does not know yet that it was replaced, tries nothing any more.
// Nobody waits for that in three cases:
//
//   - The term before was ended. A session ends its term (Tenure.End) when all that it ran
//     has ended, no write of the route may still take effect after a lost answer, and it
//     would itself have been free to try everything. The end is stored in the place of the
//     fence that this session stored last, and the next term in the place of the end, so
//     nobody had a term in between. Who tries anything without a term after that? Not the
//     one that ended: its next session begins a term first. Not a holder before it:
//     it had stopped when this one was free to try, and begins again only with a
//     new term. A holder that was frozen, killed or replaced before it stored the end never
//     stores it: the stream refuses it. And of two that find one end, the stream lets one alone
//     begin its term in that place; the other follows on that term, and waits.
//   - The term before is this session's own, as after a change of claims: what it had waited
//     for is over still.
//   - The message was parked in this term. Nobody else knows of it without a new term, whose
//     holder waits for this one; and nothing older of its keys is parked.
//
// The mark of the route (see Leaving) would not do for the first: who holds the term need
// not be who wrote last, as two instances may take each other's place within an AckWait, and
// the mark could say that all is in order while one that it knows nothing of goes on trying.
//
// # Echoes
//
// Deps.Echoes is told of each accepted write as soon as its answer named the record's id
// and version, together with the event that led to it, so that the change which the
// write makes can be recognized where it is seen. It is called before the message is
// settled and decides nothing: what it does with it may be lost.
//
// # Take-over
//
// A consumer has one active client at a time (the pinned one). Whatever the client
// before left unacknowledged is delivered again only after its AckWait, behind
// newer messages. So each session begins with a closed gate, and the gate closes
// again whenever Message.Claim changes, when Message.Number shows that deliveries
// were lost on the way, and when the route could take nothing in for a third of
// AckWait. It opens when everything that the server counts as unacknowledged is in
// hand and the parked messages are known; then what waited starts in the order of the
// stream.
//
// Everything in hand is extended every third of AckWait. When that fails for three
// quarters of it, or the process stood still for a third, the session ends at
// once: running writes are cancelled, nothing is acknowledged any more, and a new
// session begins with nothing in hand. When another client is the active one, or
// messages were held back for three AckWaits, the session ends softly.
//
// # Instances
//
// Status tells whether this instance is the active one (running), another is (standby), or
// none is known to be (ready), by the last position that was read: every 15 s, and whenever
// Position is called. A message under a new claim counts at once, and makes void what was
// asked for before it. A position that could not be read for an AckWait (15 s at least) is believed no longer,
// as the server may have chosen another client since. Who tries the parked messages of a
// route to which nothing is delivered is running, too. None of this decides anything: the
// gate does.
//
// # Leaving
//
// A session that ends in order gives back (Delivery.Release) what it has in hand and nobody
// can be in doubt about: messages without an attempt, or whose attempts certainly failed.
// So a restart, or another instance, goes on at once instead of after an AckWait. Order is
// kept, as what is given back counts as unacknowledged until somebody settles it: the next
// client's gate opens only when all of it is in hand, and with it every message that was
// left in doubt, which comes again after AckWait. So a message that was given back is not
// written before an older one of its key. It is given back after the writes that ran have
// ended and after the route's mark was stored, so that whoever writes next found the mark;
// and only while it is surely this client's (as for a write, within three quarters of an
// AckWait), since the server takes a release for the present delivery whichever it names:
// one that arrives more than a quarter of an AckWait late could shorten the time after
// which the next client believes an earlier attempt to be over. The mark says that all is
// in order only if that holds for whoever was here before, too: their messages were all
// written again, and what they may be trying of the parked ones is over.
//
// # Bounds
//
// At most MaxHeld messages, during a take-over at most the consumer's limit of
// unacknowledged ones; Concurrency writes at once; a goroutine for each message that is written
// or waits between two steps, and up to 1024 that wait for the next message; 8192
// remembered messages and revisions; an index of the parked messages without their
// content, of 100,000, each counted for every key it has, before no further key is parked. The end takes at most Grace plus SettleTimeout, given
// ports that honour their contexts.
//
// # Sources
//
// ADR-42 (pinned consumers) and the JetStream consumer documentation for
// acknowledgement, redelivery and consumer positions; CloudEvents 1.0 with its
// NATS binding and the documented extension Expiry Time; W3C Trace Context, linked and not inherited.
package inbound

// Package jet joins the engines to NATS JetStream. It implements outbound.Log,
// inbound.Feed and inbound.Outbox, sets streams and consumers up, and runs a
// JetStream server inside the process where one is wanted.
//
// # Connection
//
// Connect waits for the first connection and then reconnects for ever. Nothing is
// buffered while the connection is down: a publish fails at once, so that a commit
// never leaves the process later than its caller believes. A server older than
// MinServer is refused by name, at the start and after every reconnect. A missing
// permission reaches a client only through the asynchronous error handler and looks
// like a timeout; every timeout of this package therefore carries what the server
// reported meanwhile.
//
// # Commit
//
// Log.Commit stores events and the next checkpoint as one atomic batch (ADR-50:
// headers Nats-Batch-Id, Nats-Batch-Sequence, Nats-Batch-Commit). The first message
// is a request whose answer has zero bytes, so has every 250th, and the last one is
// answered with the acknowledgement of the whole. The checkpoint comes last and
// carries Nats-Rollup: sub, Nats-TTL: never and
// Nats-Expected-Last-Subject-Sequence, which makes the stream itself refuse the
// batch of a writer that another one has overtaken. Sizes, subjects and headers are
// checked before the first byte leaves, since the server answers many of those
// faults with the same code as a lost batch.
//
// Answers become the errors of package outbound by their error code:
//
//	10071, 10164                       ErrFenced
//	10002 10023 10028 10047, 10077 *   ErrFull
//	10054 10097, a pre-check           ErrTooLarge
//	10056 10059 10165 10166 10174 10177 10179 10109 10111   ErrMisconfigured
//	10199                              ErrBatchTooLong
//	10008 10009 10076 10118 10210, 429, 503                       ErrUnavailable
//	10176, no answer to the last request, anything else           ErrUnknown
//
// (* when the text speaks of a maximum.) No answer before the last request was sent
// is ErrUnavailable: without it nothing is ever stored. A cancelled context before
// that is the context's error; after it the answer is awaited a little longer, then
// the error wraps both ErrUnknown and the context's.
//
// # Reads
//
// Log.Checkpoint asks the stream's leader. Log.Last asks any replica, in chunks of
// subjects and pages of bytes. Each page must come from a replica that has the
// fence's sequence (Nats-UpTo-Sequence), and each chunk must show the fence subject
// at exactly that sequence. Pages are chained by Nats-Last-Sequence, so an answer
// with a hole is noticed. The pages of one chunk are deliberately not pinned to an
// upper sequence: with history limits that would hide a record that moved on
// between two pages, and it would hide a lagging replica.
//
// A follower answers direct reads from what it has, also when it has heard nothing of the
// leader for long, and when it is cut off: it subscribes once it was current, and
// unsubscribes only with the stream (nats-server 2.15.2, server/jetstream_cluster.go,
// monitorStream, and server/stream.go, subscribeToDirect). A server that has such a
// follower asks it at random among all (server/client.go, processMsgResults). Tests with
// three servers hold the entries of the stream's log back from one.
//
// ReadStream, Walk and Scan read through an ordered consumer, which lives on one server
// and may be behind in the same way. That it has nothing more pending proves nothing: a
// read ends where the leader says that the stream ends. One that stays behind for half a
// minute is ErrStale. Scan shows, of a record that moved on behind the replica's back,
// an older event too, before the last one. The last messages of subjects are read in
// requests that are bounded by their number, since the server skips some where the bound
// is bytes, and only whole: what the server counted must have come. Such a consumer makes
// the server look at each subject first, which took 5 to 15 s for a million of them on two
// busy cores.
//
// # Feed
//
// A Feed is a durable pull consumer with explicit acknowledgement, unlimited
// redelivery and one pinned client. It pulls ahead by a bounded number of messages
// and bytes; those not handed out yet are extended every third of AckWait, and the
// pin is kept while the handler blocks. When extending was not possible for too long,
// waiting messages are dropped here, come back from the server, and Message.Claim
// changes, exactly as after a take-over. Who is pinned stands in State: nobody, until the
// server has a message for one of those that ask. At its end the open pull is let run empty, all that
// came is handed out, so that it can be released, and the pin is given back.
//
// Each acknowledgement is confirmed by an answer of its own. Those that nobody waits for
// (inbound.Later) are sent together, every two milliseconds, and at once after a pause.
//
// # Outbox
//
// A dead letter is published once: its subject names the source message, and the
// stream refuses a second one (expected last sequence 0). A refusal is believed only
// if the stored letter is the same. Receipts are deduplicated by Nats-Msg-Id within
// the stream's window.
//
// # Walk, roll up, forward
//
// Walk reads a stream: all messages, a window, the last one of each subject, or what is
// to come. RollUp puts a marker in the place of a subject's
// messages, fenced by its last sequence, so that what another writer stored meanwhile is
// not lost. Copies go out through a Forwarder, and requests of operators through Serve and
// Ask, which are plain NATS: no stream keeps them. Hear sees messages as they are
// published, whether a stream takes them or not. MessageAt reads one message, without any
// consumer.
//
// StartEmbedded locks its store where the system can, so that no second server opens it.
//
// Remember stores without waiting for a confirmation, for a time: for what may be lost. A
// message of a batch that is Alone rolls its subject up and never expires.
//
// # Budget
//
// BudgetStore holds the sum of a day's requests in one message on a subject of the event
// stream, rolled up. Instances add to it by compare-and-set; each message names the
// attempt that wrote it, so that an addition whose answer was lost is recognized.
//
// # Revisions and parking
//
// Revisions holds one message per key on a subject of the event stream, rolled up,
// stored only in the place of the one that was read. Parking stores letters in the
// dead-letter stream; each names the sequence of the route's fence subject
// (Nats-Expected-Last-Subject-Sequence with -Subject), so that the stream refuses what
// an instance parks whose term is over. Each fence is stored in the place of the one that
// was read, so whoever begins a term knows how the one before ended: the header
// Crm-Parked-Term is "ended" on the fence that End stores, and absent on all others.
// Instances that do not know the header take it for any other fence.
//
// # Payloads
//
// Payloads keeps the data of large events in an object store bucket (ADR-20), in the form
// that every client reads. Put leaves an object that is there whole as it is and replaces
// one that an interrupted Put left. Get says that an object is gone on the leader's word
// alone. Remove leaves no mark behind. RemoveOrphans removes
// chunks without a name after an hour.
//
// # Limits
//
// A subject has at most MaxSubject bytes, all headers of a message 64 KiB, a batch
// outbound.MaxBatch messages. JetStream domains and API prefixes other than $JS.API
// are not supported. A receipt whose stream has no deduplication window may be stored
// twice.
//
// Sources: nats-architecture-and-design ADR-8, ADR-31, ADR-42, ADR-44, ADR-50;
// nats-server 2.15.2 and nats.go 1.55.0.
package jet

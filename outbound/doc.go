// Package outbound follows tables of Customer Engagement and publishes every
// change once. It declares what it needs: a Source that reads pages of a tracked
// query, a Stream that stores atomic, fenced batches and shows what it holds. One
// Worker follows one table.
//
// # What it promises
//
// For the history of the stream, across crashes at any moment, rival workers,
// lost answers and lagging replicas:
//
//	O1  when all is quiet, the last event of every live record that passes the filter
//	    bears its version, or is of an earlier epoch and bears its content, or, with
//	    OnlyChanges, bears its content but for ignored values
//	O2  no (record, version, kind) is there twice
//	O3  per record and epoch, versions only grow
//	O4  a deleted record that was ever published ends in deleted, and so does a live one
//	    that does not pass the filter; one that passes never does
//	O5  every event carries a row that the source showed under that version, with
//	    protected values in their place
//	O6  events and the checkpoint that stands for them are stored together
//	O7  every checkpoint has one predecessor; who comes second leaves nothing
//	O8  an expired token loses neither a change nor a delete
//	O9  a source that went back in time begins a new epoch
//	O12 an event's id follows from table, record, version, kind and epoch alone
//
// Not promised: versions between two polls, which the source does not show.
//
// # A round
//
// A round walks from a delta link, page by page, to the next one; the initial
// load is the round that starts from nothing. Each page is folded (one entry per
// record, the highest version wins), compared with the last event of each record,
// encoded, and committed in batches, the checkpoint last. The next page is fetched
// meanwhile, and a batch is encoded while the one before is being stored; at most
// two pages and two batches are in memory. A row's text is let go once its event is made.
//
//	fetch ──> fold ──> compare ──> encode ──> commit (fenced) ──> position moves
//	             Last, at our fence ┘                └ unknown? read the checkpoint
//
// The tables of the compare stand at decideRow and decideDelete. A delete is
// confirmed with the source first where the record may be live again: the same
// page or round shows it as a row, its last event is of this round, or this
// process did not see the round from its start. A record both shown and deleted in
// one page becomes two events in two batches, in that order.
//
// A page that needs several batches leaves its own link in all checkpoints but the
// last: after a crash it is fetched again and the compare skips what is stored.
//
// # References
//
// With TableConfig.References, what the lookups of the rows about to be published
// point at is read before the page is encoded: which table, for lookups of several,
// from the records as they are now, and only where the lookup still has the row's
// value; then the key columns of the targets, each once, by the ids in the rows. At
// most MaxFind records a call. A failed read is a failed round: nothing of the page is
// published. References are in no hash, compare or changed column.
//
// # Payload
//
// What the source shows is shaped before anything else looks at it, in the goroutine
// that fetched the page (Shaper). The filter (Payload.Keep) sees the row as sent. A
// record that it keeps out is not published; if it was, it is published as deleted with
// reason filtered and the version of the row that left, and as created once it passes
// again. The table stands at decideOut. A filter that fails halts the table. Its outcome
// should follow from the version: a record that passes again without a new one waits
// for the next.
//
// Protected values (Payload.Protect) are replaced in the row, so that events, hashes,
// former values and keys of deletes have nothing else; values that an earlier event
// bears raw are protected before they are said again. What stands on the stream stays.
//
// With OnlyChanges an update in which nothing but ignored values differs from the last
// event is counted as noise and not published; previousversion and changedcolumns then
// reach back to the last event. A column that appears or goes is a difference.
//
// None of it is published twice or raises an alarm: a version that was left out is a
// repeat like a published one where a link shows it again.
//
// # Echoes
//
// With TableConfig.Echo the compare also reads, in the same fenced answer, what the
// stream remembers of the bridge's own last write to each record (Names.Echo, stored by
// the inbound side without waiting) and, with EchoDrop, the mark that stands for rows
// that were dropped (Names.Dropped). A row of a noted version is published with its cause.
// With EchoDrop an update that shows nothing but the write, by the rule of package echo,
// becomes a mark in place of an event: stored in the same batch as the checkpoint, so
// that it is known to every worker, for ever. Then O1 reads: the last event or mark of
// every live record bears its version. A row is held against a mark as against an event
// of that version; an event after it, a delete or a new epoch makes it void. While one is
// in force OnlyChanges leaves nothing out: what equals the last event may be a person's
// return to it. Lost notes lead to more events, never to fewer. Rows of an initial load are not looked up.
//
// # Claim check
//
// With TableConfig.ClaimCheck, the data of an event larger than Payloads.Above is put into
// an object store before the event is handed to a commit, and the event refers to it
// (dataref). The object's name follows from record, sequence and content: a crash or
// a lost race in between leaves an object that the next try finds, or one that is older
// than what is published and is removed when the record's history has passed it. Of a
// record that was deleted before the next try, and of which nothing was ever published, it
// stays: no age tells that no batch in memory refers to it. A crash leaves no more of them
// than the large rows of the two batches that it interrupted; erase finds them. The
// compare reads through the reference, also where ClaimCheck is off by now: an object
// store that is away delays it; an object that is gone halts the table.
//
// # Resync
//
// A resync reads everything again, from nothing, and holds it against the stream.
// Only true differences are published (readby resync); a record that the stream says
// is live and the read did not meet is looked up, and deleted with reason reconciled
// when it is gone; where the source is a Lister, one that is live is read by itself and
// published like a row of the read. It begins when
//
//	token_expired   the source refuses the delta link
//	token_age       the link has used 80 % of its life (Retention); 50 % is a warning
//	full_dump       a delta round returns rows that are published and older than its
//	                token: more than one in a thousand of the table's rows
//	restored        a version, or a token, went back: new epoch
//	configuration   columns, filter, protection, source or type prefix changed: new
//	                epoch; OnlyChanges alone: the same epoch
//	paging_link     an initial load cannot go on from its page
//	requested       a person asked; only this and a repair mend a lost or corrupt checkpoint
//	repair          a person asked, since a comparison found differences; readby repair. New
//	                epoch where the stream has another content, or a delete, under the
//	                version of a record: that version's events are spent (O2)
//
// In a new epoch versions begin anew: a row is published unless the epoch before
// has the same content (Crm-Hash), and the delete of a record that has no event in
// the new epoch has version 1. A worker that finds another configuration in the
// checkpoint resyncs when it starts and halts when it was following already, so that
// two bridges with different columns do not resync in turns.
//
// What the read met is kept as a set of stream sequences, at most two bytes for a
// record; candidates are those whose last event is not later than the fence at which
// the read began. The set is lost in a crash: the read begins anew, and the compare
// skips what it published. Such restarts are counted (Resync.Restarts, failure
// resync_restarted): where no process ever lives as long as a read takes, it never ends.
// It is not kept in the stream: of a large table it does not fit into a checkpoint, and as
// messages of its own it would have to be stored with every page. Nor is the page's link
// enough: a read that went on from it would take every record of the pages before for one
// that was not met. A list of all ids could tell these (Lister), against the last events
// of all of them, which is the same reading over again. Nothing is deleted once more than MaxDeletes are found to
// be gone or to have left the filter, those before a crash included: the table halts
// until Resync(true). A candidate is gone only by the source's own word about that
// record (Confirmer, 500 at a time); a missing right or an answer that is not whole is
// a failure, never a delete. Notices resync.started, resync.finished and
// resync.halted stand on the table's notice subject, in the same
// commits. Three resyncs in a row without a good round after one halt the table.
//
// # When to poll
//
// Rounds follow each other in PollInterval while they find changes, and in times that
// grow by half each up to PollMax while they do not; a Pacer may stretch that further.
// Polls lie on a grid as wide as PollInterval on the clock of the day, shifted by Phase:
// tables with phases of their own do not poll in the same instant, and begin within a
// second of each other. Poke polls at once. A page of a load, of a resync or of a round
// of more than ten pages is marked Bulk: the source may serve others first.
//
// # Overlap
//
// A checkpoint keeps up to four older links. Every OverlapEvery, and when a process
// begins, one that was obtained OverlapAge before the last such read is followed to
// its end: a change that was open while tokens beyond its version were handed out
// shows up there alone (readby overlap). A refused link, or one that returns what its
// token must have left out, is dropped; the table goes on. A change that was open
// while a full read began and for longer than it takes is not found.
//
// # Rows that move between pages
//
// Whether a source pages a changing table without skipping a row, and whether the
// token of several pages stands for the first of them or the last, is not documented. A
// full read of more than one page is therefore held against the source's list of ids and
// versions (Lister), which is in the order of ids: a version that the read did not meet
// and that the new link leaves behind is read by itself, and published like a row of
// the read, before the read's last commit. The list costs a request for every 5,000
// records; it deletes nothing and halts nothing, and a list that cannot be had is left
// out and counted (failure recount). A filter remembers what was met: it hides one
// skipped row in about a thousand. A source's own count of records is not used: it stops
// at 5,000 or is a day old. A round of changes with more than one page is
// read once more from the link it began with, at once and also without the overlap, and
// again while that finds something, three times at most. What was found so is counted
// (Status.Missed).
//
// # Column security
//
// A secured column that the user may not read comes back as null, without an error. A
// source that can tell (Inspector) is asked after a page was read and before it is
// published: for the first page of a process, for every page of a full read that
// publishes something, whenever an update takes a value away, and else when the last
// answer is a minute old. A hidden column halts the table (column_secured). So a null
// never takes the place of a value that is only hidden; a record that is created within
// a minute of the loss may be published without it, until its next change.
//
// # Pause
//
// A pause stands in the checkpoint: it outlasts the process and reaches every worker
// of the table. Resume, on any of them, ends it.
//
// # Starts
//
// StartLoad publishes existing records as loaded; one that changed while the load
// ran is updated. StartNow reads them without publishing. Its first event of an
// unknown record is created when createdon (which must be among the columns) is
// later than the latest modifiedon of that first read, both on the source's clock;
// else it is updated without previousversion. A back-dated record is an update.
//
// A table without a checkpoint starts only if the stream holds no event of it.
// Events without a checkpoint, or a checkpoint that vanished, halt the table: to
// begin anew would leave records deleted meanwhile live for ever.
//
// # Why a load need not compare
//
// A load that began on a table without any event, whose every commit since was made
// by this process, knows all that is on the stream: what it handed to commits.
// Suppose another writer stored an event of this table after we looked. It would
// have moved the checkpoint in the same batch, and our next commit, fenced with
// the sequence we know, would be refused whole. So an id that was never planned
// in this load has no event, and a Bloom filter that never denies an id it was
// given may answer for the stream: an id it does not know is published without a
// read, any other is compared. The filter is filled before the commit, and a
// refused or unsettled commit ends the privilege.
//
// # Failures
//
// The fate of a commit that was not answered is read from the checkpoint: my
// attempt id, stored; the old sequence, the same batch again; else fenced.
// Fenced means start over from the other's checkpoint. What the stream cannot take
// now is kept and tried again; a source that fails is asked again after a delay
// that doubles (never less than it demands), with the position kept. A page that
// is not one is fetched again and never moves the position. A refused link of a
// later page sends the round back to its base once; a load, which has none, becomes
// a resync.
//
// These halt a table until Resume, with the next action in Status: a filter that cannot
// be computed for a record, a refusal by the source (privilege, tracking off, a dropped
// column, a foreign link), a hidden column, too many deletes in a
// resync, a message of somebody else on a record's subject, an event the stream will
// never take, a checkpoint that is missing, unreadable or of another table,
// organization or newer bridge. Other tables are not touched. A server that takes
// smaller batches than expected gets smaller ones.
//
// The end of the context decides nothing: a commit that was begun may finish
// within 10 s, nothing new is begun, and what is not known to be stored is read
// back at the next start.
//
// # Limits
//
// A batch has at most MaxBatch messages and TableConfig.MaxBatchBytes; a
// checkpoint 128 KiB, a link 64 KiB, an older link 4 KiB; the filter 16 MiB; eight lookups of deleted
// records at a time. Pages are bounded by the source. changedcolumns is left out
// when it would exceed an attribute's limit.
//
// What a Stream must do is written as tests in package logtest; the stream of this
// package's simulation and the real one, on one server and on three, pass them.
//
// Sources: "Use change tracking to synchronize data with external systems" and
// "Page results using OData" of the Dataverse developer guide; ADR-50 of NATS
// (atomic batch publishing). Assumptions: deletes may be listed again together
// with the recreated row; a paging link may cease to work at any time; a delta token
// begins with the row version that it stands for, and where it does not, only row
// versions tell of a restore.
package outbound

// Package soak proves the bridge's promises on real parts: it runs the bridge as
// a process of its own between the simulator and a JetStream server, changes
// records and sends events all the while, kills the process with SIGKILL at
// random moments, and then holds the histories against each other. Several bridges may
// run side by side, sharing the tables and the route.
//
// Two histories are the truth: the simulator's write log, and a recording of the
// event stream from sequence 1, taken while it grew (the server repeats what it stores):
// a checkpoint replaces the one before it, and a compacted stream would hide
// duplicates. A recording with a hole is a violation. The tables differ in what they
// promise: contacts have a filter and only_changes, the tokens of regions expire now and
// then, accounts state the key of a lookup, and some of them are put into the object store. The checker knows nothing of the bridge. Its rules:
//
//	O1 completeness    every live record's last version, or its content where that is
//	                   promised, is the last event of the record
//	O2 no duplicates   no (record, version, kind) stands twice in an epoch
//	O3 no regress      versions of a record only grow, and each event names the one before it
//	O4 deletes         a record that is deleted, or left the filter, and was published ends
//	                   in deleted; one that is to be published never does
//	O5 no invention    every payload equals the record as it was at that version
//	O6 atomic pages    messages stand in whole batches, each of which ends in a checkpoint
//	O7 one committer   each checkpoint took the place of the one before it; no commit twice
//	O8 expiry          O1 and O4 for what happened before the table's tokens expired
//	O9 rewind          a table that published what a restore took back has a new epoch
//	O10 no null        no column is null that had a value; nobody is deleted who never was
//	O11 isolation      O1 and O4 for other tables while one is halted
//	O12 identity       id and source follow from table, record, version, kind and epoch
//	O13 aside          the data of an event that is kept apart is there and is its own; references
//	                   name what the row points at, with a key that the target had
//	I1 no early ack    a settled message was accepted by Customer Engagement or is a dead letter
//	I2 nothing lost    every message is settled in the end
//	I3 last writer     each record shows the newest message of its key
//	I4 no stale write  a record never moves back to an older message
//	I5 one record      one record for each key
//
// Restores and halted tables occur in the checker's own tests alone: package outbound
// simulates them.
//
// Beside the random kills, the package's tests kill the process at each step of the
// outbound engine, in a load, a round of changes and a resync, of tables up to 200,000
// records: while a page is asked for, before and within a commit, and with the answer to
// it on the way or in the process's socket. They also hold the pages that the next
// process asks for against the checkpoint: none before it, but for a resync, which
// begins anew, and the second reading of a round of several pages.
//
// Everything random comes from the seed. What the seed cannot fix is the moment
// at which the operating system delivers a kill.
package soak

// Package soak proves the bridge's promises on real parts: it runs the bridge as
// a process of its own between the simulator and a JetStream server, changes
// records and sends events all the while, kills the process with SIGKILL at
// random moments, and then holds the histories against each other.
//
// Two histories are the truth: the simulator's write log, and a recording of the
// event stream from sequence 1 (the stream keeps everything; a compacted one
// would hide duplicates). The checker knows nothing of the bridge. Its rules:
//
//	O1 completeness    every live record's last version is the last event of the record
//	O2 no duplicates   no (record, version, kind) stands twice
//	O3 no regress      versions of a record only grow
//	O4 deletes         a deleted record that was published ends in deleted; a live one never does
//	O5 no invention    every payload equals the record as it was at that version
//	O6 atomic pages    every event is followed by a checkpoint of its table
//	I1 no early ack    a settled message was accepted by Customer Engagement or is a dead letter
//	I2 nothing lost    every message is settled in the end
//	I3 last writer     each record shows the newest message of its key
//	I4 no stale write  a record never moves back to an older message
//	I5 one record      one record for each key
//
// Everything random comes from the seed. What the seed cannot fix is the moment
// at which the operating system delivers a kill.
package soak

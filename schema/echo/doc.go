// Package echo tells what of a published change is the bridge's own doing. It does no
// I/O and reads no clock.
//
// A Note is what the inbound side leaves about one of its writes: the version that
// the answer named, the event that caused it, and fingerprints of the values written.
// The outbound side that meets that version knows the cause from it.
//
// # What may be dropped
//
// The version alone proves nothing: Customer Engagement shows the latest state only,
// so a person's change from before the write lies hidden under the write's version;
// and the version in an answer is read after the write, so it may already be that of a
// person's change. So a row counts as an echo only by its content: every column in
// which it differs from what consumers were given, and every column that the write set,
// must have exactly the value that the write gave it. The Mark keeps, for a record whose
// changes were dropped, which columns those were, until an event brings the record's
// whole state again:
//
//	differs  = columns in which the row differs from the last event
//	           and those of the mark
//	echo     = each of them, and each one written, has the value that the note says
//
// So whatever value a person gave a column last stands on the stream: a column outside
// of differs has the last event's value and was never dropped since, and one within
// has the very value that the write put there. A write that sets fewer columns than
// those that were dropped before is published, with the whole row.
//
// modifiedon changes with every write and is left out; so is the version column,
// which the caller does not hand over. modifiedby, where it differs, must name the
// bridge's own user. What plug-ins and the platform change in consequence of a write
// is no echo.
//
// Fingerprints are salted hashes: a Note must not carry values to where nobody chose
// to publish them. They hold only the columns that are published anyway. Values
// compare by what they mean: 10 and 10.00 are equal, 'x' and 'X' are not.
package echo

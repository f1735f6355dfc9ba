package outbound

import (
	"time"

	"cebridge/schema/event"
)

// known is what the stream says of one record.
type known struct {
	event.Published
	Sequence uint64
	// Filtered: it is the delete of a record that left the table's filter. Only read
	// where the record comes back in the same version.
	Filtered bool
}

// situation is what a decision depends on besides the row and the stream.
type situation struct {
	phase    Phase
	start    Start
	epoch    int
	baseline time.Time
	// loading: unknown records are part of an initial load.
	loading bool
	// primed is the highest version that the first read of a table that starts now showed.
	primed int64
	// floor is a version that the round's token is not older than, 0 when unknown.
	floor int64
	// held is the sequence of the checkpoint held when the page's fetch began:
	// what the stream had up to there, the source had shown us before.
	held uint64
}

// step is what a decision asks for.
type step uint8

// The steps.
const (
	stepSkip    step = iota // nothing, for the given reason
	stepPublish             // one event
	stepAsk                 // a delete that the source must confirm first
	stepRewound             // the source went back in time: halt
	stepAhead               // the stream is in a later epoch than the checkpoint: halt
)

// Skips: why a row became no event. Each is a metric label.
const (
	skipPublished = "published"      // this version is on the stream
	skipStale     = "stale"          // a newer version was published after the fetch began
	skipUnknown   = "unknown_delete" // a delete of a record that was never published
	skipGone      = "already_deleted"
	skipLive      = "still_live" // a delete of a record that exists (again)
	skipPriming   = "priming"    // the table starts now
	skipRepeated  = "repeated"   // another row of the page is newer
	skipUnchanged = "unchanged"  // an earlier epoch published the same content
	skipFiltered  = "filtered"   // the record does not pass the table's filter
	skipNoise     = "noise"      // only ignored columns differ from the last event
)

// decision is the outcome of the compare for one row or delete.
type decision struct {
	step   step
	reason string
	change event.Change
	// previous is the event that comes before on the record's subject; its
	// version is 0 when there is none.
	previous known
}

// version of a delete is the last known one. An earlier epoch's may be above all
// that are to come, so a delete that opens the record's part of a new epoch has 1.
func (d *decision) version(epoch int) int64 {
	if d.previous.Epoch < epoch {
		return 1
	}
	return d.previous.Version
}

// decideRow compares a row with the record's last event, nil when it has none.
//
//	last event          row's version   step
//	none                any             loaded | created | updated (see unknownChange)
//	later epoch         any             ahead
//	earlier epoch       any             skip when live with the same content, created
//	                                    after a delete, else updated
//	live                same            skip
//	live                higher          updated
//	deleted             higher          created
//	live | deleted      lower, or the   rewound when that event is not newer than the
//	                    deleted one     checkpoint held at the fetch, else skip as stale
//
// In a table that starts now, a row that no event stands for is skipped when it is
// not newer than the first read: see primed. A row that the filter keeps out is
// decided by decideOut. noise tells that nothing that counts differs from the last
// event: then a live one is not updated.
func decideRow(s situation, row *Row, createdOn func() time.Time, last *known, noise bool) decision {
	if s.phase == PhasePriming || last == nil && primed(s, row) {
		return decision{step: stepSkip, reason: skipPriming}
	}
	if row.Out {
		return decideOut(s, row, last)
	}
	version := row.Version
	if last == nil {
		return decision{step: stepPublish, change: unknownChange(s, createdOn)}
	}
	d := decision{step: stepPublish, change: event.Updated, previous: *last}
	if last.Deleted() {
		d.change = event.Created
	}
	switch {
	case last.Epoch > s.epoch:
		return decision{step: stepAhead, previous: *last}
	case last.Epoch < s.epoch && !last.Deleted() && last.Hash == row.Hash:
		return decision{step: stepSkip, reason: skipUnchanged, previous: *last}
	case last.Epoch < s.epoch, version > last.Version:
		if noise && !last.Deleted() {
			return decision{step: stepSkip, reason: skipNoise, previous: *last}
		}
		return d
	case version == last.Version && !last.Deleted():
		return decision{step: stepSkip, reason: skipPublished, previous: *last}
	case version == last.Version && last.Filtered:
		// The filter's outcome changed without a new version, and that version's events
		// are spent.
		return decision{step: stepSkip, reason: skipFiltered, previous: *last}
	case last.Sequence <= s.held:
		return decision{step: stepRewound, previous: *last}
	}
	return decision{step: stepSkip, reason: skipStale, previous: *last}
}

// decideOut compares a row that the filter keeps out with the record's last event. The
// delete of a record that left the filter bears the version that left.
//
//	last event          row's version   step
//	none                any             skip
//	later epoch         any             ahead
//	earlier epoch       any             deleted when live, else skip
//	live                same, higher    deleted
//	deleted             same, higher    skip
//	live | deleted      lower           rewound or stale, as for any row
func decideOut(s situation, row *Row, last *known) decision {
	d := decision{step: stepSkip, reason: skipFiltered}
	if last == nil {
		return d
	}
	d.previous = *last
	switch {
	case last.Epoch > s.epoch:
		return decision{step: stepAhead, previous: *last}
	case last.Epoch == s.epoch && row.Version < last.Version && last.Sequence <= s.held:
		return decision{step: stepRewound, previous: *last}
	case last.Epoch == s.epoch && row.Version < last.Version:
		return decision{step: stepSkip, reason: skipStale, previous: *last}
	case last.Deleted():
		return d
	}
	return decision{step: stepPublish, change: event.Deleted, previous: *last}
}

// unknownChange names the first event of a record. In a table that starts now
// the stream does not know the records that existed, so the first event of one of
// them is an update; only a record created later than the newest modification
// that the initial read showed is certainly new. Both times are the source's own.
func unknownChange(s situation, createdOn func() time.Time) event.Change {
	switch {
	case s.phase == PhaseLoading || s.loading:
		return event.Loaded
	case s.start == StartLoad:
		return event.Created
	case !s.baseline.IsZero() && createdOn().After(s.baseline):
		return event.Created
	}
	return event.Updated
}

// primed tells whether a row without an event is one that the first read of a
// table that starts now has seen, in the same state. A full read shows such rows
// again.
func primed(s situation, row *Row) bool {
	if s.start != StartNow || row.Version > s.primed || s.phase == PhaseFollowing && row.Version > s.floor {
		return false
	}
	return !parseTime(row.Modified).After(s.baseline)
}

// decideDelete compares a delete with the record's last event. doubtful tells
// that the record may have been live after the delete: the page or the round
// showed it as a row too, or its last event is of this round.
//
//	last event       step
//	none             skip
//	deleted          skip
//	later epoch      ahead
//	live             ask when doubtful, else deleted
func decideDelete(s situation, doubtful bool, last *known) decision {
	switch {
	case s.phase == PhasePriming:
		return decision{step: stepSkip, reason: skipPriming}
	case last == nil:
		return decision{step: stepSkip, reason: skipUnknown}
	case last.Epoch > s.epoch:
		return decision{step: stepAhead, previous: *last}
	case last.Deleted():
		return decision{step: stepSkip, reason: skipGone, previous: *last}
	}
	d := decision{step: stepPublish, change: event.Deleted, previous: *last}
	if doubtful {
		d.step = stepAsk
	}
	return d
}

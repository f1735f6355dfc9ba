package outbound

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"cebridge/schema/echo"
	"cebridge/schema/event"
)

// storedEvent is what the checker reads of one message.
type storedEvent struct {
	ID       string          `json:"id"`
	Source   string          `json:"source"`
	Type     string          `json:"type"`
	Previous string          `json:"previousversion"`
	Changed  string          `json:"changedcolumns"`
	Sequence string          `json:"sequence"`
	Reason   string          `json:"reason"`
	Data     json.RawMessage `json:"data"`
}

// checkHistory holds a stream's whole history against the source's, by the
// invariants of the package comment. complete asks for O1 and O4, which hold only
// once everything is quiet. A table that starts now has records that the stream
// need not know.
func checkHistory(c *crmModel, history []Stored, ends []int, start Start, complete bool) (faults []string) {
	bad := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	names := testNames()
	type last struct {
		event.Published
		record json.RawMessage
	}
	lasts, marks := map[string]last{}, map[string]*echo.Mark{}
	ids, attempts := map[string]uint64{}, map[string]bool{}
	var previousCheckpoint uint64
	epoch := 0
	for _, m := range history {
		if strings.HasPrefix(m.Subject, names.Echo("account", "")) {
			continue
		}
		if id, ok := strings.CutPrefix(m.Subject, names.Dropped("account", "")); ok {
			mark, err := echo.DecodeMark(m.Data)
			if err != nil {
				bad("mark at %d: %v", m.Sequence, err)
				continue
			}
			if l, known := lasts[id]; !known || l.Deleted() || l.Epoch != mark.Epoch || mark.Version <= l.Version ||
				marks[id] != nil && marks[id].Epoch == mark.Epoch && mark.Version <= marks[id].Version {
				bad("mark at %d of version %d follows %+v and mark %+v", m.Sequence, mark.Version, l.Published, marks[id])
			}
			marks[id] = mark
			continue
		}
		if m.Subject == names.Checkpoint("account") {
			cp, err := DecodeCheckpoint(m.Data)
			if err != nil {
				bad("checkpoint %d: %v", m.Sequence, err)
				continue
			}
			if attempts[cp.Attempt] {
				bad("O7: attempt %s stored twice", cp.Attempt)
			}
			if cp.RoundStart != nil && *cp.RoundStart > previousCheckpoint {
				bad("O6: checkpoint %d names round start %d, after the checkpoint before it", m.Sequence, *cp.RoundStart)
			}
			if cp.Epoch < epoch {
				bad("checkpoint %d goes from epoch %d to %d", m.Sequence, epoch, cp.Epoch)
			}
			attempts[cp.Attempt], previousCheckpoint, epoch = true, m.Sequence, cp.Epoch
			continue
		}
		if m.Subject == names.Notice("account") {
			var n storedEvent
			if err := json.Unmarshal(m.Data, &n); err != nil || ids[n.ID] != 0 {
				bad("notice at %d: id %q, seen at %d, %v", m.Sequence, n.ID, ids[n.ID], err)
			}
			ids[n.ID] = m.Sequence
			continue
		}
		id, ok := names.RecordID("account", m.Subject)
		if !ok {
			bad("unexpected subject %s", m.Subject)
			continue
		}
		p, err := event.ReadHeader(m.Header)
		if err != nil {
			bad("sequence %d: %v", m.Sequence, err)
			continue
		}
		var e storedEvent
		if err := json.Unmarshal(m.Data, &e); err != nil {
			bad("sequence %d: %v", m.Sequence, err)
			continue
		}
		data, wrong := c.checkAside(m, id, p)
		faults = append(faults, wrong...)
		if was, dup := ids[e.ID]; dup {
			bad("O2: %s at sequences %d and %d", e.ID, was, m.Sequence)
		}
		ids[e.ID] = m.Sequence
		if want := event.ID("account", id, p.Version, p.Epoch, p.Deleted()); e.ID != want || e.Source != testSettings().Source {
			bad("O12: id %s, want %s", e.ID, want)
		}
		if want := testSettings().TypePrefix + ".account." + string(p.Change); e.Type != want {
			bad("type %s, want %s", e.Type, want)
		}
		before, known := lasts[id]
		renewed := known && p.Epoch > before.Epoch
		switch {
		case known && p.Epoch < before.Epoch:
			bad("O3: record %s goes from epoch %d to %d", id, before.Epoch, p.Epoch)
		case e.Reason == reasonFiltered:
			if !known || before.Deleted() || !renewed && p.Version < before.Version || !c.leftFilter(id, p.Version) {
				bad("O4: record %s is deleted by the filter at version %d after %+v", id, p.Version, before.Published)
			}
		case renewed && p.Deleted():
			if before.Deleted() || p.Version != 1 {
				bad("O3: record %s is deleted at version %d in a new epoch after %+v", id, p.Version, before.Published)
			}
		case renewed:
			if !before.Deleted() && sameContent(before.record, json.RawMessage(data.Record)) {
				bad("O2: event %s repeats the content of the epoch before", e.ID)
			}
		case known && !p.Deleted() && p.Version <= before.Version:
			bad("O3: record %s goes from version %d to %d", id, before.Version, p.Version)
		case p.Deleted() && (!known || before.Deleted() || p.Version != before.Version):
			bad("O3: record %s is deleted at version %d after %+v", id, p.Version, before.Published)
		}
		wantChange := event.Updated
		switch {
		case p.Deleted():
			wantChange = event.Deleted
		case known && before.Deleted():
			wantChange = event.Created
		case !known:
			wantChange = p.Change // loaded or created, by phase
			if allowed := map[Start]event.Change{StartLoad: event.Loaded, StartNow: event.Updated}[start]; p.Change != allowed && p.Change != event.Created {
				bad("the first event of %s is %s", id, p.Change)
			}
		}
		if p.Change != wantChange {
			bad("event %s is %s, want %s", e.ID, p.Change, wantChange)
		}
		wantPrevious := ""
		if known {
			wantPrevious = fmt.Sprint(before.Version)
		}
		if e.Previous != wantPrevious {
			bad("event %s has previousversion %q, want %q", e.ID, e.Previous, wantPrevious)
		}
		if !p.Deleted() {
			if rows := c.history[id][p.Version]; !slices.ContainsFunc(rows, func(row string) bool {
				as, out := c.published(row)
				return !out && partOf(data.Record, as)
			}) {
				bad("O5: event %s carries %s, the source had %q", e.ID, data.Record, rows)
			}
			if p.Change == event.Updated && known && strings.Join(slices.Sorted(strings.SplitSeq(e.Changed, ",")), ",") != strings.Join(changedNames(before.record, json.RawMessage(data.Record)), ",") {
				bad("event %s has changedcolumns %q", e.ID, e.Changed)
			}
			if p.Change == event.Updated && known && c.shaper().OnlyChanges() {
				if same, err := c.shaper().Same(before.record, data.Record); same || err != nil {
					bad("O1: event %s has nothing that counts (%v)", e.ID, err)
				}
			}
			if p.Change == event.Updated && known && c.previous {
				if want := formerOf(before.record, json.RawMessage(data.Record)); string(data.Previous) != want {
					bad("event %s has previous %s, want %s", e.ID, data.Previous, want)
				}
			}
		} else if want := keyOf(before.record); string(data.Previous) != want {
			bad("delete %s has previous %s, want %s", e.ID, data.Previous, want)
		}
		lasts[id] = last{p, json.RawMessage(data.Record)}
	}
	for i, end := range ends {
		if history[end-1].Subject != names.Checkpoint("account") {
			bad("O6: batch %d ends without a checkpoint", i)
		}
	}
	n := len(history)
	for n > 0 && strings.HasPrefix(history[n-1].Subject, names.Echo("account", "")) {
		n-- // the other direction's
	}
	if n > 0 && (len(ends) == 0 || ends[len(ends)-1] != n) {
		bad("O6: messages after the last checkpoint")
	}
	if !complete {
		return faults
	}
	for id, l := range lasts {
		if c.records[id] == nil && !l.Deleted() {
			bad("O4: record %s is in no history of the source any more, the stream says %+v", id, l.Published)
		}
	}
	for id, r := range c.records {
		l, known := lasts[id]
		raw := Row{JSON: []byte(r.row)}
		raw.selectColumns(c.columns)
		row, out := c.published(string(raw.JSON))
		same := false
		if r.live && known && !l.Deleted() && c.shaper().OnlyChanges() {
			same, _ = c.shaper().Same(l.record, json.RawMessage(row))
		}
		switch {
		case r.live && out:
			if known && !l.Deleted() {
				bad("O4: record %s does not pass the filter, the stream says %+v", id, l.Published)
			}
		case same:
		case start == StartNow && !known:
		case r.live && known && !l.Deleted() && l.Epoch < epoch && withinContent(l.record, json.RawMessage(row)):
		case r.live && known && !l.Deleted() && marks[id] != nil && marks[id].Epoch == l.Epoch && marks[id].Version == r.version:
			// An own write, left out.
		case r.live && (!known || l.Deleted() || l.Version != r.version):
			bad("O1: record %s is live at version %d, the stream says %+v", id, r.version, l.Published)
		case !r.live && known && !l.Deleted():
			bad("O4: record %s is deleted, the stream says %+v", id, l.Published)
		}
	}
	return faults
}

// shaper is how the workers of a test publish.
func (c *crmModel) shaper() *Shaper { return NewShaper(modelTable(), &c.payload) }

// published is what becomes of a row on its way.
func (c *crmModel) published(row string) (as string, out bool) {
	if known, ok := c.shaped[row]; ok {
		return known.as, known.out
	}
	rows := []Row{{ID: recordID(0), Version: 1, JSON: []byte(row)}}
	if err := c.shaper().Shape(rows); err != nil {
		panic(err)
	}
	c.shaped[row] = shapedRow{string(rows[0].JSON), rows[0].Out}
	return string(rows[0].JSON), rows[0].Out
}

// leftFilter tells whether a record had a version that does not pass the filter.
func (c *crmModel) leftFilter(id string, version int64) bool {
	return slices.ContainsFunc(c.history[id][version], func(row string) bool {
		_, out := c.published(row)
		return out
	})
}

// formerOf is the object of a row's members that another one changes.
func formerOf(before, after json.RawMessage) string {
	d, err := new(comparer).compare(before, after)
	if err != nil {
		return err.Error()
	}
	return string(object(d.was))
}

// partOf tells whether every member of record stands in row with that value.
func partOf(record []byte, row string) bool {
	some, err := members(record)
	all, err2 := members([]byte(row))
	return err == nil && err2 == nil && len(some) > 0 && !slices.ContainsFunc(some, func(m member) bool {
		return !bytes.Equal(find(all, 0, m.name), m.value)
	})
}

// sameContent tells whether two rows have the same members but for the version.
func sameContent(before, after json.RawMessage) bool {
	a, _ := members(before)
	b, _ := members(after)
	return len(a) == len(b) && withinContent(before, after)
}

// withinContent tells whether row has every member of record but the version.
func withinContent(record, row json.RawMessage) bool {
	a, err := members(record)
	b, err2 := members(row)
	if err != nil || err2 != nil {
		return false
	}
	for _, m := range a {
		if string(m.name) != versionColumn && !bytes.Equal(find(b, 0, m.name), m.value) {
			return false
		}
	}
	return true
}

func changedNames(before, after json.RawMessage) []string {
	var a, b map[string]json.RawMessage
	_, _ = json.Unmarshal(before, &a), json.Unmarshal(after, &b)
	var names []string
	for _, n := range []string{"accountid", "accountnumber", "createdon", "modifiedon", "name"} {
		if string(a[n]) != string(b[n]) {
			names = append(names, n)
		}
	}
	if lookup := "_primarycontactid_value"; string(a[lookup]) != string(b[lookup]) {
		names = append(names, "primarycontactid")
	}
	return slices.Sorted(slices.Values(names))
}

func keyOf(record json.RawMessage) string {
	var r map[string]json.RawMessage
	_ = json.Unmarshal(record, &r)
	return `{"accountnumber":` + string(r["accountnumber"]) + `}`
}

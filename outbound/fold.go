package outbound

import (
	"errors"
	"fmt"
)

// errBadPage is wrapped by every refusal of a page that a source handed over.
// Such a page is fetched again and never advances the cursor.
var errBadPage = errors.New("the page cannot be used")

// entry is everything one page says about one record: its newest row, a delete,
// or both.
type entry struct {
	id  string
	row *Row // nil when the page only deletes the record
	// deleted tells that the page lists a delete, wherever in the page.
	deleted bool
}

// fold turns a page into one entry per record, in order of first appearance. Of
// several rows of one record the highest version wins; dropped counts the others.
func fold(rows []Row) (entries []entry, dropped int, err error) {
	entries = make([]entry, 0, len(rows))
	at := make(map[string]int, len(rows))
	for i := range rows {
		r := &rows[i]
		if err := checkRow(r); err != nil {
			return nil, 0, fmt.Errorf("%w: row %d: %w", errBadPage, i, err)
		}
		j, seen := at[r.ID]
		if !seen {
			j = len(entries)
			at[r.ID] = j
			entries = append(entries, entry{id: r.ID})
		}
		e := &entries[j]
		switch {
		case r.Deleted && e.deleted:
			dropped++
		case r.Deleted:
			e.deleted = true
		case e.row == nil:
			e.row = r
		default:
			dropped++
			if r.Version > e.row.Version {
				e.row = r
			}
		}
	}
	return entries, dropped, nil
}

func checkRow(r *Row) error {
	switch {
	case !plainID(r.ID):
		return errors.New("the id is not a GUID in lower case")
	case r.Deleted:
		return nil
	case r.Version <= 0:
		return errors.New("it has no version")
	case len(r.JSON) == 0:
		return errors.New("it has no content")
	}
	return nil
}

// plainID tells whether s is a GUID in lower case: what may stand in a subject.
func plainID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f':
		default:
			return false
		}
	}
	return true
}

// checkPage refuses a page that is neither a middle nor a last one.
func checkPage(p *Page) error {
	switch {
	case p == nil:
		return fmt.Errorf("%w: there is none", errBadPage)
	case p.Next == "" && p.Delta == "":
		return fmt.Errorf("%w: it has neither a next link nor a delta link", errBadPage)
	case p.Next != "" && p.Delta != "":
		return fmt.Errorf("%w: it has both a next link and a delta link", errBadPage)
	case len(p.Next) > maxLinkBytes || len(p.Delta) > maxLinkBytes:
		return fmt.Errorf("%w: its link is longer than %d bytes", errBadPage, maxLinkBytes)
	}
	return nil
}

// linkGuard finds a cycle in the links of a round with constant memory: it
// remembers one link and moves on to a later one at doubling distances (Brent's
// method), so a cycle is noticed within a few turns.
type linkGuard struct {
	mark         string
	steps, limit int
}

// pass reports false when link closes a cycle.
func (g *linkGuard) pass(link string) bool {
	if g.limit > 0 && link == g.mark {
		return false
	}
	g.steps++
	if g.steps > g.limit {
		g.mark, g.steps, g.limit = link, 0, max(1, 2*g.limit)
	}
	return true
}

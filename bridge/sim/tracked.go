package sim

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// trackedRequest tells whether a request for an entity set takes part in change
// tracking: it asks for it, follows a delta link, or continues such a page.
func trackedRequest(r *http.Request) bool {
	ps := parseParams(r.URL.RawQuery)
	if _, ok := ps.get("$deltatoken"); ok {
		return true
	}
	if token, ok := ps.get("$skiptoken"); ok {
		c, e := parseCookie(token)
		return e == nil && c.tracking
	}
	return preferences(r).track
}

// trackedPage is one page of a load or a delta.
type trackedPage struct {
	rows    []*row
	deletes []uuid.UUID
	// next continues on another page; nil on the last one.
	next  *cookie
	token deltaToken
	// delta makes the context URL end in /$delta.
	delta bool
}

// getTracked answers a tracked query.
//
// A load goes through the records by id. Its token is the row version at the
// first page (assumption; TokenFromLastPage flips it), so that whatever changes
// while it is paged is in the following delta and nothing is lost. A delta is
// bounded in the same way: it lists the latest state of every record changed
// after the token and not after its own first page, by ascending version, then
// deletes. Its token is the version at its first page.
func (s *Server) getTracked(w http.ResponseWriter, r *http.Request, res resource) *apiError {
	d := res.def
	if e := s.refuseTracked(d, r); e != nil {
		return e
	}
	options := []string{"$select", "$skiptoken", "$deltatoken"}
	if s.opts.Profile == OnPremises {
		options = append(options, "$expand") // the on-premises page does not refuse it
	}
	q, e := s.parseQuery(d, r.URL.RawQuery, options...)
	if e != nil {
		return e
	}
	at, e := s.startTracked(r.Context(), res.table, q)
	if e != nil {
		return e
	}
	p := preferences(r)
	size := s.pageSize(p.pageSize)
	if at.phase != phaseLoad && s.opts.Assumptions.NoPageSizeOnDelta {
		size = s.opts.MaxPageSize
	}
	var page trackedPage
	s.view(r.Context(), func() {
		s.beginTracked(at)
		if at.phase == phaseLoad {
			page = s.loadPage(res.table, at, size)
		} else {
			page = res.table.deltaPage(at, size)
		}
	})
	s.skipRow(r, res, &page)
	notes := s.newAnnotator(p)
	body := s.trackedBody(r, d, q, &page, notes)
	applied := []string{}
	if p.track {
		applied = append(applied, "odata.track-changes")
	}
	if p.pageSize > 0 {
		applied = append(applied, "odata.maxpagesize="+strconv.Itoa(p.pageSize))
	}
	sendPage(w, p, applied, body)
	return nil
}

// refuseTracked refuses tables without tracking and the query options that
// tracking does not take.
func (s *Server) refuseTracked(d *tableDef, r *http.Request) *apiError {
	if !d.ChangeTracking {
		return &apiError{Status: http.StatusBadRequest, Code: codeTrackingOff, Message: "Entity: " + d.LogicalName + " is not enabled for change tracking."}
	}
	refused := []string{"$filter", "$orderby", "$top"}
	if s.opts.Profile == Online {
		refused = append(refused, "$expand")
	}
	for _, p := range parseParams(r.URL.RawQuery) {
		if slices.Contains(refused, p.name) {
			return &apiError{Status: http.StatusBadRequest, Code: codeInvalidRequest, Message: `The "` + p.name + `" query parameter isn't supported when Change Tracking is enabled.`}
		}
	}
	return nil
}

// startTracked finds out where the page begins. The token of a new round is set
// later, under the lock.
func (s *Server) startTracked(ctx context.Context, t *table, q *query) (*cookie, *apiError) {
	switch {
	case q.skipToken != "":
		return parseCookie(q.skipToken)
	case !q.hasDelta:
		return &cookie{phase: phaseLoad, tracking: true}, nil
	}
	token, e := parseToken(q.deltaToken)
	if e != nil {
		return nil, e
	}
	expired := false
	s.view(ctx, func() { expired = s.expired(t, token) })
	if !expired && !forcedDump(ctx) {
		return &cookie{phase: phaseChanges, tracking: true, since: token.version, reached: token.version}, nil
	}
	if s.opts.ExpiredToken == ExpiredDump || forcedDump(ctx) {
		return &cookie{phase: phaseLoad, tracking: true, dump: true}, nil
	}
	status := http.StatusBadRequest
	if s.opts.Assumptions.ExpiredGone {
		status = http.StatusGone
	}
	return nil, &apiError{Status: status, Code: codeExpiredVersion, Message: "Version stamp associated with the client has expired. Please perform a full sync."}
}

// expired tells whether a token is no longer accepted. It needs the lock.
func (s *Server) expired(t *table, token deltaToken) bool {
	if token.version <= t.voidBelow {
		return true
	}
	return s.opts.Now().Sub(token.issued) > s.tokenLifetime()
}

// tokenLifetime follows the organization's setting unless the options fix it.
func (s *Server) tokenLifetime() time.Duration {
	if s.opts.TokenLifetime > 0 {
		return s.opts.TokenLifetime
	}
	t := s.catalogNow().byName["organization"]
	d := t.def.Load()
	i := d.column("expirechangetrackingindays")
	for _, r := range t.rows {
		if i >= 0 {
			days, _ := strconv.Atoi(r.unpack(d, nil)[i])
			return time.Duration(days) * 24 * time.Hour
		}
	}
	return 7 * 24 * time.Hour
}

// beginTracked gives a new round its token.
func (s *Server) beginTracked(at *cookie) {
	if at.page == 0 {
		at.page = 1
		at.token = deltaToken{version: s.version, issued: s.opts.Now()}
	}
}

// skipRow takes the last row from a page that another follows, if a rule asks for it.
func (s *Server) skipRow(r *http.Request, res resource, page *trackedPage) {
	if page.next == nil || len(page.rows) < 2 {
		return
	}
	if _, _, ok := s.faults.pickData(FaultSkippedRow, r.Method, res.def.LogicalName); !ok {
		return
	}
	last := len(page.rows) - 1
	id := page.rows[last].id
	page.rows = page.rows[:last]
	_ = s.update(r.Context(), func(x *tx) *apiError {
		x.dataFault(FaultSkippedRow, res.table, id)
		return nil
	})
}

func (s *Server) loadPage(t *table, at *cookie, size int) trackedPage {
	page := trackedPage{token: at.token, delta: at.dump}
	ids := t.order.ids(func(id uuid.UUID) bool { return t.rows[id] != nil })
	start := 0
	if at.page > 1 {
		start = after(ids, at.last)
	}
	page.rows = make([]*row, 0, min(size, len(t.rows)))
	for _, id := range ids[start:] {
		r := t.rows[id]
		if r == nil {
			continue
		}
		if len(page.rows) == size {
			page.next = at.following()
			page.next.first, page.next.last = page.rows[0].id, page.rows[size-1].id
			return page
		}
		page.rows = append(page.rows, r)
	}
	if s.opts.Assumptions.TokenFromLastPage {
		page.token = deltaToken{version: s.version, issued: s.opts.Now()}
	}
	return page
}

// following is the cookie of the next page, to be completed.
func (c *cookie) following() *cookie {
	next := *c
	next.page++
	return &next
}

func (t *table) deltaPage(at *cookie, size int) trackedPage {
	page := trackedPage{token: at.token, delta: true}
	reached := at.reached
	if at.phase == phaseChanges {
		for _, r := range t.changes[t.changesAfter(reached):] {
			if r.version > at.token.version {
				break
			}
			if r.superseded {
				continue
			}
			if len(page.rows) == size {
				page.next = at.following()
				page.next.reached = page.rows[size-1].version
				page.next.first, page.next.last = page.rows[0].id, page.rows[size-1].id
				return page
			}
			page.rows = append(page.rows, r)
		}
		reached = at.since
	}
	t.deletesPage(&page, at, reached, size)
	return page
}

// deletesPage fills the rest of a page with deletes. A record that was made again
// under its old id is no delete.
func (t *table) deletesPage(page *trackedPage, at *cookie, reached int64, size int) {
	seen := map[uuid.UUID]bool{}
	for _, del := range t.deletes[t.deletesAfter(reached):] {
		if del.version > at.token.version {
			break
		}
		if t.rows[del.id] != nil || seen[del.id] {
			reached = del.version
			continue
		}
		if len(page.rows)+len(page.deletes) == size {
			page.next = at.following()
			page.next.phase, page.next.reached = phaseDeletes, reached
			if len(page.rows) > 0 {
				page.next.first, page.next.last = page.rows[0].id, page.rows[len(page.rows)-1].id
			}
			return
		}
		seen[del.id] = true
		page.deletes = append(page.deletes, del.id)
		reached = del.version
	}
}

// trackedBody renders a page. The documentation shows the links of a load after
// the rows and those of a delta before them.
func (s *Server) trackedBody(r *http.Request, d *tableDef, q *query, page *trackedPage, notes *annotator) []byte {
	root := s.apiRoot(r)
	contextURL := root + "$metadata#" + d.EntitySet + q.contextText()
	if page.delta {
		contextURL += "/$delta"
	}
	link := s.trackedLink(r, d, q, page, notes)
	first := page.delta && !s.opts.Assumptions.DeltaLinkLast || s.opts.Assumptions.DeltaLinkFirst
	b := make([]byte, 0, 512+len(page.rows)*512+len(page.deletes)*200)
	b = append(b, `{"@odata.context":`...)
	b = append(b, jsonText(contextURL)...)
	if first {
		b = append(b, link...)
	}
	b = append(b, `,"value":[`...)
	v := newRenderer(d, q.sel, notes)
	v.expand = s.newExpander(r, d, q, preferences(r))
	b = s.appendRows(r, b, v, page.rows)
	gone := []byte(jsonText(root + "$metadata#" + d.EntitySet + "/$deletedEntity"))
	for i, id := range page.deletes {
		if i > 0 || len(page.rows) > 0 {
			b = append(b, ',')
		}
		b = deletedEntry(b, string(gone), id.String())
	}
	b = append(b, ']')
	if !first {
		b = append(b, link...)
	}
	return append(b, '}')
}

// trackedLink is the member with the page's link. Annotations make the delta link
// disappear from the last page, as was seen on a live server.
func (s *Server) trackedLink(r *http.Request, d *tableDef, q *query, page *trackedPage, notes *annotator) string {
	switch {
	case page.next != nil:
		return `,"@odata.nextLink":` + jsonText(nextLink(s.apiRoot(r), d.EntitySet, d.PrimaryID, q.params, page.next))
	case notes != nil && !s.opts.Assumptions.KeepDeltaLinkWithAnnotations:
		return ""
	}
	return `,"@odata.deltaLink":` + jsonText(s.deltaLink(r, d, q.params, page.token))
}

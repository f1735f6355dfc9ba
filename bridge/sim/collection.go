package sim

import (
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"cebridge/schema"

	"github.com/google/uuid"
)

// maxCounted is where counts stop. Source: the page on counting rows.
const maxCounted = 5000

// getCollection answers GET of an entity set: a tracked query when it asks for
// tracking or carries a token of one, else a plain one.
func (s *Server) getCollection(w http.ResponseWriter, r *http.Request, res resource) *apiError {
	q, e := s.parseQuery(res.def, r.URL.RawQuery, "$select", "$filter", "$orderby", "$top", "$count", "$skiptoken", "$deltatoken", "$expand")
	if res.within == nil && trackedRequest(r) {
		return s.getTracked(w, r, res)
	}
	if e != nil {
		return e
	}
	if e := s.revokedExpand(r, q); e != nil {
		return e
	}
	if res.within != nil {
		if q.filter != nil {
			q.filter = andExpr{res.within, q.filter}
		} else {
			q.filter = res.within
		}
	}
	p := preferences(r)
	var at *cookie
	if q.skipToken != "" {
		if at, e = parseCookie(q.skipToken); e != nil {
			return e
		}
	}
	size := s.pageSize(p.pageSize)
	if q.top >= 0 {
		size = min(q.top, s.opts.MaxPageSize)
	}
	var rows []*row
	var more bool
	var total int
	s.view(r.Context(), func() { rows, more, total = s.plainPage(res, q, at, size) })
	var next *cookie
	if more && q.top < 0 {
		next = nextCookie(at, rows, len(q.order) > 0)
	}
	body := s.plainBody(r, res, q, rows, next, total, p)
	applied := []string{}
	if p.pageSize > 0 {
		applied = append(applied, "odata.maxpagesize="+strconv.Itoa(p.pageSize))
	}
	sendPage(w, p, applied, body)
	return nil
}

// sendPage sends a page and says which preferences it honoured.
func sendPage(w http.ResponseWriter, p prefs, applied []string, body []byte) {
	if len(p.annotations) > 0 {
		applied = append(applied, `odata.include-annotations="`+strings.Join(p.annotations, ",")+`"`)
	}
	if len(applied) > 0 {
		w.Header().Set("Preference-Applied", strings.Join(applied, ","))
	}
	writeJSON(w, http.StatusOK, body)
}

func (s *Server) pageSize(asked int) int {
	if asked > 0 && asked < s.opts.MaxPageSize {
		return asked
	}
	return s.opts.MaxPageSize
}

// plainPage collects one page of an untracked query. more tells that rows are
// left; total is the number of matches, when the query counts,
// up to one above maxCounted.
func (s *Server) plainPage(res resource, q *query, at *cookie, size int) (rows []*row, more bool, total int) {
	t, d := res.table, res.def
	m := matcher{d: d, filter: q.filter}
	if q.count {
		total = t.count(&m, maxCounted+1)
	}
	if q.filter != nil {
		if found, narrowed := t.candidates(d, q.filter, s.opts.Assumptions.CaseSensitiveKeys); narrowed {
			if at == nil && len(found) > 0 && m.match(found[0]) {
				return found[:min(1, size)], size < 1, total
			}
			return nil, false, total
		}
	}
	ids := t.order.ids(func(id uuid.UUID) bool { return t.rows[id] != nil })
	if len(q.order) > 0 {
		return t.orderedPage(&m, ids, q.order, at, size, total)
	}
	start := 0
	if at != nil {
		start = after(ids, at.last)
	}
	for _, id := range ids[start:] {
		if r := t.rows[id]; r != nil && m.match(r) {
			if len(rows) == size {
				return rows, true, total
			}
			rows = append(rows, r)
		}
	}
	return rows, false, total
}

// orderedPage sorts all matches and cuts the page out: its cost is that of the
// whole result.
func (t *table) orderedPage(m *matcher, ids []uuid.UUID, order []ordering, at *cookie, size, total int) ([]*row, bool, int) {
	var rows []*row
	for _, id := range ids {
		if r := t.rows[id]; r != nil && m.match(r) {
			rows = append(rows, r)
		}
	}
	sortRows(m.d, rows, order)
	if at != nil {
		rows = rows[min(at.offset, len(rows)):]
	}
	more := len(rows) > size
	return rows[:min(size, len(rows))], more, total
}

// matcher evaluates a filter with reused memory.
type matcher struct {
	d      *tableDef
	filter expr
	cells  []string
}

func (m *matcher) match(r *row) bool {
	if m.filter == nil {
		return true
	}
	m.cells = r.unpack(m.d, m.cells)
	return m.filter.match(m.d, r, m.cells)
}

func (t *table) count(m *matcher, limit int) int {
	if m.filter == nil {
		return min(len(t.rows), limit)
	}
	n := 0
	for _, r := range t.rows {
		if n == limit {
			break
		}
		if m.match(r) {
			n++
		}
	}
	return n
}

// sortRows orders rows, nulls first as in the database; ties keep the id order.
func sortRows(d *tableDef, rows []*row, order []ordering) {
	type sortable struct {
		r    *row
		lits []string
	}
	list := make([]sortable, len(rows))
	var cells []string
	for i, r := range rows {
		cells = r.unpack(d, cells)
		list[i].r = r
		for _, o := range order {
			list[i].lits = append(list[i].lits, r.literal(d, cells, o.column))
		}
	}
	slices.SortStableFunc(list, func(a, b sortable) int {
		for i, o := range order {
			c := compareLiterals(&d.Columns[o.column], a.lits[i], b.lits[i])
			if o.descending {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
	for i := range list {
		rows[i] = list[i].r
	}
}

// compareLiterals orders two literals of a column, null first.
func compareLiterals(c *schema.Column, a, b string) int {
	if a == "null" || b == "null" {
		return strings.Compare(boolDigit(a != "null"), boolDigit(b != "null"))
	}
	e := &compareExpr{op: "lt"}
	switch c.Type {
	case schema.TypeString, schema.TypeMemo, schema.TypeEntityName:
		text, _ := textOf([]byte(b))
		e.kind, e.text = compareText, foldText(text)
	case schema.TypeInteger, schema.TypeBigInt:
		n, _ := strconv.ParseInt(b, 10, 64)
		e.kind, e.integer = compareInteger, n
	case schema.TypeDecimal, schema.TypeMoney, schema.TypeDouble:
		n, ok := new(big.Rat).SetString(b)
		if !ok {
			n = new(big.Rat)
		}
		e.kind, e.number = compareNumber, n
	default:
		e.text = b
	}
	return e.compare(a)
}

func boolDigit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

func nextCookie(at *cookie, rows []*row, ordered bool) *cookie {
	c := &cookie{page: 2}
	if at != nil {
		c.page = at.page + 1
	}
	if len(rows) > 0 {
		c.first, c.last = rows[0].id, rows[len(rows)-1].id
	}
	if ordered {
		c.offset = len(rows)
		if at != nil {
			c.offset += at.offset
		}
	}
	return c
}

func (s *Server) plainBody(r *http.Request, res resource, q *query, rows []*row, next *cookie, total int, p prefs) []byte {
	b := make([]byte, 0, 256+len(rows)*512)
	b = append(b, `{"@odata.context":`...)
	b = append(b, jsonText(s.apiRoot(r)+"$metadata#"+res.def.EntitySet+q.contextText())...)
	if q.count {
		b = append(b, `,"@odata.count":`...)
		b = strconv.AppendInt(b, int64(min(total, maxCounted)), 10)
	}
	b = appendTotals(b, q, total, p)
	b = append(b, `,"value":[`...)
	v := newRenderer(res.def, q.sel, s.newAnnotator(p))
	v.expand = s.newExpander(r, res.def, q, p)
	b = s.appendRows(r, b, v, rows)
	b = append(b, ']')
	if next != nil {
		b = append(b, `,"@odata.nextLink":`...)
		path := res.def.EntitySet
		if res.path != "" {
			path = res.path
		}
		b = append(b, jsonText(nextLink(s.apiRoot(r), path, res.def.PrimaryID, q.params, next))...)
	}
	return append(b, '}')
}

// appendTotals appends the annotations of a count; -1 stands for none. Source:
// developer guide, "Count number of rows".
func appendTotals(b []byte, q *query, total int, p prefs) []byte {
	if p.annotates("Microsoft.Dynamics.CRM.totalrecordcount") {
		if !q.count {
			total = -1
		}
		b = append(b, `,"@Microsoft.Dynamics.CRM.totalrecordcount":`...)
		b = strconv.AppendInt(b, int64(min(total, maxCounted)), 10)
	}
	if p.annotates("Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded") {
		b = append(b, `,"@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded":`...)
		b = strconv.AppendBool(b, total > maxCounted)
	}
	return b
}

// appendRows renders rows, which never change, without a lock unless annotations
// look into other tables.
func (s *Server) appendRows(r *http.Request, b []byte, v *renderer, rows []*row) []byte {
	if v.notes != nil || v.expand != nil {
		s.view(r.Context(), func() { b = renderRows(b, v, rows) })
		return b
	}
	return renderRows(b, v, rows)
}

func renderRows(b []byte, v *renderer, rows []*row) []byte {
	for i, r := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		b = v.row(b, r)
		b = append(b, '}')
	}
	return b
}

package sim

import (
	"net/http"
	"slices"

	"github.com/google/uuid"
)

// expander writes the expansions of rows. It reads other tables: use it under
// the server's lock, and for one answer only.
type expander struct {
	s     *Server
	d     *tableDef
	list  []expansion
	inner []*renderer // nil for an owner
	// pointing holds the related rows by the cell of their lookup, per expansion.
	pointing []map[string][]*row
	size     int
	root     string
	set      string
}

func (s *Server) newExpander(r *http.Request, d *tableDef, q *query, p prefs) *expander {
	if len(q.expand) == 0 {
		return nil
	}
	x := &expander{
		s: s, d: d, list: q.expand, size: s.pageSize(p.pageSize), root: s.apiRoot(r), set: d.EntitySet,
		inner: make([]*renderer, len(q.expand)), pointing: make([]map[string][]*row, len(q.expand)),
	}
	for i, e := range q.expand {
		if e.target != nil {
			x.inner[i] = newRenderer(e.target.def.Load(), e.query.sel, s.newAnnotator(p))
		}
	}
	return x
}

// revokedExpand refuses a query that expands into a table without the privilege.
func (s *Server) revokedExpand(r *http.Request, q *query) *apiError {
	for _, e := range q.expand {
		if e.target == nil {
			continue
		}
		if refused := s.revoked(r, e.target, e.target.def.Load()); refused != nil {
			return refused
		}
	}
	return nil
}

// row appends the expanded members of r, which has the unpacked cells.
func (x *expander) row(b []byte, r *row, cells []string) []byte {
	for i := range x.list {
		e := &x.list[i]
		b = append(b, ',')
		if e.rel != nil {
			b = x.collection(b, i, r)
			continue
		}
		b = append(b, jsonText(e.name)...)
		b = append(b, ':')
		b = x.single(b, i, cells)
	}
	return b
}

func (x *expander) single(b []byte, i int, cells []string) []byte {
	e := &x.list[i]
	for _, n := range e.navs {
		target, id, ok := lookupTarget(&x.d.Columns[n.column], cells[n.column])
		t := x.s.catalogNow().byName[target]
		if !ok || target != n.target || t == nil || t.rows[id] == nil || x.d.isSecured(n.column) {
			continue
		}
		if x.inner[i] == nil { // an owner: only its declared key is of the type principal
			b = append(b, `{"@odata.type":`...)
			b = append(b, jsonText("#"+t.def.Load().typeName())...)
			b = append(b, `,"@odata.etag":`...)
			b = append(b, jsonText(t.rows[id].etag())...)
			b = append(b, `,"ownerid":`...)
			b = append(b, guidLiteral(id)...)
			return append(b, '}')
		}
		b = append(b, '{')
		b = x.inner[i].row(b, t.rows[id])
		return append(b, '}')
	}
	return append(b, "null"...)
}

// collection appends the related rows, and the link to the rest of a long list.
func (x *expander) collection(b []byte, i int, r *row) []byte {
	e := &x.list[i]
	if x.pointing[i] == nil {
		x.pointing[i] = e.gather()
	}
	rows := x.pointing[i][e.rel.pointing(x.d, r.id).cell]
	q, size := e.query, x.size
	if len(q.order) > 0 {
		rows = slices.Clone(rows)
		sortRows(e.target.def.Load(), rows, q.order)
	}
	if q.top >= 0 {
		size = min(size, q.top)
	}
	more := len(rows) > size && q.top < 0
	rows = rows[:min(size, len(rows))]
	b = append(b, jsonText(e.name)...)
	b = append(b, `:[`...)
	b = renderRows(b, x.inner[i], rows)
	b = append(b, ']')
	if !more {
		return b
	}
	d := e.target.def.Load()
	path := x.set + "(" + r.id.String() + ")/" + e.name
	b = append(b, ',')
	b = append(b, jsonText(e.name+"@odata.nextLink")...)
	b = append(b, ':')
	return append(b, jsonText(nextLink(x.root, path, d.PrimaryID, q.params, nextCookie(nil, rows, len(q.order) > 0)))...)
}

// gather lists the rows that point anywhere and match the nested filter, in id
// order, by the cell of their lookup.
func (e *expansion) gather() map[string][]*row {
	t, d := e.target, e.target.def.Load()
	m := matcher{d: d, filter: e.query.filter}
	found := map[string][]*row{}
	var cells []string
	for _, id := range t.order.ids(func(id uuid.UUID) bool { return t.rows[id] != nil }) {
		r := t.rows[id]
		if r == nil {
			continue
		}
		cells = r.unpack(d, cells)
		if cell := cells[e.rel.column]; cell != "" && m.match(r) {
			found[cell] = append(found[cell], r)
		}
	}
	return found
}

package sim

import (
	"net/http"
	"strconv"
)

// byteOrderMark begins every /$count body.
const byteOrderMark = "\xef\xbb\xbf"

// getCount answers /$count, of all or of filtered records, or of the changes and
// deletes after a delta token.
func (s *Server) getCount(w http.ResponseWriter, r *http.Request, res resource) *apiError {
	q, e := s.parseQuery(res.def, r.URL.RawQuery, "$filter", "$deltatoken")
	if e != nil {
		return e
	}
	n := 0
	if q.hasDelta {
		if e := s.refuseTracked(res.def, r); e != nil {
			return e
		}
		at, e := s.startTracked(r.Context(), res.table, q)
		if e != nil {
			return e
		}
		s.view(r.Context(), func() {
			s.beginTracked(at)
			n = s.countDelta(res.table, at)
		})
	} else {
		s.view(r.Context(), func() { n = res.table.count(&matcher{d: res.def, filter: q.filter}, maxCounted) })
	}
	body := byteOrderMark + strconv.Itoa(n)
	h := w.Header()
	h.Set("Content-Type", "text/plain")
	h.Set("OData-Version", "4.0")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write([]byte(body))
	return nil
}

func (s *Server) countDelta(t *table, at *cookie) int {
	if at.phase == phaseLoad {
		return len(t.rows)
	}
	const all = int(^uint(0) >> 1)
	page := t.deltaPage(at, all)
	return len(page.rows) + len(page.deletes)
}

package soak

type recordID struct{ table, id string }

func (r recordID) String() string { return r.table + "/" + r.id }

// life is all that a record ever was.
type life struct {
	states map[int64][]state // by version: one that a restore took back may come again
	order  []int64           // versions of the rows, as they were committed
	// final is the record's last commit, at place at of the write log.
	final Write
	at    int
	// gone: the record was deleted, or taken back by a restore, at some time.
	gone bool
}

// state is a row at place at of the write log.
type state struct {
	at  int
	row Write
}

// source is the write log, by record.
type source struct {
	lives    map[recordID]*life
	expired  map[string]int // table -> place of the last mark
	restored []restored
}

type restored struct {
	at      int
	version int64
}

// readSource sorts the write log of the followed tables.
func readSource(h *History) *source {
	s := &source{lives: map[recordID]*life{}, expired: map[string]int{}}
	for at, w := range h.Writes {
		switch w.Mark {
		case Expired:
			s.expired[w.Table] = at
			continue
		case Restored:
			s.restored = append(s.restored, restored{at, w.Version})
			for _, l := range s.lives {
				l.rewind(at, w.Version)
			}
			continue
		}
		if _, followed := h.Tables[w.Table]; !followed {
			continue
		}
		r := recordID{w.Table, w.ID}
		l := s.lives[r]
		if l == nil {
			l = &life{states: map[int64][]state{}}
			s.lives[r] = l
		}
		l.final, l.at = w, at
		if w.Deleted {
			l.gone = true
			continue
		}
		l.states[w.Version] = append(l.states[w.Version], state{at, w})
		l.order = append(l.order, w.Version)
	}
	return s
}

// rewind takes back what came after version. A record that was deleted since is there
// again, one that was made since is gone.
func (l *life) rewind(at int, version int64) {
	if l.final.Version <= version {
		return
	}
	for i := len(l.order) - 1; i >= 0; i-- {
		if v := l.order[i]; v <= version {
			list := l.states[v]
			l.final, l.at = list[len(list)-1].row, at
			return
		}
	}
	l.final.Deleted, l.gone, l.at = true, true, at
}

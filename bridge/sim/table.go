package sim

import (
	"slices"
	"strings"
	"sync/atomic"

	"cebridge/schema"

	"github.com/google/uuid"
)

// table holds the records of one table. All but def is guarded by the server's lock.
type table struct {
	def atomic.Pointer[tableDef]
	// rows finds the live version of a record.
	rows map[uuid.UUID]*row
	// changes holds row versions in ascending version order. Superseded ones are
	// skipped by readers and removed once they are the majority.
	changes    []*row
	superseded int
	// deletes are in ascending version order and kept for ever: 24 bytes each.
	deletes []deletion
	order   idOrder
	// keys finds records by folded key values, per active alternate key.
	keys map[string]map[string]uuid.UUID
	// voidBelow refuses delta tokens issued at or below this version.
	voidBelow int64
}

type deletion struct {
	version int64
	id      uuid.UUID
}

func newTable(def *tableDef) *table {
	t := &table{rows: map[uuid.UUID]*row{}, keys: map[string]map[string]uuid.UUID{}}
	t.def.Store(def)
	for _, k := range def.keys {
		t.keys[k.name] = map[string]uuid.UUID{}
	}
	return t
}

// foldedKey is the text under which a key's values are unique, "" when a part is
// null: such a row takes no part in the key (assumption).
func foldedKey(d *tableDef, k keyDef, r *row, cells []string, exact bool) string {
	var b strings.Builder
	for _, i := range k.columns {
		lit := r.literal(d, cells, i)
		if lit == "null" {
			return ""
		}
		b.WriteString(foldLiteral(&d.Columns[i], lit, exact))
		b.WriteByte(0)
	}
	return b.String()
}

// foldLiteral is one literal as the database compares it: texts without case and
// without trailing blanks (assumption: the default collation; exact flips it).
func foldLiteral(c *schema.Column, lit string, exact bool) string {
	if c.Type != schema.TypeString && c.Type != schema.TypeMemo {
		return lit
	}
	text, _ := textOf([]byte(lit))
	text = strings.TrimRight(text, " ")
	if exact {
		return text
	}
	return strings.ToLower(text)
}

// insertKeys indexes r, which has the unpacked cells; removeKeys is its inverse.
func (t *table) insertKeys(d *tableDef, r *row, cells []string, exact bool) {
	for _, k := range d.keys {
		if f := foldedKey(d, k, r, cells, exact); f != "" {
			t.keys[k.name][f] = r.id
		}
	}
}

func (t *table) removeKeys(d *tableDef, r *row, cells []string, exact bool) {
	for _, k := range d.keys {
		if f := foldedKey(d, k, r, cells, exact); f != "" && t.keys[k.name][f] == r.id {
			delete(t.keys[k.name], f)
		}
	}
}

// moveKeys indexes the record id under its new folded keys, which are those of
// d.keys, instead of those of old, its version before; nil for a new record. Keys
// that stay are left alone, which is most of them.
func (t *table) moveKeys(d *tableDef, old *row, id uuid.UUID, folded []string, exact bool) {
	var cells []string
	if old != nil {
		cells = old.unpack(d, nil)
	}
	for i, k := range d.keys {
		before := ""
		if old != nil {
			before = foldedKey(d, k, old, cells, exact)
		}
		if before == folded[i] {
			continue
		}
		if before != "" && t.keys[k.name][before] == id {
			delete(t.keys[k.name], before)
		}
		if folded[i] != "" {
			t.keys[k.name][folded[i]] = id
		}
	}
}

// addChange puts r at its place in the change list, which is the end unless it is
// a late commit.
func (t *table) addChange(r *row) {
	if n := len(t.changes); n == 0 || t.changes[n-1].version < r.version {
		t.changes = append(t.changes, r)
		return
	}
	t.changes = slices.Insert(t.changes, t.changesAfter(r.version), r)
}

// compact drops superseded versions from the change list once they outnumber the
// live ones, so that memory follows the number of records.
func (t *table) compact() {
	if t.superseded < 1024 || t.superseded*2 < len(t.changes) {
		return
	}
	live := make([]*row, 0, len(t.changes)-t.superseded)
	for _, r := range t.changes {
		if !r.superseded {
			live = append(live, r)
		}
	}
	t.changes, t.superseded = live, 0
}

// changesAfter returns the index of the first row version above version.
func (t *table) changesAfter(version int64) int {
	i, _ := slices.BinarySearchFunc(t.changes, version+1, func(r *row, v int64) int {
		switch {
		case r.version < v:
			return -1
		case r.version > v:
			return 1
		}
		return 0
	})
	return i
}

// deletesAfter returns the index of the first delete above version.
func (t *table) deletesAfter(version int64) int {
	i, _ := slices.BinarySearchFunc(t.deletes, version+1, func(d deletion, v int64) int {
		switch {
		case d.version < v:
			return -1
		case d.version > v:
			return 1
		}
		return 0
	})
	return i
}

package mapping

import (
	"maps"
	"slices"

	"cebridge/schema"
)

// Spec is a mapping as written, not yet checked against any table.
type Spec struct {
	at        place
	when      *expression
	table     name
	operation schema.Operation
	opAt      place
	keyAt     place
	key       []entry
	id        *expression
	idAt      place
	find      []entry
	findAt    place
	block
	columnsAt place
	lookupsAt place
	onCreate  *block
	createAt  place
	merged    schema.MergedRule
	mergedAt  place
	revision  *expression
	// writes are the entries of writes, nil for a mapping of one write. Part: this
	// is one of them, with each where it has a for_each.
	writes []*Spec
	part   bool
	each   *expression
	codes  Codes
	// mentioned holds the tables that expressions name.
	mentioned map[string]bool
}

// name is a word of the mapping with its place.
type name struct {
	place
	text string
}

// block is what one request writes.
type block struct {
	columns []entry
	lookups []lookupEntry
}

// entry is a column with its expression; in a record's own key it can be a lookup.
type entry struct {
	name
	value  *expression
	lookup *lookupEntry
}

// lookupEntry is a lookup column with one of the four forms of target: key, find,
// id (all with target) or value alone.
type lookupEntry struct {
	name
	target name
	key    []entry
	find   []entry
	id     *expression
	value  *expression
}

// Table is the logical name of the table that is written, "" when missing; of
// several writes the first one's.
func (s *Spec) Table() string { return s.first().table.text }

// Operation is the operation of the mapping; of several writes the first one's.
func (s *Spec) Operation() schema.Operation { return s.first().operation }

// Writes tells whether the mapping writes that table.
func (s *Spec) Writes(table string) bool {
	return slices.ContainsFunc(s.parts(), func(w *Spec) bool { return w.table.text == table })
}

// parts are the mappings of the single writes.
func (s *Spec) parts() []*Spec {
	if s.writes != nil {
		return s.writes
	}
	return []*Spec{s}
}

func (s *Spec) first() *Spec {
	if len(s.writes) > 0 {
		return s.writes[0]
	}
	return s
}

// Tables returns every table the mapping names, sorted: its own, the targets of
// lookups, and those in ref(), resolve() and optionset(). Compile needs their metadata.
func (s *Spec) Tables() []string {
	set := maps.Clone(s.mentioned)
	if set == nil {
		set = map[string]bool{}
	}
	for _, w := range s.parts() {
		set[w.table.text] = true
		for _, e := range w.key {
			if e.lookup != nil {
				set[e.lookup.target.text] = true
			}
		}
		for _, b := range w.blocks() {
			for _, l := range b.lookups {
				set[l.target.text] = true
			}
		}
	}
	delete(set, "")
	return slices.Sorted(maps.Keys(set))
}

// KeyUse is an alternate key that a mapping relies on.
type KeyUse struct {
	Table   string
	Columns []string
}

// Keys returns the alternate keys that the mapping's own key and its lookups by
// key rely on, in the order of the file. Keys inside ref() are not among them.
func (s *Spec) Keys() []KeyUse {
	var uses []KeyUse
	add := func(table string, key []entry) {
		if table == "" || len(key) == 0 {
			return
		}
		use := KeyUse{Table: table}
		for _, e := range key {
			use.Columns = append(use.Columns, e.text)
		}
		uses = append(uses, use)
	}
	for _, w := range s.parts() {
		add(w.table.text, w.key)
		for _, e := range w.key {
			if e.lookup != nil {
				add(e.lookup.target.text, e.lookup.key)
			}
		}
		for _, b := range w.blocks() {
			for _, l := range b.lookups {
				add(l.target.text, l.key)
			}
		}
	}
	return uses
}

func (s *Spec) blocks() []*block {
	if s.onCreate == nil {
		return []*block{&s.block}
	}
	return []*block{&s.block, s.onCreate}
}

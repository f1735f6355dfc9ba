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
	block
	columnsAt place
	lookupsAt place
	onCreate  *block
	createAt  place
	revision  *expression
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

// entry is a column with its expression.
type entry struct {
	name
	value *expression
}

// lookupEntry is a lookup column with one of the three forms of target: key, id
// (both with target) or value alone.
type lookupEntry struct {
	name
	target name
	key    []entry
	id     *expression
	value  *expression
}

// Table is the logical name of the table that is written, "" when missing.
func (s *Spec) Table() string { return s.table.text }

// Operation is the operation of the mapping.
func (s *Spec) Operation() schema.Operation { return s.operation }

// Tables returns every table the mapping names, sorted: its own, the targets of
// lookups, and those in ref() and optionset(). Compile needs their metadata.
func (s *Spec) Tables() []string {
	set := maps.Clone(s.mentioned)
	if set == nil {
		set = map[string]bool{}
	}
	set[s.table.text] = true
	for _, b := range s.blocks() {
		for _, l := range b.lookups {
			set[l.target.text] = true
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
	add(s.table.text, s.key)
	for _, b := range s.blocks() {
		for _, l := range b.lookups {
			add(l.target.text, l.key)
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

package mapping

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

// lookupProgram is a compiled lookup: by key, by a search (find), by GUID (id), or
// by an expression that yields a reference (value).
type lookupProgram struct {
	place
	column  *schema.Column
	table   *schema.Table
	key     []keyProgram
	find    []keyProgram
	id      *program
	value   *program
	targets map[string]lookupTarget
	// clear is the navigation property that is set to null.
	clear string
}

// lookupTarget is a table a lookup may point at, and how it is bound.
type lookupTarget struct {
	table      *schema.Table
	navigation string
	// merged, when set, asks whether the record was merged into another one.
	merged schema.MergedRule
}

// keyProgram is one column of a key with its expression, or with the record that it
// refers to.
type keyProgram struct {
	name    string
	column  *schema.Column
	program *program
	parent  *lookupProgram
}

func (k *keyProgram) at() place {
	if k.parent != nil {
		return k.parent.place
	}
	return k.program.place
}

// keyState sums up the parts of a key that was computed.
type keyState uint8

const (
	keyComplete keyState = iota
	keyNull
	keyOmitted
)

// evalKey computes a key. Every part null makes it null, constants aside; one part
// omitted makes it omitted, null in some parts is a rejection.
func evalKey(ctx context.Context, v *view, parts []keyProgram) ([]schema.KeyPart, keyState, error) {
	out := make([]schema.KeyPart, 0, len(parts))
	nulls, omits, constants := 0, 0, 0
	for _, part := range parts {
		if part.parent != nil {
			found, state, err := part.parent.keyPart(ctx, v)
			switch {
			case err != nil:
				return nil, 0, err
			case state == keyNull:
				nulls++
			case state == keyOmitted:
				omits++
			default:
				out = append(out, found)
			}
			continue
		}
		if part.program.constant != nil {
			constants++
		}
		x, err := part.program.eval(ctx, v)
		if err != nil {
			return nil, 0, err
		}
		switch x.kind {
		case isNull:
			nulls++
			continue
		case isOmitted:
			omits++
			continue
		}
		raw, problem := keyLiteral(part.column, x)
		if problem != "" {
			return nil, 0, reject(part.program.place, outcome.Invalid, problem)
		}
		out = append(out, schema.KeyPart{Column: part.name, Value: raw})
	}
	switch {
	case omits > 0:
		return nil, keyOmitted, nil
	case nulls > 0 && nulls+constants == len(parts):
		return nil, keyNull, nil
	case nulls > 0:
		return nil, 0, reject(parts[0].at(), outcome.Invalid, "some parts of the key are null, others are not")
	}
	return out, keyComplete, nil
}

// keyLiteral writes one value of a key as JSON, or says what is wrong with it.
func keyLiteral(col *schema.Column, v value) ([]byte, string) {
	switch v.kind {
	case isText:
		if col.Type == schema.TypeDateTime && dateForm.MatchString(v.text) {
			if _, problem := dateText(v); problem != "" {
				return nil, "the key column " + col.LogicalName + " " + problem
			}
		}
		if col.MaxLength > 0 && textLength(v.text) > col.MaxLength {
			return nil, "the key column " + col.LogicalName + " is shorter than the text"
		}
		return quote(v.text), ""
	case isNumber:
		return []byte(v.text), ""
	case isTime:
		text, problem := dateText(v)
		if col.Behavior != schema.BehaviorDateOnly {
			text, problem = timestampText(v)
		}
		return quote(text), problem
	}
	if v.kind == isBool && col.Type == schema.TypeBoolean {
		return strconv.AppendBool(nil, v.flag), ""
	}
	return nil, "the key column " + col.LogicalName + " takes a text or a number, not " + v.describe()
}

// predicate renders a key. A rejection stands at the part that is to blame.
func predicate(at func(part int) place, t *schema.Table, parts []schema.KeyPart) (string, error) {
	text, err := schema.KeyPredicate(t, parts)
	if err == nil {
		return text, nil
	}
	blamed := at(0)
	for i := range parts {
		if _, alone := schema.KeyPredicate(t, parts[i:i+1]); alone != nil {
			blamed, err = at(i), alone
			break
		}
	}
	reason := outcome.Invalid
	if errors.Is(err, schema.ErrKeyCharacters) {
		reason = outcome.KeyCharacters
	}
	return "", reject(blamed, reason, err.Error())
}

// placesOf gives predicate the places of a key's expressions.
func placesOf(parts []keyProgram) func(int) place {
	return func(part int) place { return parts[part].at() }
}

// record is what a lookup was computed to refer to.
type record struct {
	target lookupTarget
	// at is where the mapping says so: as a whole, or by part.
	at func(part int) place
	// id names it, or the columns of a key, or, with search, columns to search for.
	id     string
	parts  []schema.KeyPart
	search bool
}

// write appends the lookup's member, or nothing when it is left alone.
func (l *lookupProgram) write(ctx context.Context, v *view, o *object) error {
	r, state, err := l.record(ctx, v)
	switch {
	case err != nil || state == keyOmitted:
		return err
	case state == keyNull:
		return l.writeNull(o)
	case r.search || r.target.merged != "":
		return l.writeSearch(r, o)
	case r.id != "":
		return l.writeID(r, o)
	}
	return l.writeKey(r, o)
}

// record computes what the lookup refers to; keyNull and keyOmitted are those of the
// whole lookup.
func (l *lookupProgram) record(ctx context.Context, v *view) (record, keyState, error) {
	if l.value != nil {
		x, err := l.value.eval(ctx, v)
		switch {
		case err != nil:
			return record{}, 0, err
		case x.kind == isOmitted:
			return record{}, keyOmitted, nil
		case x.kind == isNull:
			return record{}, keyNull, nil
		case x.kind == isRef:
			return l.named(x.ref)
		}
		return record{}, 0, reject(l.value.place, outcome.Invalid, "a lookup takes ref(), resolve(), null or omit(), not "+x.describe())
	}
	target := l.targets[l.table.LogicalName]
	if l.id != nil {
		x, err := l.id.eval(ctx, v)
		if err != nil {
			return record{}, 0, err
		}
		return byID(l.id.place, target, x)
	}
	by := l.key
	if l.find != nil {
		by = l.find
	}
	parts, state, err := evalKey(ctx, v, by)
	return record{target: target, at: placesOf(by), parts: parts, search: l.find != nil}, state, err
}

// named is the record that ref() or resolve() gave. Its columns come in the order of the
// declared key, or of their names, as the entries of a map have none.
func (l *lookupProgram) named(r *reference) (record, keyState, error) {
	at := l.value.place
	target, ok := l.targets[r.table]
	if !ok {
		return record{}, 0, reject(at, outcome.Invalid, "ref() names a table that the lookup cannot point at")
	}
	if r.id != nil {
		return byID(at, target, *r.id)
	}
	columns := slices.Sorted(maps.Keys(r.key))
	if r.search && len(columns) == 0 {
		return record{}, 0, reject(at, outcome.Invalid, "resolve() needs a column to find the record by")
	}
	if !r.search {
		key := target.table.Key(columns)
		if key == nil || key.Status != schema.KeyActive {
			return record{}, 0, reject(at, outcome.Invalid, "ref() gives columns that are no active alternate key of "+r.table)
		}
		columns = key.Columns
	}
	parts, state, err := l.partsOf(target, r, columns)
	return record{target: target, at: func(int) place { return at }, parts: parts, search: r.search}, state, err
}

// byID is the record with a GUID.
func byID(at place, target lookupTarget, x value) (record, keyState, error) {
	switch {
	case x.kind == isOmitted:
		return record{}, keyOmitted, nil
	case x.kind == isNull:
		return record{}, keyNull, nil
	case x.kind != isText || !schema.IsGUID(x.text):
		return record{}, 0, reject(at, outcome.Invalid, "the lookup takes a GUID without braces")
	}
	return record{target: target, at: func(int) place { return at }, id: strings.ToLower(x.text)}, keyComplete, nil
}

func (l *lookupProgram) writeNull(o *object) error {
	if l.column.Required {
		return reject(l.place, outcome.Invalid, "lookup "+l.column.LogicalName+" cannot be null")
	}
	o.add(l.clear+"@odata.bind", []byte("null"))
	return nil
}

func (l *lookupProgram) writeID(r record, o *object) error {
	o.add(r.target.navigation+"@odata.bind", quote("/"+r.target.table.EntitySet+"("+r.id+")"))
	return nil
}

func (l *lookupProgram) writeKey(r record, o *object) error {
	text, err := predicate(r.at, r.target.table, r.parts)
	if needsSearch(err) {
		return l.writeSearch(r, o)
	}
	if err != nil {
		return err
	}
	o.add(r.target.navigation+"@odata.bind", quote("/"+r.target.table.EntitySet+"("+text+")"))
	return nil
}

// writeSearch writes a reference that the server is to be asked for.
func (l *lookupProgram) writeSearch(r record, o *object) error {
	found, err := r.reference()
	if err != nil {
		return err
	}
	o.addReference(found)
	return nil
}

// reference is how the server is asked for the record.
func (r record) reference() (schema.Reference, error) {
	// A record can be merged at any moment, so that an earlier answer tells nothing of it.
	out := schema.Reference{Property: r.target.navigation + "@odata.bind", Cached: r.search && r.target.merged == ""}
	if r.id != "" {
		out.Search = *schema.SearchID(r.target.table, r.id)
		out.Address = r.target.table.EntitySet + "(" + r.id + ")"
	} else {
		s, err := schema.NewSearch(r.target.table, r.parts)
		if err != nil {
			return out, reject(r.at(0), outcome.Invalid, err.Error())
		}
		out.Search = *s
	}
	out.Merged = r.target.merged
	if len(r.parts) > 0 && !r.search {
		// What no URL can name, nobody announces.
		if text, err := schema.KeyPredicate(r.target.table, r.parts); err == nil {
			out.Address = r.target.table.EntitySet + "(" + text + ")"
		}
	}
	return out, nil
}

// keyPart is the lookup as a part of its record's own key.
func (l *lookupProgram) keyPart(ctx context.Context, v *view) (schema.KeyPart, keyState, error) {
	r, state, err := l.record(ctx, v)
	part := schema.KeyPart{Column: l.column.LogicalName}
	if err != nil || state != keyComplete {
		return part, state, err
	}
	if r.id != "" {
		part.Value = quote(r.id)
		if r.target.merged == "" {
			return part, state, nil
		}
	}
	found, err := r.reference()
	if err != nil {
		return part, 0, err
	}
	if found.Merged != "" {
		// A number below one record says nothing below the one it was merged into.
		found.Merged = schema.MergedReject
	}
	part.Parent = &schema.KeyParent{Reference: found, Key: r.parts}
	return part, state, nil
}

// partsOf reads the columns that ref() or resolve() gave, in that order.
func (l *lookupProgram) partsOf(t lookupTarget, r *reference, columns []string) ([]schema.KeyPart, keyState, error) {
	at := l.value.place
	parts := make([]schema.KeyPart, 0, len(columns))
	nulls, omits := 0, 0
	for _, column := range columns {
		x := r.key[column]
		switch x.kind {
		case isNull:
			nulls++
			continue
		case isOmitted:
			omits++
			continue
		}
		col := t.table.Column(column)
		if col == nil {
			return nil, 0, reject(at, outcome.Invalid, "the metadata of "+r.table+" has no column "+column)
		}
		raw, problem := keyLiteral(col, x)
		if problem != "" {
			return nil, 0, reject(at, outcome.Invalid, problem)
		}
		parts = append(parts, schema.KeyPart{Column: column, Value: raw})
	}
	switch {
	case omits > 0:
		return nil, keyOmitted, nil
	case nulls == len(columns):
		return nil, keyNull, nil
	case nulls > 0:
		return nil, 0, reject(at, outcome.Invalid, "some parts of the key are null, others are not")
	}
	return parts, keyComplete, nil
}

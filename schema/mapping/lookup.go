package mapping

import (
	"context"
	"errors"
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
}

// keyProgram is one column of a key with its expression.
type keyProgram struct {
	name    string
	column  *schema.Column
	program *program
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
		return nil, 0, reject(parts[0].program.place, outcome.Invalid, "some parts of the key are null, others are not")
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
	return func(part int) place { return parts[part].program.place }
}

// write appends the lookup's member, or nothing when it is left alone.
func (l *lookupProgram) write(ctx context.Context, v *view, o *object) error {
	switch {
	case l.value != nil:
		x, err := l.value.eval(ctx, v)
		if err != nil {
			return err
		}
		switch x.kind {
		case isOmitted:
			return nil
		case isNull:
			return l.writeNull(o)
		case isRef:
			return l.writeRef(x.ref, o)
		}
		return reject(l.value.place, outcome.Invalid, "a lookup takes ref(), resolve(), null or omit(), not "+x.describe())
	case l.id != nil:
		x, err := l.id.eval(ctx, v)
		if err != nil {
			return err
		}
		return l.writeID(l.id.place, l.targets[l.table.LogicalName], x, o)
	}
	by := l.key
	if l.find != nil {
		by = l.find
	}
	parts, state, err := evalKey(ctx, v, by)
	switch {
	case err != nil || state == keyOmitted:
		return err
	case state == keyNull:
		return l.writeNull(o)
	case l.find != nil:
		return l.writeSearch(l.find[0].program.place, l.targets[l.table.LogicalName], parts, true, o)
	}
	return l.writeKey(placesOf(l.key), l.targets[l.table.LogicalName], parts, o)
}

func (l *lookupProgram) writeNull(o *object) error {
	if l.column.Required {
		return reject(l.place, outcome.Invalid, "lookup "+l.column.LogicalName+" cannot be null")
	}
	o.add(l.clear+"@odata.bind", []byte("null"))
	return nil
}

func (l *lookupProgram) writeID(at place, t lookupTarget, x value, o *object) error {
	switch {
	case x.kind == isOmitted:
		return nil
	case x.kind == isNull:
		return l.writeNull(o)
	case x.kind != isText || !schema.IsGUID(x.text):
		return reject(at, outcome.Invalid, "the lookup takes a GUID without braces")
	}
	o.add(t.navigation+"@odata.bind", quote("/"+t.table.EntitySet+"("+strings.ToLower(x.text)+")"))
	return nil
}

func (l *lookupProgram) writeKey(at func(int) place, t lookupTarget, parts []schema.KeyPart, o *object) error {
	text, err := predicate(at, t.table, parts)
	if needsSearch(err) {
		return l.writeSearch(at(0), t, parts, false, o)
	}
	if err != nil {
		return err
	}
	o.add(t.navigation+"@odata.bind", quote("/"+t.table.EntitySet+"("+text+")"))
	return nil
}

// writeRef writes the target that ref() named. Key columns come in the order of
// the declared key, as the entries of a map have none.
func (l *lookupProgram) writeRef(r *reference, o *object) error {
	at := l.value.place
	t, ok := l.targets[r.table]
	if !ok {
		return reject(at, outcome.Invalid, "ref() names a table that the lookup cannot point at")
	}
	if r.id != nil {
		return l.writeID(at, t, *r.id, o)
	}
	if r.search {
		return l.writeFound(t, r, o)
	}
	columns := make([]string, 0, len(r.key))
	for column := range r.key {
		columns = append(columns, column)
	}
	key := t.table.Key(columns)
	if key == nil || key.Status != schema.KeyActive {
		return reject(at, outcome.Invalid, "ref() gives columns that are no active alternate key of "+r.table)
	}
	parts, state, err := l.partsOf(t, r, key.Columns)
	switch {
	case err != nil || state == keyOmitted:
		return err
	case state == keyNull:
		return l.writeNull(o)
	}
	return l.writeKey(func(int) place { return at }, t, parts, o)
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

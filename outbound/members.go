package outbound

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"cebridge/schema/rawjson"
)

// versionColumn is in every row and differs in every version: it is never a
// changed column of its own.
const versionColumn = "versionnumber"

// member is one member of a JSON object; both parts alias the object's text, but
// for a name that had escapes in it.
type member struct {
	name  []byte
	value []byte
}

// members splits a JSON object into its members, in order, values untouched.
func members(object []byte) ([]member, error) {
	return appendMembers(make([]member, 0, 16), object)
}

func appendMembers(list []member, object []byte) ([]member, error) {
	o := rawjson.Walk(object)
	for o.Next() {
		list = append(list, member{o.Name, o.Value})
	}
	return list, o.Err()
}

// find returns the value of name, or nil. It looks at position i first: two
// versions of one row nearly always have the same members in the same order.
func find(list []member, i int, name []byte) []byte {
	if i < len(list) && bytes.Equal(list[i].name, name) {
		return list[i].value
	}
	for j := range list {
		if bytes.Equal(list[j].name, name) {
			return list[j].value
		}
	}
	return nil
}

// difference is what tells a row from its former version, byte by byte.
type difference struct {
	// names are of what differs, appeared or vanished, in the order of the new row with
	// the vanished last.
	names []string
	// was are the former members among them. They share the memory of the former row.
	was []member
	// reshaped: one appeared or vanished. nulled: one is null now, or vanished.
	reshaped, nulled bool
}

// comparer holds rows against their former versions, in memory that it uses again for
// the next two.
type comparer struct {
	old, now, was []member
}

// compare tells two versions of a row apart. What it returns is void with the next call,
// but for the names.
func (c *comparer) compare(former, row []byte) (d difference, err error) {
	if c.old, err = appendMembers(c.old[:0], former); err != nil {
		return d, fmt.Errorf("former row: %w", err)
	}
	if c.now, err = appendMembers(c.now[:0], row); err != nil {
		return d, fmt.Errorf("row: %w", err)
	}
	c.was = c.was[:0]
	for i, m := range c.now {
		before := find(c.old, i, m.name)
		if before != nil && bytes.Equal(before, m.value) || string(m.name) == versionColumn {
			continue
		}
		d.names = append(d.names, string(m.name))
		d.nulled = d.nulled || string(m.value) == "null"
		if before == nil {
			d.reshaped = true
			continue
		}
		c.was = append(c.was, member{m.name, before})
	}
	for i, m := range c.old {
		if find(c.now, i, m.name) == nil && string(m.name) != versionColumn {
			d.names, d.reshaped, d.nulled = append(d.names, string(m.name)), true, true
			c.was = append(c.was, m)
		}
	}
	d.was = c.was
	return d, nil
}

// pick returns the members of row that have one of the names, in that order.
func pick(row []byte, names []string) ([]member, error) {
	list, err := members(row)
	if err != nil {
		return nil, err
	}
	var picked []member
	for i, name := range names {
		if v := find(list, i, []byte(name)); v != nil {
			picked = append(picked, member{[]byte(name), v})
		}
	}
	return picked, nil
}

// object renders members as a JSON object in memory of its own; nil when there
// are none.
func object(list []member) []byte {
	if len(list) == 0 {
		return nil
	}
	size := 2
	for _, m := range list {
		size += len(m.name) + len(m.value) + 4
	}
	out := append(make([]byte, 0, size), '{')
	for i, m := range list {
		if i > 0 {
			out = append(out, ',')
		}
		// A name that came out of valid JSON is valid UTF-8, so this cannot fail.
		out, _ = jsontext.AppendQuote(out, m.name)
		out = append(out, ':')
		out = append(out, m.value...)
	}
	return append(out, '}')
}

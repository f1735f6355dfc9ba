package outbound

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
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
	dec := jsontext.NewDecoder(bytes.NewBuffer(object))
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != jsontext.KindBeginObject {
		return nil, errors.New("not a JSON object")
	}
	list := make([]member, 0, 16)
	for dec.PeekKind() != jsontext.KindEndObject {
		quoted, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		name, err := memberName(object[dec.InputOffset()-int64(len(quoted)) : dec.InputOffset()])
		if err != nil {
			return nil, err
		}
		value, err := dec.ReadValue()
		if err != nil {
			return nil, fmt.Errorf("member %q: %w", name, err)
		}
		end := dec.InputOffset()
		list = append(list, member{name, object[end-int64(len(value)) : end]})
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errors.New("data after the JSON object")
	}
	return list, nil
}

// memberName takes the quotes off a name.
func memberName(quoted []byte) ([]byte, error) {
	if len(quoted) < 2 || quoted[0] != '"' {
		return nil, errors.New("a member's name is not a text")
	}
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1], nil
	}
	return jsontext.AppendUnquote(nil, quoted)
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

// changedMembers compares two versions of a row byte by byte. It returns the
// names that differ, appeared or vanished, in the order of the new row with the
// vanished last, and the former members among them.
func changedMembers(former, row []byte) (names []string, was []member, err error) {
	old, err := members(former)
	if err != nil {
		return nil, nil, fmt.Errorf("former row: %w", err)
	}
	now, err := members(row)
	if err != nil {
		return nil, nil, fmt.Errorf("row: %w", err)
	}
	for i, m := range now {
		if string(m.name) == versionColumn {
			continue
		}
		before := find(old, i, m.name)
		if before != nil && bytes.Equal(before, m.value) {
			continue
		}
		names = append(names, string(m.name))
		if before != nil {
			was = append(was, member{m.name, before})
		}
	}
	for i, m := range old {
		if string(m.name) != versionColumn && find(now, i, m.name) == nil {
			names = append(names, string(m.name))
			was = append(was, m)
		}
	}
	return names, was, nil
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

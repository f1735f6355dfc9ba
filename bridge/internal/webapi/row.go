package webapi

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"cebridge/outbound"

	"github.com/cespare/xxhash/v2"
	"github.com/go-json-experiment/json/jsontext"
)

// deletedSuffix ends the context of an entry that tells of a deletion.
// Source: "Use change tracking to synchronize data with external systems".
const deletedSuffix = "/$deletedEntity"

// marks are the members that say what a row is, as raw JSON; nil when absent.
type marks struct {
	id, version, modified []byte // of a live row
	etag, context         []byte // annotations
	deletedID, deletedWhy []byte // of a deleted entry
}

// note keeps a member that matters and tells whether it is an annotation.
func (m *marks) note(name, value []byte, primaryID string) (annotation bool) {
	if bytes.IndexByte(name, '@') >= 0 {
		switch string(name) {
		case "@odata.etag":
			m.etag = value
		case "@odata.context":
			m.context = value
		}
		return true
	}
	switch string(name) {
	case primaryID:
		m.id = value
	case versionColumn:
		m.version = value
	case "modifiedon":
		m.modified = value
	case "id":
		m.deletedID = value
	case "reason":
		m.deletedWhy = value
	}
	return false
}

// row turns one entry, known to be valid JSON, into a Row that shares no memory with it.
// Members that are not annotations go to the arena in their order; all but the version
// are hashed.
func (s *splitter) row(raw []byte) (outbound.Row, error) {
	if raw[0] != '{' {
		return outbound.Row{}, errors.New("a row is not an object")
	}
	var (
		m      marks
		digest xxhash.Digest
	)
	digest.Reset()
	// What is left out is never shorter than what is put in its place.
	s.rowText.room(len(raw))
	start := len(s.rowText.chunk)
	text := append(s.rowText.chunk, '{')
	for i := skipBetween(raw, 1); raw[i] != '}'; i = skipBetween(raw, i) {
		nameEnd, odd := skipString(raw, i)
		quoted := raw[i:nameEnd]
		name, err := quoted[1:len(quoted)-1], error(nil)
		if odd {
			if name, err = unquoted(quoted); err != nil {
				return outbound.Row{}, err
			}
		}
		valueStart := skipBetween(raw, nameEnd)
		var escaped bool
		if i, escaped, err = skipValue(raw, valueStart, 3); err != nil {
			return outbound.Row{}, err
		}
		value := raw[valueStart:i]
		if m.note(name, value, s.primaryID) {
			continue
		}
		from := len(text)
		text = append(append(append(append(text, quoted...), ':'), value...), ',')
		if odd || escaped {
			mendSurrogates(text[from:])
		}
		if string(name) != versionColumn {
			_, _ = digest.Write(text[from:]) // never fails
		}
	}
	if last := len(text) - 1; last > start {
		text[last] = '}'
	} else {
		text = append(text, '}')
	}
	if m.deleted() {
		id, ok := parseGUID(m.deletedID)
		if !ok {
			return outbound.Row{}, errors.New("a deleted entry has no GUID as its id")
		}
		return outbound.Row{ID: id, Deleted: true}, nil
	}
	s.rowText.chunk = text
	return m.live(text[start:len(text):len(text)], digest.Sum64())
}

// deleted tells whether the entry is a deletion: by its own context, or by the
// shape that only deletions have.
func (m *marks) deleted() bool {
	if m.context != nil && strings.HasSuffix(textOf(m.context), deletedSuffix) {
		return true
	}
	return m.id == nil && m.deletedID != nil && len(m.deletedWhy) > 0 && m.deletedWhy[0] == '"'
}

// live completes a row that is not a deletion.
func (m *marks) live(json []byte, hash uint64) (outbound.Row, error) {
	row := outbound.Row{JSON: json, Hash: hash}
	var ok bool
	if row.ID, ok = parseGUID(m.id); !ok {
		return row, errors.New("a row has no GUID in its primary id column")
	}
	switch {
	case m.version != nil && string(m.version) != "null":
		v, err := strconv.ParseInt(string(m.version), 10, 64)
		if err != nil || v <= 0 {
			return row, fmt.Errorf("%s is not a positive whole number", versionColumn)
		}
		row.Version = v
	default:
		if row.Version, ok = parseETag(textOf(m.etag)); !ok {
			return row, fmt.Errorf("a row has neither %s nor a numbered etag", versionColumn)
		}
	}
	if len(m.modified) > 0 && m.modified[0] == '"' {
		text, err := unquoted(m.modified)
		if err != nil {
			return row, err
		}
		row.Modified = string(text)
	}
	return row, nil
}

// unquoted is the text of a JSON string. Without an escape it shares the bytes.
func unquoted(quoted []byte) ([]byte, error) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1], nil
	}
	mended := bytes.Clone(quoted)
	mendSurrogates(mended)
	text, err := jsontext.AppendUnquote(nil, mended)
	if err != nil {
		return nil, errors.New("a text is not valid JSON")
	}
	return text, nil
}

// parseETag reads the version out of W/"915244". Source: the examples of the
// documentation, where etag and versionnumber agree.
func parseETag(etag string) (int64, bool) {
	digits, ok := strings.CutPrefix(etag, `W/"`)
	digits, closed := strings.CutSuffix(digits, `"`)
	if !ok || !closed {
		return 0, false
	}
	v, err := strconv.ParseInt(digits, 10, 64)
	return v, err == nil && v > 0
}

// parseGUID reads a quoted GUID, 8-4-4-4-12 without braces, and lowers its case.
func parseGUID(quoted []byte) (string, bool) {
	if len(quoted) != 38 || quoted[0] != '"' || quoted[37] != '"' {
		return "", false
	}
	var id [36]byte
	for i, c := range quoted[1:37] {
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return "", false
			}
		case c >= 'A' && c <= 'F':
			c += 'a' - 'A'
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f':
		default:
			return "", false
		}
		id[i] = c
	}
	return string(id[:]), true
}

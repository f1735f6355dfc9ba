package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Search finds one record by the values of columns: where a table has no
// alternate key, or a value has characters that no keyed URL takes.
type Search struct {
	Table     string // logical name
	EntitySet string
	PrimaryID string
	Columns   []string
	// Filter is an OData $filter that holds for the record, not percent-encoded.
	Filter string
	// Merged, when set, asks besides whether the record was merged into another one, and
	// says what to do then.
	Merged MergedRule
}

// NewSearch makes the search for the record whose columns have those values. Values
// are as in a key, beside which choices, states and two-option columns may stand.
func NewSearch(t *Table, parts []KeyPart) (*Search, error) {
	if len(parts) == 0 {
		return nil, fmt.Errorf("%w: no columns to find a record of table %s by", ErrKeyValue, t.LogicalName)
	}
	search := &Search{Table: t.LogicalName, EntitySet: t.EntitySet, PrimaryID: t.PrimaryID}
	var b strings.Builder
	for i, p := range parts {
		col := t.Column(p.Column)
		if col == nil {
			return nil, fmt.Errorf("%w: table %s has no column %s", ErrKeyValue, t.LogicalName, p.Column)
		}
		lit, err := partLiteral(col, p, filterLiteral)
		if err != nil {
			return nil, fmt.Errorf("column %s of %s: %w", p.Column, t.LogicalName, err)
		}
		if i > 0 {
			b.WriteString(" and ")
		}
		b.WriteString(col.ReadName() + " eq " + lit)
		search.Columns = append(search.Columns, p.Column)
	}
	search.Filter = b.String()
	return search, nil
}

// SearchID asks for the record with that GUID.
func SearchID(t *Table, id string) *Search {
	return &Search{Table: t.LogicalName, EntitySet: t.EntitySet, PrimaryID: t.PrimaryID,
		Columns: []string{t.PrimaryID}, Filter: t.PrimaryID + " eq " + strings.ToLower(id)}
}

// ID is the GUID that SearchID asks for; "" for any other search.
func (s *Search) ID() string {
	if id, ok := strings.CutPrefix(s.Filter, s.PrimaryID+" eq "); ok && IsGUID(id) {
		return id
	}
	return ""
}

// Query is the request path below the API root. Two records are asked for: the
// second tells that the search does not mean one.
func (s *Search) Query() string {
	columns := s.PrimaryID
	if s.Merged != "" {
		columns += "," + MergedColumn + "," + MasterReadName
	}
	return s.EntitySet + "?$select=" + columns + "&$filter=" + escapeFilter(s.Filter) + "&$top=2"
}

// filterLiteral renders one JSON value as an OData literal in a filter. Unlike a
// key's, a text may have any character but control characters.
func filterLiteral(col *Column, raw []byte) (string, error) {
	switch col.Type {
	case TypeBoolean:
		switch s := strings.TrimSpace(string(raw)); s {
		case "true", "false":
			return s, nil
		}
		return "", fmt.Errorf("%w: it is not true or false", ErrKeyValue)
	case TypeString, TypeMemo:
		text, _, err := scalarText(raw)
		if err == nil {
			err = checkSearchText(text)
		}
		if err != nil {
			return "", err
		}
		return "'" + strings.ReplaceAll(text, "'", "''") + "'", nil
	case TypeDateTime:
		text, quoted, err := scalarText(raw)
		if err == nil && !dateText.MatchString(text) {
			err = fmt.Errorf("%w: %s is not a date (yyyy-MM-dd or yyyy-MM-ddTHH:mm:ssZ)", ErrKeyValue, kind(quoted))
		}
		return text, err
	case TypeState, TypeStatus:
		whole := *col
		whole.Type = TypeInteger
		col = &whole
	}
	return keyLiteral(col, raw)
}

func checkSearchText(s string) error {
	switch {
	case strings.TrimSpace(s) == "":
		return fmt.Errorf("%w: it is empty", ErrKeyValue)
	case !utf8.ValidString(s):
		return fmt.Errorf("%w: it is not valid UTF-8", ErrKeyValue)
	case utf8.RuneCountInString(s) > MaxKeyText:
		return fmt.Errorf("%w: longer than %d characters", ErrKeyValue, MaxKeyText)
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }):
		return fmt.Errorf("%w: it contains a control character", ErrKeyValue)
	}
	return nil
}

// escapeFilter percent-encodes everything but unreserved characters. In a query
// nothing is decoded before it is checked, so that every character can be sent.
func escapeFilter(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', strings.IndexByte("-._~", c) >= 0:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

// KeyMembers writes the columns of a key as a JSON object, for the body of a record
// that has to be made without its key in the URL. A lookup is written through its
// navigation property; its one target must be in the catalog.
func KeyMembers(catalog Catalog, t *Table, parts []KeyPart) (json.RawMessage, error) {
	out := []byte{'{'}
	for i, p := range parts {
		col := t.Column(p.Column)
		if col == nil {
			return nil, fmt.Errorf("%w: table %s has no column %s", ErrKeyValue, t.LogicalName, p.Column)
		}
		if i > 0 {
			out = append(out, ',')
		}
		if p.Parent != nil {
			out = append(out, p.Parent.Member()...)
			continue
		}
		name, value, err := keyMember(catalog, t, col, p.Value)
		if err != nil {
			return nil, fmt.Errorf("key column %s of %s: %w", p.Column, t.LogicalName, err)
		}
		out, _ = jsontext.AppendQuote(out, name) // names are ASCII
		out = append(out, ':')
		out = append(out, value...)
	}
	return append(out, '}'), nil
}

func keyMember(catalog Catalog, t *Table, col *Column, raw json.RawMessage) (name string, value []byte, err error) {
	text, _, err := scalarText(raw)
	if err != nil {
		return "", nil, err
	}
	switch {
	case col.IsLookup():
		nav, target := onlyTarget(catalog, t, col)
		if target == nil {
			return "", nil, fmt.Errorf("%w: a GUID alone does not tell which table the lookup refers to", ErrKeyValue)
		}
		name, text = nav.Name+"@odata.bind", "/"+target.EntitySet+"("+strings.ToLower(text)+")"
	case col.Type == TypeInteger || col.Type == TypeBigInt || col.Type == TypePicklist || col.Type == TypeDecimal:
		lit, err := keyLiteral(col, raw)
		return col.LogicalName, []byte(lit), err
	default:
		name = col.LogicalName
	}
	value, err = jsontext.AppendQuote(nil, text)
	return name, value, err
}

// onlyTarget is the table that a lookup with one navigation property refers to; nil
// where there are several, or the table is not known.
func onlyTarget(catalog Catalog, t *Table, col *Column) (Navigation, *Table) {
	var found []Navigation
	for _, n := range t.Navigations {
		if n.Column == col.LogicalName {
			found = append(found, n)
		}
	}
	if len(found) != 1 {
		return Navigation{}, nil
	}
	return found[0], catalog[found[0].Target]
}

// Reference is a record that a body refers to and that only a search finds.
type Reference struct {
	Search
	// Property is the member that binds it: transactioncurrencyid@odata.bind.
	Property string
	// Cached: an earlier answer of the search may be used.
	Cached bool
	// Address is the record's address by its key below the API root, under which others
	// announce it; "" where there is none.
	Address string
}

// Member is how the reference stands in a body before it is bound: its property
// with the query that finds it.
func (r *Reference) Member() []byte { return r.member("/" + r.Query()) }

// Bind puts the record's GUID in the place of the query, wherever the body has it.
func (r *Reference) Bind(body json.RawMessage, id string) json.RawMessage {
	if body == nil {
		return nil
	}
	// No text of a value can look like the member: it would hold unescaped quotes.
	return bytes.ReplaceAll(body, r.Member(), r.member("/"+r.EntitySet+"("+id+")"))
}

func (r *Reference) member(target string) []byte {
	out, _ := jsontext.AppendQuote(nil, r.Property) // both are ASCII
	out, _ = jsontext.AppendQuote(append(out, ':'), target)
	return out
}

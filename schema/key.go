package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrKeyValue is wrapped by every refusal of a value as part of a key.
var ErrKeyValue = errors.New("value cannot address a record")

// ErrKeyCharacters is wrapped, together with ErrKeyValue, when a text contains a
// character that no Web API server takes in a key, percent-encoded or not.
var ErrKeyCharacters = errors.New("contains a character the Web API does not take in a key")

// ForbiddenKeyCharacters break keyed requests however they are encoded, since
// the server decodes the path before it checks it. Source: alternate-key pages
// of the developer guide (the online list is the longer one), plus '#'.
const ForbiddenKeyCharacters = `/<>*%&:\?+#`

// MaxKeyText is the longest text, in characters, accepted as one key value: an
// index entry holds 900 bytes, two a character.
const MaxKeyText = 450

// KeyPart is one column of a key with its value as a JSON literal.
type KeyPart struct {
	Column string
	Value  json.RawMessage
	// Parent, in place of Value, is the record that a lookup refers to, when it is named
	// by something else than its GUID; or beside it, when the record has to be looked at.
	Parent *KeyParent
}

var (
	integerText = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	decimalText = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)
	guidText    = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	dateText    = regexp.MustCompile(`^\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?Z)?$`)
)

// IsGUID tells whether s is a GUID in the 8-4-4-4-12 form, any case, no braces.
func IsGUID(s string) bool { return guidText.MatchString(s) }

// KeyPredicate renders the text between the parentheses of a keyed URL, already
// percent-encoded: accountnumber='A%20B',new_kind=3. The same text serves inside
// an @odata.bind value. A part with a Parent stands there as its query in braces, which
// no server takes: Write.WithParents puts the GUID in its place.
func KeyPredicate(t *Table, parts []KeyPart) (string, error) {
	if len(parts) == 0 {
		return "", fmt.Errorf("%w: no key columns for table %s", ErrKeyValue, t.LogicalName)
	}
	var b strings.Builder
	for i, p := range parts {
		col := t.Column(p.Column)
		if col == nil {
			return "", fmt.Errorf("%w: table %s has no column %s", ErrKeyValue, t.LogicalName, p.Column)
		}
		lit, err := partLiteral(col, p, keyLiteral)
		if err != nil {
			return "", fmt.Errorf("key column %s of %s: %w", p.Column, t.LogicalName, err)
		}
		b.Grow(len(col.ReadName()) + len(lit) + 2)
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(col.ReadName())
		b.WriteByte('=')
		b.WriteString(lit)
	}
	return b.String(), nil
}

// keyLiteral renders one JSON value as an OData literal of the column's type.
// A number given as a text, or a text given as a number, keeps its exact digits.
func keyLiteral(col *Column, raw []byte) (string, error) {
	text, quoted, err := scalarText(raw)
	if err != nil {
		return "", err
	}
	switch {
	case col.Type == TypeString || col.Type == TypeMemo:
		if err := checkKeyText(text); err != nil {
			return "", err
		}
		return "'" + escapeKeyText(strings.ReplaceAll(text, "'", "''")) + "'", nil
	case col.Type == TypeInteger || col.Type == TypeBigInt || col.Type == TypePicklist:
		if !integerText.MatchString(text) {
			return "", fmt.Errorf("%w: %s is not a whole number", ErrKeyValue, kind(quoted))
		}
		return text, nil
	case col.Type == TypeDecimal:
		if !decimalText.MatchString(text) {
			return "", fmt.Errorf("%w: %s is not a decimal number", ErrKeyValue, kind(quoted))
		}
		return text, nil
	case col.IsLookup() || col.Type == TypeUniqueID:
		if !IsGUID(text) {
			return "", fmt.Errorf("%w: %s is not a GUID", ErrKeyValue, kind(quoted))
		}
		return strings.ToLower(text), nil
	case col.Type == TypeDateTime:
		if !dateText.MatchString(text) {
			return "", fmt.Errorf("%w: %s is not a date (yyyy-MM-dd or yyyy-MM-ddTHH:mm:ssZ)", ErrKeyValue, kind(quoted))
		}
		if strings.Contains(text, ":") {
			return "", fmt.Errorf("%w: a date with a time %w", ErrKeyValue, ErrKeyCharacters)
		}
		return text, nil
	}
	return "", fmt.Errorf("%w: columns of type %s cannot be part of a key", ErrKeyValue, col.Type)
}

func kind(quoted bool) string {
	if quoted {
		return "the text"
	}
	return "the value"
}

// scalarText returns the text of a JSON string, or the digits of a JSON number.
func scalarText(raw []byte) (text string, quoted bool, err error) {
	if inner, ok := plainString(raw); ok {
		return inner, true, nil
	}
	s := strings.TrimSpace(string(raw))
	switch {
	case s == "" || s == "null":
		return "", false, fmt.Errorf("%w: it is null", ErrKeyValue)
	case s[0] == '"':
		var decoded string // its own: an address of text would make each call allocate it
		if err := json.Unmarshal(raw, &decoded); err != nil {
			return "", true, fmt.Errorf("%w: %w", ErrKeyValue, err)
		}
		return decoded, true, nil
	case s[0] == '-' || (s[0] >= '0' && s[0] <= '9'):
		if !json.Valid(raw) {
			return "", false, fmt.Errorf("%w: not a JSON number", ErrKeyValue)
		}
		return plainNumber(s), false, nil
	}
	return "", false, fmt.Errorf("%w: it is neither a text nor a number", ErrKeyValue)
}

// plainString returns the text of a JSON string in which nothing is escaped, as most
// keys are: printable ASCII without quotes and backslashes between two quotes.
func plainString(raw []byte) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' || raw[len(raw)-1] != '"' {
		return "", false
	}
	inner := raw[1 : len(raw)-1]
	for _, c := range inner {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return "", false
		}
	}
	return string(inner), true
}

// plainNumber writes a JSON number without an exponent when it is a whole number
// that a float64 holds exactly; other texts are returned as they are.
func plainNumber(s string) string {
	if !strings.ContainsAny(s, "eE") && !strings.HasSuffix(s, ".0") {
		return s
	}
	var f float64
	if json.Unmarshal([]byte(s), &f) != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<53 {
		return s
	}
	return fmt.Sprintf("%.0f", f)
}

func checkKeyText(s string) error {
	switch {
	case strings.TrimSpace(s) == "":
		return fmt.Errorf("%w: it is empty", ErrKeyValue)
	case !utf8.ValidString(s):
		return fmt.Errorf("%w: it is not valid UTF-8", ErrKeyValue)
	case utf8.RuneCountInString(s) > MaxKeyText:
		return fmt.Errorf("%w: longer than %d characters", ErrKeyValue, MaxKeyText)
	}
	for _, r := range s {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return fmt.Errorf("%w: it contains a control character", ErrKeyValue)
		}
	}
	if i := strings.IndexAny(s, ForbiddenKeyCharacters); i >= 0 {
		return fmt.Errorf("%w: %w (%q)", ErrKeyValue, ErrKeyCharacters, s[i])
	}
	return nil
}

// escapeKeyText percent-encodes everything but unreserved characters and the
// quote, which OData itself doubles. A blank becomes %20, never '+'.
func escapeKeyText(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(s), "+", "%20"), "%27", "'")
}

package inbound

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// hidden stands in a stored request for a value that a route does not show.
const hidden = `"***"`

// redact returns the body of a request with the values of the named columns hidden;
// null stays null, so that clearing can be told from writing. A lookup is named by its
// column in any case, as its navigation property is. What is no JSON object is hidden whole:
// it cannot be told what stands where.
func redact(body []byte, columns []string) []byte {
	if len(columns) == 0 || len(body) == 0 {
		return body
	}
	dec := jsontext.NewDecoder(bytes.NewReader(body))
	var out bytes.Buffer
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '{' {
		return []byte(hidden)
	}
	out.WriteByte('{')
	for first := true; dec.PeekKind() != '}'; first = false {
		name, err := dec.ReadToken()
		if err != nil {
			return []byte(hidden)
		}
		member := name.String()
		value, err := dec.ReadValue()
		if err != nil {
			return []byte(hidden)
		}
		if !first {
			out.WriteByte(',')
		}
		quoted, err := jsontext.AppendQuote(nil, member)
		if err != nil {
			return []byte(hidden)
		}
		out.Write(quoted)
		out.WriteByte(':')
		if value.Kind() != 'n' && names(columns, member) {
			out.WriteString(hidden)
		} else {
			out.Write(value)
		}
	}
	out.WriteByte('}')
	return out.Bytes()
}

// names tells whether a member of a request writes one of the columns.
func names(columns []string, member string) bool {
	member, _, _ = strings.Cut(member, "@")
	for _, c := range columns {
		if strings.EqualFold(c, member) {
			return true
		}
	}
	return false
}

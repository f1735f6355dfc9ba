package sim

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"cebridge/schema"

	"github.com/google/uuid"
)

// recordKey addresses one record, by id or by alternate key.
type recordKey struct {
	byID bool
	id   uuid.UUID
	key  keyDef
	// literals are the key's values as JSON literals, in the order of key.columns.
	literals []string
}

// forbiddenOnline and forbiddenOnPremises are the characters that break a keyed
// URL, however they are encoded: the web server decodes the path before it checks
// it. Source: the alternate-key pages of the developer guide, which differ.
const (
	forbiddenOnline     = `/<>*%&:\?+`
	forbiddenOnPremises = `<>*%&:\`
)

// resource is the parsed path of a request below the API root.
type resource struct {
	table *table
	def   *tableDef
	// key is nil for the collection.
	key *recordKey
	// segment is the first path segment as it was sent: accounts(accountnumber='X').
	segment string
	// rest are the decoded segments after it.
	rest []string
	// within limits a collection to what is related to a record, and path is how
	// links name it; nil and "" for an entity set.
	within expr
	path   string
}

// parseResource finds the table and record that an escaped path addresses.
func (s *Server) parseResource(escaped string) (resource, *apiError) {
	first, tail, more := strings.Cut(escaped, "/")
	text, err := url.PathUnescape(first)
	if err != nil {
		return resource{}, pageError(http.StatusBadRequest, "Bad Request - Invalid URL")
	}
	name, predicate, keyed := strings.Cut(text, "(")
	res := resource{segment: first}
	if keyed {
		if e := s.checkKeyCharacters(predicate, more); e != nil {
			return res, e
		}
		predicate = strings.TrimSuffix(predicate, ")")
	}
	t := s.catalogNow().bySet[name]
	if t == nil {
		return res, s.unknownSet(name)
	}
	res.table, res.def = t, t.def.Load()
	if keyed {
		k, e := parsePredicate(res.def, predicate)
		if e != nil {
			return res, e
		}
		res.key = &k
	}
	if more {
		for seg := range strings.SplitSeq(tail, "/") {
			text, err := url.PathUnescape(seg)
			if err != nil {
				return res, pageError(http.StatusBadRequest, "Bad Request - Invalid URL")
			}
			res.rest = append(res.rest, text)
		}
	}
	return res, nil
}

// checkKeyCharacters refuses, as the web server does, what cannot stand in a path.
func (s *Server) checkKeyCharacters(predicate string, more bool) *apiError {
	forbidden := forbiddenOnline
	if s.opts.Profile == OnPremises {
		forbidden = forbiddenOnPremises
	}
	if i := strings.IndexAny(predicate, forbidden); i >= 0 {
		return pageError(http.StatusBadRequest, "A potentially dangerous Request.Path value was detected from the client ("+predicate[i:i+1]+").")
	}
	if !strings.HasSuffix(predicate, ")") {
		if more { // a raw slash inside of the key
			return pageError(http.StatusBadRequest, "A potentially dangerous Request.Path value was detected from the client (/).")
		}
		return querySyntax()
	}
	return nil
}

func notFoundSegment(name string) *apiError {
	return &apiError{Status: http.StatusNotFound, Code: codeInvalidRequest, Message: "Resource not found for the segment '" + shorten(name) + "'."}
}

// unknownSet is the answer to a first segment that is no entity set. The names of
// functions and actions begin with a capital letter, those of entity sets do not.
func (s *Server) unknownSet(name string) *apiError {
	if name != "" && name[0] >= 'A' && name[0] <= 'Z' && s.catalogNow().bySet[strings.ToLower(name)] == nil {
		return notSimulated("the function or action '%s'.", shorten(name))
	}
	return notFoundSegment(name)
}

func querySyntax() *apiError {
	return invalidRequest("Bad Request - Error in query syntax.")
}

// keyNotValid has no code of its own (assumption).
func keyNotValid(d *tableDef) *apiError {
	return &apiError{
		Status: http.StatusBadRequest, Code: "0x0",
		Message: "The key in the request URI is not valid for resource '" + d.typeName() + "'. Ensure that the names and number of key properties match the declared or alternate key properties for the resource '" + d.typeName() + "'.",
	}
}

// parsePredicate parses the decoded text between the parentheses: a GUID,
// name=GUID, or every column of one active alternate key.
func parsePredicate(d *tableDef, text string) (recordKey, *apiError) {
	if schema.IsGUID(text) {
		return recordKey{byID: true, id: uuid.MustParse(text)}, nil
	}
	if strings.HasPrefix(text, "@") {
		return recordKey{}, notSimulated("parameter aliases in a key.")
	}
	parts, ok := splitPredicate(text)
	if !ok {
		return recordKey{}, querySyntax()
	}
	if len(parts) == 1 && parts[0].name == declaredKey(d) {
		if !schema.IsGUID(parts[0].literal) {
			return recordKey{}, keyNotValid(d)
		}
		return recordKey{byID: true, id: uuid.MustParse(parts[0].literal)}, nil
	}
	columns := make([]int, len(parts))
	for i, p := range parts {
		if strings.HasPrefix(p.literal, "@") {
			return recordKey{}, notSimulated("parameter aliases in a key.")
		}
		c, known := d.byRead[p.name]
		if !known || slices.Contains(columns[:i], c) {
			return recordKey{}, keyNotValid(d)
		}
		columns[i] = c
	}
	key, found := d.key(columns)
	if !found {
		return recordKey{}, keyNotValid(d)
	}
	k := recordKey{key: key, literals: make([]string, len(key.columns))}
	for i, p := range parts {
		lit, e := keyLiteral(d, columns[i], p.literal)
		if e != nil {
			return recordKey{}, e
		}
		k.literals[slices.Index(key.columns, columns[i])] = lit
	}
	return k, nil
}

// declaredKey is the name of the entity type's declared key, which for users and
// teams is ownerid: they inherit it from principal.
func declaredKey(d *tableDef) string {
	if d.LogicalName == "systemuser" || d.LogicalName == "team" {
		return "ownerid"
	}
	return d.PrimaryID
}

// keyLiteral turns an OData literal of a key into the JSON literal of its column.
func keyLiteral(d *tableDef, column int, literal string) (string, *apiError) {
	c := &d.Columns[column]
	if c.IsLookup() {
		if !schema.IsGUID(literal) {
			return "", keyNotValid(d)
		}
		return guidLiteral(uuid.MustParse(literal)), nil
	}
	raw := literal
	content, quoted := unquoteLiteral(literal)
	switch isText := c.Type == schema.TypeString || c.Type == schema.TypeMemo; {
	case isText != quoted || literal == "null":
		return "", keyNotValid(d)
	case isText:
		raw = jsonText(content)
	case c.Type == schema.TypeDateTime || c.Type == schema.TypeUniqueID:
		raw = jsonText(literal)
	}
	// A text longer than the column matches nothing; it is no error in a key.
	unbounded := *c
	unbounded.MaxLength = 0
	lit, e := encodeCell(&unbounded, []byte(raw))
	if e != nil || lit == "" {
		return "", keyNotValid(d)
	}
	return lit, nil
}

type predicatePart struct{ name, literal string }

// splitPredicate splits name=literal,name=literal; quoted literals may hold
// commas and doubled quotes.
func splitPredicate(text string) ([]predicatePart, bool) {
	var parts []predicatePart
	for {
		name, rest, ok := strings.Cut(text, "=")
		name = strings.TrimSpace(name)
		if !ok || name == "" || strings.ContainsAny(name, "',()") {
			return nil, false
		}
		end := literalEnd(rest)
		if end <= 0 {
			return nil, false
		}
		parts = append(parts, predicatePart{name: name, literal: strings.TrimSpace(rest[:end])})
		if end == len(rest) {
			return parts, len(parts) <= 16
		}
		if rest[end] != ',' {
			return nil, false
		}
		text = rest[end+1:]
	}
}

// literalEnd returns where the literal that s begins with ends, or -1.
func literalEnd(s string) int {
	if !strings.HasPrefix(s, "'") {
		if i := strings.IndexByte(s, ','); i >= 0 {
			s = s[:i]
		}
		if strings.ContainsAny(s, "'()") {
			return -1
		}
		return len(s)
	}
	for i := 1; i < len(s); i++ {
		if s[i] != '\'' {
			continue
		}
		if i+1 < len(s) && s[i+1] == '\'' {
			i++
			continue
		}
		return i + 1
	}
	return -1
}

// unquoteLiteral returns the content of an OData string literal.
func unquoteLiteral(s string) (string, bool) {
	if len(s) < 2 || s[0] != '\'' || s[len(s)-1] != '\'' {
		return s, false
	}
	return strings.ReplaceAll(s[1:len(s)-1], "''", "'"), true
}

// find returns the live record that k addresses, or nil.
func (t *table) find(d *tableDef, k *recordKey, exact bool) *row {
	if k.byID {
		return t.rows[k.id]
	}
	var b strings.Builder
	for i, lit := range k.literals {
		b.WriteString(foldLiteral(&d.Columns[k.key.columns[i]], lit, exact))
		b.WriteByte(0)
	}
	id, ok := t.keys[k.key.name][b.String()]
	if !ok {
		return nil
	}
	return t.rows[id]
}

// notFound is the answer when k addresses nothing. By key the message names the
// table, by id also the id.
func notFound(d *tableDef, k *recordKey) *apiError {
	if k.byID {
		return &apiError{Status: http.StatusNotFound, Code: codeNotFound, Message: d.LogicalName + " With Id = " + k.id.String() + " Does Not Exist"}
	}
	return &apiError{Status: http.StatusNotFound, Code: codeNotFoundByKey, Message: "A record with the specified key values does not exist in " + d.LogicalName + " entity"}
}

// duplicateKey is the answer to a second record with the same key.
func duplicateKey(d *tableDef, k keyDef, r *row, cells []string) *apiError {
	var attributes strings.Builder
	attributes.WriteString("<DuplicateAttributes>")
	for _, i := range k.columns {
		name, text := d.Columns[i].LogicalName, r.literal(d, cells, i)
		if plain, ok := textOf([]byte(text)); ok {
			text = plain
		}
		attributes.WriteString("<" + name + ">" + xmlText(text) + "</" + name + ">")
	}
	attributes.WriteString("</DuplicateAttributes>")
	return &apiError{
		Status: http.StatusPreconditionFailed, Code: codeDuplicateKey,
		Message: "Entity Key " + k.name + " violated. A record with the same value for " + k.name + " already exists. A duplicate record cannot be created. Select one or more unique values and try again.",
		Annotations: map[string]string{
			"@Microsoft.PowerApps.CDS.ErrorDetails.DuplicateAttributes": attributes.String(),
			"@Microsoft.PowerApps.CDS.ErrorDetails.DuplicateEntity":     r.id.String(),
		},
	}
}

// xmlText escapes text for an XML attribute or element.
func xmlText(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(s)
}

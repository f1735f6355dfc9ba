package sim

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"cebridge/schema"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// patch is the parsed body of a write: what it sets, before anything is looked up.
type patch struct {
	sets  []cellSet
	binds []bindSet
	// id is the primary id in the body, if there is one.
	id *uuid.UUID
}

// cellSet writes one column; the empty cell clears it.
type cellSet struct {
	column int
	cell   string
}

// bindSet points a lookup at a record, or clears it.
type bindSet struct {
	column int
	// property is the navigation property as it was written.
	property string
	target   string
	table    *table
	key      recordKey
	clear    bool
}

// readBody reads a JSON body of bounded size.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *apiError) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return nil, &apiError{
			Status: http.StatusUnsupportedMediaType, Code: codeInvalidRequest,
			Message: "A supported MIME type could not be found that matches the content type of the request. None of the supported type(s) 'application/json' matches the content type '" + shorten(r.Header.Get("Content-Type")) + "'.",
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, &apiError{Status: http.StatusRequestEntityTooLarge, Message: "Maximum request length exceeded."}
	}
	if err != nil {
		return nil, &apiError{Status: http.StatusBadRequest, Code: codeInvalidPayload, Message: "Stream was not readable."}
	}
	return body, nil
}

// parsePatch parses a JSON object into column writes and binds.
func (s *Server) parsePatch(d *tableDef, body []byte) (patch, *apiError) {
	var p patch
	dec := jsontext.NewDecoder(bytes.NewReader(body))
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '{' {
		return p, badJSON()
	}
	for {
		tok, err := dec.ReadToken()
		if err != nil {
			return p, badJSON()
		}
		if tok.Kind() == '}' {
			break
		}
		name := tok.String()
		raw, err := dec.ReadValue()
		if err != nil {
			return p, badJSON()
		}
		if e := s.parseMember(d, &p, name, bytes.Clone(raw)); e != nil {
			return p, e
		}
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return p, badJSON()
	}
	return p, p.checkBinds(d)
}

func badJSON() *apiError {
	return invalidPayload("An error occurred while validating input parameters: Microsoft.OData.ODataException: Invalid JSON. A token was not recognized in the JSON content.")
}

func (s *Server) parseMember(d *tableDef, p *patch, name string, raw jsontext.Value) *apiError {
	if property, isBind := strings.CutSuffix(name, "@odata.bind"); isBind {
		return s.parseBind(d, p, property, raw)
	}
	if strings.HasPrefix(name, "@") {
		return nil // annotations of the record: @odata.type, @odata.etag
	}
	if property, _, annotated := strings.Cut(name, "@"); annotated {
		if _, ok := d.byRead[property]; ok {
			return nil
		}
		return undeclared(property)
	}
	if i, ok := d.byRead[name]; ok {
		return parseColumn(d, p, i, name, raw)
	}
	if navs, ok := d.byNav[name]; ok {
		return parseNavigation(d, p, navs, name, raw)
	}
	return unknownProperty(d, name)
}

func parseColumn(d *tableDef, p *patch, i int, name string, raw jsontext.Value) *apiError {
	c := &d.Columns[i]
	if c.IsLookup() {
		return &apiError{
			Status: http.StatusBadRequest, Code: codeInvalidPayload,
			Message: "CRM do not support direct update of Entity Reference properties, Use Navigation properties instead. Property: " + name,
		}
	}
	cell, e := encodeCell(c, raw)
	if e != nil {
		return inTable(d, e)
	}
	if i != d.id {
		p.sets = append(p.sets, cellSet{column: i, cell: cell})
		return nil
	}
	if text, ok := textOf([]byte(cell)); ok {
		id := uuid.MustParse(text)
		p.id = &id
	}
	return nil
}

// parseNavigation handles a navigation property without an annotation: null
// clears the lookup; a nested record is not simulated.
func parseNavigation(d *tableDef, p *patch, navs []navigation, name string, raw jsontext.Value) *apiError {
	switch raw.Kind() {
	case 'n':
		for _, n := range navs {
			p.binds = append(p.binds, bindSet{column: n.column, property: name, target: n.target, clear: true})
		}
		return nil
	case '{', '[':
		return notSimulated("writing the nested record '%s'; bind an existing one.", name)
	}
	return invalidPayload("An error occurred while validating input parameters: Microsoft.OData.ODataException: A 'PrimitiveValue' node with non-null value was found when trying to read the value of the property '%s'; however, a 'StartArray' node, a 'StartObject' node, or a 'PrimitiveValue' node with null value was expected.", name)
}

func (s *Server) parseBind(d *tableDef, p *patch, property string, raw jsontext.Value) *apiError {
	navs, ok := d.byNav[property]
	if !ok {
		return undeclared(property)
	}
	if raw.Kind() == 'n' {
		return parseNavigation(d, p, navs, property, raw)
	}
	text, ok := textOf(raw)
	if !ok {
		return invalidPayload("An error occurred while validating input parameters: Microsoft.OData.ODataException: The value of '%s@odata.bind' is not a URL.", property)
	}
	t, key, e := s.parseReference(text)
	if e != nil {
		return e
	}
	target := t.def.Load().LogicalName
	i := slices.IndexFunc(navs, func(n navigation) bool { return n.target == target })
	if i < 0 {
		return invalidPayload("An error occurred while validating input parameters: Microsoft.OData.ODataException: The navigation property '%s' of '%s' does not lead to '%s'.", property, d.typeName(), "Microsoft.Dynamics.CRM."+target)
	}
	p.binds = append(p.binds, bindSet{column: navs[i].column, property: property, target: target, table: t, key: key})
	return nil
}

// parseReference parses the URL of a record: /contacts(...), contacts(...), or an
// absolute URL whose part up to the API version is ignored (assumption). It may
// be percent-encoded. The forbidden characters of a path do not apply to it, but
// a slash fails.
func (s *Server) parseReference(text string) (*table, recordKey, *apiError) {
	if i := strings.Index(text, "/api/data/v"); i >= 0 {
		_, text, _ = strings.Cut(text[i+len("/api/data/v"):], "/")
	}
	text, err := url.PathUnescape(strings.TrimPrefix(text, "/"))
	if err != nil || strings.Contains(text, "/") {
		return nil, recordKey{}, querySyntax()
	}
	set, predicate, ok := strings.Cut(text, "(")
	predicate, closed := strings.CutSuffix(predicate, ")")
	if !ok || !closed {
		return nil, recordKey{}, querySyntax()
	}
	t := s.catalogNow().bySet[set]
	if t == nil {
		return nil, recordKey{}, notFoundSegment(set)
	}
	key, e := parsePredicate(t.def.Load(), predicate)
	return t, key, e
}

// checkBinds refuses two targets for one lookup. Clearing one target of a
// polymorphic lookup while another is set is fine.
func (p *patch) checkBinds(d *tableDef) *apiError {
	for i, a := range p.binds {
		for _, b := range p.binds[:i] {
			if a.column == b.column && !a.clear && !b.clear {
				return invalidPayload("An error occurred while validating input parameters: the lookup '%s' is bound more than once.", d.Columns[a.column].LogicalName)
			}
		}
	}
	return nil
}

// without drops the writes of the given columns.
func (p *patch) without(columns []int) {
	p.sets = slices.DeleteFunc(p.sets, func(c cellSet) bool { return slices.Contains(columns, c.column) })
	p.binds = slices.DeleteFunc(p.binds, func(b bindSet) bool { return slices.Contains(columns, b.column) })
}

func unknownProperty(d *tableDef, name string) *apiError {
	return invalidPayload("The property '%s' does not exist on type '%s'. Make sure to only use property names that are defined by the type.", shorten(name), d.typeName())
}

func undeclared(property string) *apiError {
	return invalidPayload("An error occurred while validating input parameters: Microsoft.OData.ODataException: An undeclared property '%s' which only has property annotations in the payload but no property value was found in the payload. In OData, only declared navigation properties and declared named streams can be represented as properties without values.", shorten(property))
}

// isSystem tells whether the server alone maintains the column.
func isSystem(c *schema.Column) bool {
	if c.ReadOnly {
		return true
	}
	switch c.LogicalName {
	case "versionnumber", "createdon", "modifiedon", "createdby", "modifiedby":
		return true
	}
	return false
}

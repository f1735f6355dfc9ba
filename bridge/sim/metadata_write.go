package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"

	"cebridge/schema"
)

// Codes of changes of definitions. Source: the platform's error-code list.
const (
	codeKeyNameExists    = "0x80060893" // EntityKeyNameExists
	codeKeyColumnsExist  = "0x80060894" // EntityKeyWithSelectedAttributesExists
	codeKeyTooLarge      = "0x80060895" // IndexSizeConstraintViolated
	codeKeySecured       = "0x80060896" // CannotSecureEntityKeyAttribute
	codeReactivateFailed = "0x80060897" // ReactivateEntityKeyOnlyForFailedJobs
)

// changeDefinition answers the writes below EntityDefinitions that are simulated:
//
//	PUT    EntityDefinitions(key)            change tracking, optimistic concurrency
//	POST   EntityDefinitions(key)/Keys       a new alternate key
//	DELETE EntityDefinitions(key)/Keys(key)
//
// Others answer 501, but for PATCH: definitions have no partial update (developer
// guide, "Create and update table definitions using the Web API"). A change set
// cannot hold any of them (assumption).
func (s *Server) changeDefinition(w http.ResponseWriter, r *http.Request, rest string) *apiError {
	if inTx(r.Context()) != nil {
		return notSimulated("changes of definitions inside a change set.")
	}
	if r.Method == http.MethodPatch || rest == "$metadata" {
		return methodNotAllowed(r)
	}
	segments, e := parseMetaPath(rest)
	if e != nil {
		return e
	}
	if segments[0].key == nil {
		return notSimulated("%s of definitions.", shorten(r.Method))
	}
	t, e := s.metaRequest(r).table(segments[0].key)
	if e != nil {
		return e
	}
	switch keys := len(segments) == 2 && segments[1].name == "Keys"; {
	case len(segments) == 1 && r.Method == http.MethodPut:
		return s.putDefinition(w, r, t)
	case keys && segments[1].key == nil && r.Method == http.MethodPost:
		return s.createKey(w, r, t)
	case keys && segments[1].key != nil && r.Method == http.MethodDelete:
		return s.deleteKey(w, t, segments[1].key)
	}
	return notSimulated("%s of definitions.", shorten(r.Method))
}

// readObject reads a JSON object whose members are among the properties of
// declared; annotations are accepted everywhere.
func (s *Server) readObject(w http.ResponseWriter, r *http.Request, typeName string, declared metaObject) (map[string]json.RawMessage, *apiError) {
	body, e := s.readBody(w, r)
	if e != nil {
		return nil, e
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil || members == nil {
		return nil, badJSON()
	}
	for name := range members {
		if _, known := declared.get(name); !known && !bytes.ContainsRune([]byte(name), '@') {
			return nil, invalidPayload("The property '%s' does not exist on type '%s%s'. Make sure to only use property names that are defined by the type.", shorten(name), metaNamespace, typeName)
		}
	}
	return members, nil
}

// textMember decodes a member that is a text; "" when it is absent or null.
func textMember(members map[string]json.RawMessage, name string) (string, *apiError) {
	raw, ok := members[name]
	if !ok {
		return "", nil
	}
	var text *string
	if err := json.Unmarshal(raw, &text); err != nil {
		return "", invalidPayload("Cannot read the value of the property '%s' as a text.", name)
	}
	if text == nil {
		return "", nil
	}
	return *text, nil
}

// alter is AlterTable for answers: what change refuses with an apiError is
// answered as it is.
func (s *Server) alter(table string, change func(*schema.Table) *apiError) *apiError {
	err := s.AlterTable(table, s.opts.ExpireOnSchemaChange, func(t *schema.Table) error {
		if e := change(t); e != nil {
			return e
		}
		return nil
	})
	var refused *apiError
	switch {
	case errors.As(err, &refused):
		return refused
	case err != nil:
		return &apiError{Status: http.StatusBadRequest, Code: codeUnexpectedFault, Message: err.Error()}
	}
	return nil
}

// definitionChanged answers 204 with the address of a definition.
func definitionChanged(w http.ResponseWriter, address string) {
	h := w.Header()
	h.Set("OData-Version", "4.0")
	if address != "" {
		h.Set("OData-EntityId", address)
		h.Set("Location", address)
	}
	w.WriteHeader(http.StatusNoContent)
}

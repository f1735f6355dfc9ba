package webapi

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"

	"cebridge/schema/outcome"
)

// The two texts of a record that is not there. The named table is the one that
// was looked in: the addressed one, or that of a lookup. Sources: the error list
// of the developer guide; recorded answers.
var (
	textMissingByKey = regexp.MustCompile(`(?i)specified key values does not exist in '?([a-z0-9_]+)'? entity`)
	textMissingByID  = regexp.MustCompile(`(?i)'?([a-z0-9_]+)'? with (?:id|ids) ?= ?\{?([0-9a-f-]{36})\}? does not exist`)
)

// saysMissing tells whether the API itself said that a record is not there,
// rather than just answering 404.
func saysMissing(e *outcome.Error) bool {
	return e.Code == codeNotThere || e.Code == codeNotThereByKey || textMissing.MatchString(e.Message)
}

// whoIsMissing decides what a "not there" on a conditional update means: the
// addressed record, or one that the body refers to. Where code and text leave it
// open, it asks for the addressed record, at the price of one more request.
func (a *application) whoIsMissing(ctx context.Context, e *outcome.Error) error {
	w := a.write
	if !hasBind(w.Body) {
		return e
	}
	table, id := "", ""
	if m := textMissingByID.FindStringSubmatch(e.Message); m != nil {
		table, id = m[1], m[2]
	} else if m := textMissingByKey.FindStringSubmatch(e.Message); m != nil {
		table = m[1]
	}
	switch {
	case table != "" && !strings.EqualFold(table, w.Table):
		return missingReference(e)
	case id != "" && w.ID != "" && strings.EqualFold(id, w.ID):
		return e
	case id != "" && w.ID != "":
		return missingReference(e)
	case table != "" && !bindsTo(w.Body, w.EntitySet):
		return e
	}
	there, err := a.isThere(ctx)
	switch {
	case err != nil:
		return err
	case there:
		return missingReference(e)
	}
	return e
}

// missingReference is the same answer with the other meaning.
func missingReference(e *outcome.Error) error {
	other := *e
	other.Verdict, other.Reason = outcome.Park, outcome.MissingReference
	return &other
}

// isThere reads the addressed record.
func (a *application) isThere(ctx context.Context) (bool, error) {
	name := a.write.EntitySet + "(" + a.predicate() + ")"
	call := &call{
		op: opExists, method: http.MethodGet, name: name, path: name, limit: a.client.maxBody, inbound: true,
		accept: func(status int, _ fields, body io.Reader) error {
			_, err := readObject(status, body)
			return err
		},
		sending: a.sending,
	}
	if column, _, keyed := strings.Cut(a.predicate(), "="); keyed {
		call.path += "?$select=" + column
	}
	err := a.client.do(ctx, call)
	if hasReason(err, outcome.NotFound) {
		return false, nil
	}
	return err == nil, err
}

// bindsTo tells whether a body refers to a record of that entity set, bound or still
// to be searched for.
func bindsTo(body []byte, entitySet string) bool {
	for _, form := range []string{`/` + entitySet + `(`, `"` + entitySet + `(`, `/` + entitySet + `?`} {
		if strings.Contains(string(body), form) {
			return true
		}
	}
	return false
}

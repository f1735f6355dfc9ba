package webapi

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"cebridge/outbound"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	// maxDepth bounds the nesting of an answer. Rows of a tracked query are flat.
	maxDepth = 64
	// maxRows bounds a page: twenty times the server's own largest.
	maxRows = 100_000
)

// splitter takes a page apart while it arrives.
type splitter struct {
	dec       *jsontext.Decoder
	primaryID string
	rowText   arena
	page      outbound.Page

	// plain: the query does not track changes.
	plain                       bool
	hasValue, hasNext, hasDelta bool
}

// splitPage splits the JSON of one page of a tracked query into rows, in one
// pass and whatever the order of its members: of the page as it was sent no more
// than one row is in memory. Links are returned as sent. The error is that of
// body, or a *malformed with its position: a page is whole or refused.
func splitPage(body io.Reader, primaryID string) (*outbound.Page, error) {
	return split(body, primaryID, false)
}

// splitPlain does the same for a query without change tracking: its last page has
// no link at all.
func splitPlain(body io.Reader, primaryID string) (*outbound.Page, error) {
	return split(body, primaryID, true)
}

func split(body io.Reader, primaryID string, plain bool) (*outbound.Page, error) {
	source := &pageReader{r: body}
	// Texts cut in the middle of a surrogate pair do exist in the database, and
	// arrive as a lone escape. They are mended row by row instead of refused.
	s := &splitter{
		dec:       jsontext.NewDecoder(source, jsontext.AllowInvalidUTF8(true)),
		primaryID: primaryID,
		plain:     plain,
	}
	err := s.envelope()
	if source.err != nil {
		return nil, source.err
	}
	if err != nil {
		return nil, &malformed{fmt.Sprintf("page: %v, at byte %d (row %d)", err, s.dec.InputOffset(), len(s.page.Rows))}
	}
	return &s.page, nil
}

// envelope reads the members around the rows.
func (s *splitter) envelope() error {
	if err := s.expect(jsontext.KindBeginObject, "an object"); err != nil {
		return err
	}
	for s.dec.PeekKind() != jsontext.KindEndObject {
		name, err := s.text("a member name")
		if err != nil {
			return err
		}
		switch name {
		case "value":
			s.hasValue = true
			err = s.rows()
		case "@odata.nextLink":
			s.hasNext = true
			s.page.Next, err = s.text("a next link")
		case "@odata.deltaLink":
			s.hasDelta = true
			s.page.Delta, err = s.text("a delta link")
		case "error":
			err = s.failure()
		default:
			err = s.other()
		}
		if err != nil {
			return err
		}
	}
	if err := s.expect(jsontext.KindEndObject, "the end of the object"); err != nil {
		return err
	}
	if _, err := s.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the page")
	}
	switch {
	case !s.hasValue:
		return errors.New(`no member "value"`)
	case s.plain && s.hasDelta:
		return errors.New("a delta link that was not asked for")
	case s.plain && !s.hasNext:
		return nil
	case s.hasNext == s.hasDelta:
		return fmt.Errorf("a next link: %t, a delta link: %t; exactly one is promised", s.hasNext, s.hasDelta)
	case s.page.Next == "" && s.page.Delta == "":
		return errors.New("the link is empty")
	}
	return nil
}

// rows reads the array of rows.
func (s *splitter) rows() error {
	if err := s.expect(jsontext.KindBeginArray, "an array of rows"); err != nil {
		return err
	}
	for s.dec.PeekKind() != jsontext.KindEndArray {
		if len(s.page.Rows) == maxRows {
			return fmt.Errorf("more than %d rows", maxRows)
		}
		raw, err := s.value()
		if err != nil {
			return err
		}
		row, err := s.row(raw)
		if err != nil {
			return err
		}
		s.page.Rows = append(s.page.Rows, row)
	}
	return s.expect(jsontext.KindEndArray, "the end of the rows")
}

// failure reports an error inside an answer of good status.
func (s *splitter) failure() error {
	raw, err := s.value()
	if err != nil {
		return err
	}
	f := readFault(append([]byte(`{"error":`), append(raw.Clone(), '}')...))
	return errors.New(strings.TrimSpace("an error in an answer of good status: " + f.code + " " + f.message))
}

// other skips a member of no interest, within the bound of depth.
func (s *splitter) other() error {
	raw, err := s.value()
	if err != nil {
		return err
	}
	_, _, err = skipValue(raw, 0, 1)
	return err
}

// value reads one value. It is the decoder's, and void with the next one.
func (s *splitter) value() (jsontext.Value, error) {
	raw, err := s.dec.ReadValue()
	if err != nil {
		return nil, syntax(err)
	}
	if !utf8.Valid(raw) {
		return nil, errors.New("not valid UTF-8")
	}
	return raw, nil
}

// expect reads one token of a kind.
func (s *splitter) expect(kind jsontext.Kind, what string) error {
	token, err := s.dec.ReadToken()
	if err != nil {
		return syntax(err)
	}
	if token.Kind() != kind {
		return fmt.Errorf("%s was promised, not %s", what, token.Kind())
	}
	return nil
}

// text reads one string.
func (s *splitter) text(what string) (string, error) {
	raw, err := s.value()
	if err != nil {
		return "", err
	}
	if raw.Kind() != jsontext.KindString {
		return "", fmt.Errorf("%s was promised, not %s", what, raw.Kind())
	}
	text, err := unquoted(raw)
	return string(text), err
}

// syntax shortens a decoder's error: it may quote the names of members, never
// values, and its position is given anyway.
func syntax(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errors.New("it ends in the middle")
	case errors.Is(err, jsontext.ErrDuplicateName):
		return errors.New("a member name stands twice in one object")
	}
	return errors.New("not valid JSON")
}

package webapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"cebridge/schema"
)

// Sent is an HTTP request as a write makes it. Header has those headers only that
// belong to what is asked: If-Match, If-None-Match and Prefer.
type Sent struct {
	Method, Path string
	Header       map[string]string
	Body         json.RawMessage
}

// meant are the headers that change what a request asks for.
var meant = []string{"If-Match", "If-None-Match", "Prefer"}

// Rehearse makes a write against a server that is only pretended, and returns the
// requests: exactly those of Apply, since it is Apply that makes them. exists tells
// whether the record is there; what a search looks for always is, but for the record
// itself; no record was merged into another. Such a record stands as {accountid}: nobody knows its GUID. Nothing is sent.
func Rehearse(ctx context.Context, address, version string, w *schema.Write, exists bool) ([]Sent, error) {
	r := &rehearsal{write: w, exists: exists, names: map[string]string{}}
	c, err := New(Config{URL: address, Version: version, Transport: r})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	own := *w
	if _, err := c.Apply(ctx, &own); err != nil {
		return nil, fmt.Errorf("rehearse a write to %s: %w", w.Table, err)
	}
	for i := range r.sent {
		s := &r.sent[i]
		for id, name := range r.names {
			s.Path = strings.ReplaceAll(s.Path, id, name)
			s.Body = bytes.ReplaceAll(s.Body, []byte(id), []byte(name))
		}
	}
	return r.sent, nil
}

// rehearsal answers requests as the Web API would. A write makes one at a time.
type rehearsal struct {
	write  *schema.Write
	exists bool
	sent   []Sent
	// names are what stands for the GUIDs that it made up.
	names map[string]string
	// parents are those of the records that the key refers to.
	parents []string
}

// errUnheard means that a write asks for something that a rehearsal does not know.
var errUnheard = errors.New("a request that a rehearsal cannot answer")

func (r *rehearsal) RoundTrip(req *http.Request) (*http.Response, error) {
	s := Sent{Method: req.Method, Path: req.URL.RequestURI(), Header: map[string]string{}}
	for _, name := range meant {
		if v := req.Header.Get(name); v != "" {
			s.Header[name] = v
		}
	}
	if req.Body != nil {
		var err error
		if s.Body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		_ = req.Body.Close()
	}
	r.sent = append(r.sent, s)
	if req.Method == http.MethodGet {
		return r.read(s)
	}
	return r.change(req, s)
}

// read answers a search, or the question whether the record is there.
func (r *rehearsal) read(s Sent) (*http.Response, error) {
	for _, p := range r.write.Parents() {
		if strings.HasSuffix(s.Path, "/"+p.Query()) {
			id := r.idOf(&p.Search)
			r.parents = append(r.parents, id)
			return oneFound(p.PrimaryID, id), nil
		}
	}
	w := r.write
	if len(r.parents) == len(w.Parents()) {
		w = w.WithParents(r.parents)
	}
	if w.Search != nil && strings.HasSuffix(s.Path, "/"+w.Search.Query()) {
		if !r.exists {
			return answerWith(http.StatusOK, `{"value":[]}`), nil
		}
		return oneFound(w.Search.PrimaryID, r.guid(w.Search.PrimaryID)), nil
	}
	for i := range r.write.References {
		if ref := &r.write.References[i]; strings.HasSuffix(s.Path, "/"+ref.Query()) {
			return oneFound(ref.PrimaryID, r.idOf(&ref.Search)), nil
		}
	}
	if _, address, ok := strings.Cut(s.Path, "/"+r.write.EntitySet+"("); ok && !r.exists {
		return r.missing(), nil
	} else if ok && r.write.Merged != nil {
		return r.unmerged(address), nil
	}
	return nil, errUnheard
}

func oneFound(primaryID, id string) *http.Response {
	return answerWith(http.StatusOK, fmt.Sprintf(`{"value":[{%q:%q}]}`, primaryID, id))
}

// unmerged is a record that was not merged into another.
func (r *rehearsal) unmerged(address string) *http.Response {
	id, _, _ := strings.Cut(address, ")")
	if !schema.IsGUID(id) {
		id = r.guid(r.primaryID())
	}
	return answerWith(http.StatusOK, fmt.Sprintf(`{"@odata.etag":"W/\"{%s}\"",%q:%q,%q:false}`, versionColumn, r.primaryID(), id, schema.MergedColumn))
}

// idOf is the GUID that a search asks for, or one that stands for what it finds.
func (r *rehearsal) idOf(s *schema.Search) string {
	if id := s.ID(); id != "" {
		return id
	}
	return r.guid(s.PrimaryID)
}

// guid makes up a GUID that stands for a record.
func (r *rehearsal) guid(primaryID string) string {
	id := fmt.Sprintf("ffffffff-ffff-4fff-bfff-%012d", len(r.names)+1)
	name, n := primaryID, 1
	for _, other := range r.names {
		if strings.HasPrefix(other, "{"+primaryID) {
			n++
		}
	}
	if n > 1 {
		name = fmt.Sprintf("%s %d", primaryID, n)
	}
	r.names[id] = "{" + name + "}"
	return id
}

func (r *rehearsal) missing() *http.Response {
	return answerWith(http.StatusNotFound, fmt.Sprintf(`{"error":{"code":%q,"message":"A record with the specified key values does not exist in %s entity"}}`,
		codeNotThereByKey, r.write.Table))
}

func (r *rehearsal) change(req *http.Request, s Sent) (*http.Response, error) {
	existed := r.exists
	switch {
	case !existed && (s.Header["If-Match"] != "" || req.Method == http.MethodDelete):
		return r.missing(), nil
	case existed && (s.Header["If-None-Match"] != "" || req.Method == http.MethodPost):
		return nil, errUnheard
	}
	r.exists = true
	if s.Header["Prefer"] != "" {
		status := http.StatusCreated
		if existed {
			status = http.StatusOK
		}
		name := r.primaryID()
		return answerWith(status, fmt.Sprintf(`{"@odata.etag":"W/\"1\"",%q:1,%q:%q}`, versionColumn, name, r.guid(name))), nil
	}
	resp := answerWith(http.StatusNoContent, "")
	address := *req.URL
	address.RawQuery = ""
	entity := address.String() // a keyed write is answered with its key
	if req.Method == http.MethodPost {
		entity += "(" + r.guid(r.primaryID()) + ")"
	}
	resp.Header.Set("OData-EntityId", entity)
	return resp, nil
}

// primaryID names the record's id, as well as a write knows it.
func (r *rehearsal) primaryID() string {
	if r.write.Search != nil {
		return r.write.Search.PrimaryID
	}
	if r.write.Merged != nil {
		return r.write.Merged.PrimaryID
	}
	return r.write.Table + "id"
}

func answerWith(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, ContentLength: int64(len(body)),
		Header: http.Header{"Content-Type": {"application/json; odata.metadata=minimal"}, "Odata-Version": {"4.0"}},
		Body:   io.NopCloser(strings.NewReader(body)),
	}
}

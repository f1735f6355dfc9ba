package sim

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// batchRequest is one request inside a batch.
type batchRequest struct {
	method    string
	target    string // as written: absolute, rooted, relative, or $1
	contentID string
	header    http.Header
	body      []byte
	url       *url.URL // nil for a reference to an earlier request
}

// contentReference is $ID at the start of a URL, ID being a Content-ID.
var contentReference = regexp.MustCompile(`^/?\$([A-Za-z0-9_-]+)(.*)$`)

// resolve checks the URL and makes it absolute. It may be absolute, rooted, or
// relative to the API root; it must stay below the API root.
func (q *batchRequest) resolve(root *url.URL) *apiError {
	target := strings.ReplaceAll(q.target, " ", "%20")
	if _, _, ok := q.reference(); ok {
		return nil
	}
	u, err := url.Parse(target)
	if err != nil {
		// A colon in the value of a key makes a relative URL look like a scheme.
		if u, err = url.Parse(root.String() + target); err != nil || strings.Contains(target, "://") {
			return invalidRequest("Invalid URI '%.200s' in a request of the batch.", q.target)
		}
	}
	u = root.ResolveReference(u)
	base := root.Path[:strings.LastIndex(strings.TrimSuffix(root.Path, "/"), "/")+1] // up to /api/data/
	if !strings.EqualFold(u.Host, root.Host) || !strings.HasPrefix(u.Path, base) {
		return invalidRequest("The URI '%.200s' of a request in the batch is not below '%s'.", q.target, root)
	}
	if strings.HasSuffix(u.Path, "/$batch") {
		return invalidRequest("A batch cannot contain another batch.")
	}
	q.url = u
	return nil
}

// reference splits a target of the form $ID or $ID/rest.
func (q *batchRequest) reference() (id, rest string, ok bool) {
	m := contentReference.FindStringSubmatch(q.target)
	if m == nil || m[1] == "metadata" || m[1] == "batch" {
		return "", "", false
	}
	return m[1], m[2], true
}

// bind replaces references by the URLs of records that earlier requests of the
// change set wrote: in the URL, and in every @odata.bind and @odata.id of the body.
func (q batchRequest) bind(written map[string]string) (batchRequest, *apiError) {
	if id, rest, ok := q.reference(); ok {
		entity, known := written[id]
		if !known {
			return q, unknownContentID(id)
		}
		u, err := url.Parse(entity + rest)
		if err != nil {
			return q, invalidRequest("Invalid URI '%.200s' in a request of the batch.", q.target)
		}
		q.url = u
	}
	if !bytes.Contains(q.body, []byte(`"$`)) && !bytes.Contains(q.body, []byte(`"/$`)) {
		return q, nil
	}
	var body any
	d := json.NewDecoder(bytes.NewReader(q.body))
	d.UseNumber()
	if d.Decode(&body) != nil {
		return q, nil // the request itself will be refused
	}
	changed, e := bindReferences(body, "", written)
	if e != nil || !changed {
		return q, e
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return q, invalidRequest("The body of a request in the batch cannot be read.")
	}
	q.body = raw
	return q, nil
}

// bindReferences walks a decoded body and replaces references in place.
func bindReferences(v any, member string, written map[string]string) (changed bool, e *apiError) {
	replace := func(text, name string) (string, bool, *apiError) {
		m := contentReference.FindStringSubmatch(text)
		if m == nil || !strings.HasSuffix(name, "@odata.bind") && !strings.HasSuffix(name, "@odata.id") {
			return text, false, nil
		}
		entity, known := written[m[1]]
		if !known {
			return text, false, unknownContentID(m[1])
		}
		return entity + m[2], true, nil
	}
	visit := func(name string, inner any, set func(any)) *apiError {
		if text, ok := inner.(string); ok {
			bound, did, e := replace(text, name)
			if did {
				set(bound)
				changed = true
			}
			return e
		}
		did, e := bindReferences(inner, name, written)
		changed = changed || did
		return e
	}
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			if e = visit(name, inner, func(x any) { v[name] = x }); e != nil {
				return changed, e
			}
		}
	case []any:
		for i, inner := range v {
			if e = visit(member, inner, func(x any) { v[i] = x }); e != nil {
				return changed, e
			}
		}
	}
	return changed, nil
}

// unknownContentID is the documented refusal of a forward reference.
func unknownContentID(id string) *apiError {
	return invalidRequest("Content-ID Reference: '$%s' does not exist in the batch context.", id)
}

// httpRequest builds the request that the API handler sees. Headers of the
// operation stand in the inner request; the caller's identity is that of the batch.
func (q *batchRequest) httpRequest(outer *http.Request) *http.Request {
	in := &http.Request{
		Method: q.method, URL: q.url, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: q.header.Clone(), Host: outer.Host, RemoteAddr: outer.RemoteAddr, TLS: outer.TLS,
		RequestURI: q.url.RequestURI(), ContentLength: int64(len(q.body)),
		Body: io.NopCloser(bytes.NewReader(q.body)),
	}
	// The headers below count for every request of the batch.
	for _, name := range []string{"Authorization", "Cookie", "CallerObjectId", "MSCRMCallerID", "x-ms-client-request-id"} {
		if in.Header.Get(name) == "" && outer.Header.Get(name) != "" {
			in.Header[http.CanonicalHeaderKey(name)] = outer.Header.Values(name)
		}
	}
	return in.WithContext(outer.Context())
}

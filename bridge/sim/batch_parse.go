package sim

import (
	"bytes"
	"mime"
	"net/http"
	"strings"
)

// batchItem is one part of a batch: a request, or a change set of several.
type batchItem struct {
	changeSet bool
	requests  []batchRequest
}

// batchReader reads a multipart body line by line. Every line outside of the
// inner bodies must end in CRLF.
type batchReader struct {
	rest  []byte
	count int // requests so far
}

func notReadable() *apiError { return invalidRequest("Stream was not readable.") }

// parseBatch splits the body of a batch into its parts.
func parseBatch(body []byte, boundary string) ([]batchItem, *apiError) {
	r := &batchReader{rest: body}
	var items []batchItem
	e := r.parts(boundary, func(h http.Header) *apiError {
		mediaType, params, err := mime.ParseMediaType(h.Get("Content-Type"))
		switch {
		case err != nil:
			return invalidRequest("The message header 'Content-Type: %s' is invalid.", h.Get("Content-Type"))
		case mediaType == "application/http":
			req, e := r.request(h, boundary)
			items = append(items, batchItem{requests: []batchRequest{req}})
			return e
		case mediaType == "multipart/mixed" && params["boundary"] != "":
			set, e := r.changeSet(params["boundary"])
			if e == nil {
				// What stands between the end of the change set and the next
				// boundary of the batch is an epilogue, without meaning.
				_, e = r.content(boundary)
			}
			items = append(items, set)
			return e
		}
		return invalidRequest("Invalid content type '%s' of a batch part: use application/http or multipart/mixed.", h.Get("Content-Type"))
	})
	if e == nil && len(bytes.TrimSpace(r.rest)) > 0 {
		e = notReadable()
	}
	if e == nil && len(items) == 0 {
		e = invalidRequest("The batch holds no request.")
	}
	return items, e
}

// parts calls part for each part between boundaries with its headers. part reads
// up to, not including, the next boundary line. The end delimiter is consumed.
func (r *batchReader) parts(boundary string, part func(http.Header) *apiError) *apiError {
	if _, e := r.content(boundary); e != nil { // the preamble
		return e
	}
	for {
		line, e := r.line()
		if e != nil {
			return e
		}
		switch strings.TrimRight(line, " \t") {
		case "--" + boundary + "--":
			return nil
		case "--" + boundary:
		default:
			return notReadable()
		}
		h, e := r.headers()
		if e == nil {
			e = part(h)
		}
		if e != nil {
			return e
		}
	}
}

// changeSet reads the requests of one change set.
func (r *batchReader) changeSet(boundary string) (batchItem, *apiError) {
	set := batchItem{changeSet: true}
	ids := map[string]bool{}
	e := r.parts(boundary, func(h http.Header) *apiError {
		if mediaType, _, err := mime.ParseMediaType(h.Get("Content-Type")); err != nil || mediaType != "application/http" {
			return invalidRequest("Invalid content type '%s' of a change set part: use application/http.", h.Get("Content-Type"))
		}
		req, e := r.request(h, boundary)
		switch {
		case e != nil:
			return e
		case !changesData(req.method):
			return invalidRequest("An invalid HTTP method '%s' was detected for a request in a change set. "+
				"Requests in change sets only support the HTTP methods 'POST', 'PUT', 'DELETE', and 'PATCH'.", req.method)
		case req.contentID != "" && ids[req.contentID]:
			return invalidRequest("The content ID '%s' was found more than once in the same change set.", req.contentID)
		}
		ids[req.contentID] = true
		set.requests = append(set.requests, req)
		return nil
	})
	return set, e
}

func changesData(method string) bool {
	switch method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return true
	}
	return false
}

// request reads one application/http part: request line, headers, blank line, body.
func (r *batchReader) request(part http.Header, boundary string) (batchRequest, *apiError) {
	if r.count++; r.count > maxBatchRequests {
		return batchRequest{}, invalidRequest("The current batch message contains too many parts. "+
			"A maximum number of '%d' query operations and change sets are allowed in a batch message.", maxBatchRequests)
	}
	if enc := part.Get("Content-Transfer-Encoding"); !strings.EqualFold(enc, "binary") {
		return batchRequest{}, invalidRequest("The message header 'Content-Transfer-Encoding: %s' is invalid: the value must be binary.", enc)
	}
	line, e := r.line()
	if e != nil {
		return batchRequest{}, e
	}
	req := batchRequest{contentID: part.Get("Content-ID")}
	// The URL is what stands between the first and the last blank: clients leave
	// blanks in query strings.
	method, rest, ok := strings.Cut(line, " ")
	end := strings.LastIndexByte(rest, ' ')
	if !ok || end < 0 || rest[end+1:] != "HTTP/1.1" {
		return batchRequest{}, invalidRequest("The request line '%.200s' is invalid: it must be of the format 'METHOD URL HTTP/1.1'.", line)
	}
	req.method, req.target = method, strings.TrimSpace(rest[:end])
	switch {
	case len(req.target) > maxBatchURL:
		return batchRequest{}, invalidRequest("The URL of a request in the batch is longer than %d characters.", maxBatchURL)
	case req.method != http.MethodGet && !changesData(req.method):
		return batchRequest{}, invalidRequest("An invalid HTTP method '%.20s' was detected for a request in a batch.", req.method)
	}
	if req.header, e = r.headers(); e != nil {
		return batchRequest{}, e
	}
	req.body, e = r.content(boundary)
	return req, e
}

// line reads one line that ends in CRLF.
func (r *batchReader) line() (string, *apiError) {
	i := bytes.IndexByte(r.rest, '\n')
	if i < 1 || r.rest[i-1] != '\r' {
		return "", notReadable()
	}
	line := string(r.rest[:i-1])
	r.rest = r.rest[i+1:]
	return line, nil
}

// headers reads header lines up to and including the blank line.
func (r *batchReader) headers() (http.Header, *apiError) {
	h := http.Header{}
	for range 100 {
		line, e := r.line()
		if e != nil {
			return nil, e
		}
		if line == "" {
			return h, nil
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t\"'(),/;<=>?@[]{}") {
			return nil, invalidRequest("The message header '%.200s' is invalid. The header value must be of the format '<header name>: <header value>'.", line)
		}
		h.Add(name, strings.TrimSpace(value))
	}
	return nil, invalidRequest("A request in the batch has too many headers.")
}

// content reads up to the next line that is the boundary, which it leaves. The
// line end before a boundary belongs to the boundary (RFC 2046 §5.1.1).
func (r *batchReader) content(boundary string) ([]byte, *apiError) {
	delimiter := []byte("--" + boundary)
	for from := 0; ; {
		i := bytes.Index(r.rest[from:], delimiter)
		if i < 0 {
			return nil, notReadable()
		}
		at := from + i
		if at == 0 || r.rest[at-1] == '\n' {
			if isDelimiterLine(r.rest[at+len(delimiter):]) {
				body := r.rest[:at]
				r.rest = r.rest[at:]
				if len(body) == 0 {
					return nil, nil
				}
				trimmed, ok := bytes.CutSuffix(body, []byte("\r\n"))
				if !ok {
					return nil, notReadable()
				}
				return trimmed, nil
			}
		}
		from = at + len(delimiter)
	}
}

// isDelimiterLine tells whether what follows the boundary text ends the line, so
// that the boundary b1 is not found in b10.
func isDelimiterLine(after []byte) bool {
	line, _, _ := bytes.Cut(after, []byte("\n"))
	line = bytes.TrimPrefix(line, []byte("--"))
	return len(bytes.TrimSpace(line)) == 0
}

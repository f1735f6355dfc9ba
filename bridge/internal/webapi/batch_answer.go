package webapi

import (
	"bytes"
	"fmt"
	"mime"
	"strconv"
	"time"
)

// batchPart is the answer to one request of a batch. Its bytes share the answer's.
type batchPart struct {
	status int
	lines  partFields
	body   []byte
}

// answer is the part as if it had come alone.
func (p batchPart) answer(at time.Time) *answer {
	a := &answer{
		accepted: p.status >= 200 && p.status < 300,
		status:   p.status, lines: p.lines, body: p.body, sent: true, at: at,
	}
	if !a.accepted {
		a.header = partHeader(p.lines)
	}
	return a
}

// maxPartHeader bounds the header lines of one part, outer and inner ones each.
const maxPartHeader = 32 << 10

// parseBatchAnswer splits an answer into its parts, which answer the requests in
// their order. A part counts only when a boundary follows it; ended tells that the
// last boundary was there. An answer whose parts cannot be told to belong to the
// requests (more parts than requests, a change set, a part that is no HTTP answer)
// is a *malformed as a whole: no write shall be settled by another one's answer.
//
// Lines may end in CRLF or LF. A boundary is one only on a line of its own, and no
// JSON text holds a raw line break within a value.
func parseBatchAnswer(raw []byte, boundary string, n int) (parts []batchPart, ended bool, err error) {
	delimiter := []byte("--" + boundary)
	_, rest, ok, last := nextDelimiter(raw, delimiter)
	if !ok || last {
		return nil, last, nil
	}
	parts = make([]batchPart, 0, n)
	for {
		content, after, ok, last := nextDelimiter(rest, delimiter)
		if !ok {
			return parts, false, nil
		}
		if len(parts) == n {
			return nil, false, &malformed{fmt.Sprintf("the batch has more answers than its %d requests", n)}
		}
		part, err := parsePart(content)
		if err != nil {
			return nil, false, err
		}
		parts = append(parts, part)
		if last {
			return parts, true, nil
		}
		rest = after
	}
}

// nextDelimiter finds the next boundary line. content is what stands before it
// without the line break that belongs to it, rest what follows its line.
func nextDelimiter(raw, delimiter []byte) (content, rest []byte, ok, last bool) {
	for from := 0; ; {
		i := bytes.Index(raw[from:], delimiter)
		if i < 0 {
			return nil, nil, false, false
		}
		at := from + i
		from = at + len(delimiter)
		if at > 0 && raw[at-1] != '\n' {
			continue
		}
		line, after, complete := bytes.Cut(raw[from:], []byte("\n"))
		tail := bytes.TrimRight(line, " \t\r")
		last = string(tail) == "--"
		switch {
		case len(tail) != 0 && !last:
			continue // the beginning of a longer boundary
		case !complete && !last:
			return nil, nil, false, false // cut within the line
		}
		content = bytes.TrimSuffix(raw[:at], []byte("\n"))
		return bytes.TrimSuffix(content, []byte("\r")), after, true, last
	}
}

// parsePart reads one application/http part.
func parsePart(content []byte) (batchPart, error) {
	bad := func(what string) (batchPart, error) {
		return batchPart{}, &malformed{"a part of the batch " + what}
	}
	outer, inner, ok := cutHeader(content)
	if !ok {
		return bad("has no header")
	}
	if !isHTTP(outer) {
		return bad("is no HTTP answer")
	}
	line, inner, ok := bytes.Cut(inner, []byte("\n"))
	if !ok {
		return bad("ends in its status line")
	}
	status, ok := parseStatusLine(bytes.TrimRight(line, "\r"))
	if !ok {
		return bad("has no status line")
	}
	header, body, ok := cutHeader(inner)
	if !ok {
		return bad("ends in its header")
	}
	return batchPart{status: status, lines: header, body: bytes.TrimSpace(body)}, nil
}

// isHTTP tells whether the header of a part says that an HTTP message follows.
func isHTTP(outer []byte) bool {
	if bytes.HasPrefix(outer, plainPart) {
		return true
	}
	mediaType, _, err := mime.ParseMediaType(partHeader(outer).Get("Content-Type"))
	return err == nil && mediaType == "application/http"
}

// plainPart is how the header of a part begins as a rule.
var plainPart = []byte("Content-Type: application/http\r\n")

// cutHeader splits at the first blank line.
func cutHeader(b []byte) (header, body []byte, ok bool) {
	for at := 0; at < min(len(b), maxPartHeader); {
		end := bytes.IndexByte(b[at:], '\n')
		if end < 0 {
			break
		}
		if line := b[at : at+end]; len(line) == 0 || len(line) == 1 && line[0] == '\r' {
			return b[:at], b[at+end+1:], true
		}
		at += end + 1
	}
	// The last line break may belong to the boundary: then there is no body.
	if len(b) <= maxPartHeader && (bytes.HasSuffix(b, []byte("\n")) || len(b) == 0 || string(b) == "\r") {
		return b, nil, true
	}
	return nil, nil, false
}

// parseStatusLine reads "HTTP/1.1 204 No Content".
func parseStatusLine(line []byte) (int, bool) {
	rest, ok := bytes.CutPrefix(line, []byte("HTTP/1."))
	if !ok || len(rest) < 5 || rest[1] != ' ' {
		return 0, false
	}
	status, err := strconv.Atoi(string(rest[2:5]))
	if err != nil || status < 100 || status > 599 || len(rest) > 5 && rest[5] != ' ' {
		return 0, false
	}
	return status, true
}

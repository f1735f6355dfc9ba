package webapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"cebridge/schema/outcome"
)

// errBatchCut is the cause of a write whose part of the answer never came.
var errBatchCut = errors.New("the answer to the batch ends before the answer to this request")

// innerHeaders are the headers of a single request that stand inside the batch;
// all others stand outside, once.
var innerHeaders = [...]string{"If-Match", "If-None-Match", "Prefer"}

// send makes one $batch request and hands every write its answer. The writes that
// it returns have none: they were surely not run.
func (b *batcher) send(life context.Context, riders []*passenger, permit *permit) ([]*passenger, ending) {
	ctx, cancel := context.WithCancel(life)
	defer cancel()
	b.embark(riders, cancel)

	boundary := newBoundary(riders)
	body, err := b.client.batchBody(boundary, riders)
	if err != nil {
		// One address is not acceptable: the halves will tell which.
		return riders, refused
	}
	call, reply := b.client.batchCall(body, boundary, len(riders))
	err = b.client.exchange(ctx, call, permit)
	switch {
	case err == nil:
		return b.deliver(ctx, riders, call, reply, permit)
	case reply.failed == nil: // no answer to judge: no credentials, or everybody left
		for _, p := range riders {
			b.answer(p, arrival{err: retitled(err, p.call)})
		}
		return nil, broken
	}
	all := outcome.Of(err)
	how := endingOf(*reply.failed, all)
	if how == refused || how == unserved {
		return riders, how
	}
	for _, p := range riders {
		verdict := b.client.judge(p.call, *reply.failed, call.request)
		if verdict.Verdict == outcome.Reauthenticate {
			verdict.Verdict = all.Verdict // it was tried
		}
		verdict.Ambiguous = verdict.Ambiguous || reply.failed.status >= 500
		b.answer(p, arrival{verdict: verdict})
	}
	return nil, how
}

// embark binds the request's life to its callers.
func (b *batcher) embark(riders []*passenger, cancel context.CancelFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := &trip{cancel: cancel}
	for _, p := range riders {
		if !p.left {
			p.trip = t
			t.aboard++
		}
	}
	if t.aboard == 0 {
		cancel()
	}
}

// batchReply is what came back for a batch.
type batchReply struct {
	status  int
	header  fields
	parts   []batchPart
	ended   bool  // the last boundary was there
	cut     error // why the answer was not read to its end
	failed  *answer
	arrived time.Time
}

// batchCall is the request of a batch.
func (c *Client) batchCall(body []byte, boundary string, n int) (*call, *batchReply) {
	reply := &batchReply{}
	batch := &call{
		op: opBatch, operations: n, method: http.MethodPost, path: "$batch", name: "$batch of " + strconv.Itoa(n), body: body,
		header: map[string]string{
			"Content-Type": `multipart/mixed; boundary="` + boundary + `"`,
			"Prefer":       "odata.continue-on-error",
		},
		limit:  c.maxBody,
		reads:  func(h fields) bool { return boundaryOf(h) != "" },
		failed: func(a answer) { reply.failed = &a },
	}
	batch.accept = func(status int, header fields, body io.Reader) error {
		boundary := boundaryOf(header)
		if boundary == "" {
			return &malformed{"the answer to a batch is not a batch"}
		}
		var raw bytes.Buffer
		raw.Grow(n * perAnswer)
		_, err := raw.ReadFrom(body)
		if errors.Is(err, errTooLarge) {
			return err
		}
		parts, ended, bad := parseBatchAnswer(raw.Bytes(), boundary, n)
		if bad != nil {
			return bad
		}
		if len(parts) == 0 && err != nil {
			return err
		}
		*reply = batchReply{status: status, header: header, parts: parts, ended: ended, arrived: time.Now()}
		if err != nil {
			reply.cut = withoutURL(err)
		}
		return nil
	}
	return batch, reply
}

// deliver hands out the parts of an answer. It does so while the request still
// has its slot, so that a throttled part closes the gate before anything more is
// sent.
func (b *batcher) deliver(ctx context.Context, riders []*passenger, batch *call, reply *batchReply, permit *permit) ([]*passenger, ending) {
	counts := map[partKind]int{}
	for i, part := range reply.parts {
		call := riders[i].call
		counts[partKind{call.op, part.status}]++
		a := arrival{answer: part.answer(reply.arrived)}
		if !a.answer.accepted {
			if h := a.answer.header; h.Get("Retry-After") == "" {
				h.Set("Retry-After", reply.header.Get("Retry-After"))
			}
			a.verdict = b.client.judge(call, *a.answer, batch.request)
			if a.verdict.Verdict == outcome.RetryAfter {
				permit.sign = congested
				b.client.throttled(ctx, call, a.verdict)
			}
		}
		b.answer(riders[i], a)
	}
	for kind, n := range counts {
		b.client.measures.answered(kind.op, kind.status, n)
	}
	rest := riders[len(reply.parts):]
	switch {
	case len(rest) == 0:
		return nil, whole
	case reply.ended && reply.stopped():
		return rest, short
	}
	cut := reply.cut
	if cut == nil {
		cut = errBatchCut
	}
	for _, p := range rest {
		b.answer(p, arrival{answer: &answer{err: cut, sent: true, at: reply.arrived}})
	}
	return nil, broken
}

// stopped tells that the server ended the batch at a failure: its status is then
// the status of the whole answer.
func (r *batchReply) stopped() bool {
	n := len(r.parts)
	return n > 0 && r.status >= 300 && r.parts[n-1].status == r.status
}

type partKind struct {
	op     string
	status int
}

// retitled is a failure of the whole batch as a failure of one of its writes.
func retitled(err error, c *call) error {
	e := outcome.Of(err)
	if e == nil {
		return err
	}
	own := *e
	own.Op = c.title()
	return &own
}

// boundaryOf reads the boundary of a multipart answer, or returns "".
func boundaryOf(h fields) string {
	mediaType, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || mediaType != "multipart/mixed" || len(params["boundary"]) > 200 {
		return ""
	}
	return params["boundary"]
}

// newBoundary makes a boundary that stands in none of the bodies.
func newBoundary(riders []*passenger) string {
	for {
		var random [16]byte
		_, _ = rand.Read(random[:]) // never fails
		boundary := "batch_" + hex.EncodeToString(random[:])
		if !inBodies(riders, boundary) {
			return boundary
		}
	}
}

func inBodies(riders []*passenger, boundary string) bool {
	for _, p := range riders {
		if bytes.Contains(p.call.body, []byte(boundary)) {
			return true
		}
	}
	return false
}

// perPart is about what a part takes beside its address and its body; perAnswer what
// the answer to it takes that holds no record.
const (
	perPart   = 256
	perAnswer = 384
)

// batchBody writes the body of a batch: every line ends in CRLF, which servers
// insist on, and addresses begin at the root of the server, so that they hold
// behind a proxy too. Nobody else has its bytes: a transport may read a body even
// after the answer came.
func (c *Client) batchBody(boundary string, riders []*passenger) ([]byte, error) {
	size := 0
	for _, p := range riders {
		size += perPart + len(c.root.path) + len(p.call.path) + len(p.call.body)
	}
	w := make([]byte, 0, size)
	for _, p := range riders {
		w = append(w, "--"...)
		w = append(w, boundary...)
		w = append(w, "\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"...)
		w = append(w, p.call.method...)
		w = append(w, ' ')
		var err error
		if w, err = c.root.appendURI(w, p.call.path); err != nil {
			return nil, err
		}
		w = append(w, " HTTP/1.1\r\n"...)
		if p.call.body != nil {
			w = append(w, "Content-Type: application/json; type=entry\r\n"...)
		}
		for _, name := range innerHeaders {
			if value := p.call.header[name]; value != "" {
				w = append(w, name...)
				w = append(w, ": "...)
				w = append(w, value...)
				w = append(w, "\r\n"...)
			}
		}
		w = append(w, "\r\n"...)
		w = append(w, p.call.body...)
		w = append(w, "\r\n"...)
	}
	w = append(w, "--"...)
	w = append(w, boundary...)
	return append(w, "--\r\n"...), nil
}

// partHeader parses header lines. Names and values share one copy of them.
func partHeader(lines []byte) http.Header {
	n := bytes.Count(lines, []byte("\n")) + 1
	h, values := make(http.Header, n), make([]string, 0, n)
	for line := range strings.Lines(string(lines)) {
		name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		if !ok || name == "" {
			continue
		}
		name, value = headerName(name), strings.TrimSpace(value)
		if have := h[name]; have != nil {
			h[name] = append(have, value)
			continue
		}
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	return h
}

// headerName is textproto.CanonicalMIMEHeaderKey, which makes a new text of every name
// that it does not know.
func headerName(name string) string {
	switch name {
	case "OData-Version":
		return odataVersion
	case "OData-EntityId":
		return odataEntityID
	}
	return textproto.CanonicalMIMEHeaderKey(name)
}

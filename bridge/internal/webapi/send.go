package webapi

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"cebridge/schema/outcome"

	"github.com/google/uuid"
)

// Header values that every request shares. The names are in the form of
// http.CanonicalHeaderKey, and nobody writes into a value: whoever sets a header
// puts another slice in its place.
var (
	jsonBody   = []string{"application/json; charset=utf-8"}
	jsonAnswer = []string{"application/json"}
	userAgent  = []string{"cebridge"}
	odata4     = []string{"4.0"}
	noCache    = []string{"no-cache"}
)

// newRequest makes the HTTP request of a call, without credentials.
func (c *Client) newRequest(call *call) (*http.Request, error) {
	u, err := c.root.resolve(call.path)
	if err != nil {
		return nil, &outcome.Error{Op: call.title(), Verdict: rejectOrStop(call), Reason: outcome.KeyCharacters, Err: err}
	}
	req := &http.Request{
		Method: call.method, URL: u, Host: u.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header, 8), // more would take a table of 16
	}
	h := req.Header
	if call.body != nil {
		req.ContentLength = int64(len(call.body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(call.body)), nil }
		req.Body, _ = req.GetBody()
		h["Content-Type"] = jsonBody
	}
	h["Accept"], h["User-Agent"] = jsonAnswer, userAgent
	h["Odata-Version"], h["Odata-Maxversion"] = odata4, odata4
	h["X-Ms-Client-Request-Id"] = []string{requestID()}
	if !call.isWrite() {
		h["Cache-Control"] = noCache
	}
	for name, value := range call.header {
		req.Header.Set(name, value)
	}
	return req, nil
}

// requestID names a request in the server's logs. It needs to be one of its kind, not
// secret, so that it costs no system call.
func requestID() string {
	var id uuid.UUID
	binary.LittleEndian.PutUint64(id[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(id[8:], rand.Uint64())
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // version 4, variant of RFC 9562
	return id.String()
}

// underway tells how far a request came.
type underway struct {
	trace      httptrace.ClientTrace
	asked, got atomic.Bool // for a connection
}

// send sends the request and reads the answer within the client's deadline. It
// returns an answer, accepted or to be judged, or the context's error when the
// caller gave up.
func (c *Client) send(ctx context.Context, call *call, req *http.Request) (*answer, error) {
	deadline := c.deadlines.begin(ctx)
	defer c.deadlines.done(deadline)
	limited := deadline.ctx
	way := &underway{}
	way.trace.GetConn = func(string) { way.asked.Store(true) }
	way.trace.GotConn = func(httptrace.GotConnInfo) { way.got.Store(true) }
	traced := httptrace.WithClientTrace(limited, &way.trace)
	a := &answer{}
	fail := func(err error) (*answer, error) {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s: %w", call.title(), ctx.Err())
		}
		if errors.Is(context.Cause(limited), errTimeout) && limited.Err() != nil {
			err = errTimeout
		}
		a.err, a.at = withoutURL(err), time.Now()
		// Only a request that never got a connection surely did not arrive.
		a.sent = way.got.Load() || !way.asked.Load()
		return a, nil
	}
	resp, err := c.transport.RoundTrip(req.WithContext(traced))
	if err != nil {
		return fail(err)
	}
	defer resp.Body.Close()
	a.status, a.header = resp.StatusCode, resp.Header
	if resp.StatusCode >= 200 && resp.StatusCode < 300 || call.reads != nil && call.reads(resp.Header) {
		err := acceptable(resp)
		if err == nil {
			err = call.accept(resp.StatusCode, resp.Header, &boundedReader{r: resp.Body, left: call.limit})
		}
		if err != nil {
			return fail(err)
		}
		a.accepted = true
		return a, nil
	}
	// A failed answer whose body is cut is judged by what arrived of it.
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxErrorBytes))
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("%s: %w", call.title(), ctx.Err())
	}
	a.sent, a.at = true, time.Now()
	return a, nil
}

// acceptable refuses a good status whose body cannot be JSON.
func acceptable(resp *http.Response) error {
	if e := resp.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return &malformed{fmt.Sprintf("the answer has the content encoding %q, which was not asked for", shorten(e))}
	}
	if strings.Contains(strings.ToLower(resp.Header.Get("Content-Type")), "html") {
		return &malformed{"the answer is an HTML page (a login page or a proxy?)"}
	}
	return nil
}

// withoutURL drops the address that the HTTP client puts before its errors: it
// may hold a delta token, and call.title names the request already.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// boundedReader fails with errTooLarge once more than left bytes were read.
type boundedReader struct {
	r    io.Reader
	left int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errTooLarge
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return n, errTooLarge
	}
	return n, err
}

// readAll reads a whole small answer.
func readAll(r io.Reader) ([]byte, error) {
	var b bytes.Buffer
	if _, err := b.ReadFrom(r); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

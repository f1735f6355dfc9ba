package http1

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	// answerGrace is how long an answer is looked for after the request could not be
	// written: a server that refuses a body answers before it closes.
	answerGrace = 500 * time.Millisecond
	// senderGrace is how long the rest of the request may take after the end of the
	// answer, before the connection is given up; net/http waits as long.
	senderGrace = 50 * time.Millisecond
	// maxInformational bounds the 1xx answers before the one that counts.
	maxInformational = 16
	// inlineBody is the size of a body up to which the caller writes the request.
	inlineBody = 16 << 10
)

var acceptGzip = []string{"gzip"}

// errNoAnswer wraps the error of a connection that broke before the first byte.
var errNoAnswer = errors.New("the connection ended before an answer came")

func always() bool { return true }

// run makes the exchange. After an error the connection is gone; else it is given back
// or closed when the answer's body is done.
func (x *exchange) run(ctx context.Context, body io.ReadCloser) (*http.Response, error) {
	c, req := x.conn, x.req
	gzip := req.Method != http.MethodHead && req.Header.Get("Accept-Encoding") == "" && req.Header.Get("Range") == ""
	c.begin(req, body, gzip)
	stop := always
	var werr error
	if inline(req) {
		if ctx.Done() != nil {
			stop = context.AfterFunc(ctx, c.onEnd)
		}
		werr = c.send(memory{c.write})
	} else {
		x.sender = newSender(c)
		stop = context.AfterFunc(ctx, x.sender.cut)
	}
	resp, err := x.answer(werr)
	if err != nil {
		x.fail(stop)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	resp.TLS = c.tls
	e := ending{conn: c, sender: x.sender, stop: stop, reusable: !resp.Close && !req.Close && werr == nil}
	if resp.Body == http.NoBody {
		e.end(true)
		return resp, nil
	}
	b := &answerBody{ending: e, ctx: ctx, src: resp.Body}
	resp.Body = b
	if gzip && strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") {
		resp.Body = &gunzip{body: b}
		resp.Header.Del("Content-Encoding")
		resp.Header.Del("Content-Length")
		resp.ContentLength = -1
		resp.Uncompressed = true
	}
	return resp, nil
}

// inline tells whether the caller may write the request before it reads: what can be had
// again is in memory, and what is small fits what the systems buffer between the two.
func inline(req *http.Request) bool {
	if req.Body == nil || req.Body == http.NoBody {
		return true
	}
	return req.ContentLength > 0 && req.ContentLength <= inlineBody && req.GetBody != nil
}

// fail ends an exchange without an answer.
func (x *exchange) fail(stop func() bool) {
	stop()
	c := x.conn
	if x.sender != nil {
		x.sender.cut()
		if x.req.GetBody != nil {
			<-x.sender.ended // for the caller may use the bytes of the body again
		}
		select {
		case <-x.sender.ended:
			x.unwritten = c.written == 0
		default:
		}
	} else {
		x.unwritten = c.written == 0
	}
	c.pool.drop(c)
}

// answer reads the answer's header. werr is how the caller's writing failed.
func (x *exchange) answer(werr error) (*http.Response, error) {
	c := x.conn
	if werr != nil {
		x.unanswered = true
		if x.refused = c.writeErr == nil; x.refused {
			return nil, werr
		}
		if c.written == 0 {
			return nil, fmt.Errorf("writing the request: %w", werr)
		}
		_ = c.raw.SetReadDeadline(time.Now().Add(answerGrace))
	}
	if _, err := c.read.Peek(1); err != nil {
		x.unanswered = true
		if x.sender != nil {
			if failed, own := x.sender.failed(); failed != nil {
				if x.refused = own; own {
					return nil, failed
				}
				return nil, fmt.Errorf("writing the request: %w", failed)
			}
		}
		if werr != nil {
			return nil, fmt.Errorf("writing the request: %w", werr)
		}
		return nil, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	x.unanswered = false
	for range maxInformational {
		resp, err := http.ReadResponse(c.read, x.req)
		if err != nil {
			if errors.Is(c.readErr, errHeaderSize) {
				return nil, c.headerError()
			}
			return nil, fmt.Errorf("reading the header of the answer: %w", err)
		}
		switch {
		case resp.StatusCode == http.StatusSwitchingProtocols:
			return nil, errors.New("the server switches to another protocol (101), which nobody asked for")
		case resp.StatusCode >= 100 && resp.StatusCode < 200:
			continue
		}
		if x.sender != nil {
			x.sender.answered()
		}
		if werr != nil {
			_ = c.raw.SetReadDeadline(time.Time{})
		}
		if resp.Body != http.NoBody {
			c.bodyBegins(resp.ContentLength)
		}
		return resp, nil
	}
	return nil, fmt.Errorf("more than %d informational answers (1xx)", maxInformational)
}

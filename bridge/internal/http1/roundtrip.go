package http1

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"time"
)

// maxTries bounds how often a request is sent because a kept connection broke.
const maxTries = 3

// RoundTrip implements http.RoundTripper.
func (p *Pool) RoundTrip(req *http.Request) (*http.Response, error) {
	body := req.Body
	if err := checkRequest(req); err != nil {
		closeBody(body)
		return nil, fmt.Errorf("http: %w", err)
	}
	ctx := req.Context()
	trace := httptrace.ContextClientTrace(ctx)
	for try := 1; ; try++ {
		c, err := p.find(ctx, trace, req)
		if err != nil {
			closeBody(body)
			return nil, err
		}
		x := exchange{conn: c, req: req}
		resp, err := x.run(ctx, body)
		if err == nil {
			return resp, nil
		}
		if try == maxTries || ctx.Err() != nil || !x.mayRepeat() {
			return nil, err
		}
		if body != nil && body != http.NoBody {
			var again error
			if body, again = req.GetBody(); again != nil {
				return nil, errors.Join(err, fmt.Errorf("the request's body from its beginning: %w", again))
			}
		}
	}
}

// find gets a connection, and tells the caller's trace.
func (p *Pool) find(ctx context.Context, trace *httptrace.ClientTrace, req *http.Request) (*conn, error) {
	if trace != nil && trace.GetConn != nil {
		trace.GetConn(req.URL.Host)
	}
	c, err := p.get(ctx, req.URL)
	if err != nil {
		return nil, err
	}
	if trace != nil && trace.GotConn != nil {
		info := httptrace.GotConnInfo{Conn: c.net, Reused: c.reused, WasIdle: !c.idleSince.IsZero()}
		if info.WasIdle {
			info.IdleTime = time.Since(c.idleSince)
		}
		trace.GotConn(info)
	}
	return c, nil
}

func closeBody(body io.Closer) {
	if body != nil {
		_ = body.Close()
	}
}

// exchange is one request on one connection.
type exchange struct {
	conn *conn
	req  *http.Request
	// sender writes the request beside the caller; nil: the caller did it.
	sender *sender
	// unanswered: it failed before any byte of an answer came.
	unanswered bool
	// unwritten: nothing of the request was written.
	unwritten bool
	// refused: the failure is that of the request's own body.
	refused bool
}

// mayRepeat tells whether the failed request may be sent again: it met a connection that
// had been idle, whose server closed it meanwhile.
func (x *exchange) mayRepeat() bool {
	if !x.conn.reused || x.refused {
		return false
	}
	repeatable := x.req.Body == nil || x.req.Body == http.NoBody || x.req.GetBody != nil
	if !repeatable {
		return false
	}
	if x.unwritten {
		return true
	}
	switch x.req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions:
		return x.unanswered
	}
	return false
}

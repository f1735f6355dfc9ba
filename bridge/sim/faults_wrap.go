package sim

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxFaultBody bounds a request body that a fault must keep.
const maxFaultBody = 64 << 20

// wrap puts the faults in front of the API handler. They work on the answer as a
// whole, below the batch: the requests inside a batch meet none of their own.
// A nil Faults changes nothing.
func (f *Faults) wrap(s *Server, api http.Handler) http.Handler {
	if f == nil {
		return api
	}
	entitySet := func(table string) string {
		for _, t := range s.catalog() {
			if t.LogicalName == table {
				return t.EntitySet
			}
		}
		return table
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, rule := range f.pick(r, entitySet) {
			if isTableFault(rule.Kind) {
				if err := f.act(s, rule); err != nil {
					s.opts.Logger.Error("fault not made", "error", err)
				}
				continue
			}
			s.noteFault(rule.Kind, r)
			if rule.Kind == FaultExpiredDump {
				r = r.WithContext(withDump(r.Context()))
				continue
			}
			if rule.Kind == FaultLatency {
				if r = keepBody(r); !wait(r.Context(), rule.Delay) {
					panic(http.ErrAbortHandler)
				}
				continue
			}
			f.apply(rule, s, w, r, api)
			return
		}
		api.ServeHTTP(w, r)
	})
}

// apply does one fault. It aborts the connection by the panic that net/http
// reserves for it, which works for HTTP/1.1 and HTTP/2 alike.
func (f *Faults) apply(rule *activeRule, s *Server, w http.ResponseWriter, r *http.Request, api http.Handler) {
	switch rule.Kind {
	case FaultCutBeforeCommit:
		drain(r)
		panic(http.ErrAbortHandler)
	case FaultHang:
		drain(r)
		hang(r.Context(), rule.Delay)
		panic(http.ErrAbortHandler)
	case FaultLateApply:
		f.applyLate(rule.Delay, r, api)
		panic(http.ErrAbortHandler)
	}
	if rule.replaces() {
		drain(r)
		rule.answer(s, w, r)
		return
	}
	// What runs here is applied even if the caller leaves meanwhile.
	a := &answerBuffer{}
	api.ServeHTTP(a, r.WithContext(context.WithoutCancel(r.Context())))
	body := a.body.Bytes()
	cut := rule.Bytes
	if cut == 0 || cut > len(body) {
		cut = len(body) / 2
	}
	switch rule.Kind {
	case FaultCutAfterCommit:
		panic(http.ErrAbortHandler)
	case FaultCutBody:
		if len(body) == 0 {
			f.unfire(rule)
			break
		}
		sendHeader(w, a, len(body))
		_, _ = w.Write(body[:cut])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case FaultTruncatedJSON, FaultEmptyBody:
		if len(body) == 0 {
			f.unfire(rule)
			break
		}
		if rule.Kind == FaultEmptyBody {
			cut = 0
		}
		body = body[:cut]
	case FaultForeignLink, FaultMissingLink:
		spoiled, found := spoilLinks(body, rule.Rule)
		if !found {
			f.unfire(rule)
			break
		}
		body = spoiled
	case FaultSlowBody:
		sendHeader(w, a, len(body))
		drip(r.Context(), w, body, rule.Rule)
		return
	}
	sendHeader(w, a, len(body))
	_, _ = w.Write(body)
}

// applyLate runs the request after the caller has been cut off.
func (f *Faults) applyLate(delay time.Duration, r *http.Request, api http.Handler) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxFaultBody+1))
	if err != nil || len(body) > maxFaultBody {
		return // it never arrived whole, so no server could apply it
	}
	late := r.Clone(context.WithoutCancel(r.Context()))
	late.Body = io.NopCloser(bytes.NewReader(body))
	f.lateBy(1)
	go func() {
		defer f.lateBy(-1)
		if delay > 0 {
			<-time.After(delay)
		}
		api.ServeHTTP(&answerBuffer{}, late)
	}()
}

// sendHeader sends status and headers of a kept answer for a body of n bytes.
func sendHeader(w http.ResponseWriter, a *answerBuffer, n int) {
	h := w.Header()
	for name, values := range a.Header() {
		h[name] = values
	}
	status := a.code()
	if status == http.StatusNoContent {
		h.Del("Content-Length")
	} else {
		h.Set("Content-Length", strconv.Itoa(n))
	}
	w.WriteHeader(status)
}

// drip sends the body in small pieces until it ends or the caller leaves.
func drip(ctx context.Context, w http.ResponseWriter, body []byte, rule Rule) {
	step, delay := max(rule.Bytes, 1), rule.Delay
	if delay == 0 {
		delay = 100 * time.Millisecond
	}
	flusher := http.NewResponseController(w)
	for len(body) > 0 {
		if !wait(ctx, delay) {
			panic(http.ErrAbortHandler)
		}
		n := min(step, len(body))
		if _, err := w.Write(body[:n]); err != nil {
			panic(http.ErrAbortHandler)
		}
		_ = flusher.Flush()
		body = body[n:]
	}
}

// drain reads the request body, without which net/http neither notices a caller
// who leaves nor closes the connection in order.
func drain(r *http.Request) {
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, maxFaultBody))
}

// keepBody is drain for a request that the API is still to answer.
func keepBody(r *http.Request) *http.Request {
	data, err := io.ReadAll(io.LimitReader(r.Body, maxFaultBody))
	if err != nil {
		panic(http.ErrAbortHandler) // it never arrived whole
	}
	kept := r.WithContext(r.Context())
	kept.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(data), r.Body), r.Body}
	return kept
}

// wait tells whether the delay passed before the context ended.
func wait(ctx context.Context, delay time.Duration) bool {
	t := time.NewTimer(delay)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// hang returns after the delay, or when the caller has left; 0 means only then.
func hang(ctx context.Context, delay time.Duration) {
	if delay > 0 {
		wait(ctx, delay)
		return
	}
	<-ctx.Done()
}

// decodedTarget is path and query of a URL without percent-encoding.
func decodedTarget(u *url.URL) string {
	query, err := url.QueryUnescape(u.RawQuery)
	if err != nil {
		query = u.RawQuery
	}
	if query == "" {
		return u.Path
	}
	return u.Path + "?" + query
}

// addresses tells whether a path goes to the entity set or a record of it.
func addresses(path, entitySet string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == entitySet || strings.HasPrefix(segment, entitySet+"(") {
			return true
		}
	}
	return false
}

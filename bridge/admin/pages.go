package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"cebridge/schema"
)

// statusAge is for how long one Status serves all who ask.
const statusAge = time.Second

// pages answers requests that the guard let through.
type pages struct {
	opt     Options
	started atomic.Bool
	// turn holds the cached status; who has it may renew it.
	turn chan cached
}

type cached struct {
	at   time.Time
	body []byte
}

func newPages(o Options) *pages {
	p := &pages{opt: o, turn: make(chan cached, 1)}
	p.turn <- cached{}
	return p
}

// ServeHTTP compares whole paths. A ServeMux would redirect paths that need
// cleaning, and such a path is nobody's honest request here.
func (p *pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.RawPath != "" {
		notFound(w)
		return
	}
	switch path := r.URL.Path; path {
	case "/":
		write(w, "text/html; charset=utf-8", []byte(index))
	case "/livez":
		write(w, "text/plain; charset=utf-8", []byte("ok\n"))
	case "/readyz":
		p.answer(w, p.ready())
	case "/startupz":
		if p.started.Load() {
			p.answer(w, nil)
			return
		}
		p.answer(w, p.ready())
	case "/status.json":
		p.status(w, r)
	case "/metrics":
		if p.opt.Metrics == nil {
			notFound(w)
			return
		}
		p.opt.Metrics.ServeHTTP(w, r)
	default:
		p.schema(w, path)
	}
}

// ready asks the source, and remembers that it was ready once.
func (p *pages) ready() error {
	err := p.opt.Source.Ready()
	if err == nil {
		p.started.Store(true)
	}
	return err
}

func (p *pages) answer(w http.ResponseWriter, err error) {
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	write(w, "text/plain; charset=utf-8", []byte("ok\n"))
}

func (p *pages) status(w http.ResponseWriter, r *http.Request) {
	body, err := p.statusJSON(r.Context())
	if err != nil {
		p.opt.Logger.Error("status page failed", "error", err)
		refuse(w, http.StatusInternalServerError, "the status cannot be shown; the log says why")
		return
	}
	write(w, "application/json", body)
}

// statusJSON returns a status not older than statusAge. Those who come while one
// is being made wait for it.
func (p *pages) statusJSON(ctx context.Context) ([]byte, error) {
	var c cached
	select {
	case c = <-p.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	// Deferred, so that a panic in the source does not keep the turn for ever.
	defer func() { p.turn <- c }()
	if c.body != nil && time.Since(c.at) < statusAge {
		return c.body, nil
	}
	s := p.opt.Source.Status()
	if s.Tables == nil {
		s.Tables = []TableStatus{}
	}
	if s.Routes == nil {
		s.Routes = []RouteStatus{}
	}
	body, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, err
	}
	c = cached{at: time.Now(), body: append(body, '\n')}
	return c.body, nil
}

func (p *pages) schema(w http.ResponseWriter, path string) {
	rest, ok := strings.CutPrefix(path, "/schemas/")
	rest, isJSON := strings.CutSuffix(rest, ".json")
	table, version, two := strings.Cut(rest, "/")
	if !ok || !isJSON || !two || !schema.ValidToken(table) || !schema.ValidToken(version) || p.opt.Schemas == nil {
		notFound(w)
		return
	}
	body, ok := p.opt.Schemas(table, version)
	if !ok {
		notFound(w)
		return
	}
	write(w, "application/schema+json", body)
}

func notFound(w http.ResponseWriter) { refuse(w, http.StatusNotFound, "not found") }

func write(w http.ResponseWriter, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	_, _ = w.Write(body) // the client may be gone
}

// index has no style and no script: the content security policy forbids both.
const index = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>cebridge</title></head>
<body>
<h1>cebridge</h1>
<ul>
<li><a href="/status.json">status.json</a>: state, checkpoint and lag of every table, every route</li>
<li><a href="/metrics">metrics</a>: for Prometheus</li>
<li><a href="/livez">livez</a>, <a href="/readyz">readyz</a>, <a href="/startupz">startupz</a>: probes</li>
<li>/schemas/{table}/{version}.json: JSON Schema of a table's events</li>
</ul>
</body>
</html>
`

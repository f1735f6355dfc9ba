package outbound

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"cebridge/schema/telemetry"
)

// bulkPages is how many pages of a round of changes are read ahead of others' loads.
const bulkPages = 10

// fetching is one page on its way. The poll span covers it from the request to
// the commit, so it travels in ctx.
type fetching struct {
	ctx    context.Context
	cancel context.CancelFunc
	span   trace.Span
	// held and began are of the moment the request started.
	held  uint64
	began time.Time
	done  chan struct{}
	page  *Page
	err   error
}

// fetch reads a page that nobody can do anything without. It stays in the worker's
// goroutine: most polls of most tables find nothing, and a goroutine of its own would
// grow its stack anew each time.
func (w *Worker) fetch(ctx context.Context, s *session, link string) *fetching {
	f := w.fetching(ctx, s)
	w.read(f, w.query(s), link)
	return f
}

// fetchAhead starts to read a page while the one before is being settled.
func (w *Worker) fetchAhead(ctx context.Context, s *session, link string) *fetching {
	f, query := w.fetching(ctx, s), w.query(s)
	go w.read(f, query, link)
	return f
}

func (w *Worker) fetching(ctx context.Context, s *session) *fetching {
	f := &fetching{held: s.held, began: time.Now(), done: make(chan struct{})}
	f.ctx, f.cancel = context.WithCancel(ctx)
	f.ctx, f.span = w.tracer.Start(f.ctx, telemetry.SpanPoll, w.spanTable)
	return f
}

// query is what to read of the table at the session's position.
func (w *Worker) query(s *session) Query {
	q := w.cfg.Query
	q.Bulk = s.at.Phase != PhaseFollowing || s.at.Page > bulkPages
	return q
}

// read reads the page.
func (w *Worker) read(f *fetching, query Query, link string) {
	defer close(f.done)
	ctx, span := w.tracer.Start(f.ctx, telemetry.SpanFetch, w.spanTable)
	defer span.End()
	f.page, f.err = w.source.Page(ctx, query, link)
	if f.err != nil {
		f.err = fmt.Errorf("read a page of table %s: %w", w.table, f.err)
	} else if f.err = checkPage(f.page); f.err == nil {
		span.SetAttributes(attribute.Int(telemetry.AttrRows, len(f.page.Rows)))
		f.err = w.shape(f.page)
	}
	fault(span, f.err)
}

// shape makes a page's rows what is published of them. A filter that fails halts the
// table: to publish or to leave out the record would both be a guess.
func (w *Worker) shape(p *Page) error {
	err := w.shaper.Shape(p.Rows)
	if errors.Is(err, errFilter) {
		return halt(failFilter, "table %s: %w; mend the filter or the record (an empty column is null: write record.?column.orValue(...)), "+
			"then resume the table", w.table, err)
	}
	return err
}

// wait returns the page.
func (f *fetching) wait() (*Page, error) {
	<-f.done
	return f.page, f.err
}

// end closes the page's span and releases its context.
func (f *fetching) end(err error) {
	fault(f.span, err)
	f.span.End()
	f.cancel()
}

// abandon gives the page up, if there is one, and waits until nothing runs.
func (f *fetching) abandon() {
	if f == nil {
		return
	}
	f.cancel()
	<-f.done
	f.span.End()
}

// fault marks a span as failed. The text of the error stays out of it: traces
// must not show keys.
func fault(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, judge(err).reason)
	}
}

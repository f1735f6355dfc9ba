package bridge

import (
	"context"
	"fmt"
	"math"
	"time"

	"cebridge/outbound"
	"cebridge/schema/event"
)

// storedOverhead is what a stream adds to a message on the disk, roughly: its record
// header, index entry and subject.
const storedOverhead = 150

// EstimateOptions say what to estimate.
type EstimateOptions struct {
	// Tables are logical names; none means every configured table.
	Tables []string
	// Rows is the number of records of each table, when it is known; 0 counts them,
	// with one request for each page of ids.
	Rows     int64
	Progress func(Progress)
}

// Estimate is what following a table will cost. The JSON names are a contract.
type Estimate struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
	// Sampled are the records of the sample page, and Kept those of them that the table's
	// filter lets through. Events is what that makes of Rows; without a filter it is Rows.
	Sampled int64 `json:"sampled"`
	Kept    int64 `json:"kept"`
	Events  int64 `json:"events"`
	// LoadRequests are the pages of the initial load, PageSeconds the time that a
	// sample page took, LoadSeconds that of all pages one after another.
	LoadRequests int64   `json:"load_requests"`
	PageSeconds  float64 `json:"page_seconds"`
	LoadSeconds  float64 `json:"load_seconds"`
	// EventBytes is the mean size of the events of the sample page, filtered and with
	// protected columns as they are published; 0 if there are none. StreamBytes is what
	// Events of them take on the disk of one replica.
	EventBytes  int64 `json:"event_bytes"`
	StreamBytes int64 `json:"stream_bytes"`
	// RequestsPerDay are the polls of a table in which nothing changes.
	RequestsPerDay int64 `json:"requests_per_day"`
}

// Estimate tells what the initial load and the following of tables will cost. It
// reads one page of each table, and its ids to count them; it writes nothing. A filter
// that cannot be computed for a record of that page is an error, as it would halt the table.
func (o *Operator) Estimate(ctx context.Context, opt EstimateOptions) ([]Estimate, error) {
	tables, err := o.tables(opt.Tables)
	if err != nil {
		return nil, fmt.Errorf("estimate: %w", err)
	}
	if err := o.crm(ctx); err != nil {
		return nil, err
	}
	cat, orgID, err := o.describe(ctx, tables)
	if err != nil {
		return nil, err
	}
	var list []Estimate
	for _, t := range tables {
		cfg, _, err := o.b.tableConfig(t, cat, orgID)
		if err != nil {
			return nil, err
		}
		e, err := o.estimate(ctx, t, cfg, opt)
		if err != nil {
			return nil, fmt.Errorf("estimate table %s: %w", t.Table, err)
		}
		list = append(list, *e)
	}
	return list, nil
}

func (o *Operator) estimate(ctx context.Context, t TableConfig, cfg outbound.TableConfig, opt EstimateOptions) (*Estimate, error) {
	began := time.Now()
	sample, err := o.page(ctx, cfg.Query, "")
	if err != nil {
		return nil, err
	}
	e := &Estimate{Table: t.Table, Rows: opt.Rows, PageSeconds: time.Since(began).Seconds(), RequestsPerDay: int64(24 * time.Hour / max(t.Poll, t.PollMax))}
	kept, err := published(cfg, sample.Rows)
	if err != nil {
		return nil, err
	}
	e.Sampled, e.Kept = int64(len(sample.Rows)), int64(len(kept))
	if e.EventBytes, err = meanEvent(cfg.Settings, kept); err != nil {
		return nil, err
	}
	if e.Rows == 0 {
		if e.Rows, err = o.countRows(ctx, cfg.Query, opt.Progress); err != nil {
			return nil, err
		}
	}
	size := int64(t.PageSize)
	if sample.Next != "" && len(sample.Rows) > 0 {
		size = int64(len(sample.Rows)) // the server's own page may be smaller
	}
	e.LoadRequests = max((e.Rows+size-1)/size, 1)
	e.LoadSeconds = float64(e.LoadRequests) * e.PageSeconds
	e.Events = e.Rows
	if e.Kept < e.Sampled {
		e.Events = int64(math.Round(float64(e.Rows) * float64(e.Kept) / float64(e.Sampled)))
	}
	e.StreamBytes = e.Events * (e.EventBytes + storedOverhead)
	return e, nil
}

// published are the rows as they would be published, without those that the filter
// leaves out.
func published(cfg outbound.TableConfig, rows []outbound.Row) ([]outbound.Row, error) {
	if err := outbound.NewShaper(cfg.Query.Table, &cfg.Payload).Shape(rows); err != nil {
		return nil, err
	}
	kept := rows[:0]
	for _, r := range rows {
		if !r.Out {
			kept = append(kept, r)
		}
	}
	return kept, nil
}

// countRows reads nothing but ids.
func (o *Operator) countRows(ctx context.Context, q outbound.Query, progress func(Progress)) (rows int64, err error) {
	ids := outbound.Query{Table: q.Table}
	for link := ""; ; {
		p, err := o.page(ctx, ids, link)
		if err != nil {
			return 0, err
		}
		rows += int64(len(p.Rows))
		if progress != nil {
			progress(Progress{What: "count " + q.Table.LogicalName, Done: rows})
		}
		if link = p.Next; link == "" {
			return rows, nil
		}
	}
}

func (o *Operator) page(ctx context.Context, q outbound.Query, link string) (page *outbound.Page, err error) {
	err = o.b.await(ctx, "a page of table "+q.Table.LogicalName, func(ctx context.Context) (err error) {
		page, err = o.b.client.Untracked(ctx, q, link)
		return err
	})
	return page, err
}

// meanEvent is the mean size of the rows as events, headers included.
func meanEvent(s event.Settings, rows []outbound.Row) (int64, error) {
	encoder, err := event.NewEncoder(s)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	total, now := 0, time.Now()
	for i := range rows {
		r := &rows[i]
		header, data, err := encoder.Encode(&event.Record{
			RecordID: r.ID, Version: r.Version, Epoch: 1, Change: event.Loaded, ReadBy: event.ByLoad,
			Recorded: now, Modified: r.Modified, Row: r.JSON, Hash: r.Hash,
		})
		if err != nil {
			return 0, err
		}
		total += len(data)
		for name, values := range header {
			for _, v := range values {
				total += len(name) + len(v) + len(": \r\n")
			}
		}
	}
	return int64(total / len(rows)), nil
}

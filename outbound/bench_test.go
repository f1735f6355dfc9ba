package outbound

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"cebridge/schema/event"
)

// sink takes every batch at once and holds nothing.
type sink struct {
	seq  uint64
	last func(subject string) (Stored, bool)
}

func (s *sink) Checkpoint(context.Context, string) ([]byte, uint64, error) { return nil, 0, nil }

func (s *sink) Last(_ context.Context, _ string, _ uint64, subjects []string, fn func(Stored) error) error {
	for _, subject := range subjects {
		if m, ok := s.last(subject); ok {
			if err := fn(m); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *sink) Commit(_ context.Context, b Batch) (uint64, error) {
	s.seq += uint64(len(b.Messages)) + 1
	return s.seq, nil
}

func benchPage(n int) *Page {
	p := &Page{Next: "next"}
	for i := range n {
		p.Rows = append(p.Rows, Row{ID: recordID(i), Version: int64(1000 + i), Modified: "2025-01-05T10:20:30Z",
			JSON: []byte(fmt.Sprintf(`{"accountid":%q,"versionnumber":%d,"accountnumber":"A-%d","name":"%s"}`,
				recordID(i), 1000+i, i, strings.Repeat("n", 280))), Hash: uint64(i)})
	}
	return p
}

// BenchmarkLoadPage is fold, plan, encode and hand-over of a page of 5,000 rows of
// 400 bytes in a fresh load: all the work of the engine but I/O.
func BenchmarkLoadPage(b *testing.B) {
	page := benchPage(5000)
	w := newTestWorker(b, testConfig(), newCRM(1), &sink{}, Deps{})
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		w.everHeld = false
		s, err := w.open(ctx)
		if err != nil {
			b.Fatal(err)
		}
		settleBench(b, w, s, page)
	}
	b.ReportMetric(float64(5000*b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkDeltaPage is the same for a delta page in which every row is an update:
// each is compared with its last event and its changed columns are found.
func BenchmarkDeltaPage(b *testing.B) {
	page := benchPage(5000)
	stored := map[string]Stored{}
	encoder, err := event.NewEncoder(testSettings())
	if err != nil {
		b.Fatal(err)
	}
	for i := range page.Rows {
		r := &page.Rows[i]
		header, data, err := encoder.Encode(&event.Record{RecordID: r.ID, Version: 1, Epoch: 1, Change: event.Loaded,
			ReadBy: event.ByLoad, Recorded: sampleCheckpoint().Written, Row: []byte(strings.Replace(string(r.JSON), "A-", "B-", 1))})
		if err != nil {
			b.Fatal(err)
		}
		subject := testNames().Record("account", r.ID)
		stored[subject] = Stored{Subject: subject, Sequence: 1, Header: header, Data: data}
	}
	log := &sink{last: func(s string) (Stored, bool) { m, ok := stored[s]; return m, ok }}
	w := newTestWorker(b, testConfig(), newCRM(1), log, Deps{})
	b.ReportAllocs()
	for b.Loop() {
		c := sampleCheckpoint()
		c.Epoch, c.Start = 1, StartLoad
		s := &session{held: 100, stored: c, at: c}
		settleBench(b, w, s, page)
	}
	b.ReportMetric(float64(5000*b.N)/b.Elapsed().Seconds(), "rows/s")
}

func settleBench(b *testing.B, w *Worker, s *session, page *Page) {
	ctx := context.Background()
	s.begin(sampleCheckpoint().Written)
	page = &Page{Rows: slices.Clone(page.Rows), Next: page.Next} // the worker takes the rows apart
	if err := w.settle(ctx, s, &fetching{held: s.held, began: sampleCheckpoint().Written}, page); err != nil {
		b.Fatal(err)
	}
	if err := w.drain(ctx, s); err != nil {
		b.Fatal(err)
	}
}

func (*sink) Scan(context.Context, string, string, uint64, func(Stored) error) error { return nil }

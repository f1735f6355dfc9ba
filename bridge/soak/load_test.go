//go:build unix

package soak

import (
	"context"
	"flag"
	"slices"
	"testing"
	"time"

	"cebridge/bridge/sim"
)

// manyRows is how many records the test of a large load has. It takes about 9 GB for a
// million at its end: simulator, write log, recording and their check are in memory.
var manyRows = flag.Int("soak.rows", 200_000, "records of the load that is killed at every boundary; -short takes a tenth")

// The load of many records is killed at one boundary after the other, on its way from the
// first page to the last. Each life goes on from the page of the checkpoint, and none reads
// a page that was stored.
func TestALoadOfManyRecordsGoesOnWhereItWasKilled(t *testing.T) {
	const size = 900 // a page is one batch
	rows := *manyRows
	if testing.Short() {
		rows /= 10
	}
	list := []boundary{beforeFetch, ackUnread, midCommit, afterFetch, commitArrivesLate, beforeCommit, afterCommit, beforeFetch}
	pages := (rows + size - 1) / size
	if pages < 2*len(list) {
		t.Fatalf("%d rows are too few", rows)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute+time.Duration(rows)*time.Millisecond)
	defer cancel()
	r := newBoundaryRig(ctx, t, rows, size)
	stored, from := 0, "" // pages on the stream, and the page where the next life begins
	asked := map[string]bool{}
	life := func(i int, list []string, settled int) {
		if from != "" && list[0] != from {
			t.Errorf("life %d began with page %s, the checkpoint names %s", i, list[0], from)
		}
		// The first one may have been asked for before, and not stored; so may the one that
		// was fetched ahead.
		for n, page := range list[:min(settled, len(list))] {
			if asked[page] {
				t.Fatalf("life %d asked for page %d again, which was stored: %s", i, stored+n+1, page)
			}
			asked[page] = true
		}
	}
	began := time.Now()
	for i, b := range list {
		at := pages * (i + 1) / (len(list) + 1)
		settled := at - 1
		if b.stores() {
			settled = at
		}
		if err := r.die(ctx, b, at-stored, settled*size); err != nil {
			t.Fatalf("killed %s page %d: %v", b, at, err)
		}
		cp, err := r.checkpoint(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if cp.Page != int64(settled) || cp.Rows != int64(settled*size) {
			t.Fatalf("killed %s page %d: the checkpoint stands behind page %d and row %d, want %d", b, at, cp.Page, cp.Rows, settled)
		}
		life(i, r.requested(), settled-stored)
		stored, from = settled, cp.link
		t.Logf("killed %s page %d of %d: %d rows are stored after %.0f s", b, at, pages, settled*size, time.Since(began).Seconds())
	}
	r.sim.ResetRequests()
	last, err := r.live(ctx)
	if err != nil {
		t.Fatal(err)
	}
	life(len(list), last[:slices.IndexFunc(last, isDelta)], pages-stored)
	if n := r.sim.Requests().Of("GET", sim.RequestLoad); n != pages-stored {
		t.Errorf("the last life read %d pages, want %d", n, pages-stored)
	}
	if len(asked) != pages {
		t.Errorf("%d pages were asked for and stored, there are %d", len(asked), pages)
	}
	whole(ctx, t, r, rows)
	t.Logf("%d rows in %d lives and %.0f s", rows, len(list)+1, time.Since(began).Seconds())
}

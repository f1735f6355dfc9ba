//go:build unix

package soak

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"cebridge/outbound"
)

const (
	killRows = 400
	killSize = 50 // rows a page
	killPage = 5  // of eight
	killGone = 10 // records that are deleted before a delta or a resync
)

// killCase is one phase of a table's life in which the process is killed.
type killCase struct {
	phase outbound.Phase
	// prepare brings the stream to where the phase begins.
	prepare func(ctx context.Context, r *boundaryRig) error
	// before is how many events are there then, after how many at the end.
	before, after int
}

var killCases = map[string]killCase{
	"load": {
		phase:   outbound.PhaseLoading,
		prepare: func(context.Context, *boundaryRig) error { return nil },
		after:   killRows,
	},
	"delta": {
		phase:   outbound.PhaseFollowing,
		prepare: changeEverything,
		before:  killRows, after: 2 * killRows,
	},
	"resync": {
		phase: outbound.PhaseResyncing,
		prepare: func(ctx context.Context, r *boundaryRig) error {
			if err := changeEverything(ctx, r); err != nil {
				return err
			}
			return r.sim.ExpireTokens(boundaryTable)
		},
		before: killRows, after: 2 * killRows,
	},
}

// changeEverything loads the table and then, while no bridge runs, changes or
// deletes each of its records.
func changeEverything(ctx context.Context, r *boundaryRig) error {
	if _, err := r.live(ctx); err != nil {
		return err
	}
	ids := make([]string, 0, killRows)
	if err := r.sim.Rows(boundaryTable, func(id string, _ map[string]any) bool {
		ids = append(ids, id)
		return true
	}); err != nil {
		return err
	}
	for i, id := range ids {
		var err error
		if i < killGone {
			err = r.sim.Delete(boundaryTable, id)
		} else {
			err = r.sim.Update(boundaryTable, id, map[string]any{"name": fmt.Sprint("changed ", i)})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// The process is killed at every boundary of the engine, in each phase of a table's
// life: its batch is on the stream whole or not at all, the next process goes on from
// the page of the checkpoint, and each version of each record is there once.
func TestAProcessKilledAtAnyBoundaryGoesOnFromItsPage(t *testing.T) {
	for phase, c := range killCases {
		list := []boundary{beforeFetch, afterFetch, midCommit, beforeCommit, commitArrivesLate, afterCommit, ackUnread}
		if testing.Short() {
			list = map[string][]boundary{
				"load": {midCommit, ackUnread}, "delta": {beforeFetch, afterCommit, beforeCommit}, "resync": {afterFetch, commitArrivesLate},
			}[phase]
		}
		for _, b := range list {
			t.Run(phase+"/"+string(b), func(t *testing.T) {
				t.Parallel()
				killedAt(t, c, b)
			})
		}
	}
}

func killedAt(t *testing.T, c killCase, b boundary) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	r := newBoundaryRig(ctx, t, killRows, killSize)
	if err := c.prepare(ctx, r); err != nil {
		t.Fatal(err)
	}
	settled := killPage - 1
	if b.stores() {
		settled = killPage
	}
	if err := r.die(ctx, b, killPage, c.before+settled*killSize); err != nil {
		t.Fatal(err)
	}
	first := r.requested()
	at, err := r.checkpoint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if at.Phase != c.phase || at.Page != int64(settled) {
		t.Fatalf("the checkpoint stands in phase %s behind page %d, want %s and %d", at.Phase, at.Page, c.phase, settled)
	}
	second, err := r.live(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if c.phase == outbound.PhaseResyncing {
		// What the read met was in the memory of the process: the read begins anew.
		if n := count(first, isFirst); n != 1 {
			t.Errorf("the first life began %d full reads, want 1", n)
		}
		if n := count(second, isFirst); n != 1 || !isFirst(second[0]) {
			t.Errorf("the second life began %d full reads, want 1, with its first request; it asked for %q", n, second[0])
		}
	} else {
		wentOn(t, c, at, first, second, killRows/killSize)
	}
	whole(ctx, t, r, c.after)
}

// wentOn checks that the second life asked for the page of the checkpoint first, and for
// none that stood before it as long as the round lasted.
func wentOn(t *testing.T, c killCase, at *position, first, second []string, pages int) {
	t.Helper()
	if second[0] != at.link {
		t.Errorf("the second life began with page %s, the checkpoint names %s", second[0], at.link)
	}
	full := count(first, isFirst) + count(second, isFirst)
	// A round of changes is read once more when it ended; a load is not.
	rest := second
	if c.phase == outbound.PhaseLoading {
		if full != 1 {
			t.Errorf("the first page of the load was asked for %d times", full)
		}
		if n := slices.IndexFunc(second, isDelta); n != pages-int(at.Page) {
			t.Errorf("the second life asked for %d pages of the load, %d were left", n, pages-int(at.Page))
		}
	} else {
		rest = second[:pages-int(at.Page)]
		if full != 0 {
			t.Errorf("%d full reads began, there was no reason for any", full)
		}
	}
	for i, page := range first[:at.Page] {
		if slices.Contains(rest, page) {
			t.Errorf("page %d was stored, and the second life asked for it again", i+1)
		}
	}
}

// whole checks the stream: nothing lost, nothing doubled, every batch whole.
func whole(ctx context.Context, t *testing.T, r *boundaryRig, want int) {
	t.Helper()
	events, n, err := r.events(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if n != want {
		t.Errorf("%d events are on the stream, want %d", n, want)
	}
	if err := r.readWrites(); err != nil {
		t.Fatal(err)
	}
	if len(r.writes) == 0 || r.sim.Stats().LogFirst != 1 {
		t.Fatal("the write log does not show everything")
	}
	h := &History{Tables: followed, Dead: map[uint64]bool{}, Writes: r.writes, Events: events, Source: "/crm/" + org}
	for i, v := range Check(h) {
		if i == 20 {
			t.Error("and more")
			break
		}
		t.Error(v)
	}
}

func count(pages []string, is func(string) bool) (n int) {
	for _, p := range pages {
		if is(p) {
			n++
		}
	}
	return n
}

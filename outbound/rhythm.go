package outbound

import (
	"context"
	"fmt"
	"time"
)

// paceEvery is how often a long wait for the next poll is reckoned again: what is
// left of a budget changes meanwhile.
const paceEvery = time.Minute

// startSpread is the time over which the tables of one bridge begin.
const startSpread = time.Second

// Pacer may stretch the time between two polls where requests are scarce.
type Pacer interface {
	// Pace returns the interval to keep in place of want, never a shorter one. It is
	// asked often and must not block.
	Pace(table string, want time.Duration) time.Duration
}

// rhythm finds the times of a table's polls. They lie on a grid as wide as the
// shortest interval, shifted by the table's phase, on the clock of the day: whatever
// their intervals grow to, tables with different phases never poll in the same
// instant. There is no jitter, which would undo that.
type rhythm struct {
	least, most time.Duration
	phase       float64 // in [0, 1)
	interval    time.Duration
}

func newRhythm(least, most time.Duration, phase float64) rhythm {
	return rhythm{least: least, most: most, phase: phase, interval: least}
}

// ended adapts the interval to what a round found: the shortest after a change,
// else half as much again, up to the longest.
func (r *rhythm) ended(changed bool) {
	if changed {
		r.interval = r.least
		return
	}
	r.interval = min(r.most, r.interval+r.interval/2)
}

// next is when to poll after one that began at last: the last place of the grid that
// is not later than the interval allows, else the first one after now.
func (r *rhythm) next(last, now time.Time, interval time.Duration) time.Time {
	if t := r.place(last.Add(interval)); t.After(now) {
		return t
	}
	return r.place(now).Add(r.least)
}

// place is the last place of the grid that is not after t.
func (r *rhythm) place(t time.Time) time.Time {
	width := int64(r.least)
	past := (t.UnixNano() - int64(r.phase*float64(width))) % width
	if past < 0 {
		past += width
	}
	return t.Add(-time.Duration(past))
}

// spread is how long a table of a bridge that starts waits before it begins.
func (r *rhythm) spread() time.Duration {
	return time.Duration(r.phase * float64(min(r.least, startSpread)))
}

// idle waits for the next poll: its time, or a poke.
func (w *Worker) idle(ctx context.Context) error {
	for {
		now := time.Now()
		interval := w.rhythm.interval
		if w.pacer != nil {
			interval = max(interval, w.pacer.Pace(w.table, interval))
		}
		w.board.update(func(b *board) {
			b.s.Interval = interval
			if interval > w.rhythm.interval {
				b.s.Detail = fmt.Sprintf("a poll in %s alone, to stay within the day's requests (webapi.daily_requests)", interval.Round(time.Second))
			}
		})
		wait := w.rhythm.next(w.lastPoll, now, interval).Sub(now)
		t := time.NewTimer(min(wait, paceEvery))
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
			if wait <= paceEvery {
				return nil
			}
		case <-w.poke:
			t.Stop()
			return sleep(ctx, pokeGap-time.Since(w.lastPoll))
		}
	}
}

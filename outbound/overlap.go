package outbound

import (
	"context"
	"errors"
	"time"

	"cebridge/schema/outcome"
)

// overlapPlan is what a worker remembers of its overlap.
type overlapPlan struct {
	// last is when an older link was last read to its end, due when the next one is
	// read at the earliest.
	last, due time.Time
	warned    bool
}

// keepOlder remembers the link of a round that ended as one to read again later.
// spread is the least distance between two, so that the links kept reach back
// three times as far.
func (c *Checkpoint) keepOlder(spread time.Duration) {
	if len(c.Base) > maxOlderBytes || c.Obtained.IsZero() {
		return
	}
	if n := len(c.Older); n > 0 && (c.Older[n-1].Link == c.Base || c.Obtained.Sub(c.Older[n-1].Obtained) < spread) {
		return
	}
	older := append(append(make([]OlderLink, 0, maxOlderLinks+1), c.Older...), OlderLink{c.Base, c.Obtained, c.Floor})
	c.Older = older[max(0, len(older)-maxOlderLinks):]
}

// olderLink is the youngest link that was obtained by then, else the oldest there
// is; nil when there is none.
func (c *Checkpoint) olderLink(then time.Time) *OlderLink {
	for i := len(c.Older) - 1; i >= 0; i-- {
		if o := c.Older[i]; o.Link != c.Base && (i == 0 || !o.Obtained.After(then)) {
			return &o
		}
	}
	return nil
}

// reread follows an older link to its end, between two rounds: a change that was
// committed after the source had handed out a later token shows up there and
// nowhere else. The compare skips all that is published; the position stays. What
// stayed open for at most OverlapAge is found; a process that starts reads the
// oldest link it finds.
func (w *Worker) reread(ctx context.Context, s *session) error {
	now := time.Now()
	if s.rereads > 0 {
		return w.rereadRound(ctx, s)
	}
	if w.cfg.OverlapEvery < 0 || s.at.Phase != PhaseFollowing || s.inRound || now.Before(w.overlap.due) {
		return nil
	}
	w.overlap.due = now.Add(w.cfg.OverlapEvery)
	// A change that was open at the last overlap began at most OverlapAge before it.
	then := w.overlap.last
	if !then.IsZero() {
		then = then.Add(-w.cfg.OverlapAge)
	}
	s.older = s.at.olderLink(then)
	if s.older == nil {
		return nil
	}
	defer func() { s.older = nil }()
	if done, err := w.followOlder(ctx, s); err != nil || !done {
		return err
	}
	w.overlap.last = now
	return nil
}

// rereadRound follows the link with which a round of several pages began once more:
// a row that moved between two of its pages may be on none. It is repeated while it
// finds something.
func (w *Worker) rereadRound(ctx context.Context, s *session) error {
	before := s.before
	s.older = &before
	defer func() { s.older = nil }()
	for s.rereads > 0 {
		s.rereads--
		found := s.found
		done, err := w.followOlder(ctx, s)
		if err != nil || !done {
			return err // what is left of the tries is for after the next round
		}
		if s.found == found {
			s.rereads = 0
		}
	}
	return nil
}

// followOlder walks from the session's older link to its end. done is false where the
// source refused it.
func (w *Worker) followOlder(ctx context.Context, s *session) (done bool, err error) {
	var guard linkGuard
	for link := s.older.Link; link != ""; {
		if !guard.pass(link) {
			s.dropOlder()
			return false, nil
		}
		f := w.fetch(ctx, s, link)
		page, err := f.wait()
		if err != nil {
			f.abandon()
			return false, w.overlapRefused(ctx, s, link, err)
		}
		err = w.settleOverlap(f.ctx, s, f, page)
		f.end(err)
		if errors.Is(err, errOverlapVoid) {
			return false, w.overlapRefused(ctx, s, s.older.Link, err)
		}
		if err != nil {
			return false, err
		}
		link = page.Next
	}
	return true, nil
}

// errOverlapVoid: an older link returned what its token must have left out.
var errOverlapVoid = errors.New("the source has lost the change history of an older link")

// floor is a version that the token in use is not older than, 0 when unknown.
func (s *session) floor() int64 {
	if s.older != nil {
		return max(s.older.Floor, tokenVersion(s.older.Link))
	}
	return max(s.at.Floor, tokenVersion(s.at.Base))
}

// settleOverlap publishes what a page of an older link shows and the stream lacks.
func (w *Worker) settleOverlap(ctx context.Context, s *session, f *fetching, page *Page) error {
	entries, _, err := fold(page.Rows)
	if err != nil {
		return err
	}
	p, err := w.compare(ctx, s, f, entries)
	if err != nil {
		return err
	}
	if p.repeats > s.at.Rows/1000 {
		return errOverlapVoid
	}
	last, err := w.encode(ctx, s, f, p)
	if err != nil {
		return err
	}
	if len(last.messages) > 0 {
		if err := w.submit(ctx, s, last, s.at); err != nil {
			return err
		}
	}
	if err := w.drain(ctx, s); err != nil {
		return err
	}
	s.found += len(p.events)
	if s.rereads > 0 {
		w.missed(ctx, "reread", int(p.late))
		return nil
	}
	if p.late > 0 {
		w.logger.Info("outbound: the overlap found changes that were committed late", "events", p.late)
		w.measures.lateCommits(ctx, p.late)
		w.board.update(func(b *board) { b.s.Late += uint64(p.late) })
	}
	return nil
}

// overlapRefused answers a failed read of an older link. Only the overlap suffers:
// a refused link is dropped, anything else, a later page's link too, is tried again
// next time.
func (w *Worker) overlapRefused(ctx context.Context, s *session, link string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if stop := (*haltError)(nil); errors.As(err, &stop) {
		return err
	}
	w.measures.failure(ctx, judge(err).reason)
	if e := outcome.Of(err); !errors.Is(err, errOverlapVoid) && (e == nil || e.Verdict != outcome.Stop && e.Verdict != outcome.Reject) {
		return nil
	}
	if link != s.older.Link {
		return nil
	}
	s.dropOlder()
	if !w.overlap.warned {
		w.overlap.warned = true
		w.logger.Warn("outbound: an older delta link was refused, changes that are committed late may be missed until there is another",
			"error", err)
	}
	return nil
}

// dropOlder forgets the link that was read and those before it.
func (s *session) dropOlder() {
	for i, o := range s.at.Older {
		if o.Link == s.older.Link {
			s.at.Older = append([]OlderLink(nil), s.at.Older[i+1:]...)
			return
		}
	}
}

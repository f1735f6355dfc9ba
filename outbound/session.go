package outbound

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// session is what a worker holds in memory from one read of the checkpoint to
// the next. It belongs to the worker's goroutine. When a commit is refused or its
// fate stays unknown the session is thrown away and read anew.
type session struct {
	// held is the sequence of the last checkpoint known to be stored; 0 before the
	// first. It is the fence of the next commit.
	held uint64
	// stored is the checkpoint last handed to a commit.
	stored Checkpoint
	// at is the position: the page to fetch next. It runs ahead of stored while
	// rounds find nothing to publish.
	at Checkpoint
	// fresh: no event of the table was on the stream when this load began, and
	// this process made every commit since. See the package comment.
	fresh bool
	// seen holds the ids of the rows met in this round; seenAll tells that it
	// covers the round from its first page.
	seen    *idFilter
	seenAll bool
	// inRound: the round's fields are set.
	inRound bool
	// restarted: the round went back to its base once already.
	restarted bool
	links     linkGuard
	// began is when the round began; pass is set in a resync.
	began time.Time
	pass  *fullRead
	// repeats counts rows of the round that are older than its token.
	repeats int64
	// shown holds the versions that a full read met; see recount.
	shown *idFilter
	// recounts counts failed tries to list the table after the round.
	recounts int
	// before is the link with which the round began; after a round of several pages
	// (paged) it is read again, rereads times at most.
	paged   bool
	before  OlderLink
	rereads int
	// found counts events that older links led to.
	found int
	// older is the older link that is being read, or nil; the position stays then.
	older  *OlderLink
	flight *flight
}

// open reads the checkpoint and makes a session of it. Without a checkpoint the
// table begins, but only if the stream holds nothing of it.
func (w *Worker) open(ctx context.Context) (*session, error) {
	data, seq, err := w.log.Checkpoint(ctx, w.subject)
	if err != nil {
		return nil, fmt.Errorf("read the checkpoint of table %s: %w", w.table, err)
	}
	if seq == 0 {
		if data, seq, err = w.openFirst(ctx); err != nil {
			return w.recover(0, err)
		}
	}
	if seq == 0 {
		s := &session{fresh: true, at: Checkpoint{
			Format: checkpointFormat, Table: w.table, OrgID: w.cfg.OrgID, Epoch: 1,
			Start: w.cfg.Start, Phase: PhaseLoading, Fingerprint: w.fingerprint,
		}}
		if w.cfg.Start == StartNow {
			s.at.Phase = PhasePriming
		}
		return s, nil
	}
	w.everHeld = true
	c, err := DecodeCheckpoint(data)
	if err != nil {
		err = fmt.Errorf("%w; if a newer version of the bridge wrote it, run that one, else resync the table: that reads it again, "+
			"publishes what differs and makes a new checkpoint", err)
	} else {
		err = c.fit(w.table, w.cfg.OrgID, w.fingerprint)
	}
	if errors.Is(err, errOtherFingerprint) && !w.fitted {
		return &session{held: seq, stored: *c, at: *c}, &needResync{reason: ResyncConfiguration,
			renew: !sameIdentity(c.Fingerprint, w.fingerprint), err: err}
	}
	if errors.Is(err, errOtherFingerprint) {
		err = fmt.Errorf("%w: another bridge follows the table with another configuration; give both the same one and resume the table", err)
	}
	if err != nil {
		return w.recover(seq, halt(failCheckpoint, "checkpoint of table %s on %s at sequence %d cannot be used: %w",
			w.table, w.subject, seq, err))
	}
	w.fitted = true
	w.board.update(func(b *board) {
		b.written, b.s.CheckpointSequence = c.Written, seq
		if c.Phase == PhaseFollowing && b.published.IsZero() {
			b.published = c.Obtained
		}
	})
	s := &session{held: seq, stored: *c, at: *c}
	if c.Phase == PhaseResyncing {
		// What the pass had met is forgotten: begin it anew.
		if c.Page > 0 {
			again := *c.Resync
			again.Restarts++
			s.at.Resync = &again
			w.measures.failure(ctx, failRestarted)
			w.logger.Warn("outbound: a resync was interrupted and reads the table again from its start; "+
				"it ends once a process lives as long as that takes", "restarts", again.Restarts, "pages", c.Page)
		}
		s.at.Link, s.at.Page, s.at.Rows, s.at.RoundStart, s.at.Began = "", 0, 0, nil, time.Time{}
	}
	w.show(&s.at)
	return s, w.standing(s)
}

// openFirst makes sure that a table without a checkpoint was never published. A
// checkpoint never expires, so events without one mean that somebody removed it;
// a new load would then leave records that were deleted meanwhile live for ever.
func (w *Worker) openFirst(ctx context.Context) (data []byte, seq uint64, err error) {
	_, events, err := w.log.Checkpoint(ctx, w.cfg.Names.Table(w.table))
	if err != nil {
		return nil, 0, fmt.Errorf("look for events of table %s: %w", w.table, err)
	}
	if events != 0 {
		// Another writer may have made its first commit between the two reads.
		if data, seq, err = w.log.Checkpoint(ctx, w.subject); err != nil {
			return nil, 0, fmt.Errorf("read the checkpoint of table %s: %w", w.table, err)
		}
	}
	switch {
	case seq != 0:
		return data, seq, nil
	case events != 0:
		return nil, 0, halt(failCheckpoint, "table %s has events on the stream but no checkpoint: it was removed. "+
			"Resync the table, or purge its subjects %s to load it again", w.table, w.cfg.Names.Table(w.table))
	case w.everHeld:
		return nil, 0, halt(failCheckpoint, "the checkpoint of table %s has vanished from the stream: restore the stream, "+
			"or restart the bridge to load the table again", w.table)
	}
	return nil, 0, nil
}

// begin opens a round, or takes up one that a checkpoint left open.
func (s *session) begin(now time.Time) {
	if s.inRound {
		return
	}
	s.inRound, s.restarted = true, false
	s.seen, s.links, s.repeats, s.recounts = newIDFilter(), linkGuard{}, 0, 0
	s.shown = newIDFilter()
	s.paged = s.at.Page > 0
	if s.rereads == 0 {
		s.before = OlderLink{s.at.Base, s.at.Obtained, s.at.Floor}
	}
	s.links.pass(s.at.Link)
	s.seenAll = s.at.Page == 0
	if s.at.RoundStart == nil {
		held := s.held
		s.at.RoundStart, s.at.Began = &held, now
		s.at.Reached = s.at.Top
	}
	s.began = s.at.Began
	if s.at.Phase == PhaseResyncing {
		s.pass = &fullRead{from: s.held}
	}
}

// again tells what it means to read the first page of a full read again. It brings
// a new token: a record that was met, or published, from the page before and was
// deleted since is in neither. A resync forgets whom it met; a load that published
// a part of that page is taken over by a resync.
func (s *session) again() error {
	switch {
	case s.at.Link != "" || s.at.Page != 0:
	case s.pass != nil:
		s.pass, s.shown = &fullRead{from: s.held}, newIDFilter()
	case s.at.Phase == PhaseLoading && s.held != 0:
		return &needResync{reason: ResyncPagingLink, err: errors.New("the initial load was interrupted within its first page")}
	}
	return nil
}

// restart goes back to the first page of the round. What was published stays
// published: the compare skips it.
func (s *session) restart() {
	s.restarted, s.seenAll, s.links = true, true, linkGuard{}
	s.at.Link, s.at.Page = s.at.Base, 0
	if s.at.Phase != PhaseFollowing {
		s.at.Rows = 0
	}
	if s.pass != nil {
		s.pass, s.shown = &fullRead{from: s.held}, newIDFilter()
	}
	s.links.pass(s.at.Link)
}

// after is the position once a page is settled.
func (c Checkpoint) after(p *Page) Checkpoint {
	c.Page++
	for i := range p.Rows {
		c.Top = max(c.Top, p.Rows[i].Version)
	}
	if c.Page == 1 && c.Phase != PhaseFollowing {
		c.Reached = c.Top
	}
	if c.Phase != PhaseFollowing {
		c.Rows += int64(len(p.Rows))
	}
	if c.Phase == PhasePriming {
		c.Baseline, c.Primed = latest(c.Baseline, p.Rows), c.Top
	}
	if p.Next != "" {
		c.Link = p.Next
		return c
	}
	// The token may be as old as the round's first page: count its age from there.
	// A link that stays the same does not grow younger.
	if p.Delta != c.Base {
		c.Obtained = c.Began
	}
	c.Phase, c.Link, c.Base, c.Resync = PhaseFollowing, p.Delta, p.Delta, nil
	c.Floor, c.Reached = c.Reached, 0
	c.Began, c.RoundStart, c.Page = time.Time{}, nil, 0
	return c
}

// latest is the latest of a baseline and the rows' modification times.
func latest(baseline string, rows []Row) string {
	best := parseTime(baseline)
	for i := range rows {
		if t := parseTime(rows[i].Modified); t.After(best) {
			best = t
		}
	}
	if best.IsZero() {
		return ""
	}
	return best.UTC().Format(time.RFC3339Nano)
}

// parseTime reads an RFC 3339 time; anything else is the zero time.
func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

package outbound

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cebridge/schema/event"
	"cebridge/schema/outcome"
)

// The reasons of a resync. Each stands in checkpoints and notices and is a metric
// label.
const (
	ResyncTokenExpired  = "token_expired" // the source refused the delta link as too old
	ResyncTokenAge      = "token_age"     // the delta link comes near the end of its life
	ResyncFullDump      = "full_dump"     // a delta link returned what was published long before
	ResyncRestored      = "restored"      // the source went back in time: new epoch
	ResyncConfiguration = "configuration" // columns or event settings changed: new epoch
	ResyncPagingLink    = "paging_link"   // an initial load cannot go on from its page
	ResyncRequested     = "requested"     // a person asked
	ResyncRepair        = "repair"        // a person asked, because a comparison found differences
)

// maxResyncs is how many resyncs in a row may begin without a good round after one.
const maxResyncs = 3

// needResync is a failure whose remedy is a resync.
type needResync struct {
	reason string
	// renew begins a new epoch: versions of the old one mean nothing any more.
	renew bool
	force bool
	err   error
}

func (e *needResync) Error() string {
	if e.err == nil {
		return "a resync is needed: " + e.reason
	}
	return "a resync is needed: " + e.err.Error()
}

func (e *needResync) Unwrap() error { return e.err }

// manual tells that a person asked.
func (e *needResync) manual() bool {
	return e.reason == ResyncRequested || e.reason == ResyncRepair
}

// fullRead is one pass of a resync. It lives in memory: after a crash, or when
// another writer was first, the pass begins anew and the compare skips what it
// published.
type fullRead struct {
	// from is the fence when the pass began. A live record whose last event is not
	// later, and was not met, is a candidate for a delete.
	from uint64
	// seen holds the last events, up to from, of the records that were met.
	seen sequenceSet
}

// Resync has everything read again and held against the stream: only true
// differences are published, and deletes of records that are gone. A halted table
// resumes with it; a paused one does it once resumed. force lifts the bound on
// deletes for this resync.
func (w *Worker) Resync(force bool) { w.want(&needResync{reason: ResyncRequested, force: force}) }

// Repair is a resync after a comparison found differences: its events are read by
// repair. renew begins a new epoch, which is needed where the stream shows another
// content, or a delete, under the version that a record has: that version's events are
// spent, and in a new epoch every row is published whose content is not that of its
// last event.
func (w *Worker) Repair(renew bool) { w.want(&needResync{reason: ResyncRepair, renew: renew}) }

// want takes a person's wish for a resync. What an earlier one that has not begun
// yet asked for beyond it still holds.
func (w *Worker) want(need *needResync) {
	w.board.update(func(b *board) {
		if was := b.request; was != nil {
			need.force, need.renew = need.force || was.force, need.renew || was.renew
		}
		b.request = need
		b.halted = false
	})
	signal(w.wake)
	signal(w.poke)
}

// requested is the resync that a person asked for, or nil.
func (w *Worker) requested() (need *needResync) {
	w.board.update(func(b *board) { need = b.request })
	return need
}

// beginResync stores, with a notice, that the table is being read again from the
// start. The session stands then at the first page of the pass.
func (w *Worker) beginResync(ctx context.Context, need *needResync) error {
	s := w.session
	switch {
	case s == nil:
		return nil // the next open finds the reason again
	case need.manual():
		w.resyncs = 0
	case s.held == 0:
		return halt(need.reason, "table %s cannot be read from its start: %w; run `cebridge plan`, then resume the table", w.table, need)
	case s.at.Phase == PhaseResyncing && need.reason == ResyncTokenExpired:
		return halt(need.reason, "the resync of table %s cannot go on after page %d: %w; resume the table to try again", w.table, s.at.Page, need)
	case w.resyncs >= maxResyncs:
		w.resyncs = 0
		return halt(need.reason, "%d resyncs of table %s were begun and no poll succeeded after one: %w; "+
			"check the organization, its address and the life of its change history, then resume the table", maxResyncs, w.table, need)
	}
	next, err := w.resyncFrom(ctx, s, need)
	if err != nil {
		return err
	}
	b := newPart(1)
	if next.Phase == PhaseResyncing {
		m, err := w.notice(noticeStarted, &next, map[string]any{})
		if err != nil {
			return err
		}
		b.messages = append(b.messages, m)
	}
	w.logger.Warn("outbound: resync begins", "reason", need.reason, "epoch", next.Epoch, "error", need.err)
	if need.reason == ResyncRestored {
		w.logger.Error("outbound: the source went back in time, a new epoch begins", "epoch", next.Epoch)
	}
	w.measures.resync(ctx, need.reason)
	if err := w.submit(ctx, s, b, next); err != nil {
		return err
	}
	if err := w.drain(ctx, s); err != nil {
		return err
	}
	*s = session{held: s.held, stored: s.stored, at: next}
	w.resyncs++
	w.board.update(func(b *board) {
		if b.request == need {
			b.request = nil
		}
	})
	w.show(&s.at)
	return nil
}

// resyncFrom is the checkpoint with which a resync begins. A table that starts
// now and has not been read once begins that read anew instead.
func (w *Worker) resyncFrom(ctx context.Context, s *session, need *needResync) (Checkpoint, error) {
	at := &s.at
	next := Checkpoint{
		Format: checkpointFormat, Table: w.table, OrgID: w.cfg.OrgID, Fingerprint: w.fingerprint,
		Start: at.Start, Phase: PhaseResyncing, Epoch: at.Epoch, Baseline: at.Baseline, Primed: at.Primed,
	}
	if need.manual() {
		epoch, err := w.lastEpoch(ctx, s)
		if err != nil {
			return next, err
		}
		next.Epoch = max(next.Epoch, epoch)
	}
	if need.renew || at.OrgID != w.cfg.OrgID {
		next.Epoch++
	}
	if next.Epoch > event.MaxEpoch {
		return next, halt(need.reason, "table %s is in epoch %d, the last there can be: purge its subjects and its checkpoint to load it again",
			w.table, at.Epoch)
	}
	if (need.manual() || need.reason == ResyncTokenAge) && !need.renew {
		next.Older = at.Older // the others are void, or select other columns
	}
	if at.Phase == PhasePriming {
		next.Phase, next.Baseline, next.Primed = PhasePriming, "", 0
		return next, nil
	}
	next.Resync = &Resync{Reason: need.reason, Began: time.Now(), Force: need.force,
		Loading: at.Phase == PhaseLoading && at.Start == StartLoad || at.Resync != nil && at.Resync.Loading}
	return next, nil
}

// lastEpoch is the highest epoch of any event that is the last of its record; it
// is above the checkpoint's only where a checkpoint was put back or lost.
func (w *Worker) lastEpoch(ctx context.Context, s *session) (epoch int, err error) {
	if err := w.drain(ctx, s); err != nil {
		return 0, err
	}
	err = w.log.Scan(ctx, w.cfg.Names.Table(w.table), w.subject, s.held, func(m Stored) error {
		p, err := event.ReadHeader(m.Header)
		if err == nil {
			epoch = max(epoch, p.Epoch)
		}
		return nil // a foreign message is named where its record is compared
	})
	if err != nil {
		return 0, fmt.Errorf("look for the last epoch of table %s: %w", w.table, err)
	}
	return max(epoch, 1), nil
}

// recover makes a session over a checkpoint that is missing or unusable, when a
// person asked for a resync; else it returns cause. Another organization's
// checkpoint needs force.
func (w *Worker) recover(seq uint64, cause error) (*session, error) {
	need := w.requested()
	if need == nil || errors.Is(cause, errOtherOrg) && !need.force {
		return nil, cause
	}
	at := Checkpoint{Start: w.cfg.Start, Phase: PhaseFollowing, Epoch: 1, OrgID: w.cfg.OrgID}
	if errors.Is(cause, errOtherOrg) {
		at.OrgID = ""
	}
	return &session{held: seq, at: at}, nil
}

// expiredToken turns a refused delta link into the wish for a resync.
func expiredToken(err error) *needResync {
	if e := outcome.Of(err); e != nil && e.Reason == outcome.TokenExpired {
		return &needResync{reason: ResyncTokenExpired, err: err}
	}
	return nil
}

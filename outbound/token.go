package outbound

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// lifeEvery is how often the life of delta links is asked for.
const lifeEvery = time.Hour

// rewoundTries is how often a token that went backwards is put down to a server
// that is behind before it means a restored database.
const rewoundTries = 3

// tokenLife is what is known of the life of delta links.
type tokenLife struct {
	life   time.Duration
	asked  time.Time
	warned string // the link that was warned of
	// rewound counts tokens in a row that were older than the one before.
	rewound int
}

// overdue tells, between two rounds, that the table must be read again: because a
// person asked, or because its delta link has used 80 % of its life, after which a
// source may refuse it or, worse, quietly return everything without deletes. At 50 %
// it warns.
func (w *Worker) overdue(ctx context.Context, s *session) error {
	if need := w.requested(); need != nil {
		return need
	}
	life := w.tokenLifetime(ctx)
	if life <= 0 || s.at.Phase != PhaseFollowing || s.at.Obtained.IsZero() {
		return nil
	}
	switch age := time.Since(s.at.Obtained); {
	case age >= life*8/10:
		return &needResync{reason: ResyncTokenAge, err: fmt.Errorf("the delta link of table %s is %s old, its life is %s",
			w.table, age.Round(time.Second), life)}
	case age >= life/2 && w.life.warned != s.at.Base:
		w.life.warned = s.at.Base
		w.logger.Warn("outbound: the delta link has used half of its life; at 80 % the table is read again",
			"age", age, "life", life)
	}
	return nil
}

// tokenLifetime is the life of delta links, 0 when unknown. A failure to learn it
// keeps what was known.
func (w *Worker) tokenLifetime(ctx context.Context) time.Duration {
	if w.retention == nil || !w.life.asked.IsZero() && time.Since(w.life.asked) < lifeEvery {
		return w.life.life
	}
	w.life.asked = time.Now()
	life, err := w.retention.TokenRetention(ctx)
	if err != nil {
		if ctx.Err() == nil {
			w.logger.Warn("outbound: the life of delta links could not be read", "error", err)
		}
		return w.life.life
	}
	w.life.life = life
	w.board.update(func(b *board) { b.s.TokenLife = life })
	return life
}

// suspect notices a delta link that returned what its token must have left out:
// rows that are published and older than the token. A server whose change history
// is gone may answer so, with all rows and without deletes. A few repeats are
// forgiven in a large table: one in a thousand of its rows.
func (w *Worker) suspect(s *session, p *plan) error {
	if s.at.Phase != PhaseFollowing || s.older != nil {
		return nil
	}
	if s.repeats += p.repeats; s.repeats == 0 || s.repeats <= s.at.Rows/1000 {
		return nil
	}
	return &needResync{reason: ResyncFullDump, err: fmt.Errorf("the delta link of table %s returned %d rows that are older than it: "+
		"the source has lost its change history", w.table, s.repeats)}
}

// wentBack notices a database that was restored while nothing changed since: the
// new token is below the one that the round began with. Where the tokens cannot be
// read, only a lower row version tells.
func (w *Worker) wentBack(s *session, p *Page) error {
	if p.Delta == "" || s.at.Phase != PhaseFollowing {
		return nil
	}
	before, now := tokenVersion(s.at.Base), tokenVersion(p.Delta)
	if before == 0 || now == 0 || now >= before {
		w.life.rewound = 0
		return nil
	}
	if w.life.rewound++; w.life.rewound < rewoundTries {
		return fmt.Errorf("%w: its token is older than the one it answers", errBadPage)
	}
	w.life.rewound = 0
	return &needResync{reason: ResyncRestored, renew: true, err: fmt.Errorf("the change token of table %s went from %d back to %d: "+
		"the database was restored to an earlier state, or the address leads to a copy of it", w.table, before, now)}
}

// tokenVersion reads the row version out of a delta link, 0 when there is none to
// read. Source: the documented examples, $deltatoken=919042!08/22/2017 08:10:44;
// that the number is a row version is an assumption.
func tokenVersion(link string) int64 {
	_, query, _ := strings.Cut(link, "?")
	for part := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(part, "=")
		if name != "$deltatoken" && !strings.EqualFold(name, "%24deltatoken") {
			continue
		}
		text, err := url.QueryUnescape(value)
		if err != nil {
			return 0
		}
		digits, _, ok := strings.Cut(text, "!")
		n, err := strconv.ParseInt(digits, 10, 64)
		if !ok || err != nil || n <= 0 {
			return 0
		}
		return n
	}
	return 0
}

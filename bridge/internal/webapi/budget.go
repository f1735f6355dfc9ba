package webapi

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"cebridge/schema/outcome"
)

const (
	// day is what a budget is for: a day in UTC.
	day = 24 * time.Hour
	// pollShare is the part of outbound's share that long reads leave to polls, for as
	// much of the day as is left.
	pollShare = 0.2
	// budgetLook is how often what waits for the budget looks again: outbound gets more
	// as the day goes by.
	budgetLook = time.Minute
	// budgetSpread bounds how long after the new day the last waiter goes on.
	budgetSpread = 30 * time.Second
	// paceKept is how long a table counts after it asked last.
	paceKept = 3 * time.Minute
)

// Budget is how many requests may be made in a day, both directions and all
// instances together. The operations of a batch count singly.
//
// Inbound may use all that is left. Outbound may use its own share, and what inbound
// has left unused of its share as the day goes by; long reads leave a part of that to
// polls. Pace stretches polls so that what outbound may use lasts until the day ends.
//
// Source: "Dataverse API limits overview": entitlements are evaluated in a 24-hour
// period, and "Service protection API limits": they accrue whether or not operations
// are part of a batch. That the period is a day in UTC is an assumption.
type Budget struct {
	limit   int64
	inbound float64 // the share that is kept for it, 0 to 1

	mu    sync.Mutex
	today int64        // days since 1970
	used  [sides]int64 // of all instances, as far as known
	fresh [sides]int64 // part of used that is not stored yet
	wants map[string]want
	pace  float64
}

// want is the interval that a table would like to keep.
type want struct {
	interval time.Duration
	asked    time.Time
}

// NewBudget makes a budget of limit requests a day, of which the share inbound, 0 to
// 1, is kept for inbound.
func NewBudget(limit int64, inbound float64) *Budget {
	return &Budget{limit: limit, inbound: inbound, wants: map[string]want{}, pace: 1}
}

// dayOf is the day that t belongs to, and how much of it is left.
func dayOf(t time.Time) (today int64, rest time.Duration) {
	ns := t.UnixNano()
	return ns / int64(day), day - time.Duration(ns%int64(day))
}

// roll begins a new day. What was not stored of the old one is of no use.
func (b *Budget) roll(now time.Time) (rest time.Duration) {
	today, rest := dayOf(now)
	if today != b.today {
		b.today, b.used, b.fresh = today, [sides]int64{}, [sides]int64{}
	}
	return rest
}

// room is how many requests may be made now.
func (b *Budget) room(s side, bulk bool, rest time.Duration) int64 {
	left := b.limit - b.used[outboundSide] - b.used[inboundSide]
	if s == inboundSide {
		return max(0, left)
	}
	limit, ahead := float64(b.limit), float64(rest)/float64(day)
	own := (1 - b.inbound) * limit
	may := max(own, limit-float64(b.used[inboundSide])-b.inbound*limit*ahead)
	if bulk {
		may -= pollShare * own * ahead
	}
	return max(0, min(left, int64(math.Floor(may))-b.used[outboundSide]))
}

// take counts n requests that are about to be made. If the budget does not allow
// them it counts nothing and tells when to look again.
func (b *Budget) take(s side, bulk bool, n int64) (again time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count(s, bulk, n, b.roll(time.Now()))
}

// count is take within a day that has begun; b is locked.
func (b *Budget) count(s side, bulk bool, n int64, rest time.Duration) (again time.Duration, ok bool) {
	if again = b.lacks(s, bulk, n, rest); again > 0 {
		return again, false
	}
	b.used[s] += n
	b.fresh[s] += n
	return 0, true
}

// pay counts one request of a permit, and tells whether there was room for it.
func (b *Budget) pay(p *permit, bulk bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	rest := b.roll(time.Now())
	_, p.paid = b.count(p.side, bulk, 1, rest)
	p.day = b.today
	return p.paid
}

// lacks tells when to look again, 0 if there is room for n. A batch larger than a
// whole day's budget is let through when the day's is untouched.
func (b *Budget) lacks(s side, bulk bool, n int64, rest time.Duration) time.Duration {
	room := b.room(s, bulk, rest)
	if room >= min(n, b.limit) {
		return 0
	}
	spread := time.Duration(rand.Int64N(int64(budgetSpread)))
	if s == outboundSide && b.room(inboundSide, false, rest) > 0 {
		return min(budgetLook, rest) + spread
	}
	return rest + spread
}

// seats is how many of n operations may travel together now, at least one.
func (b *Budget) seats(n int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(1, int(min(int64(n), b.room(inboundSide, false, b.roll(time.Now())))))
}

// lack tells when to look again, 0 if there is room for one request.
func (b *Budget) lack(s side, bulk bool) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lacks(s, bulk, 1, b.roll(time.Now()))
}

// admit lets a request go on while there is room. A write waits for it, however
// long; a read is refused with the time to come again, so that its table can say so.
func (b *Budget) admit(ctx context.Context, s side, bulk bool) (waited time.Duration, err error) {
	start := time.Now()
	for {
		again := b.lack(s, bulk)
		switch {
		case again == 0:
			return time.Since(start), nil
		case s == outboundSide:
			return 0, overBudget(again)
		}
		if err := sleep(ctx, min(again, budgetLook)); err != nil {
			return 0, err
		}
	}
}

// giveBack undoes the taking of a permit's request that was not made.
func (b *Budget) giveBack(p *permit) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roll(time.Now())
	b.leave(p)
}

// leave is giveBack; b is locked. What was taken yesterday counts for yesterday alone,
// and what was saved stays counted.
func (b *Budget) leave(p *permit) {
	if p.paid && p.day == b.today && b.fresh[p.side] > 0 {
		b.fresh[p.side]--
		b.used[p.side]--
	}
	p.paid = false
}

// spend counts the n requests of a call that has its slot already: one of them may be
// paid, the others are the further ones of a batch, or a repetition with new
// credentials. While they have to wait, the paid one is left to others, and in a new
// day all are counted.
func (b *Budget) spend(ctx context.Context, p *permit, s side, bulk bool, n int64) error {
	for {
		again, ok := b.takeRest(p, s, bulk, n)
		switch {
		case ok:
			return nil
		case s == outboundSide:
			return overBudget(again)
		}
		if err := sleep(ctx, min(again, budgetLook)); err != nil {
			return err
		}
	}
}

// takeRest counts what the permit has not paid of n requests.
func (b *Budget) takeRest(p *permit, s side, bulk bool, n int64) (again time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rest := b.roll(time.Now())
	if p.paid && p.day == b.today {
		n--
	}
	if n > 0 {
		if again, ok = b.count(s, bulk, n, rest); !ok {
			b.leave(p)
			return again, false
		}
	}
	p.paid = false
	return 0, true
}

func overBudget(again time.Duration) error {
	return &outcome.Error{Verdict: outcome.RetryAfter, Reason: outcome.Budget, RetryAfter: again,
		Message: "the requests that outbound may make today are used up; raise webapi.daily_requests, or poll less often"}
}

// Pace implements outbound.Pacer: the interval at which all tables together use up
// what outbound may still use today, or the wanted one if that is longer.
func (b *Budget) Pace(table string, interval time.Duration) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	rest := b.roll(now)
	b.wants[table] = want{interval, now}
	rate := 0.0 // wanted polls in the rest of the day
	for name, w := range b.wants {
		if now.Sub(w.asked) > paceKept {
			delete(b.wants, name)
			continue
		}
		rate += float64(rest) / float64(w.interval)
	}
	// The last poll of each table may just fall into the day.
	room := float64(b.room(outboundSide, false, rest))
	b.pace = max(1, rate/max(room, 1))
	longest := float64(rest) + float64(interval)
	return max(interval, time.Duration(min(float64(interval)*b.pace, longest)))
}

package webapi

import (
	"fmt"
	"time"
)

// Spent is what was used of a day's budget. Date is the day in UTC: 2026-01-31.
type Spent struct {
	Date              string
	Outbound, Inbound int64
}

// BudgetState is a budget at one moment.
type BudgetState struct {
	Spent
	Limit int64
	// Left is what may still be used in the day, OutboundLeft what of it outbound may
	// use by now. Reset is when the next day begins.
	Left, OutboundLeft int64
	Reset              time.Time
	// Stretch is the factor by which polls are further apart than wanted.
	Stretch float64
}

// State is the budget now.
func (b *Budget) State() BudgetState {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	rest := b.roll(now)
	return BudgetState{
		Spent: b.spent(b.used), Limit: b.limit, Stretch: b.pace, Reset: now.Add(rest).UTC().Truncate(time.Second),
		Left: b.room(inboundSide, false, rest), OutboundLeft: b.room(outboundSide, false, rest),
	}
}

func (b *Budget) spent(n [sides]int64) Spent {
	return Spent{Date: time.Unix(b.today*int64(day/time.Second), 0).UTC().Format(time.DateOnly), Outbound: n[outboundSide], Inbound: n[inboundSide]}
}

// Unsaved is what this process used since it was saved last.
func (b *Budget) Unsaved() Spent {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roll(time.Now())
	return b.spent(b.fresh)
}

// Saved tells that added is stored now, and what all instances together have used
// with it. It holds for its own day alone.
func (b *Budget) Saved(added, total Spent) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roll(time.Now())
	if today := b.spent(b.used).Date; added.Date != today || total.Date != today {
		return nil // a new day began meanwhile
	}
	if added.Outbound > b.fresh[outboundSide] || added.Inbound > b.fresh[inboundSide] {
		return fmt.Errorf("budget: %d and %d requests were saved, more than were made", added.Outbound, added.Inbound)
	}
	b.fresh[outboundSide] -= added.Outbound
	b.fresh[inboundSide] -= added.Inbound
	b.used[outboundSide] = total.Outbound + b.fresh[outboundSide]
	b.used[inboundSide] = total.Inbound + b.fresh[inboundSide]
	return nil
}

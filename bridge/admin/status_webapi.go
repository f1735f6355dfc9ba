package admin

import "time"

// WebAPIStatus is how hard Customer Engagement is used, and may be. A bridge that is
// not asked itself tells of the budget alone.
type WebAPIStatus struct {
	// Limit is how many requests may run at once, as the server's answers allow;
	// MaxInFlight is the configured bound, Hint the parallelism that the server
	// recommended last.
	Limit       int `json:"limit"`
	MaxInFlight int `json:"max_in_flight"`
	Hint        int `json:"hint,omitempty"`
	// InFlight and Waiting count requests that run and that wait for one to end, by
	// direction.
	InFlight map[string]int `json:"in_flight,omitempty"`
	Waiting  map[string]int `json:"waiting,omitempty"`
	// ClosedUntil is until when the server asked for no request; absent when it did not.
	ClosedUntil *time.Time `json:"closed_until,omitempty"`
	// Budget is that of webapi.daily_requests; absent without it.
	Budget *BudgetStatus `json:"budget,omitempty"`
}

// BudgetStatus is the day's budget of requests, of all instances together.
type BudgetStatus struct {
	// Date is the day in UTC, which ends at Reset.
	Date  string    `json:"date"`
	Reset time.Time `json:"reset"`
	Limit int64     `json:"limit"`
	// Outbound and Inbound are what was used, Left what may still be, and OutboundLeft
	// what of it outbound may use by now.
	Outbound     int64 `json:"outbound"`
	Inbound      int64 `json:"inbound"`
	Left         int64 `json:"left"`
	OutboundLeft int64 `json:"outbound_left"`
	// Stretch is the factor by which polls are further apart than wanted, absent when
	// the stream told.
	Stretch float64 `json:"stretch,omitempty"`
}

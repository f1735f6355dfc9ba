package main

import (
	"strings"
	"testing"
	"time"

	"cebridge/bridge/admin"
)

func TestStatusShowsTheRequestsThatRunAndAreLeft(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		s    *admin.WebAPIStatus
		want string
	}{
		"nothing known": {nil, ""},
		"a running bridge": {&admin.WebAPIStatus{
			Limit: 10, MaxInFlight: 52, Hint: 4, InFlight: map[string]int{"outbound": 3, "inbound": 7}, Waiting: map[string]int{"inbound": 5}, ClosedUntil: &at,
		}, "web api: 3 outbound and 7 inbound requests in flight of 10 (max_in_flight 52), 5 waiting, the server recommends 4\n" +
			"      the server asked to wait until 2026-02-01T00:00:00Z\n"},
		"a budget, told by the stream": {&admin.WebAPIStatus{MaxInFlight: 52, Budget: &admin.BudgetStatus{
			Date: "2026-01-31", Reset: at, Limit: 100, Outbound: 60, Inbound: 40,
		}}, "requests of 2026-01-31: 60 outbound, 40 inbound, 0 left of 100\n" +
			"      used up until 2026-02-01T00:00:00Z: no table is polled, writes wait; raise webapi.daily_requests, or poll less often\n"},
		"stretched": {&admin.WebAPIStatus{Limit: 52, MaxInFlight: 52, InFlight: map[string]int{}, Budget: &admin.BudgetStatus{
			Date: "2026-01-31", Reset: at, Limit: 100, Outbound: 6, Left: 94, Stretch: 2.55,
		}}, "web api: 0 outbound and 0 inbound requests in flight of 52\n" +
			"requests of 2026-01-31: 6 outbound, 0 inbound, 94 left of 100; polls are 2.5 times as far apart\n"},
	} {
		var b strings.Builder
		printWebAPI(&b, c.s)
		if b.String() != c.want {
			t.Errorf("%s:\n%swant\n%s", name, b.String(), c.want)
		}
	}
}

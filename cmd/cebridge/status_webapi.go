package main

import (
	"fmt"
	"strings"
	"time"

	"cebridge/bridge/admin"
)

// printWebAPI prints how hard Customer Engagement is used, and the day's budget.
func printWebAPI(b *strings.Builder, s *admin.WebAPIStatus) {
	if s == nil {
		return
	}
	if s.InFlight != nil { // told by a running bridge
		fmt.Fprintf(b, "web api: %d outbound and %d inbound requests in flight of %d", s.InFlight["outbound"], s.InFlight["inbound"], s.Limit)
		if s.Limit < s.MaxInFlight {
			fmt.Fprintf(b, " (max_in_flight %d)", s.MaxInFlight)
		}
		if n := s.Waiting["outbound"] + s.Waiting["inbound"]; n > 0 {
			fmt.Fprintf(b, ", %d waiting", n)
		}
		if s.Hint > 0 {
			fmt.Fprintf(b, ", the server recommends %d", s.Hint)
		}
		b.WriteByte('\n')
	}
	if s.ClosedUntil != nil {
		fmt.Fprintf(b, "      the server asked to wait until %s\n", s.ClosedUntil.Format(time.RFC3339))
	}
	if d := s.Budget; d != nil {
		fmt.Fprintf(b, "requests of %s: %d outbound, %d inbound, %d left of %d", d.Date, d.Outbound, d.Inbound, d.Left, d.Limit)
		if d.Stretch > 1 {
			fmt.Fprintf(b, "; polls are %.1f times as far apart", d.Stretch)
		}
		b.WriteByte('\n')
		if d.Left == 0 {
			fmt.Fprintf(b, "      used up until %s: no table is polled, writes wait; raise webapi.daily_requests, or poll less often\n", d.Reset.Format(time.RFC3339))
		}
	}
}

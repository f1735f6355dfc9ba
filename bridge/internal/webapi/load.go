package webapi

import "time"

// Load is what the governor knows and does at one moment.
type Load struct {
	// Limit is how many requests may run at once by what the server says, Most the
	// configured bound, Hint the parallelism that the server recommended last, 0 for
	// none.
	Limit, Most, Hint int
	// Running and Waiting count requests with and without a slot, by direction; what
	// waits at the closed gate or for the budget is not among them.
	RunningOutbound, RunningInbound int
	WaitingOutbound, WaitingInbound int
	// ClosedUntil is when the server wants to hear from the user again; zero while the
	// gate is open.
	ClosedUntil time.Time
}

// Load tells how much the client is doing. It waits for nothing.
func (c *Client) Load() Load {
	g := c.governor
	g.mu.Lock()
	l := Load{
		Limit: g.limit, Most: g.most, Hint: g.hint,
		RunningOutbound: g.running[outboundSide], RunningInbound: g.running[inboundSide],
		WaitingOutbound: g.waiting[outboundSide].Len() + g.bulk.Len(), WaitingInbound: g.waiting[inboundSide].Len(),
	}
	g.mu.Unlock()
	g.gate.mu.Lock()
	defer g.gate.mu.Unlock()
	if time.Now().Before(g.gate.until) {
		l.ClosedUntil = g.gate.until
	}
	return l
}

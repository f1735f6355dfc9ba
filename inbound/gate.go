package inbound

// gate holds deliveries back after a take-over until nothing older can be
// outstanding elsewhere.
//
// Whoever was active before may have left messages that the server delivers
// again only when their AckWait is over. A newer message of the same key must
// not be written before those. So the gate closes when this client becomes the
// active one, and when deliveries were lost on the way. It opens at a moment at
// which every message that the server counts as unacknowledged is in hand here:
// then all that was ever delivered is either in hand or settled, and what comes
// next is newer.
//
// The proof needs two numbers of one reading of the consumer's position:
// messages in hand up to Delivered were delivered before that reading and, as
// nobody else may settle them, are unacknowledged at it. As many of them as the
// server counts are all of them.
type gate struct {
	open bool
	// epoch counts closings. A position that was asked for in an earlier epoch
	// says nothing about this one.
	epoch    uint64
	started  bool
	claim    string
	number   uint64
	position *FeedState
	// foreign counts positions in a row that showed another client as the active one.
	foreign int
}

// note takes the next delivery into account and tells whether it closed the gate
// or, when closed already, began a new epoch.
func (g *gate) note(m *Message) bool {
	taken := !g.started || m.Claim != g.claim
	gap := !taken && g.number != 0 && m.Number != 0 && m.Number != g.number+1
	g.started, g.claim, g.number = true, m.Claim, m.Number
	if taken || gap {
		g.close()
		return true
	}
	return false
}

// close makes everything from now on wait for a position read after this call.
func (g *gate) close() {
	g.open = false
	g.epoch++
	g.position = nil
	g.foreign = 0
}

// learn stores a position that was asked for in the given epoch. It tells whether
// the consumer's active client is another one. One reading is not enough for
// that: the first message under a new claim of our own may be on its way.
func (g *gate) learn(epoch uint64, p FeedState) (lost bool) {
	if epoch != g.epoch {
		return false
	}
	g.position = &p
	if !g.started || p.Claim == "" || p.Claim == g.claim {
		g.foreign = 0
		return false
	}
	g.foreign++
	return g.foreign > 1
}

// tryOpen opens the gate when everything unacknowledged is in hand. inHand counts
// what is in hand, not yet being settled, up to a sequence.
func (g *gate) tryOpen(inHand func(upTo uint64) int) bool {
	p := g.position
	if g.open || p == nil || !g.started {
		return false
	}
	if p.Claim != "" && p.Claim != g.claim {
		return false // another client is active; ours come again under a new claim
	}
	g.open = inHand(p.Delivered) >= p.AckPending
	return g.open
}

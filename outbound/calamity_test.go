package outbound

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// calamities strike a source now and then: its change history is lost, its database
// goes back, changes are committed late, and an operator selects other columns.
type calamities struct {
	seed    uint64
	s       *storm
	crm     *crmModel
	stream  *streamModel
	mu      sync.Mutex
	columns []string
}

const otherColumns = "other columns"

// calamityPair is what a seed meets: every pair in turn.
func calamityPair(seed uint64) (first, second string) {
	kinds := [...]string{"token expired", "full dump", "restored", otherColumns, "late commit"}
	return kinds[seed%5], kinds[int(seed%5+1+seed/5%4)%5]
}

// now is the selection that a worker is started with.
func (c *calamities) now() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.columns
}

func (c *calamities) happened(what string) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.sometime[what]++
}

// base is the version of the token that the stream holds, 0 before there is one.
func (c *calamities) base() int64 {
	data, seq, err := c.stream.stored(testNames().Checkpoint("account"))
	if err != nil || seq == 0 {
		return 0
	}
	cp, err := DecodeCheckpoint(data)
	if err != nil || cp.Phase != PhaseFollowing {
		return 0
	}
	return tokenVersion(cp.Base)
}

// run strikes until ctx ends. Each seed meets two kinds at most.
func (c *calamities) run(ctx context.Context, r *rand.Rand, records int, full []string) {
	first, second := calamityPair(c.seed)
	kinds := []string{first, second}
	for sleep(ctx, time.Duration(2000+r.IntN(9000))*time.Millisecond) == nil {
		switch kind := kinds[r.IntN(len(kinds))]; kind {
		case "token expired", "full dump":
			c.crm.expire(kind == "full dump")
			c.happened(kind)
		case "restored":
			saved := c.crm.backup()
			c.crm.leap(10_000) // many changes elsewhere in the database
			if sleep(ctx, 8*time.Second) != nil {
				return
			}
			if c.base() > saved.version+5000 {
				c.crm.restore(saved)
				c.happened(kind)
				// A counter that passed the old tokens unseen would hide the restore.
				for b := c.base(); b == 0 || b > saved.version+5000; b = c.base() {
					if sleep(ctx, time.Second) != nil {
						return
					}
				}
			}
		case "other columns":
			c.mu.Lock()
			if len(c.columns) == len(full) {
				c.columns = []string{"accountid", "accountnumber", "createdon"}
			} else {
				c.columns = full
			}
			c.mu.Unlock()
			c.happened(kind)
		case "late commit":
			if c.base() != 0 && c.crm.beginLate(recordID(r.IntN(records)), fmt.Sprint("late ", r.IntN(100))) {
				c.happened(kind)
				if sleep(ctx, time.Duration(r.IntN(3000))*time.Millisecond) != nil {
					return
				}
				c.crm.endLate()
			}
		}
	}
}

// leap moves the version counter on.
func (c *crmModel) leap(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version += n
}

// stored reads the last message on subject without any fault.
func (m *streamModel) stored(subject string) ([]byte, uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, ok := m.last[subject]
	if !ok {
		return nil, 0, nil
	}
	return m.msgs[i].Data, m.msgs[i].Sequence, nil
}

// notices counts why resyncs were begun.
func (s *storm) notices(m *streamModel) {
	for _, msg := range m.snapshot() {
		if msg.Subject != testNames().Notice("account") {
			continue
		}
		var n struct {
			Data struct{ Reason string }
		}
		if json.Unmarshal(msg.Data, &n) == nil {
			s.mu.Lock()
			s.sometime["notice "+n.Data.Reason]++
			s.mu.Unlock()
		}
	}
}

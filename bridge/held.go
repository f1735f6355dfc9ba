package bridge

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"cebridge/schema"
	"cebridge/schema/mapping"
)

// How often a key that is not Active is looked at: soon at first, since small tables
// are indexed within seconds.
const (
	minKeyWait = time.Second
	maxKeyWait = time.Minute
)

// stateHeld is the state of a route that has not started because it waits for an
// alternate key.
const stateHeld = "held"

// hold keeps a route from starting until the keys it relies on are Active. Its
// consumer is there meanwhile, so that no message is missed.
//
// The route gets it as its mapper. The program is replaced before the route runs.
type hold struct {
	*mapping.Program
	b   *Bridge
	cfg RouteConfig
	// detail says what the route waits for; nil once it does not.
	detail atomic.Pointer[string]
}

// newHold holds a route; program is that of the mapping when the keys are Active.
func (b *Bridge) newHold(c RouteConfig, program *mapping.Program, keys []keyNeed) *hold {
	h := &hold{Program: program, b: b, cfg: c}
	h.say(waitText(keys[0].Table, keys[0].key, ""))
	return h
}

// waitText says what is waited for and what a person can do.
func waitText(table string, k *schema.AlternateKey, cause string) string {
	text := fmt.Sprintf("alternate key %s of %s is %s, not Active: ", k.LogicalName, table, cmp.Or(string(k.Status), "of unknown status"))
	if k.Status != schema.KeyFailed {
		return text + "the route starts by itself when its index is built"
	}
	if cause != "" {
		text += cause + ": "
	}
	return text + "remove the cause, such as records that share a value, then run cebridge apply --reactivate; the route starts by itself afterwards"
}

func (h *hold) say(text string) {
	if old := h.detail.Swap(&text); old == nil || *old != text {
		h.b.log.Warn("route is held", "route", h.cfg.Name, "reason", text)
	}
}

// wait returns nil once the keys are Active and the mapping is compiled against the
// metadata of that moment, else the context's error.
func (h *hold) wait(ctx context.Context) error {
	delay := minKeyWait
	for {
		ready, err := h.look(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if ready {
			h.detail.Store(nil)
			h.b.log.Info("route is held no longer", "route", h.cfg.Name)
			return nil
		}
		if err != nil {
			h.say(fmt.Sprintf("it waits for its alternate keys, which cannot be read: %v", err))
		}
		timer := time.NewTimer(delay)
		delay = min(2*delay, maxKeyWait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// look reads the metadata again and compiles the mapping when every key is Active.
func (h *hold) look(ctx context.Context) (bool, error) {
	cat, err := h.b.client.Metadata(ctx, h.cfg.Mapping.Tables())
	if err != nil {
		return false, err
	}
	for _, n := range keyNeeds(h.cfg, cat) {
		switch {
		case n.key == nil:
			h.say("alternate key of " + n.String() + " is gone: define it with cebridge apply; the route starts by itself afterwards")
			return false, nil
		case n.active():
			continue
		}
		cause := ""
		if n.key.Status == schema.KeyFailed {
			k, err := h.b.client.Key(ctx, n.Table, n.key.LogicalName)
			if err != nil {
				return false, err
			}
			if k != nil {
				cause = k.Cause
			}
		}
		h.say(waitText(n.Table, n.key, cause))
		return false, nil
	}
	program, problems := compileRoute(h.cfg, cat)
	if len(problems) > 0 {
		return false, problems
	}
	h.Program = program
	return true, nil
}

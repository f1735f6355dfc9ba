package bridge

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"cebridge/schema"
	"cebridge/schema/mapping"
	"cebridge/schema/telemetry"
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
	gauge  metric.Int64UpDownCounter
	logged string
}

// newHold holds a route; program is that of the mapping when the keys are Active.
func (b *Bridge) newHold(c RouteConfig, program *mapping.Program, keys []keyNeed) (*hold, error) {
	gauge, err := b.prov.meter.Int64UpDownCounter(telemetry.InboundHeld, metric.WithDescription("1 while the route waits for an alternate key."))
	if err != nil {
		return nil, fmt.Errorf("route %s: %w", c.Name, err)
	}
	h := &hold{Program: program, b: b, cfg: c, gauge: gauge}
	h.count(1)
	text := waitText(keys[0].Table, keys[0].key, "")
	h.say(text, text)
	return h, nil
}

func (h *hold) count(n int64) {
	h.gauge.Add(context.Background(), n, metric.WithAttributes(attribute.String(telemetry.AttrRoute, h.cfg.Name)))
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

// say shows a detail in the status, and logs what changed. What the server says of its
// job is for the status alone: it may quote records.
func (h *hold) say(detail, log string) {
	h.detail.Store(&detail)
	if h.logged != log {
		h.logged = log
		h.b.log.Warn("route is held", "route", h.cfg.Name, "reason", log)
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
			h.count(-1)
			h.b.log.Info("route is held no longer", "route", h.cfg.Name)
			return nil
		}
		if err != nil {
			text := fmt.Sprintf("it waits for its alternate keys, which cannot be read: %v", err)
			h.say(text, text)
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
			text := "alternate key of " + n.String() + " is gone: define it with cebridge apply; the route starts by itself afterwards"
			h.say(text, text)
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
		h.say(waitText(n.Table, n.key, cause), waitText(n.Table, n.key, ""))
		return false, nil
	}
	program, problems := compileRoute(h.cfg, cat)
	if len(problems) > 0 {
		return false, problems
	}
	h.Program = program
	return true, nil
}

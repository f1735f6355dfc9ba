package bridge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cebridge/bridge/internal/webapi"
	"cebridge/schema"
)

// allNeeds lists the keys that the routes rely on, each once, with the routes that do.
func (o *Operator) allNeeds(cat schema.Catalog) (needs []keyNeed, routes [][]string) {
	for _, c := range o.b.cfg.Inbound.Routes {
		if c.Mapping == nil {
			continue
		}
		for _, n := range keyNeeds(c, cat) {
			i := slices.IndexFunc(needs, n.same)
			if i < 0 {
				i = len(needs)
				needs, routes = append(needs, n), append(routes, nil)
			}
			routes[i] = append(routes[i], c.Name)
		}
	}
	return needs, routes
}

// same tells whether both are one key, whatever the order of the columns.
func (n keyNeed) same(other keyNeed) bool {
	return n.Table == other.Table && slices.Equal(slices.Sorted(slices.Values(n.Columns)), slices.Sorted(slices.Values(other.Columns)))
}

// planMissingKeys lists the keys that no table declares.
func (o *Operator) planMissingKeys(cat schema.Catalog) []keyNeed {
	needs, _ := o.allNeeds(cat)
	return slices.DeleteFunc(needs, func(n keyNeed) bool { return n.key != nil })
}

// planKeys plans the keys that are not Active. A key of missing that cannot be defined
// was reported before.
func (o *Operator) planKeys(ctx context.Context, cat schema.Catalog, missing []keyNeed, opt ApplyOptions) (plan []planned, err error) {
	needs, routes := o.allNeeds(cat)
	for i, n := range needs {
		if n.active() {
			continue
		}
		whom := " for " + plural(routes[i])
		var p planned
		if n.key == nil {
			p, err = o.planNewKey(ctx, cat[n.Table], n, whom, opt)
		} else {
			p, err = o.planKey(ctx, n, whom, opt)
		}
		if err != nil {
			return nil, fmt.Errorf("alternate key of %s: %w", n, err)
		}
		plan = append(plan, p)
	}
	return plan, nil
}

func plural(routes []string) string {
	if len(routes) == 1 {
		return "route " + routes[0]
	}
	return "routes " + strings.Join(routes, ", ")
}

// planNewKey plans a key that does not exist.
func (o *Operator) planNewKey(ctx context.Context, t *schema.Table, n keyNeed, whom string, opt ApplyOptions) (planned, error) {
	rows, more, err := o.b.client.CountUpTo5000(ctx, t)
	if err != nil {
		return planned{}, err
	}
	size := fmt.Sprintf("%d records", rows)
	if more {
		size = "5000 records or more"
	}
	key := webapi.NewKey{
		Table: n.Table, SchemaName: schema.KeyName(o.b.cfg.WebAPI.PublisherPrefix, n.Columns), Columns: n.Columns,
		Label: "cebridge: " + strings.Join(n.Columns, ", "), Solution: o.b.cfg.WebAPI.Solution,
	}
	name := strings.ToLower(key.SchemaName)
	return planned{
		Change: Change{
			Kind: changeKey, Name: n.String(), What: "define alternate key " + key.SchemaName + whom,
			Consequence: "the server builds an index over " + size + "; records that share a value make it fail; afterwards nobody can save such a record any more, " +
				"but records with an empty part may share the rest; it adds work to every write of the table",
		},
		make: func(ctx context.Context) error { return o.b.client.CreateKey(ctx, key) },
	}.waiting(o, n, name, opt), nil
}

// planKey plans a key that exists and is not Active.
func (o *Operator) planKey(ctx context.Context, n keyNeed, whom string, opt ApplyOptions) (planned, error) {
	name := n.key.LogicalName
	p := planned{Change: Change{Kind: changeKey, Name: n.String(), What: "wait until the index of " + name + " is built" + whom + ": it is " + cmp.Or(string(n.key.Status), "of unknown status")}}
	if n.key.Status != schema.KeyFailed {
		return p.waiting(o, n, name, opt), nil
	}
	k, err := o.b.client.Key(ctx, n.Table, name)
	if err != nil {
		return planned{}, err
	}
	cause := failedText(k)
	if !opt.Reactivate {
		p.What, p.Person = "the index of "+name+whom+" has failed: "+cause, true
		p.Consequence = "remove the cause, such as records that share a value, then run apply --reactivate"
		return p, nil
	}
	p.What, p.Consequence = "build the index of "+name+whom+" again", "it failed before: "+cause
	p.make = func(ctx context.Context) error { return o.b.client.ReactivateKey(ctx, n.Table, name) }
	return p.waiting(o, n, name, opt), nil
}

// failedText is why a key failed, or where that can be seen.
func failedText(k *webapi.Key) string {
	if k != nil && k.Cause != "" {
		return k.Cause
	}
	return "the server does not tell why; see its system job under System Jobs"
}

// How often Apply looks at a key: soon at first, since small tables are indexed within
// seconds.
const (
	minApplyLook = 250 * time.Millisecond
	maxApplyLook = 10 * time.Second
	// applyHeartbeat is how often it says that it still waits.
	applyHeartbeat = time.Minute
)

// waiting makes a change be in force once the key is Active.
func (p planned) waiting(o *Operator, n keyNeed, name string, opt ApplyOptions) planned {
	p.wait = func(ctx context.Context) error { return o.awaitKey(ctx, n, name, opt.Report) }
	return p
}

// awaitKey waits for the end of a key's index job.
func (o *Operator) awaitKey(ctx context.Context, n keyNeed, name string, report func(string)) error {
	delay, began := minApplyLook, time.Now()
	var said schema.KeyStatus
	lastSaid := began
	for {
		var k *webapi.Key
		err := o.b.await(ctx, "alternate key", func(ctx context.Context) (err error) {
			k, err = o.b.client.Key(ctx, n.Table, name)
			return err
		})
		if err != nil {
			return err
		}
		if k == nil {
			return errors.New("somebody has removed it: run apply again")
		}
		switch waited := time.Since(began); {
		case k.Status != said:
			said, lastSaid = k.Status, time.Now()
			report(changeKey + " " + n.String() + ": " + string(k.Status))
		case time.Since(lastSaid) >= applyHeartbeat:
			lastSaid = time.Now()
			report(changeKey + " " + n.String() + ": " + string(k.Status) + " for " + waited.Round(time.Second).String())
		}
		switch k.Status {
		case schema.KeyActive:
			return nil
		case schema.KeyFailed:
			return fmt.Errorf("its index has failed: %s: remove the cause, such as records that share a value, then run apply --reactivate", failedText(k))
		}
		timer := time.NewTimer(delay)
		delay = min(2*delay, maxApplyLook)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

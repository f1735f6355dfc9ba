package bridge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cebridge/bridge/internal/jet"
	"cebridge/schema"
	"cebridge/schema/outcome"
)

// Change is one thing that is not as the configuration needs it. The JSON names are
// a contract.
type Change struct {
	// Kind is change_tracking, alternate_key, column_security, webhook, stream, bucket or
	// consumer; Name is the table, the key with its table, the column with its table, the endpoint or step, the stream, the bucket of
	// the object store or the consumer.
	Kind string `json:"kind"`
	Name string `json:"name"`
	// What says what is to be done, Consequence what that entails; "" for nothing
	// worth saying.
	What        string `json:"what"`
	Consequence string `json:"consequence,omitempty"`
	// Person tells that Apply leaves it to a person.
	Person bool `json:"needs_person,omitempty"`
}

// The kinds of a change.
const (
	changeTracking = "change_tracking"
	changeKey      = "alternate_key"
	changeSecurity = "column_security"
	changeWebhook  = "webhook"
	changeStream   = "stream"
	changeBucket   = "bucket"
	changeConsumer = "consumer"
)

// planned is a change with the way to make it.
type planned struct {
	Change
	// make makes the change; nil for what another step makes along with its own.
	make func(context.Context) error
	// wait, if set, is called after all changes were made, and returns when the change
	// is in force.
	wait func(context.Context) error
}

// ApplyOptions tune Apply and Plan. The zero value is what most need.
type ApplyOptions struct {
	// Reactivate has the indexes of failed alternate keys built again, which is
	// otherwise left to a person.
	Reactivate bool
	// Wait bounds the time until the indexes of alternate keys are built; 0 is 30
	// minutes.
	Wait time.Duration
	// Report is told each change when it was made, and what is waited for.
	Report func(text string)
}

// ErrNotInForce is wrapped when everything was made but an alternate key is not Active
// yet. It becomes so without the bridge; Apply may be called again to wait on.
var ErrNotInForce = errors.New("not in force yet")

// defaultKeyWait is how long Apply waits for indexes.
const defaultKeyWait = 30 * time.Minute

// Plan lists what Apply would change, what cannot be taken back first. A
// configuration that does not fit the organization fails with schema.Problems.
func (o *Operator) Plan(ctx context.Context) ([]Change, error) {
	plan, err := o.plan(ctx, ApplyOptions{})
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	return changesOf(plan), nil
}

func changesOf(plan []planned) []Change {
	changes := []Change{}
	for _, p := range plan {
		changes = append(changes, p.Change)
	}
	return changes
}

func (o *Operator) plan(ctx context.Context, opt ApplyOptions) ([]planned, error) {
	if err := o.crm(ctx); err != nil {
		return nil, err
	}
	cat, _, err := o.b.metadata(ctx)
	if err != nil {
		return nil, err
	}
	plan, problems := o.planTracking(cat)
	missing := o.planMissingKeys(cat)
	if _, ps := o.b.compile(declaredKeys(cat, missing)); len(ps) > 0 {
		for _, n := range missing {
			advise(ps, n, cat[n.Table])
		}
		problems = append(problems, ps...)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	for _, part := range []func(context.Context) ([]planned, error){
		func(ctx context.Context) ([]planned, error) { return o.planKeys(ctx, cat, missing, opt) },
		func(ctx context.Context) ([]planned, error) { return o.planSecured(ctx, cat) },
		o.planWebhook, o.planStreams, o.planConsumers, o.planReceipts,
	} {
		more, err := part(ctx)
		if err != nil {
			return nil, err
		}
		plan = append(plan, more...)
	}
	return plan, nil
}

// planTracking lists the tables to follow whose change tracking is off, and what else
// is wrong with the tables.
func (o *Operator) planTracking(cat schema.Catalog) (plan []planned, problems schema.Problems) {
	for _, c := range o.b.cfg.Outbound.Tables {
		if t := cat[c.Table]; t != nil && !t.ChangeTracking {
			plan = append(plan, planned{
				Change: Change{
					Kind: changeTracking, Name: c.Table, What: "switch change tracking on",
					Consequence: "online it cannot be switched off again; the change is published to all users",
				},
				make: func(ctx context.Context) error { return o.b.client.EnableChangeTracking(ctx, c.Table) },
			})
			on := *t
			on.ChangeTracking = true
			cat[c.Table] = &on // so that only other problems are left
		}
		problems = append(problems, checkTable(c, cat)...)
	}
	return plan, problems
}

// Apply makes the changes of the present plan and returns what it made, also beside an
// error. Nothing is changed while a person is needed for any of them, nor when the
// configuration forbids it (provision: none or verify). It returns once the alternate
// keys are Active, and may be interrupted and called again at any time.
func (o *Operator) Apply(ctx context.Context, opt ApplyOptions) ([]Change, error) {
	if opt.Report == nil {
		opt.Report = func(string) {}
	}
	if opt.Wait <= 0 {
		opt.Wait = defaultKeyWait
	}
	plan, err := o.plan(ctx, opt)
	if err != nil {
		return nil, fmt.Errorf("apply: %w", err)
	}
	if len(plan) == 0 {
		return []Change{}, nil
	}
	for _, c := range plan {
		if c.Person {
			return nil, fmt.Errorf("apply: %s %s: %s (%s): a person must decide; nothing was changed", c.Kind, c.Name, c.What, c.Consequence)
		}
	}
	if mode := jet.Mode(o.b.cfg.Provision); mode != jet.ProvisionApply {
		return nil, fmt.Errorf("apply: the configuration says provision: %s; nothing was changed", mode)
	}
	made := []Change{}
	for _, p := range plan {
		if p.make != nil {
			if err := p.make(ctx); err != nil {
				return made, fmt.Errorf("apply: %s %s: %s: %w%s", p.Kind, p.Name, p.What, err, rightsHint(p.Kind, err))
			}
		}
		made = append(made, p.Change)
		if p.wait == nil || p.make != nil {
			opt.Report(p.Kind + " " + p.Name + ": done: " + p.What)
		}
	}
	return made, o.waitForKeys(ctx, plan, opt)
}

// rightsHint says what the user lacks whom the server refuses a change of definitions.
// Source: developer guide, "Predefined security roles".
func rightsHint(kind string, err error) string {
	e := outcome.Of(err)
	if e == nil || e.Reason != outcome.Forbidden || kind != changeKey && kind != changeTracking {
		return ""
	}
	return ": the user needs the rights of a System Customizer, or somebody who has them makes this change and runs apply again"
}

// waitForKeys waits for all keys, also when one of them has failed, and tells of every
// one that is not Active.
func (o *Operator) waitForKeys(ctx context.Context, plan []planned, opt ApplyOptions) error {
	limited, cancel := context.WithTimeout(ctx, opt.Wait)
	defer cancel()
	var errs []error
	for _, p := range plan {
		if p.wait == nil {
			continue
		}
		err := p.wait(limited)
		switch {
		case err == nil:
			continue
		case ctx.Err() != nil:
			return fmt.Errorf("apply: interrupted: %s %s: %w: the server goes on by itself; run apply again to wait on: %w", p.Kind, p.Name, ErrNotInForce, ctx.Err())
		case limited.Err() != nil:
			err = fmt.Errorf("%w after %s: the server goes on by itself; run apply again to wait on", ErrNotInForce, opt.Wait)
		}
		errs = append(errs, fmt.Errorf("apply: %s %s: %w", p.Kind, p.Name, err))
	}
	return errors.Join(errs...)
}

package bridge

import (
	"context"
	"fmt"

	"cebridge/bridge/internal/jet"
	"cebridge/schema"
)

// Change is one thing that is not as the configuration needs it. The JSON names are
// a contract.
type Change struct {
	// Kind is stream or change_tracking; Name is the stream or table.
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
	changeStream   = "stream"
	changeTracking = "change_tracking"
)

// Plan lists what Apply would change, what cannot be taken back first. A
// configuration that does not fit the organization fails with schema.Problems.
func (o *Operator) Plan(ctx context.Context) ([]Change, error) {
	tables, err := o.untracked(ctx)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	changes := []Change{}
	for _, t := range tables {
		changes = append(changes, Change{
			Kind: changeTracking, Name: t, What: "switch change tracking on",
			Consequence: "online it cannot be switched off again; the change is published to all users",
		})
	}
	streams, err := o.planStreams(ctx)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	return append(changes, streams...), nil
}

// untracked are the tables to follow whose change tracking is off.
func (o *Operator) untracked(ctx context.Context) ([]string, error) {
	if err := o.crm(ctx); err != nil {
		return nil, err
	}
	cat, _, err := o.b.metadata(ctx)
	if err != nil {
		return nil, err
	}
	var off []string
	var problems schema.Problems
	for _, c := range o.b.cfg.Outbound.Tables {
		if t := cat[c.Table]; t != nil && !t.ChangeTracking {
			off = append(off, c.Table)
			on := *t
			on.ChangeTracking = true
			cat[c.Table] = &on // so that only other problems are left
		}
		problems = append(problems, checkTable(c, cat)...)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return off, nil
}

func (o *Operator) planStreams(ctx context.Context) (changes []Change, err error) {
	b := o.b
	events := jet.EventStream{
		Name: b.EventStream(), Subjects: b.names.EventSubjects(), Replicas: b.cfg.Stream.Replicas,
		HistoryPerRecord: b.cfg.Stream.HistoryPerRecord, MaxBytes: b.cfg.Stream.MaxBytes,
	}
	eventsExist, diffs, err := b.conn.CompareEventStream(ctx, events)
	if err != nil {
		return nil, err
	}
	deadExists, deadDiffs, err := b.conn.CompareDeadStream(ctx, b.names.DeadStream(), b.names.DeadSubjects(), b.cfg.Stream.Replicas)
	if err != nil {
		return nil, err
	}
	switch {
	case !eventsExist && deadExists:
		changes = append(changes, Change{Kind: changeStream, Name: events.Name, Person: true,
			What:        "it is gone, although the stream of dead letters is there",
			Consequence: "an empty one in its place would hide the loss: restore it from a backup, or remove " + b.names.DeadStream() + " to start anew"})
	case !eventsExist:
		changes = append(changes, Change{Kind: changeStream, Name: events.Name, What: "create it"})
	}
	changes = append(changes, differences(events.Name, diffs)...)
	if !deadExists {
		changes = append(changes, Change{Kind: changeStream, Name: b.names.DeadStream(), What: "create it"})
	}
	changes = append(changes, differences(b.names.DeadStream(), deadDiffs)...)
	for _, s := range b.cfg.Inbound.Streams {
		exists, err := b.conn.StreamExists(ctx, s.Name)
		if err != nil {
			return nil, err
		}
		if !exists {
			changes = append(changes, Change{Kind: changeStream, Name: s.Name, What: "create it"})
		}
	}
	return changes, nil
}

func differences(stream string, diffs []jet.Difference) (changes []Change) {
	for _, d := range diffs {
		changes = append(changes, Change{Kind: changeStream, Name: stream, Person: d.Danger != "", Consequence: d.Danger,
			What: fmt.Sprintf("%s is %s, want %s", d.Setting, d.Have, d.Want)})
	}
	return changes
}

// Apply makes the changes of the present plan and returns what it made. Nothing is
// changed while a person is needed for any of them, nor when the configuration
// forbids it (provision: none or verify).
func (o *Operator) Apply(ctx context.Context) ([]Change, error) {
	plan, err := o.Plan(ctx)
	if err != nil || len(plan) == 0 {
		return plan, err
	}
	for _, c := range plan {
		if c.Person {
			return nil, fmt.Errorf("apply: %s %s: %s (%s): a person must decide; nothing was changed", c.Kind, c.Name, c.What, c.Consequence)
		}
	}
	if mode := jet.Mode(o.b.cfg.Provision); mode != jet.ProvisionApply {
		return nil, fmt.Errorf("apply: the configuration says provision: %s; nothing was changed", mode)
	}
	for i, c := range plan {
		if c.Kind != changeTracking {
			continue
		}
		if err := o.b.client.EnableChangeTracking(ctx, c.Name); err != nil {
			return plan[:i], fmt.Errorf("apply: switch change tracking on for table %s: %w", c.Name, err)
		}
	}
	if err := o.b.provideStreams(ctx); err != nil {
		return nil, fmt.Errorf("apply: %w", err)
	}
	return plan, nil
}

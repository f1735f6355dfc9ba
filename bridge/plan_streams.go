package bridge

import (
	"context"
	"fmt"
	"slices"

	"cebridge/bridge/internal/jet"
)

// planStreams plans the streams. They are made together, in the order that start needs:
// the first change that is made makes them all.
func (o *Operator) planStreams(ctx context.Context) (plan []planned, err error) {
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
		plan = append(plan, planned{Change: Change{Kind: changeStream, Name: events.Name, Person: true,
			What:        "it is gone, although the stream of dead letters is there",
			Consequence: "an empty one in its place would hide the loss: restore it from a backup, or remove " + b.names.DeadStream() + " to start anew"}})
	case !eventsExist:
		plan = append(plan, createStream(events.Name))
	}
	plan = append(plan, differences(changeStream, events.Name, diffs)...)
	if !deadExists {
		plan = append(plan, createStream(b.names.DeadStream()))
	}
	plan = append(plan, differences(changeStream, b.names.DeadStream(), deadDiffs)...)
	if b.cfg.Outbound.ClaimCheck != nil {
		exists, diffs, err := b.conn.CompareBucket(ctx, b.bucket(), b.cfg.Stream.Replicas)
		if err != nil {
			return nil, err
		}
		if !exists {
			plan = append(plan, planned{Change: Change{Kind: changeBucket, Name: b.bucket(), What: "create it"}})
		}
		plan = append(plan, differences(changeBucket, b.bucket(), diffs)...)
	}
	for _, s := range b.cfg.Inbound.Streams {
		exists, diffs, err := b.conn.CompareSourceStream(ctx, s.Name, s.Subjects)
		if err != nil {
			return nil, err
		}
		if !exists {
			plan = append(plan, createStream(s.Name))
		}
		plan = append(plan, differences(changeStream, s.Name, diffs)...)
	}
	if len(plan) > 0 {
		plan[0].make = b.provideStreams
	}
	return plan, nil
}

func createStream(name string) planned {
	return planned{Change: Change{Kind: changeStream, Name: name, What: "create it"}}
}

func differences(kind, name string, diffs []jet.Difference) (plan []planned) {
	for _, d := range diffs {
		plan = append(plan, planned{Change: Change{Kind: kind, Name: name, Person: d.Danger != "", Consequence: d.Danger,
			What: fmt.Sprintf("%s is %s, want %s", d.Setting, d.Have, d.Want)}})
	}
	return plan
}

// planConsumers plans the consumer of each route. It comes after the streams.
func (o *Operator) planConsumers(ctx context.Context) (plan []planned, err error) {
	b := o.b
	for _, c := range b.cfg.Inbound.Routes {
		own := slices.ContainsFunc(b.cfg.Inbound.Streams, func(s SourceStream) bool { return s.Name == c.Stream })
		if !own {
			there, err := b.conn.StreamExists(ctx, c.Stream)
			if err != nil {
				return nil, err
			}
			if !there {
				plan = append(plan, planned{Change: Change{Kind: changeStream, Name: c.Stream, Person: true, What: "it does not exist, and route " + c.Name + " reads from it",
					Consequence: "the system that fills it has to make it; or list it under inbound.streams for the bridge to make"}})
				continue
			}
		}
		cfg := b.feedConfig(c)
		exists, diffs, err := b.conn.CompareConsumer(ctx, cfg)
		if err != nil {
			return nil, err
		}
		made := differences(changeConsumer, cfg.Durable, diffs)
		if !exists {
			made = []planned{{Change: Change{Kind: changeConsumer, Name: cfg.Durable, What: "create it on stream " + c.Stream + " for route " + c.Name,
				Consequence: "where it starts (" + c.Start + ") is settled then"}}}
		}
		if len(made) > 0 {
			made[0].make = func(ctx context.Context) error {
				_, err := b.conn.Feed(ctx, cfg)
				return err
			}
		}
		plan = append(plan, made...)
	}
	return plan, nil
}

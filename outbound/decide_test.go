package outbound

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cebridge/schema/event"
)

func at(change event.Change, version int64, epoch int, seq uint64) *known {
	return &known{Published: event.Published{Version: version, Epoch: epoch, Change: change}, Sequence: seq}
}

func TestRowIsComparedWithTheLastEvent(t *testing.T) {
	t.Parallel()
	following := situation{phase: PhaseFollowing, start: StartLoad, epoch: 2, held: 50}
	loading := situation{phase: PhaseLoading, start: StartLoad, epoch: 2, held: 50}
	baseline := time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC)
	now := situation{phase: PhaseFollowing, start: StartNow, epoch: 2, held: 50, baseline: baseline}
	blind := now
	blind.baseline = time.Time{}
	publish := func(c event.Change, last *known) decision {
		d := decision{step: stepPublish, change: c}
		if last != nil {
			d.previous = *last
		}
		return d
	}
	skip := func(reason string, last *known) decision {
		d := decision{step: stepSkip, reason: reason}
		if last != nil {
			d.previous = *last
		}
		return d
	}
	for _, c := range []struct {
		name    string
		s       situation
		version int64
		created time.Time
		last    *known
		want    decision
	}{
		{"unknown while loading is loaded", loading, 7, time.Time{}, nil, publish(event.Loaded, nil)},
		{"unknown while following is created", following, 7, time.Time{}, nil, publish(event.Created, nil)},
		{"start now: created after the baseline", now, 7, baseline.Add(time.Second), nil, publish(event.Created, nil)},
		{"start now: created at the baseline is an update", now, 7, baseline, nil, publish(event.Updated, nil)},
		{"start now: no creation time is an update", now, 7, time.Time{}, nil, publish(event.Updated, nil)},
		{"start now: no baseline is an update", blind, 7, baseline, nil, publish(event.Updated, nil)},
		{"priming publishes nothing", situation{phase: PhasePriming, epoch: 1}, 7, time.Time{}, nil, skip(skipPriming, nil)},
		{"same version is skipped", following, 7, time.Time{}, at(event.Updated, 7, 2, 40), skip(skipPublished, at(event.Updated, 7, 2, 40))},
		{"same version while loading is skipped", loading, 7, time.Time{}, at(event.Loaded, 7, 2, 40), skip(skipPublished, at(event.Loaded, 7, 2, 40))},
		{"higher version is updated", following, 8, time.Time{}, at(event.Loaded, 7, 2, 40), publish(event.Updated, at(event.Loaded, 7, 2, 40))},
		{"higher version while loading is updated", loading, 8, time.Time{}, at(event.Loaded, 7, 2, 60), publish(event.Updated, at(event.Loaded, 7, 2, 60))},
		{"higher version after a delete is created", following, 8, time.Time{}, at(event.Deleted, 7, 2, 40), publish(event.Created, at(event.Deleted, 7, 2, 40))},
		{"the deleted version again, delete old: rewound", following, 7, time.Time{}, at(event.Deleted, 7, 2, 50), decision{step: stepRewound, previous: *at(event.Deleted, 7, 2, 50)}},
		{"the deleted version again, delete new: stale", following, 7, time.Time{}, at(event.Deleted, 7, 2, 51), skip(skipStale, at(event.Deleted, 7, 2, 51))},
		{"lower version, event old: rewound", following, 6, time.Time{}, at(event.Updated, 7, 2, 50), decision{step: stepRewound, previous: *at(event.Updated, 7, 2, 50)}},
		{"lower version, event new: stale", following, 6, time.Time{}, at(event.Updated, 7, 2, 51), skip(skipStale, at(event.Updated, 7, 2, 51))},
		{"earlier epoch: any version is updated", following, 3, time.Time{}, at(event.Updated, 7, 1, 40), publish(event.Updated, at(event.Updated, 7, 1, 40))},
		{"earlier epoch: after a delete, created", following, 3, time.Time{}, at(event.Deleted, 7, 1, 40), publish(event.Created, at(event.Deleted, 7, 1, 40))},
		{"later epoch: the checkpoint went back", following, 8, time.Time{}, at(event.Updated, 7, 3, 40), decision{step: stepAhead, previous: *at(event.Updated, 7, 3, 40)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := decideRow(c.s, &Row{Version: c.version, Hash: 1}, func() time.Time { return c.created }, c.last, false)
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(decision{})); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDeleteIsComparedWithTheLastEvent(t *testing.T) {
	t.Parallel()
	s := situation{phase: PhaseFollowing, start: StartLoad, epoch: 2, held: 50}
	for _, c := range []struct {
		name     string
		s        situation
		doubtful bool
		last     *known
		step     step
		reason   string
	}{
		{"never published", s, false, nil, stepSkip, skipUnknown},
		{"never published, doubtful", s, true, nil, stepSkip, skipUnknown},
		{"already deleted", s, false, at(event.Deleted, 7, 2, 40), stepSkip, skipGone},
		{"already deleted in an earlier epoch", s, true, at(event.Deleted, 7, 1, 40), stepSkip, skipGone},
		{"live", s, false, at(event.Loaded, 7, 2, 40), stepPublish, ""},
		{"live in an earlier epoch", s, false, at(event.Loaded, 7, 1, 40), stepPublish, ""},
		{"live and doubtful", s, true, at(event.Loaded, 7, 2, 40), stepAsk, ""},
		{"later epoch", s, false, at(event.Loaded, 7, 3, 40), stepAhead, ""},
		{"priming", situation{phase: PhasePriming, epoch: 2}, false, nil, stepSkip, skipPriming},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := decideDelete(c.s, c.doubtful, c.last)
			if got.step != c.step || got.reason != c.reason {
				t.Errorf("step %d reason %q, want %d %q", got.step, got.reason, c.step, c.reason)
			}
			if (got.step == stepPublish || got.step == stepAsk) && (got.change != event.Deleted || got.previous != *c.last) {
				t.Errorf("decision %+v does not delete %+v", got, *c.last)
			}
		})
	}
}

func TestARowThatTheFilterKeepsOutIsComparedWithTheLastEvent(t *testing.T) {
	t.Parallel()
	following := situation{phase: PhaseFollowing, start: StartLoad, epoch: 2, held: 50}
	for _, c := range []struct {
		name    string
		s       situation
		version int64
		last    *known
		step    step
		reason  string
	}{
		{"never published", following, 7, nil, stepSkip, skipFiltered},
		{"priming", situation{phase: PhasePriming, epoch: 2}, 7, nil, stepSkip, skipPriming},
		{"live, higher", following, 8, at(event.Updated, 7, 2, 40), stepPublish, ""},
		{"live, the same version: a new epoch's first look", following, 7, at(event.Updated, 7, 2, 40), stepPublish, ""},
		{"live in an earlier epoch", following, 3, at(event.Updated, 7, 1, 40), stepPublish, ""},
		{"deleted, higher", following, 8, at(event.Deleted, 7, 2, 40), stepSkip, skipFiltered},
		{"deleted, the same", following, 7, at(event.Deleted, 7, 2, 40), stepSkip, skipFiltered},
		{"deleted in an earlier epoch", following, 3, at(event.Deleted, 7, 1, 40), stepSkip, skipFiltered},
		{"lower, event old", following, 6, at(event.Updated, 7, 2, 50), stepRewound, ""},
		{"lower than its delete, event old", following, 6, at(event.Deleted, 7, 2, 50), stepRewound, ""},
		{"lower, event new", following, 6, at(event.Updated, 7, 2, 51), stepSkip, skipStale},
		{"later epoch", following, 8, at(event.Updated, 7, 3, 40), stepAhead, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := decideRow(c.s, &Row{Version: c.version, Out: true}, nil, c.last, false)
			if got.step != c.step || got.reason != c.reason || got.step == stepPublish && got.change != event.Deleted {
				t.Errorf("decision %+v", got)
			}
			if c.last != nil && got.previous != *c.last {
				t.Errorf("previous %+v", got.previous)
			}
		})
	}
}

func TestNoiseIsNoUpdateButADeletedRecordComesBack(t *testing.T) {
	t.Parallel()
	s := situation{phase: PhaseFollowing, start: StartLoad, epoch: 2, held: 50}
	for _, c := range []struct {
		last *known
		want step
	}{
		{at(event.Updated, 7, 2, 40), stepSkip},
		{at(event.Updated, 7, 1, 40), stepSkip},
		{at(event.Deleted, 7, 2, 40), stepPublish},
	} {
		if got := decideRow(s, &Row{Version: 8, Hash: 1}, nil, c.last, true); got.step != c.want {
			t.Errorf("after %+v: %+v", c.last, got)
		}
	}
}

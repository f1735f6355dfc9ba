package main

import (
	"runtime"
	"slices"
	"testing"
	"time"
)

func TestMoreGarbageGathersWhereCollectionsFollowEachOtherAsFarAsThereIsRoom(t *testing.T) {
	t.Parallel()
	now, live := time.Unix(1000, 0), uint64(8<<20)
	var set []int
	p := &gcPace{
		now:  func() time.Time { return now },
		live: func() uint64 { return live },
		set:  func(percent int) { set = append(set, percent) },
	}
	for _, step := range []struct {
		after time.Duration
		live  uint64
		want  int
	}{
		{time.Hour, 8 << 20, calmPercent},
		{time.Minute, 8 << 20, calmPercent}, // idle
		{closely / 4, 8 << 20, busyPercent},
		{closely / 2, busyHeap / 5, busyPercent},
		{closely / 2, busyHeap / 4, 300},
		{closely / 2, busyHeap/4 + 1, 250},
		{closely / 2, busyHeap, calmPercent}, // a lot is kept
		{closely / 2, 1 << 40, calmPercent},
		{closely / 2, 0, busyPercent},
		{closely / 2, 8 << 20, busyPercent},
		{closely, 8 << 20, calmPercent},
	} {
		now, live = now.Add(step.after), step.live
		p.collected()
		if p.percent != step.want {
			t.Errorf("after %s with %d bytes: %d %%, want %d", step.after, step.live, p.percent, step.want)
		}
	}
	if want := []int{200, 400, 300, 250, 200, 400, 200}; !slices.Equal(set, want) {
		t.Errorf("set %v, want %v: nothing is set that is set already", set, want)
	}
}

func TestThePaceIsDecidedAgainAfterEachCollection(t *testing.T) {
	t.Parallel()
	decided := make(chan time.Time)
	stop := make(chan struct{})
	defer close(stop)
	p := &gcPace{
		now: func() time.Time {
			select {
			case decided <- time.Now():
			case <-stop:
			}
			return time.Now()
		},
		live: func() uint64 { return 0 },
		set:  func(int) {},
	}
	p.watch()
	limit := time.After(4 * time.Minute)
	for i := range 3 {
		for seen := false; !seen; {
			runtime.GC()
			select {
			case <-decided:
				seen = true
			case <-time.After(time.Millisecond): // cleaned up after a later one
			case <-limit:
				t.Fatalf("nothing was decided after collection %d", i+1)
			}
		}
	}
}

func TestWhatIsInUseIsKnownAfterACollection(t *testing.T) {
	runtime.GC()
	if liveHeap() == 0 {
		t.Error("nothing is in use")
	}
}

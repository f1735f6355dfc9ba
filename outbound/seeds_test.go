package outbound

import (
	"flag"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	stormSeed  = flag.Int64("storm.seed", -1, "run the storms with this seed alone, 20 times")
	stormSeeds = flag.Int("storm.seeds", 10_000, "number of seeds of all storms together; -short takes a twentieth")
)

// oneSeedAgain is how often -storm.seed repeats: the seed fixes what is drawn, not in
// which order goroutines go on that are due at the same instant.
const oneSeedAgain = 20

// storms runs one story under many seeds: percent of all of them. Every seed is a
// test of its own, and what has to happen must have happened under one at least.
func storms(t *testing.T, percent int, story func(t *testing.T, seed uint64, sometime map[string]int), must ...string) {
	// What a seed allocates is small and soon gone: collecting it often costs a fifth.
	debug.SetGCPercent(400)
	if *stormSeed >= 0 {
		for range oneSeedAgain {
			t.Run(fmt.Sprintf("seed=%d", *stormSeed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { story(t, uint64(*stormSeed), map[string]int{}) })
			})
		}
		return
	}
	seeds := *stormSeeds * percent / 100 / stormShare
	if testing.Short() {
		seeds /= 20
	}
	var mu sync.Mutex
	all := map[string]int{}
	began, name := time.Now(), t.Name()
	t.Cleanup(func() {
		for _, what := range must {
			// A twentieth of the seeds may miss what is rare; the whole number must not.
			if all[what] == 0 && !testing.Short() {
				t.Errorf("%q never happened: the storms prove nothing about it", what)
			}
		}
		list := slices.Sorted(maps.Keys(all))
		for i, what := range list {
			list[i] = fmt.Sprintf("%s %d", what, all[what])
		}
		t.Logf("%d seeds in %s; %v", seeds, time.Since(began).Round(time.Millisecond), list)
	})
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			sometime := map[string]int{}
			synctest.Test(t, func(t *testing.T) {
				defer func() {
					if t.Failed() {
						t.Logf("seed %d again: go test ./outbound -run '^%s$' -storm.seed=%d", seed, name, seed)
					}
				}()
				story(t, seed, sometime)
			})
			mu.Lock()
			defer mu.Unlock()
			for what, n := range sometime {
				all[what] += n
			}
		})
	}
}

// spell is how long the storm of a seed lasts. The first and one in eight last until
// things happen that need a history, the others make up for it by their number.
func spell(seed uint64, long time.Duration) time.Duration {
	if seed < 32 || seed%8 == 0 {
		return long
	}
	return long / 3
}

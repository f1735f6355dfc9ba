package outbound

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// jitter draws delays. It may be used by several goroutines.
type jitter struct {
	mu sync.Mutex
	r  *rand.Rand
}

func newJitter(src rand.Source) *jitter {
	if src == nil {
		src = rand.NewPCG(rand.Uint64(), rand.Uint64())
	}
	return &jitter{r: rand.New(src)}
}

// between draws evenly from [lo, hi].
func (j *jitter) between(lo, hi time.Duration) time.Duration {
	if hi <= lo {
		return lo
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return lo + time.Duration(j.r.Int64N(int64(hi-lo)+1))
}

// wait is the delay before try n (from 0): it doubles up to Max, and its upper
// half is drawn, so that tables that failed together do not return together. It
// is never below after.
func (b Backoff) wait(n int, after time.Duration, j *jitter) time.Duration {
	d := b.Max
	if n < 32 && b.Min < b.Max>>n {
		d = b.Min << n
	}
	return max(j.between(d/2, d), after)
}

// sleep waits for d or for the context's end, which it returns.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// detach returns a context that outlives ctx by at most grace: work that was
// begun may finish.
func detach(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if sleep(out, grace) == nil {
			cancel()
		}
	})
	return out, func() { stop(); cancel() }
}

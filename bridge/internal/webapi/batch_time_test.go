package webapi

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

// sizing answers batches and single writes well after a while, and keeps the
// number of writes of each request and when it came.
type sizing struct {
	t    *testing.T
	took time.Duration

	mu    sync.Mutex
	sizes []int
	at    []time.Time
}

func (s *sizing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := 1
	single := !strings.HasSuffix(r.URL.Path, "/$batch")
	if single {
		_, _ = io.Copy(io.Discard, r.Body)
	} else {
		n = len(readBatchRequest(s.t, r))
	}
	s.mu.Lock()
	s.sizes, s.at = append(s.sizes, n), append(s.at, time.Now())
	s.mu.Unlock()
	advance(s.took)
	if single {
		w.Header().Set("OData-Version", "4.0")
		w.WriteHeader(204)
		return
	}
	multipart(w, 200, batchAnswer(good(n)...))
}

func (s *sizing) seen() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sizes)
}

func TestALonelyWriteIsSentAtOnceAndAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sizing{t: t, took: 100 * time.Millisecond}
		c, stop := newPipeClient(t, s, batching(100))
		defer stop()
		for i := range 5 {
			start := time.Now()
			if _, err := c.Apply(t.Context(), upsertOf(i)); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took != s.took || s.sizes[i] != 1 {
				t.Errorf("write %d took %v in a request of %d", i, took, s.sizes[i])
			}
		}
	})
}

func TestCompanyIsAwaitedForTheLingerOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sizing{t: t, took: 100 * time.Millisecond}
		c, stop := newPipeClient(t, s, func(cfg *Config) { cfg.Batch = BatchConfig{Max: 100, Linger: 3 * time.Millisecond} })
		defer stop()
		start := time.Now()
		var group sync.WaitGroup
		apply := func(i int) {
			group.Go(func() {
				if _, err := c.Apply(t.Context(), upsertOf(i)); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		apply(0) // alone
		for i := range 10 {
			apply(1 + i)
		}
		advance(2 * time.Millisecond)
		apply(11) // just in time
		group.Wait()
		if len(s.sizes) != 2 || s.sizes[0] != 1 || s.sizes[1] != 11 {
			t.Fatalf("requests of %v writes, want 1 and 11", s.sizes)
		}
		if waited := s.at[1].Sub(start); waited != 3*time.Millisecond {
			t.Errorf("the batch left after %v", waited)
		}
	})
}

func TestAFullBatchLeavesAtOnceAndWhatWaitsForASlotFillsUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sizing{t: t, took: time.Second}
		c, stop := newPipeClient(t, s, func(cfg *Config) {
			cfg.MaxInFlight, cfg.Batch = 2, BatchConfig{Max: 10, Linger: 100 * time.Millisecond}
		})
		defer stop()
		var group sync.WaitGroup
		for i := range 31 {
			group.Go(func() {
				if _, err := c.Apply(t.Context(), upsertOf(i)); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		if sizes := s.seen(); len(sizes) != 2 || sizes[1] != 10 {
			t.Errorf("requests of %v writes at once, want 1 and a full one", sizes)
		}
		group.Wait()
		if len(s.sizes) != 4 || s.sizes[2] != 10 || s.sizes[3] != 10 {
			t.Errorf("requests of %v writes, want full ones for what had to wait for a slot", s.sizes)
		}
	})
}

func TestACallerThatLeavesIsNotSentAndHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sizing{t: t, took: time.Second}
		c, stop := newPipeClient(t, s, func(cfg *Config) { cfg.MaxInFlight, cfg.Batch = 1, BatchConfig{Max: 10} })
		defer stop()
		var group sync.WaitGroup
		for i := range 6 { // 0 is under way, 1 to 5 wait for its slot
			patience := 10 * time.Second
			if i == 2 || i == 4 {
				patience = 500 * time.Millisecond
			}
			group.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				start := time.Now()
				_, err := c.Apply(ctx, upsertOf(i))
				switch left := patience < time.Second; {
				case left && (!errors.Is(err, context.DeadlineExceeded) || outcome.Of(err) != nil || time.Since(start) != patience):
					t.Errorf("write %d left after %v with %v", i, time.Since(start), err)
				case !left && err != nil:
					t.Errorf("write %d: %v", i, err)
				}
			})
			synctest.Wait()
		}
		group.Wait()
		if len(s.sizes) != 2 || s.sizes[1] != 3 {
			t.Errorf("requests of %v writes, want 1 and the 3 that still waited", s.sizes)
		}
	})
}

func TestABatchWhoseCallersAllLeftIsCancelledAndItsSlotIsFree(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan struct{})
		c, stop := newPipeClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			close(gone)
		}), func(cfg *Config) { cfg.MaxInFlight, cfg.Batch = 1, BatchConfig{Max: 2} })
		defer stop()
		c.batches.flying = 1
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		for i := range 2 {
			group.Go(func() {
				if _, err := c.Apply(ctx, upsertOf(i)); !errors.Is(err, context.Canceled) || outcome.Of(err) != nil {
					t.Errorf("write %d: %v", i, err)
				}
			})
		}
		synctest.Wait()
		cancel()
		group.Wait()
		<-gone
		synctest.Wait()
		if c.governor.total() != 0 || c.batches.flying != 1 || c.batches.inside != 0 || c.batches.starting != 0 {
			t.Errorf("%d slots taken, %d in flight, %d inside, %d starting", c.governor.total(), c.batches.flying, c.batches.inside, c.batches.starting)
		}
	})
}

// TestNothingIsLostOrLeftInAnyMixOfCallersAndFailures runs random callers against
// a random server: every call ends, what says written was written once by that
// very call's request, and nothing is left behind.
func TestNothingIsLostOrLeftInAnyMixOfCallersAndFailures(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 2))
			var mu sync.Mutex
			draw := func(n int) int { mu.Lock(); defer mu.Unlock(); return random.IntN(n) }
			seen := map[string]int{}
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				note := func(line string) { mu.Lock(); seen[line]++; mu.Unlock() }
				if !strings.HasSuffix(r.URL.Path, "/$batch") {
					_, _ = io.Copy(io.Discard, r.Body)
					advance(time.Duration(draw(50)) * time.Millisecond)
					note(r.URL.Path)
					w.Header().Set("OData-Version", "4.0")
					w.WriteHeader(204)
					return
				}
				requests := readBatchRequest(t, r)
				advance(time.Duration(draw(200)) * time.Millisecond)
				if draw(10) == 0 {
					answering([]int{400, 413, 500, 503, 429, 502}[draw(6)], "")(w, r)
					return
				}
				var parts []string
				for _, inner := range requests {
					status := 204
					if draw(20) == 0 {
						status = []int{400, 404, 412, 429, 500, 503}[draw(6)]
					} else {
						note(strings.TrimSuffix(strings.TrimPrefix(inner.line, "PATCH "), " HTTP/1.1"))
					}
					parts = append(parts, part(status, "", ""))
				}
				if draw(10) == 0 {
					parts = parts[:draw(len(parts))]
				}
				multipart(w, 200, batchAnswer(parts...))
			})
			c, stop := newPipeClient(t, handler, func(cfg *Config) {
				cfg.MaxInFlight, cfg.Batch = 1+draw(4), BatchConfig{Max: 2 + draw(20)}
			})
			written := map[string]int{}
			var group sync.WaitGroup
			for i := range 60 {
				patience := time.Duration(1+draw(20000)) * time.Millisecond
				group.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					for range 5 {
						w := upsertOf(i)
						result, err := c.Apply(ctx, w)
						if err == nil && result.Effect != schema.EffectWritten {
							t.Errorf("write %d: %+v", i, result)
						}
						if err == nil {
							mu.Lock()
							written["/api/data/v9.2/"+w.Path()]++
							mu.Unlock()
						}
					}
				})
			}
			group.Wait()
			stop()
			synctest.Wait()
			for path, n := range written {
				if seen[path] < n {
					t.Errorf("seed %d: %s was told written %d times and ran %d times", seed, path, n, seen[path])
				}
			}
			b := c.batches
			if c.governor.total() != 0 || b.flying != 0 || b.inside != 0 || b.starting != 0 || len(b.queue) != 0 {
				t.Errorf("seed %d: %d slots taken, %d in flight, %d inside, %d starting, %d queued",
					seed, c.governor.total(), b.flying, b.inside, b.starting, len(b.queue))
			}
		})
	}
}

func TestAThrottledPartHoldsEverybodyBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var late time.Duration
		c, stop := newPipeClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/$batch") {
				n := len(readBatchRequest(t, r))
				parts := good(n)
				parts[1] = part(429, "Retry-After: 77\r\n", apiError("0x80072322", "too many"))
				multipart(w, 200, batchAnswer(parts...))
				return
			}
			late = time.Since(start)
			answering(200, emptyDelta)(w, r)
		}), batching(4))
		defer stop()
		got := tally(applyTogether(t, c, upserts(4)))
		throttled := applied{Requests: 1, Verdict: "retry-after throttled", Code: "0x80072322"}
		if got[throttled] != 1 || got[applied{Effect: schema.EffectWritten, Requests: 1}] != 3 {
			t.Errorf("ends %v", got)
		}
		if c.governor.limit != DefaultMaxInFlight/2 {
			t.Errorf("limit %d after a throttled part", c.governor.limit)
		}
		if err := pageError(c, t.Context()); err != nil || late < 77*time.Second {
			t.Errorf("a page was read after %v (%v)", late, err)
		}
	})
}

func TestAPartWhoseCredentialsAreRefusedIsSentAloneWithNewOnes(t *testing.T) {
	t.Parallel()
	var singles int
	login := &renewing{}
	c, _ := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/$batch") {
			parts := good(len(readBatchRequest(t, r)))
			parts[0] = part(401, "", "")
			multipart(w, 200, batchAnswer(parts...))
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		singles++
		w.Header().Set("OData-Version", "4.0")
		w.WriteHeader(204)
	}), batching(4), func(cfg *Config) { cfg.Auth = login })
	got := tally(applyTogether(t, c, upserts(4)))
	if singles != 1 || got[applied{Effect: schema.EffectWritten, Requests: 1}] != 3 || got[applied{Effect: schema.EffectWritten, Requests: 2}] != 1 {
		t.Errorf("%d single requests, ends %v", singles, got)
	}
}

func TestABatchWhoseCredentialsAreRefusedIsSentOnceMore(t *testing.T) {
	t.Parallel()
	login := &renewing{}
	var batches int
	c, _ := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		batches++
		n := len(readBatchRequest(t, r))
		if r.Header.Get("Authorization") != "Bearer 1" {
			answering(401, "")(w, r)
			return
		}
		multipart(w, 200, batchAnswer(good(n)...))
	}), batching(4), func(cfg *Config) { cfg.Auth = login })
	if got := tally(applyTogether(t, c, upserts(4))); batches != 2 || got[applied{Effect: schema.EffectWritten, Requests: 1}] != 4 {
		t.Errorf("%d batches, ends %v", batches, got)
	}
}

// renewing is a login whose credentials are a number.
type renewing struct {
	mu sync.Mutex
	n  int
}

func (r *renewing) Authorize(_ context.Context, req *http.Request) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	req.Header.Set("Authorization", "Bearer "+string(rune('0'+r.n)))
	return nil
}

func (r *renewing) Invalidate(*http.Request) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	return true
}

func TestAnOverdueBatchIsAmbiguousForAllAndMakesTheNextOnesSmaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, stop := newPipeClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}), batching(8))
		defer stop()
		for i, got := range applyTogether(t, c, upserts(8)) {
			if (got != applied{Requests: 1, Verdict: "retry timeout", Unsure: true}) {
				t.Errorf("write %d: %+v", i, got)
			}
		}
		if c.batches.size != 4 || c.governor.limit != DefaultMaxInFlight/2 {
			t.Errorf("size %d, limit %d", c.batches.size, c.governor.limit)
		}
	})
}

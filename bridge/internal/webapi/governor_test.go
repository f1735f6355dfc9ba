package webapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cebridge/schema/outcome"
)

// admitted takes a permit at once or fails.
func admitted(t *testing.T, g *governor, s side) *permit {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	p, err := g.admit(ctx, s)
	if err != nil {
		t.Fatalf("no slot for %s: %v", s, err)
	}
	return p
}

// ends gives a permit back with a sign.
func ends(g *governor, p *permit, s sign) {
	p.sign = s
	g.done(p)
}

// window makes one window of answers while every slot is taken.
func window(t *testing.T, g *governor, s sign, took time.Duration) {
	t.Helper()
	permits := make([]*permit, g.limit)
	for i := range permits {
		permits[i] = admitted(t, g, inboundSide)
	}
	for _, p := range permits {
		p.took = took
		ends(g, p, s)
	}
}

func TestTheLimitIsHalvedOnceForAllThatRanTogether(t *testing.T) {
	t.Parallel()
	g := newGovernor(32)
	var told []int
	g.changed = func(n int) { told = append(told, n) }
	window(t, g, congested, 0)
	if g.limit != 16 || len(told) != 1 || told[0] != 16 {
		t.Fatalf("limit %d after 32 throttled requests that ran together, told %v; want 16 once", g.limit, told)
	}
	for want := 8; want >= 1; want /= 2 {
		window(t, g, congested, 0)
		if g.limit != want {
			t.Fatalf("limit %d, want %d", g.limit, want)
		}
	}
	window(t, g, congested, 0)
	if g.limit != 1 {
		t.Errorf("limit %d below the floor", g.limit)
	}
}

func TestTheLimitGrowsByOneACleanWindowUpToTheMost(t *testing.T) {
	t.Parallel()
	g := newGovernor(8)
	window(t, g, congested, 0) // 4
	for want := 5; want <= 8; want++ {
		window(t, g, clean, 0)
		if g.limit != want {
			t.Fatalf("limit %d, want %d", g.limit, want)
		}
	}
	window(t, g, clean, 0)
	if g.limit != 8 {
		t.Errorf("limit %d above the most", g.limit)
	}
}

func TestWhatNobodyPressesDoesNotGrow(t *testing.T) {
	t.Parallel()
	g := newGovernor(8)
	window(t, g, congested, 0) // 4
	for range 50 {
		ends(g, admitted(t, g, inboundSide), clean)
	}
	if g.limit != 4 {
		t.Errorf("limit %d grew by requests one at a time", g.limit)
	}
	for range 50 {
		window(t, g, silent, 0)
	}
	if g.limit != 4 {
		t.Errorf("limit %d grew by requests without an answer", g.limit)
	}
}

func TestTheHintIsTheStartAndTheAnswersTellTheRest(t *testing.T) {
	t.Parallel()
	g := newGovernor(52)
	p := admitted(t, g, outboundSide)
	p.hint = 4
	ends(g, p, clean)
	if g.limit != 4 {
		t.Fatalf("limit %d after a hint of 4", g.limit)
	}
	for _, want := range []int{8, 16, 32, 52} {
		window(t, g, clean, 10*time.Millisecond)
		if g.limit != want {
			t.Fatalf("limit %d while nothing was too much, want %d", g.limit, want)
		}
	}
	p = admitted(t, g, outboundSide)
	p.hint = 5
	ends(g, p, clean)
	if g.limit != 52 {
		t.Errorf("limit %d: a later hint of another web server took what the answers had allowed", g.limit)
	}
	for _, hint := range []int{-1, 0, 5000} {
		g := newGovernor(52)
		p := admitted(t, g, outboundSide)
		p.hint = hint
		ends(g, p, clean)
		if g.limit != 52 {
			t.Errorf("hint %d made the limit %d", hint, g.limit)
		}
	}
}

func TestSlowAnswersHoldTheLimitAndVerySlowOnesLowerIt(t *testing.T) {
	t.Parallel()
	g := newGovernor(40)
	g.limit = 10
	window(t, g, clean, 50*time.Millisecond)
	if g.limit != 20 {
		t.Fatalf("limit %d, want it doubled", g.limit)
	}
	window(t, g, clean, 300*time.Millisecond)
	if g.limit != 20 {
		t.Fatalf("limit %d although writes take six times as long", g.limit)
	}
	window(t, g, clean, 50*time.Millisecond)
	if g.limit != 21 {
		t.Fatalf("limit %d, want growth by one after the first sign", g.limit)
	}
	window(t, g, clean, 3*time.Second)
	if g.limit != 19 {
		t.Fatalf("limit %d, want an eighth less: nothing but time tells of an overload on-premises", g.limit)
	}
	low := g.limit
	for range 200 { // slow for good: it is the server's way now
		window(t, g, clean, 3*time.Second)
		low = min(low, g.limit)
	}
	if g.limit != 40 || low < 1 {
		t.Errorf("limit %d (lowest %d): a server that is slow for good is never used again", g.limit, low)
	}
}

func TestBothDirectionsGetHalfOfTheSlotsWhenBothWantThem(t *testing.T) {
	t.Parallel()
	for _, most := range []int{2, 5, 10} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newGovernor(most)
				ctx, cancel := context.WithCancel(t.Context())
				var mu sync.Mutex
				var served [sides]int
				var group sync.WaitGroup
				load := func(s side, workers int, took time.Duration) {
					for range workers {
						group.Go(func() {
							for {
								p, err := g.admit(ctx, s)
								if err != nil {
									return
								}
								advance(took)
								mu.Lock()
								served[s]++
								mu.Unlock()
								g.done(p)
							}
						})
					}
				}
				load(outboundSide, 100, time.Second) // a resync takes what it can
				advance(10 * time.Second)
				mu.Lock()
				alone := served[outboundSide]
				mu.Unlock()
				if alone < 9*most {
					t.Errorf("%d requests in 10s by one direction alone, want all %d slots used", alone, most)
				}
				load(inboundSide, 100, time.Second)
				advance(100 * time.Second)
				mu.Lock()
				in, out := served[inboundSide], served[outboundSide]-alone
				mu.Unlock()
				if ratio := float64(in) / float64(in+out); ratio < 0.4 || ratio > 0.6 {
					t.Errorf("inbound got %d and outbound %d of the requests, want half each", in, out)
				}
				cancel()
				group.Wait()
			})
		})
	}
}

func TestOneDirectionIsNotStarvedByASlowOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGovernor(1)
		first := admitted(t, g, outboundSide)
		order := make(chan side, 4)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for _, s := range []side{outboundSide, outboundSide, inboundSide, inboundSide} {
			go func() {
				if p, err := g.admit(ctx, s); err == nil {
					order <- s
					g.done(p)
				}
			}()
			synctest.Wait()
		}
		g.done(first)
		got := []side{<-order, <-order, <-order, <-order}
		for i, want := range []side{inboundSide, outboundSide, inboundSide, outboundSide} {
			if got[i] != want {
				t.Fatalf("with one slot the turns were %v, want every second one inbound", got)
			}
		}
	})
}

func TestWaitingForASlotEndsWithTheCallerAndLosesNoSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGovernor(2)
		random := rand.New(rand.NewPCG(7, 7))
		var group sync.WaitGroup
		for range 300 {
			patience := time.Duration(random.IntN(3000)) * time.Millisecond
			work := time.Duration(random.IntN(100)) * time.Millisecond
			s := side(random.IntN(int(sides)))
			group.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				p, err := g.admit(ctx, s)
				if err != nil {
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("refused with %v", err)
					}
					return
				}
				advance(work)
				g.done(p)
			})
		}
		group.Wait()
		if g.total() != 0 || g.waiting[0].Len()+g.waiting[1].Len() != 0 {
			t.Errorf("%d run and %d wait after the end", g.total(), g.waiting[0].Len()+g.waiting[1].Len())
		}
	})
}

// moody is a server that throttles as it likes and keeps the books.
type moody struct {
	mu      sync.Mutex
	random  *rand.Rand
	running int
	most    int
	total   int
	refused int
	since   time.Time // of the last throttled answer
	until   time.Time // no request may arrive before
	early   int
}

func (s *moody) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	s.mu.Lock()
	s.running++
	s.total++
	s.most = max(s.most, s.running)
	if now := time.Now(); now.Before(s.until) && now.After(s.since) {
		s.early++
	}
	took := time.Duration(1+s.random.IntN(400)) * time.Millisecond
	throttle := s.random.IntN(40) == 0
	wish := 1 + s.random.IntN(600)
	s.mu.Unlock()
	advance(took)
	s.mu.Lock()
	s.running--
	if throttle {
		s.refused++
		s.since = time.Now()
		if until := time.Now().Add(time.Duration(wish) * time.Second); until.After(s.until) {
			s.until = until
		}
	}
	s.mu.Unlock()
	if throttle {
		w.Header().Set("Retry-After", fmt.Sprint(wish))
		answering(429, `{"error":{"code":"0x80072322","message":"too many"}}`)(w, r)
		return
	}
	if r.Method == http.MethodPatch {
		w.Header().Set("OData-Version", "4.0")
		w.WriteHeader(204)
		return
	}
	answering(200, emptyDelta)(w, r)
}

// TestAfterAThrottledAnswerNothingArrivesBeforeRetryAfter is the property of the
// gate: many writers and readers, answers that throttle at random with any wish,
// and not one request arrives while the server asked for silence. What was on its
// way when the server answered cannot be held back; in memory nothing is.
func TestAfterAThrottledAnswerNothingArrivesBeforeRetryAfter(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &moody{random: rand.New(rand.NewPCG(seed, 1))}
				most := []int{1, 3, 16}[seed%3]
				c, stop := newPipeClient(t, s, func(cfg *Config) { cfg.MaxInFlight = most })
				defer stop()
				var group sync.WaitGroup
				for i := range 40 {
					group.Go(func() {
						for range 10 {
							var err error
							if i%2 == 0 {
								_, err = c.Apply(t.Context(), upsertOf(i))
							} else {
								err = pageError(c, t.Context())
							}
							if e := outcome.Of(err); err != nil && (e == nil || e.Verdict != outcome.RetryAfter) {
								t.Errorf("ended with %v", err)
							}
						}
					})
				}
				group.Wait()
				if s.early != 0 || s.most > most || s.total != 400 || s.refused == 0 {
					t.Errorf("%d of %d requests came before Retry-After, %d throttled, up to %d of %d at once",
						s.early, s.total, s.refused, s.most, most)
				}
			})
		})
	}
}

func TestAnswersAreReadAsSigns(t *testing.T) {
	t.Parallel()
	write := &call{op: opUpsert}
	for name, c := range map[string]struct {
		call    *call
		status  int
		header  http.Header
		verdict *outcome.Error
		want    permit
	}{
		"good write":        {write, 204, nil, nil, permit{sign: clean, took: time.Second}},
		"good page":         {&call{op: opPage}, 200, nil, nil, permit{sign: clean}},
		"good batch":        {&call{op: opBatch}, 200, nil, nil, permit{sign: clean}},
		"throttled":         {write, 429, nil, &outcome.Error{Verdict: outcome.RetryAfter}, permit{sign: congested}},
		"unavailable":       {write, 503, nil, &outcome.Error{Verdict: outcome.Retry, Reason: outcome.Server}, permit{sign: congested}},
		"no answer in time": {write, 0, nil, &outcome.Error{Verdict: outcome.Retry, Reason: outcome.Timeout}, permit{sign: congested}},
		"cut":               {write, 0, nil, &outcome.Error{Verdict: outcome.Retry, Reason: outcome.Network}, permit{sign: silent}},
		"refused data":      {write, 400, nil, &outcome.Error{Verdict: outcome.Reject, Reason: outcome.Invalid}, permit{sign: clean, took: time.Second}},
		"hint":              {write, 204, http.Header{"X-Ms-Dop-Hint": {" 12 "}}, nil, permit{sign: clean, took: time.Second, hint: 12}},
		"junk hint":         {write, 204, http.Header{"X-Ms-Dop-Hint": {"many"}}, nil, permit{sign: clean, took: time.Second}},
		"negative hint":     {write, 204, http.Header{"X-Ms-Dop-Hint": {"-4"}}, nil, permit{sign: clean, took: time.Second}},
	} {
		var p permit
		p.note(c.call, c.status, c.header, c.verdict, time.Second)
		if p != c.want {
			t.Errorf("%s: %+v, want %+v", name, p, c.want)
		}
	}
}

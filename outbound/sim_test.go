package outbound

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

// storm is what one seed does to the worker: every seed draws its own subset of
// faults and rates.
type storm struct {
	r        *rand.Rand
	mu       sync.Mutex
	rates    map[string]float64
	sometime map[string]int
}

func (s *storm) hit(what string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.r.Float64() >= s.rates[what] {
		return false
	}
	s.sometime[what]++
	return true
}

// note counts what workers met, so that a storm that never got there fails.
func (s *storm) note(st Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for reason, n := range st.Skipped {
		s.sometime["skip "+reason] += int(n)
	}
	s.sometime["fenced"] += int(st.Fenced)
	// After a round of several pages it is the second reading that finds them first.
	s.sometime["late commit found"] += int(st.Late + st.Missed)
	if st.State == StateResyncing {
		s.sometime["killed in a resync"]++
	}
}

func (s *storm) n(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.r.IntN(n)
}

var stormKinds = []string{"page error", "page throttled", "page link refused", "exists error", "unavailable", "full",
	"unknown lost", "unknown stored", "unknown late", "stale replica", "read error", "checkpoint error"}

// scanKinds happen only where the whole table is held against the stream.
var scanKinds = []string{"stale scan", "scan follows"}

func newStorm(seed uint64, sometime map[string]int) *storm {
	s := &storm{r: rand.New(rand.NewPCG(seed, 7)), rates: map[string]float64{}, sometime: sometime}
	for _, k := range slices.Concat(stormKinds, scanKinds) {
		if s.r.IntN(2) == 0 {
			s.rates[k] = s.r.Float64() * 0.25
		}
	}
	// Refused twice in one round, a link is a person's business: such a worker
	// stays halted until it is killed.
	s.rates["page link refused"] /= 5
	return s
}

func (s *storm) source(op string) error {
	switch {
	case op == "exists":
		if s.hit("exists error") {
			return &outcome.Error{Verdict: outcome.Retry, Reason: outcome.Timeout}
		}
	case op == "later page" && s.hit("page link refused"):
		return &outcome.Error{Verdict: outcome.Reject, Reason: outcome.Invalid, Status: 400}
	case s.hit("page error"):
		return &outcome.Error{Verdict: outcome.Retry, Reason: outcome.Server, Status: 503}
	case s.hit("page throttled"):
		return &outcome.Error{Verdict: outcome.RetryAfter, Reason: outcome.Throttled, Status: 429, RetryAfter: 3 * time.Second}
	}
	return nil
}

func (s *storm) stream(op string) streamFault {
	switch op {
	case "commit":
		switch {
		case s.hit("unavailable"):
			return streamFault{err: ErrUnavailable}
		case s.hit("full"):
			return streamFault{err: ErrFull}
		case s.hit("unknown lost"):
			return streamFault{err: ErrUnknown}
		case s.hit("unknown stored"):
			return streamFault{err: ErrUnknown, stored: true}
		case s.hit("unknown late"):
			return streamFault{err: ErrUnknown, after: time.Duration(s.n(3000)) * time.Millisecond}
		}
	case "last":
		switch {
		case s.hit("stale replica"):
			return streamFault{behind: 1 + s.n(3)}
		case s.hit("read error"):
			return streamFault{err: ErrUnavailable}
		}
	case "scan":
		switch {
		case s.hit("stale scan"):
			return streamFault{behind: 1 + s.n(3)}
		case s.hit("scan follows"):
			return streamFault{behind: 1 + s.n(20), follows: true}
		}
	case "checkpoint":
		if s.hit("checkpoint error") {
			return streamFault{err: ErrUnavailable}
		}
	}
	return streamFault{}
}

// simulate runs one seed: a mutating source, one or two rival workers that are
// killed again and again, and a storm; then quiet, and the whole history is checked.
func simulate(t *testing.T, seed uint64, start Start, troubles bool, sometime map[string]int) {
	s := newStorm(seed, sometime)
	crm, stream := newCRM(2+s.n(6)), newStream()
	records := 5 + s.n(40)
	lag := func() time.Duration { return time.Duration(s.n(400)) * time.Millisecond }
	crm.set(s.source, lag)
	stream.set(s.stream, lag)
	cfg := testConfig()
	cfg.Start = start
	cfg.PollInterval = time.Second
	cfg.MaxBatch = 2 + s.n(8)
	cfg.MaxBatchBytes = 200 + s.n(8000)
	cfg.IdleCommit = 5 * time.Second
	cfg.Backoff = Backoff{Min: 50 * time.Millisecond, Max: 2 * time.Second}

	deps := s.aside(seed, troubles, &cfg, crm)
	for i := range records / 2 {
		crm.put(recordID(i), "initial")
	}
	if troubles {
		// A dump is known by rows that did not change: there always are some.
		crm.put(recordID(records), "quiet")
		crm.put(recordID(records+1), "quiet")
		cfg.OverlapAge, cfg.OverlapEvery = 20*time.Second, 2*time.Second
	}
	s.choose(seed, troubles, &cfg, crm)
	columns := cfg.Query.Columns
	worker := func(cfg TableConfig, life uint64) *Worker {
		deps := deps
		deps.Rand = rand.NewPCG(seed, life)
		return newTestWorker(t, cfg, crm, stream, deps)
	}
	var crowd sync.WaitGroup
	storming, calm := context.WithTimeout(t.Context(), spell(seed, time.Minute))
	defer calm()
	crowd.Go(func() {
		r := rand.New(rand.NewPCG(seed, 8))
		for storming.Err() == nil {
			for range 1 + r.IntN(3) {
				crm.mutate(r, records)
			}
			_ = sleep(storming, time.Duration(r.IntN(1500))*time.Millisecond)
		}
	})
	var strike *calamities
	if troubles {
		strike = &calamities{seed: seed, s: s, crm: crm, stream: stream, columns: columns}
		crowd.Go(func() { strike.run(storming, rand.New(rand.NewPCG(seed, 9)), records, columns) })
	}
	for rival := range 1 + s.n(2) {
		crowd.Go(func() {
			for life := 0; storming.Err() == nil; life++ {
				cfg := cfg
				if strike != nil {
					cfg.Query.Columns = strike.now()
				}
				w := worker(cfg, uint64(rival*1000+life))
				ctx, kill := context.WithTimeout(storming, time.Duration(100+s.n(15000))*time.Millisecond)
				if s.n(3) == 0 {
					time.AfterFunc(time.Duration(s.n(5000))*time.Millisecond, func() { w.Pause(); w.Resume() })
				}
				if err := w.Run(ctx); err != nil {
					t.Errorf("Run = %v", err)
				}
				kill()
				s.note(w.Status())
				if st := w.Status(); st.State == StateHalted && !strings.Contains(st.Detail, "status 400") &&
					!strings.Contains(st.Detail, "another bridge follows") && !strings.Contains(st.Detail, "not in the object store") && !strings.Contains(st.Detail, "resyncs of table") {
					t.Errorf("a worker halted: %s", st.Detail)
				}
			}
		})
	}
	crowd.Wait()
	stream.late.Wait()
	crm.set(nil, nil)
	stream.set(nil, nil)
	s.calmDown(deps)
	if strike != nil {
		crm.endLate()
		cfg.Query.Columns = strike.now()
		crm.columns = cfg.Query.Columns
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	w := worker(cfg, 9999)
	if err := w.Run(ctx); err != nil {
		t.Errorf("Run = %v", err)
	}
	if st := w.Status(); st.Phase != PhaseFollowing || st.Lag > 10*time.Second {
		t.Errorf("after the storm the worker is at %+v", st)
	}
	s.notices(stream)
	s.countAside(crm, stream.snapshot())
	if st := w.Status(); !troubles && st.Epoch != 1 {
		t.Errorf("epoch %d without a reason", st.Epoch)
	}
	if faults := checkHistory(crm, stream.snapshot(), stream.batchEnds(), start, true); len(faults) > 0 {
		t.Fatalf("%d faults, first: %s", len(faults), faults[0])
	}
}

// choose draws what a seed publishes: half of them everything, the others a part or in
// another form.
func (s *storm) choose(seed uint64, troubles bool, cfg *TableConfig, crm *crmModel) {
	r := rand.New(rand.NewPCG(seed, 10))
	if r.IntN(2) == 0 {
		return
	}
	p := &cfg.Payload
	// A filter and the calamity that takes its column away do not go together.
	if first, second := calamityPair(seed); r.IntN(2) == 0 && (!troubles || first != otherColumns && second != otherColumns) {
		p.Keep, p.KeepName = keepByName, "keepByName"
	}
	if r.IntN(2) == 0 {
		p.OnlyChanges, p.Ignore = true, []string{"modifiedon"}
		crm.names = 4
	}
	if r.IntN(2) == 0 {
		p.Protect = map[string]schema.Protection{"accountnumber": schema.ProtectHash}
		p.HashKey = []byte("a key of some length")
	}
	cfg.Previous = r.IntN(2) == 0
	crm.payload, crm.previous = *p, cfg.Previous
}

// keepByName is the filter of these tests.
func keepByName(row []byte) (bool, error) {
	list, err := pick(row, []string{"name"})
	if err != nil || len(list) == 0 {
		return false, errors.New("the row has no name")
	}
	text := strings.Trim(string(list[0].value), `"`)
	return !strings.HasSuffix(text, "1") && !strings.HasSuffix(text, "2"), nil
}

// under makes a story of simulate.
func under(start Start, troubles bool) func(*testing.T, uint64, map[string]int) {
	return func(t *testing.T, seed uint64, sometime map[string]int) { simulate(t, seed, start, troubles, sometime) }
}

func TestEveryVersionOnceInOrderUnderStormAndKills(t *testing.T) {
	t.Parallel()
	storms(t, 48, under(StartLoad, false), slices.Concat(stormKinds, []string{"fenced", "skip " + skipPublished, "skip " + skipUnknown, "skip " + skipGone,
		"skip " + skipLive, "skip " + skipFiltered, "skip " + skipNoise}, asideKinds)...)
}

func TestStartNowUnderStormAndKills(t *testing.T) {
	t.Parallel()
	storms(t, 16, under(StartNow, false), append(stormKinds, "fenced", "skip "+skipPriming, "skip "+skipPublished, "skip "+skipLive)...)
}

var calamityKinds = []string{"token expired", "full dump", "restored", "other columns", "late commit",
	"late commit found", "killed in a resync", "notice token_expired", "notice full_dump", "notice restored", "notice configuration"}

func TestExpiryRestoresOtherColumnsAndLateCommitsUnderStormAndKills(t *testing.T) {
	t.Parallel()
	storms(t, 20, under(StartLoad, true), slices.Concat(stormKinds, scanKinds, calamityKinds, asideKinds,
		[]string{"skip " + skipUnchanged, "skip " + skipFiltered, "skip " + skipNoise})...)
}

func TestStartNowThroughExpiryAndRestoresUnderStormAndKills(t *testing.T) {
	t.Parallel()
	storms(t, 8, under(StartNow, true), append(stormKinds, "token expired", "full dump", "restored", "skip "+skipPriming)...)
}

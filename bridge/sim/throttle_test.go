package sim

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// limitBench is a limited API whose requests take as long as a test says.
type limitBench struct {
	s     *Server
	takes time.Duration
	h     http.Handler
}

func newLimitBench(t testing.TB, l ServiceLimits) *limitBench {
	t.Helper()
	s, err := New(Options{Limits: &l})
	if err != nil {
		t.Fatal(err)
	}
	b := &limitBench{s: s}
	b.h = s.limits.wrap(s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b.takes > 0 {
			time.Sleep(b.takes)
		}
		s.rateHeaders(w.Header(), r)
		w.WriteHeader(http.StatusNoContent)
	}))
	return b
}

func (b *limitBench) get(user string) answer {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/api/data/v9.2/accounts", nil)
	r.Header.Set("Authorization", user)
	b.h.ServeHTTP(w, r)
	return answer{status: w.Code, header: w.Header(), body: w.Body.String()}
}

func (a answer) retryAfter(t failer) int {
	t.Helper()
	n, err := strconv.Atoi(a.header.Get("Retry-After"))
	if err != nil {
		t.Fatalf("Retry-After %q: %v", a.header.Get("Retry-After"), err)
	}
	return n
}

func TestSixThousandRequestsFitIntoASlidingWindowOfFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newLimitBench(t, ServiceLimits{})
		for range 3000 {
			b.get("").want(t, http.StatusNoContent, "")
		}
		time.Sleep(100 * time.Second)
		for range 3000 {
			b.get("").want(t, http.StatusNoContent, "")
		}
		refused := b.get("").want(t, http.StatusTooManyRequests, "0x80072322")
		if !strings.Contains(refused.body, "Number of requests exceeded the limit of 6000 over time window of 300 seconds.") {
			t.Error(refused.body)
		}
		wait := refused.retryAfter(t)
		if wait < 190 || wait > 201 {
			t.Errorf("Retry-After %d, want about 200: then the first half leaves the window", wait)
		}
		time.Sleep(time.Duration(wait) * time.Second)
		b.get("").want(t, http.StatusNoContent, "")
		if got := b.s.Throttled(); got["requests"] != 1 || len(got) != 1 {
			t.Errorf("counted %v", got)
		}
	})
}

func TestTheWaitGrowsWhileAClientKeepsPushing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newLimitBench(t, ServiceLimits{Requests: 100})
		for range 100 {
			b.get("")
		}
		time.Sleep(250 * time.Second)
		first := b.get("").retryAfter(t)
		for range 200 {
			b.get("")
		}
		if then := b.get("").retryAfter(t); first > 51 || then < 290 {
			t.Errorf("Retry-After %d, then %d: it did not grow", first, then)
		}
	})
}

func TestExecutionTimeOfAllRequestsTogetherIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newLimitBench(t, ServiceLimits{})
		b.takes = 30 * time.Second
		var wg sync.WaitGroup
		for range 40 { // 40 at once, 30 s each: 1,200 s
			wg.Go(func() { b.get("").want(t, http.StatusNoContent, "") })
		}
		wg.Wait()
		refused := b.get("").want(t, http.StatusTooManyRequests, "0x80072321")
		if !strings.Contains(refused.body, "limit of 1,200,000 milliseconds over time window of 300 seconds") {
			t.Error(refused.body)
		}
		if got := refused.header.Get("x-ms-ratelimit-time-remaining-xrm-requests"); got != "0.00" {
			t.Errorf("remaining %q", got)
		}
		time.Sleep(time.Duration(refused.retryAfter(t)) * time.Second)
		b.takes = 0
		b.get("").want(t, http.StatusNoContent, "")
	})
}

func TestFiftyTwoRequestsRunAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newLimitBench(t, ServiceLimits{})
		b.takes = time.Second
		statuses := make(chan int, 100)
		var wg sync.WaitGroup
		for range 60 {
			wg.Go(func() { statuses <- b.get("").status })
		}
		synctest.Wait()
		refused := b.get("").want(t, http.StatusTooManyRequests, "0x80072326")
		if !strings.Contains(refused.body, "Number of concurrent requests exceeded the limit of 52.") || refused.retryAfter(t) < 1 {
			t.Error(refused.body)
		}
		wg.Wait()
		close(statuses)
		counts := map[int]int{}
		for s := range statuses {
			counts[s]++
		}
		if counts[http.StatusNoContent] != 52 || counts[http.StatusTooManyRequests] != 8 {
			t.Errorf("answers %v", counts)
		}
		b.get("").want(t, http.StatusNoContent, "")
	})
}

func TestEachUserHasLimitsOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newLimitBench(t, ServiceLimits{Requests: 1})
		b.get("Bearer a").want(t, http.StatusNoContent, "")
		b.get("Bearer a").want(t, http.StatusTooManyRequests, "")
		b.get("Bearer b").want(t, http.StatusNoContent, "")
	})
}

func TestRateHeadersHaveTheirOddFormats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newLimitBench(t, ServiceLimits{})
		h := b.get("").header
		if h.Get("x-ms-ratelimit-time-remaining-xrm-requests") != "1,200.00" || h.Get("x-ms-ratelimit-burst-remaining-xrm-requests") != "5999" || h.Get("x-ms-dop-hint") != "4" {
			t.Errorf("headers %v", h)
		}
		b.takes = 1500 * time.Millisecond
		b.get("")
		b.takes = 0
		if got := b.get("").header.Get("x-ms-ratelimit-time-remaining-xrm-requests"); got != "1,198.50" {
			t.Errorf("remaining %q, want 1,198.50", got)
		}
	})
	off := send(t, newTestServer(t, Options{}), http.MethodGet, "accounts", "").header
	if off.Get("x-ms-ratelimit-burst-remaining-xrm-requests") != "7999" || off.Get("x-ms-ratelimit-time-remaining-xrm-requests") != "1,200.00" {
		t.Errorf("without limits: %v", off)
	}
	onprem := send(t, newTestServer(t, Options{Profile: OnPremises}), http.MethodGet, "accounts", "").header
	for name := range onprem {
		if strings.Contains(strings.ToLower(name), "ratelimit") || strings.EqualFold(name, "x-ms-dop-hint") {
			t.Errorf("on premises sends %s", name)
		}
	}
}

func TestAFaultsLatencyIsExecutionTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFaults(1)
		f.Add(Rule{Kind: FaultLatency, Delay: 20 * time.Minute, Times: 1})
		s, err := New(Options{Limits: &ServiceLimits{}, Faults: f})
		if err != nil {
			t.Fatal(err)
		}
		send(t, s, http.MethodGet, "accounts", "").want(t, http.StatusOK, "")
		send(t, s, http.MethodGet, "accounts", "").want(t, http.StatusTooManyRequests, "0x80072321")
	})
}

func TestOnPremisesHasNoLimitsAndGetsSlow(t *testing.T) {
	if _, err := New(Options{Profile: OnPremises, Limits: &ServiceLimits{}}); err == nil {
		t.Error("limits on premises were accepted")
	}
	if _, err := New(Options{LoadLatency: time.Second}); err == nil {
		t.Error("load latency online was accepted")
	}
	if _, err := New(Options{Limits: &ServiceLimits{Requests: -1}}); err == nil {
		t.Error("a negative limit was accepted")
	}
	synctest.Test(t, func(t *testing.T) {
		h := loadLatency(100*time.Millisecond, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(time.Second) }))
		took := func(n int) time.Duration {
			start := time.Now()
			var wg sync.WaitGroup
			for range n {
				wg.Go(func() {
					h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}")))
				})
			}
			wg.Wait()
			return time.Since(start)
		}
		if alone := took(1); alone != time.Second {
			t.Errorf("alone %v, want 1s", alone)
		}
		if busy := took(11); busy != 2*time.Second {
			t.Errorf("eleven at once took %v, want 2s: the last waits for ten others", busy)
		}
	})
	s := newTestServer(t, Options{Profile: OnPremises, LoadLatency: time.Millisecond})
	send(t, s, http.MethodGet, "accounts", "").want(t, http.StatusOK, "")
}

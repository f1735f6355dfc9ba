package sim

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// ServiceLimits are the service protection limits of one user on one web server.
// A zero field has the documented value. Source: developer guide, "Service
// protection API limits".
type ServiceLimits struct {
	// Requests within Window; 0 means 6,000. A $batch counts as one.
	Requests int
	// ExecutionTime of all requests together within Window; 0 means 20 minutes.
	ExecutionTime time.Duration
	// Concurrent requests; 0 means 52.
	Concurrent int
	// Window is the length of the sliding window; 0 means 300 s.
	Window time.Duration
}

func (l ServiceLimits) withDefaults() (ServiceLimits, error) {
	if l.Requests < 0 || l.ExecutionTime < 0 || l.Concurrent < 0 || l.Window < 0 {
		return l, fmt.Errorf("simulator: service limits cannot be negative")
	}
	if l.Requests == 0 {
		l.Requests = 6000
	}
	if l.ExecutionTime == 0 {
		l.ExecutionTime = 20 * time.Minute
	}
	if l.Concurrent == 0 {
		l.Concurrent = 52
	}
	if l.Window == 0 {
		l.Window = 5 * time.Minute
	}
	return l, nil
}

// limitSlots is how finely the window slides: by the second when it has 300.
const limitSlots = 300

// maxLimitedUsers bounds the users whose requests are remembered. When more come,
// all are forgotten.
const maxLimitedUsers = 10_000

// limiter refuses requests beyond the limits, each user's for itself.
type limiter struct {
	limits ServiceLimits
	now    func() time.Time
	mu     sync.Mutex
	users  map[string]*usage
	counts map[string]int // refusals by facet
}

// usage is what one user asked for within the window. Refused requests count as
// requests: that is why the wait grows while a client keeps pushing. How fast it
// grows on real servers is not documented.
type usage struct {
	slots    [limitSlots]slot
	head     int64 // number of the newest slot since 1970
	requests int
	busy     time.Duration
	inFlight int
	refused  int // for being concurrent, since the last time there was room
}

type slot struct {
	requests int
	busy     time.Duration
}

func newLimiter(l ServiceLimits, now func() time.Time) *limiter {
	return &limiter{limits: l, now: now, users: map[string]*usage{}, counts: map[string]int{}}
}

func (l *limiter) slotLength() time.Duration { return max(l.limits.Window/limitSlots, 1) }

// usageOf returns a user's usage with the window moved to now. It needs the lock.
func (l *limiter) usageOf(user string, now time.Time) *usage {
	u := l.users[user]
	newest := now.UnixNano() / int64(l.slotLength())
	if u == nil {
		if len(l.users) >= maxLimitedUsers {
			clear(l.users)
		}
		u = &usage{head: newest}
		l.users[user] = u
	}
	for n := min(newest-u.head, limitSlots); n > 0; n-- {
		u.head++
		s := &u.slots[u.head%limitSlots]
		u.requests -= s.requests
		u.busy -= s.busy
		*s = slot{}
	}
	u.head = max(u.head, newest)
	return u
}

// begin counts a request and tells whether it may run; if not, which limit it
// hit and for how long to stay away.
func (l *limiter) begin(user string) (u *usage, facet string, wait time.Duration) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() {
		if facet != "" {
			l.counts[facet]++
		}
	}()
	u = l.usageOf(user, now)
	u.slots[u.head%limitSlots].requests++
	u.requests++
	switch {
	case u.inFlight >= l.limits.Concurrent:
		u.refused++
		return u, "concurrency", time.Duration(1+u.refused/l.limits.Concurrent) * time.Second
	case u.requests > l.limits.Requests:
		over := u.requests - l.limits.Requests
		return u, "requests", l.until(u, func(s slot) bool { over -= s.requests; return over <= 0 })
	case u.busy >= l.limits.ExecutionTime:
		over := u.busy - l.limits.ExecutionTime
		return u, "time", l.until(u, func(s slot) bool { over -= s.busy; return over < 0 })
	}
	u.inFlight++
	u.refused = 0
	return u, "", 0
}

// until is how long it takes until enough of the oldest slots have left the window.
func (l *limiter) until(u *usage, enough func(slot) bool) time.Duration {
	for age := int64(limitSlots - 1); age >= 0; age-- {
		if enough(u.slots[(u.head-age)%limitSlots]) {
			return time.Duration(limitSlots-age) * l.slotLength()
		}
	}
	return l.limits.Window
}

// end notes that a request that began at start has been answered.
func (l *limiter) end(user string, u *usage, start time.Time) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if u.inFlight > 0 {
		u.inFlight--
	}
	if l.users[user] != u {
		return // forgotten meanwhile
	}
	took := max(now.Sub(start), 0)
	u = l.usageOf(user, now)
	u.slots[u.head%limitSlots].busy += took
	u.busy += took
}

// remaining is what a user has left of the first two limits.
func (l *limiter) remaining(user string) (requests int, busy time.Duration) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	u := l.usageOf(user, now)
	return max(l.limits.Requests-u.requests, 0), max(l.limits.ExecutionTime-u.busy, 0)
}

// wrap applies the limits in front of the API, the faults included: the time that
// a scripted latency takes is execution time.
func (l *limiter) wrap(s *Server, api http.Handler) http.Handler {
	if l == nil {
		return api
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user := s.limitedUser(r)
		start := l.now()
		u, facet, wait := l.begin(user)
		if facet != "" {
			drain(r)
			s.rateHeaders(w.Header(), r)
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
			code := throttleFacets[facet].code
			s.writeError(w, r, &apiError{Status: http.StatusTooManyRequests, Code: code, Message: l.limits.message(facet)})
			return
		}
		defer l.end(user, u, start)
		api.ServeHTTP(w, r)
	})
}

// message is the documented text with the limit that is in force.
func (l ServiceLimits) message(facet string) string {
	seconds := int(l.Window / time.Second)
	switch facet {
	case "time":
		return "Combined execution time of incoming requests exceeded limit of " + thousands(l.ExecutionTime.Milliseconds()) + " milliseconds over time window of " + strconv.Itoa(seconds) +
			" seconds. Decrease number of concurrent requests or reduce the duration of requests and try again later."
	case "concurrency":
		return "Number of concurrent requests exceeded the limit of " + strconv.Itoa(l.Concurrent) + "."
	}
	return "Number of requests exceeded the limit of " + strconv.Itoa(l.Requests) + " over time window of " + strconv.Itoa(seconds) + " seconds."
}

// thousands renders n with separators: 1,200,000.
func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// rateHeaders sets the headers that every online answer has, in the formats that
// were recorded: the remaining seconds with two decimals and a separator, the
// remaining requests as a plain number. Without limits they do not move.
func (s *Server) rateHeaders(h http.Header, r *http.Request) {
	if s.opts.Profile != Online {
		return
	}
	requests, busy := 7999, 1200*time.Second
	if s.limits != nil {
		requests, busy = s.limits.remaining(s.limitedUser(r))
	}
	hundredths := busy.Milliseconds() / 10
	h.Set("x-ms-ratelimit-time-remaining-xrm-requests", fmt.Sprintf("%s.%02d", thousands(hundredths/100), hundredths%100))
	h.Set("x-ms-ratelimit-burst-remaining-xrm-requests", strconv.Itoa(requests))
	h.Set("x-ms-dop-hint", "4")
}

// limitedUser is whose limits a request uses: the user who is logged in, whoever
// is impersonated. The login knows one user; without a login, callers may tell
// themselves apart by whatever Authorization they send.
func (s *Server) limitedUser(r *http.Request) string {
	if s.auth != nil && s.auth.Method != AuthNone {
		return ""
	}
	return r.Header.Get("Authorization")
}

// Throttled counts the requests that Options.Limits refused, by facet: requests,
// time, concurrency.
func (s *Server) Throttled() map[string]int {
	counts := map[string]int{}
	if s.limits == nil {
		return counts
	}
	s.limits.mu.Lock()
	defer s.limits.mu.Unlock()
	maps.Copy(counts, s.limits.counts)
	return counts
}

// loadLatency makes a server without limits slow under load: a request waits step
// for every other one under way when it arrives. That is what overload looks like
// on premises (assumption).
func loadLatency(step time.Duration, api http.Handler) http.Handler {
	if step <= 0 {
		return api
	}
	var inFlight atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		others := inFlight.Add(1) - 1
		defer inFlight.Add(-1)
		if others > 0 {
			if r = keepBody(r); !wait(r.Context(), time.Duration(others)*step) {
				panic(http.ErrAbortHandler)
			}
		}
		api.ServeHTTP(w, r)
	})
}

package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// FaultKind names one way in which a request goes wrong.
type FaultKind string

// The kinds. What the database does is part of each: "not applied" means that the
// request never reaches the API, "applied" that it runs before the answer is spoiled.
const (
	// FaultThrottle answers 429 with Retry-After and the code of Facet. Not applied.
	FaultThrottle FaultKind = "throttle"
	// FaultServerError answers Status (500, 502, 503 or 504; 503 when 0): 500 in
	// JSON, the others as a proxy's page unless Code is set. Not applied.
	FaultServerError FaultKind = "server_error"
	// FaultError answers Status (400 when 0), Code and Message in the error
	// envelope, whatever they are: a plug-in abort, a missing privilege, a lost
	// race of two upserts, an empty or mixed-case code. Not applied.
	FaultError FaultKind = "error"
	// FaultPlainError answers like FaultError in the second envelope,
	// {"Message","ExceptionMessage","StackTrace","ErrorCode"}. Not applied.
	FaultPlainError FaultKind = "plain_error"
	// FaultUnauthorized answers 401 with a Bearer challenge. Not applied.
	FaultUnauthorized FaultKind = "unauthorized"
	// FaultLatency waits Delay, then goes on, also to other rules. A caller who
	// leaves meanwhile has not been served: not applied then.
	FaultLatency FaultKind = "latency"
	// FaultHang never answers: the connection closes after Delay, or when the
	// caller leaves if Delay is 0. Not applied.
	FaultHang FaultKind = "hang"
	// FaultSlowBody sends Bytes (1 when 0) of the body every Delay (100 ms when 0). Applied.
	FaultSlowBody FaultKind = "slow_body"
	// FaultCutBeforeCommit closes the connection without an answer. Not applied.
	FaultCutBeforeCommit FaultKind = "cut_before_commit"
	// FaultCutAfterCommit does so after the request ran. Applied.
	FaultCutAfterCommit FaultKind = "cut_after_commit"
	// FaultCutBody closes the connection after Bytes of the body (half when 0). Applied.
	FaultCutBody FaultKind = "cut_body"
	// FaultTruncatedJSON ends the body after Bytes (half when 0) as if it were
	// whole: Content-Length agrees with what is sent. Applied.
	FaultTruncatedJSON FaultKind = "truncated_json"
	// FaultEmptyBody sends status and headers without the body. Applied.
	FaultEmptyBody FaultKind = "empty_body"
	// FaultHTMLPage answers Status (200 when 0) with a sign-in page. Not applied.
	FaultHTMLPage FaultKind = "html_page"
	// FaultLoginRedirect answers 302 to a sign-in page on Host. Not applied.
	FaultLoginRedirect FaultKind = "login_redirect"
	// FaultForeignLink makes @odata.nextLink and @odata.deltaLink point to Host.
	// It fires only on answers that hold a link. Applied.
	FaultForeignLink FaultKind = "foreign_link"
	// FaultMissingLink removes both links; it fires only where there is one. Applied.
	FaultMissingLink FaultKind = "missing_link"
	// FaultExpiredToken answers 0x80044352 (Status, 400 when 0) to a request that
	// carries $deltatoken; others are left alone. Not applied.
	FaultExpiredToken FaultKind = "expired_token"
	// FaultLateApply closes the connection at once and runs the request Delay later.
	FaultLateApply FaultKind = "late_apply"
)

// Rule says when a fault happens. All conditions must hold.
type Rule struct {
	Kind FaultKind `json:"kind" yaml:"kind"`
	// Method is an HTTP method; "" means any.
	Method string `json:"method,omitempty" yaml:"method,omitempty"`
	// PathContains is looked for in the decoded path and query of the URL. A token
	// endpoint (Options.Auth) meets only rules that name its path so.
	PathContains string `json:"pathContains,omitempty" yaml:"pathContains,omitempty"`
	// Table is the logical name of the table the URL addresses. A batch addresses none.
	Table string `json:"table,omitempty" yaml:"table,omitempty"`
	// Probability is between 0 and 1; 0 means 1.
	Probability float64 `json:"probability,omitempty" yaml:"probability,omitempty"`
	// Times is how often the rule fires at most; 0 means without end.
	Times int `json:"times,omitempty" yaml:"times,omitempty"`
	// After is how many matching requests pass first.
	After int `json:"after,omitempty" yaml:"after,omitempty"`
	// Delay is a duration; in files a text such as 1.5s.
	Delay time.Duration `json:"delay,omitempty" yaml:"delay,omitempty"`
	// Status, Code and Message replace those of the kind.
	Status  int    `json:"status,omitempty" yaml:"status,omitempty"`
	Code    string `json:"code,omitempty" yaml:"code,omitempty"`
	Message string `json:"message,omitempty" yaml:"message,omitempty"`
	// RetryAfter is the header's text as it is: seconds, an HTTP date, or nonsense.
	// "" means "1" for a throttle and no header elsewhere; "absent" no header.
	RetryAfter string `json:"retryAfter,omitempty" yaml:"retryAfter,omitempty"`
	// Facet of a throttle: requests (also when ""), time or concurrency.
	Facet string `json:"facet,omitempty" yaml:"facet,omitempty"`
	Bytes int    `json:"bytes,omitempty" yaml:"bytes,omitempty"`
	// Host of a foreign link or a sign-in page.
	Host string `json:"host,omitempty" yaml:"host,omitempty"`
	// Column and Key are logical names that a fault of the database is about.
	Column string `json:"column,omitempty" yaml:"column,omitempty"`
	Key    string `json:"key,omitempty" yaml:"key,omitempty"`
}

// faultKinds are all kinds, for checking rules.
func faultKinds() []FaultKind {
	return append(dataFaultKinds(),
		FaultThrottle, FaultServerError, FaultError, FaultPlainError, FaultUnauthorized, FaultLatency, FaultHang,
		FaultSlowBody, FaultCutBeforeCommit, FaultCutAfterCommit, FaultCutBody, FaultTruncatedJSON, FaultEmptyBody,
		FaultHTMLPage, FaultLoginRedirect, FaultForeignLink, FaultMissingLink, FaultExpiredToken, FaultLateApply,
		FaultExpiredDump, FaultDroppedColumn, FaultSecuredColumn, FaultFailedKey, FaultExpiredTokens, FaultRestore,
	)
}

// Validate reports every field that has no meaning.
func (r Rule) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !slices.Contains(faultKinds(), r.Kind) {
		bad("unknown kind %q", r.Kind)
	}
	if !(r.Probability >= 0 && r.Probability <= 1) {
		bad("probability %v is not between 0 and 1", r.Probability)
	}
	if r.Times < 0 || r.After < 0 || r.Bytes < 0 || r.Delay < 0 {
		bad("times, after, bytes and delay cannot be negative")
	}
	if r.Status != 0 && (r.Status < 200 || r.Status > 599) {
		bad("status %d is not an HTTP status from 200 to 599", r.Status)
	}
	if _, ok := throttleFacets[r.Facet]; !ok {
		bad("unknown facet %q: use requests, time or concurrency", r.Facet)
	}
	if isDataFault(r.Kind) && r.PathContains != "" {
		bad("pathContains has no meaning for %s", r.Kind)
	}
	if err := r.validateTarget(); err != nil {
		errs = append(errs, err)
	}
	if strings.ContainsAny(r.RetryAfter+r.Host, "\r\n") {
		bad("retryAfter and host cannot hold line ends")
	}
	return errors.Join(errs...)
}

// maxFaultRules bounds the rules in force.
const maxFaultRules = 1000

// Faults decides which requests go wrong. Rules are tried in the order they were
// added; the first that fires wins, except that latencies add up. The draws come
// from one seeded source: the same requests in the same order meet the same
// faults. Safe for concurrent use.
type Faults struct {
	mu     sync.Mutex
	rng    *rand.Rand
	rules  []*activeRule
	counts map[string]int
	nextID int
	server *Server    // whose database the rules change; nil until it is made
	late   int        // requests still to be applied
	idle   *sync.Cond // late became 0
}

type activeRule struct {
	Rule
	id, seen, fired int
	// backup is what a restore goes back to.
	backup *Snapshot
}

// NewFaults returns a Faults without rules.
func NewFaults(seed uint64) *Faults {
	f := &Faults{rng: rand.New(rand.NewPCG(seed, 0x5eed)), counts: map[string]int{}}
	f.idle = sync.NewCond(&f.mu)
	return f
}

// Add puts a rule into force and returns its number, from 1. A rule that AddRule
// refuses gets 0 and no effect.
func (f *Faults) Add(rule Rule) (id int) {
	id, err := f.AddRule(rule)
	if err != nil {
		return 0
	}
	return id
}

// AddRule is Add with the reason of a refusal: what Validate says, more than
// 1,000 rules, or a fault that the database cannot have.
func (f *Faults) AddRule(rule Rule) (id int, err error) {
	if err := rule.Validate(); err != nil {
		return 0, err
	}
	f.mu.Lock()
	if len(f.rules) >= maxFaultRules {
		f.mu.Unlock()
		return 0, fmt.Errorf("more than %d rules", maxFaultRules)
	}
	f.nextID++
	added := &activeRule{Rule: rule, id: f.nextID}
	f.rules = append(f.rules, added)
	// A kind that never fires shows as 0: a check of "sometimes" must see it.
	f.counts[string(rule.Kind)] += 0
	s := f.server
	f.mu.Unlock()
	if s != nil && isTableFault(rule.Kind) {
		if err := f.admit(s, added); err != nil {
			f.Remove(added.id)
			return 0, err
		}
	}
	return added.id, nil
}

// Remove ends one rule; false if there is none of that number.
func (f *Faults) Remove(id int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := len(f.rules)
	f.rules = slices.DeleteFunc(f.rules, func(r *activeRule) bool { return r.id == id })
	return len(f.rules) < before
}

// Clear ends all rules. Counts stay.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = nil
}

// Counts tells how often each kind has fired since the start; kinds that had a
// rule but never fired are there with 0.
func (f *Faults) Counts() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	counts := make(map[string]int, len(f.counts))
	for k, n := range f.counts {
		counts[k] = n
	}
	return counts
}

// Wait returns when every late_apply under way has been applied.
func (f *Faults) Wait() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.late > 0 {
		f.idle.Wait()
	}
}

// lateBy counts requests that are still to be applied.
func (f *Faults) lateBy(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.late += n
	if f.late == 0 {
		f.idle.Broadcast()
	}
}

// pick returns the rules that fire for a request: those that let it go on, then
// at most one other.
func (f *Faults) pick(r *http.Request, entitySet func(table string) string) []*activeRule {
	f.mu.Lock()
	defer f.mu.Unlock()
	var fired []*activeRule
	for _, rule := range f.rules {
		if isDataFault(rule.Kind) || isTableFault(rule.Kind) && (rule.After == 0 || rule.fired > 0) || !rule.matches(r, entitySet) {
			continue
		}
		rule.seen++
		if rule.seen <= rule.After || rule.Times > 0 && rule.fired >= rule.Times {
			continue
		}
		if rule.Probability > 0 && rule.Probability < 1 && f.rng.Float64() >= rule.Probability {
			continue
		}
		rule.fired++
		fired = append(fired, rule)
		if isTableFault(rule.Kind) {
			continue // counted by what does it
		}
		f.counts[string(rule.Kind)]++
		if rule.Kind != FaultLatency && rule.Kind != FaultExpiredDump {
			break
		}
	}
	return fired
}

// unfire takes back a firing that found nothing to spoil.
func (f *Faults) unfire(rule *activeRule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	rule.fired--
	f.counts[string(rule.Kind)]--
}

func (r *Rule) matches(req *http.Request, entitySet func(string) string) bool {
	if r.Method != "" && !strings.EqualFold(r.Method, req.Method) {
		return false
	}
	if r.PathContains == "" && isTokenRequest(req) {
		return false // the token endpoint is another server
	}
	query := strings.ToLower(req.URL.RawQuery)
	if (r.Kind == FaultExpiredToken || r.Kind == FaultExpiredDump) && !strings.Contains(query, "$deltatoken=") && !strings.Contains(query, "%24deltatoken=") {
		return false
	}
	if r.PathContains != "" && !strings.Contains(decodedTarget(req.URL), r.PathContains) {
		return false
	}
	return r.Table == "" || addresses(req.URL.Path, entitySet(r.Table))
}

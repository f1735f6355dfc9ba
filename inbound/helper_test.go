package inbound

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

// keyMapper maps {"key":K} to an upsert of the account K. Other members steer it.
type keyMapper struct{}

type payload struct {
	Key   string `json:"key"`
	Skip  bool   `json:"skip"`  // does not match
	Bad   bool   `json:"bad"`   // cannot be mapped
	Panic bool   `json:"panic"` // a fault in the mapping itself
	Stop  bool   `json:"stop"`  // the mapping can work for no message
}

func (keyMapper) Match(_ context.Context, e *cloudevent.Event) (bool, error) {
	var p payload
	if err := json.Unmarshal(e.Data(), &p); err != nil {
		return false, err
	}
	return !p.Skip, nil
}

func (keyMapper) Map(_ context.Context, e *cloudevent.Event) ([]*schema.Write, error) {
	var p payload
	if err := json.Unmarshal(e.Data(), &p); err != nil {
		return nil, err
	}
	switch {
	case p.Bad:
		return nil, &outcome.Error{Verdict: outcome.Reject, Reason: outcome.KeyCharacters, Op: "m.key.accountnumber (bridge.yaml:4:7)", Message: "the key has a slash"}
	case p.Stop:
		return nil, &outcome.Error{Verdict: outcome.Stop, Reason: outcome.Config}
	case p.Panic:
		panic("boom")
	}
	key, _ := json.Marshal(p.Key)
	_, seq, _ := strings.Cut(e.ID(), "/")
	return []*schema.Write{{
		Operation: schema.OpUpsert, Table: "account", EntitySet: "accounts",
		Key: []schema.KeyPart{{Column: "accountnumber", Value: key}}, Predicate: "accountnumber='" + p.Key + "'",
		Body: json.RawMessage(`{"sequence":` + seq + `}`),
	}}, nil
}

// write is one line of the organization's write log.
type write struct {
	Key      string
	Sequence uint64
}

// crm is the organization: it keeps what was written, in order, and fails as told.
type crm struct {
	mu      sync.Mutex
	log     []write
	calls   int
	running int
	most    int
	// before runs before a write is made; an error prevents it. after runs once it
	// is made; an error hides that.
	before, after func(ctx context.Context, key string, sequence uint64, call int) error
}

func (c *crm) Apply(ctx context.Context, w *schema.Write) (schema.Result, error) {
	var key string
	var body struct{ Sequence uint64 }
	if err := errors.Join(json.Unmarshal(w.Key[0].Value, &key), json.Unmarshal(w.Body, &body)); err != nil {
		return schema.Result{}, err
	}
	c.mu.Lock()
	c.calls++
	c.running++
	c.most = max(c.most, c.running)
	call := c.calls
	c.mu.Unlock()
	defer func() { c.mu.Lock(); c.running--; c.mu.Unlock() }()
	if c.before != nil {
		if err := c.before(ctx, key, body.Sequence, call); err != nil {
			return schema.Result{}, err
		}
	}
	c.mu.Lock()
	c.log = append(c.log, write{key, body.Sequence})
	c.mu.Unlock()
	if c.after != nil {
		if err := c.after(ctx, key, body.Sequence, call); err != nil {
			return schema.Result{}, err
		}
	}
	return schema.Result{Effect: schema.EffectUpdated, ID: "id-" + key, Version: int64(body.Sequence)}, nil
}

// peak is the highest number of writes that ran at once.
func (c *crm) peak() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.most
}

// writes returns the write log.
func (c *crm) writes() []write {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.log)
}

// sequences returns the sequences written for a key, in order.
func (c *crm) sequences(key string) []uint64 {
	var s []uint64
	for _, w := range c.writes() {
		if w.Key == key {
			s = append(s, w.Sequence)
		}
	}
	return s
}

// regressions names the writes that put an older message after a newer one of
// their key. The same message again is not one.
func (c *crm) regressions() []string {
	var found []string
	newest := map[string]uint64{}
	for i, w := range c.writes() {
		if w.Sequence < newest[w.Key] {
			found = append(found, "write "+strconv.Itoa(i)+" of key "+w.Key+": "+
				strconv.FormatUint(w.Sequence, 10)+" after "+strconv.FormatUint(newest[w.Key], 10))
		}
		newest[w.Key] = max(newest[w.Key], w.Sequence)
	}
	return found
}

// outbox is an Outbox that keeps everything, idempotent like the real one.
type outbox struct {
	mu       sync.Mutex
	letters  []*Letter
	receipts []*Receipt
	stored   map[uint64]bool
	fail     func(call int) error
	calls    int
}

func (o *outbox) store(keep func()) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls++
	if o.fail != nil {
		if err := o.fail(o.calls); err != nil {
			return err
		}
	}
	keep()
	return nil
}

func (o *outbox) DeadLetter(_ context.Context, l *Letter) error {
	return o.store(func() {
		if o.stored == nil {
			o.stored = map[uint64]bool{}
		}
		if !o.stored[l.Message.Sequence] {
			o.stored[l.Message.Sequence] = true
			o.letters = append(o.letters, l)
		}
	})
}

func (o *outbox) Receipt(_ context.Context, r *Receipt) error {
	return o.store(func() { o.receipts = append(o.receipts, r) })
}

func (o *outbox) rejected() map[uint64]bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	m := map[uint64]bool{}
	for _, l := range o.letters {
		m[l.Message.Sequence] = true
	}
	return m
}

// bench is one route with fakes around it, inside a synctest bubble.
type bench struct {
	t     *testing.T
	b     *broker
	c     *client
	crm   *crm
	out   *outbox
	route *Route
	logs  *logBuffer

	mu      sync.Mutex
	settled []Settled
	stop    context.CancelFunc
	done    chan error
	closed  sync.Once
}

type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// testConfig suits the broker of newBroker.
func testConfig() RouteConfig {
	return RouteConfig{
		Name: "erp", Format: FormatJSON, EventType: "com.example.changed", AckWait: 3 * time.Second,
		Concurrency: 8, MaxHeld: 256, RetryMin: 100 * time.Millisecond, RetryMax: 2 * time.Second,
		GiveUpParked: 30 * time.Second, AmbiguityBound: time.Second,
	}
}

func newBench(t *testing.T, cfg RouteConfig) *bench {
	t.Helper()
	b := newBroker()
	return newBenchOn(t, cfg, b, &crm{}, &outbox{})
}

func newBenchOn(t *testing.T, cfg RouteConfig, b *broker, c *crm, out *outbox) *bench {
	t.Helper()
	h := &bench{t: t, b: b, c: b.client(), crm: c, out: out, logs: &logBuffer{}}
	var err error
	h.route, err = NewRoute(cfg, h.c, keyMapper{}, c, out, Deps{
		Logger: slog.New(slog.NewTextHandler(h.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Observe: func(s Settled) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.settled = append(h.settled, s)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// start runs the route until close.
func (h *bench) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	h.stop, h.done, h.closed = cancel, done, sync.Once{}
	go func() { done <- h.route.Run(ctx) }()
	h.t.Cleanup(h.close)
}

// close ends the route and waits for it. A second call does nothing.
func (h *bench) close() {
	h.t.Helper()
	h.closed.Do(func() {
		h.stop()
		if err := <-h.done; err != nil {
			h.t.Errorf("Run: %v", err)
		}
	})
}

// after lets time pass in the bubble.
func (h *bench) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// outcomes counts what was observed.
func (h *bench) outcomes() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := map[string]int{}
	for _, s := range h.settled {
		m[s.Outcome]++
	}
	return m
}

// failing returns an outcome with the verdict.
func failing(v outcome.Verdict, r outcome.Reason) *outcome.Error {
	return &outcome.Error{Verdict: v, Reason: r, Status: 400, Code: "0x80040265",
		Op: "PATCH accounts(accountnumber='SECRET-KEY')", Message: "the text of the server about SECRET-KEY"}
}

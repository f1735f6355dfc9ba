package inbound

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

var seeds = flag.Int("inbound.seeds", 48, "number of simulated histories")

// world is one simulated history: three instances of a route share a consumer and
// an organization, and everything fails now and then.
type world struct {
	t   *testing.T
	rnd *rand.Rand
	b   *broker
	crm *crm
	out *outbox

	// what may happen in this history
	kills, cuts, acks, faults, poison, noClaims bool
	// late is how long the organization may go on with a request whose answer nobody
	// got, when above 0; applied counts such writes.
	late    time.Duration
	applied atomic.Int64
	cfg     RouteConfig
	memory  Revisions // nil: who was here before is not known
	// lot is where messages are parked, if they can be; stops: all instances end in order
	// now and then, and others begin.
	lot   *lot
	stops bool
	// several is the number of instances, 3 when 0; steps that of steps, 300 at least.
	several, steps int
	lost           float64 // how often an answer is, 0.05 when 0

	graves    sync.WaitGroup // killed instances that are not gone yet
	instances []*instance
	early     []string // acknowledgements that came too early
}

type instance struct {
	*bench
	writer *mortal
}

// mortal is an organization's client inside a process that can be killed: a call
// that runs then never reaches the organization.
type mortal struct {
	w *world

	mu   sync.Mutex
	rnd  *rand.Rand
	dead bool
}

func (m *mortal) chance(p float64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rnd.Float64() < p
}

func (m *mortal) Apply(ctx context.Context, w *schema.Write) (schema.Result, error) {
	m.mu.Lock()
	latency := time.Duration(m.rnd.IntN(300)) * time.Millisecond
	m.mu.Unlock()
	sent := time.Now()
	if !sleep(ctx, latency) {
		m.straggle(w, sent)
		return schema.Result{}, ctx.Err()
	}
	m.mu.Lock()
	dead := m.dead
	m.mu.Unlock()
	if dead {
		m.straggle(w, sent)
		<-ctx.Done()
		return schema.Result{}, ctx.Err()
	}
	if m.w.poison && strings.Contains(string(w.Key[0].Value), "poison") {
		return schema.Result{}, failing(outcome.Reject, outcome.Invalid)
	}
	if m.w.faults {
		switch {
		case m.chance(0.05):
			return schema.Result{}, failing(outcome.Retry, outcome.Server)
		case m.chance(0.02):
			return schema.Result{}, &outcome.Error{Verdict: outcome.RetryAfter, Reason: outcome.Throttled, RetryAfter: time.Second}
		case m.chance(max(m.w.lost, 0.05)):
			if m.straggle(w, sent) {
				return schema.Result{}, &outcome.Error{Verdict: outcome.Retry, Reason: outcome.Timeout, Ambiguous: true}
			}
			// Written, but the answer got lost.
			if _, err := m.w.crm.Apply(ctx, w); err != nil {
				return schema.Result{}, err
			}
			return schema.Result{}, &outcome.Error{Verdict: outcome.Retry, Reason: outcome.Timeout, Ambiguous: true}
		}
	}
	return m.w.crm.Apply(ctx, w)
}

// straggle makes the organization go on with a request that nobody waits for.
func (m *mortal) straggle(w *schema.Write, sent time.Time) bool {
	if m.w.late <= 0 || m.chance(0.2) {
		return false
	}
	m.mu.Lock()
	after := time.Duration(m.rnd.Int64N(int64(m.w.late))) - time.Since(sent)
	m.mu.Unlock()
	time.AfterFunc(after, func() {
		m.w.applied.Add(1)
		_, _ = m.w.crm.Apply(context.Background(), w)
	})
	return true
}

// spawn starts an instance.
func (w *world) spawn(i int) {
	m := &mortal{w: w, rnd: rand.New(rand.NewPCG(w.rnd.Uint64(), 1))}
	cfg := w.cfg
	if cfg.Name == "" {
		cfg = testConfig()
	}
	h := newBenchOn(w.t, cfg, w.b, w.crm, w.out)
	h.route.writer, h.route.deps.Revisions = m, w.memory
	if w.lot != nil {
		h.route.mapper = childMapper{}
		h.route.deps.Parking, h.route.deps.Arrivals = &terminal{lot: w.lot, c: h.c}, NewArrivals()
	}
	h.c.noClaims = w.noClaims
	h.c.latency = time.Duration(w.rnd.IntN(20)) * time.Millisecond
	h.start()
	w.instances[i] = &instance{bench: h, writer: m}
}

// kill ends an instance without any goodbye and starts another in its place.
func (w *world) kill(i int) {
	in := w.instances[i]
	in.writer.mu.Lock()
	in.writer.dead = true
	in.writer.mu.Unlock()
	in.c.cut(true)
	w.graves.Go(in.close)
	w.spawn(i)
}

// stop ends all instances in order, and starts others.
func (w *world) stop() {
	for _, i := range w.rnd.Perm(len(w.instances)) {
		w.instances[i].close()
	}
	for i := range w.instances {
		w.spawn(i)
	}
}

// judge is called by the broker when a message is acknowledged.
func (w *world) judge(seq uint64) {
	data := string(w.b.messages[seq-1].Data)
	if strings.Contains(data, "skip") || w.out.rejected()[seq] || w.lot != nil && w.lot.holds(seq) {
		return
	}
	for _, wr := range w.crm.writes() {
		if wr.Sequence == seq {
			return
		}
	}
	w.early = append(w.early, fmt.Sprintf("message %d: %s", seq, data))
}

func (w *world) run() {
	w.instances = make([]*instance, cmp.Or(w.several, 3))
	for i := range w.instances {
		w.spawn(i)
	}
	down := map[int]time.Time{}
	steps := max(w.steps, 300)
	for step := range steps {
		for range w.rnd.IntN(4) {
			key := fmt.Sprintf("k%d", w.rnd.IntN(12))
			switch {
			case w.poison && w.rnd.IntN(10) == 0:
				w.b.publish("poison" + key)
			case w.poison && w.rnd.IntN(10) == 0:
				w.b.publishRaw(`{"key":"` + key + `","skip":true}`)
			case w.poison && w.rnd.IntN(20) == 0:
				w.b.publishRaw(`not JSON`)
			default:
				w.b.publish(key)
			}
		}
		i := w.rnd.IntN(len(w.instances))
		in := w.instances[i]
		switch {
		case w.stops && w.rnd.IntN(80) == 0:
			w.stop()
			clear(down)
		case w.kills && w.rnd.IntN(30) == 0:
			w.kill(i)
			delete(down, i)
		case w.kills && w.rnd.IntN(30) == 0:
			in.close()
			w.spawn(i)
			delete(down, i)
		case w.cuts && w.rnd.IntN(10) == 0 && down[i].IsZero():
			in.c.cut(true)
			// From a blink to longer than the ack wait and the pin.
			down[i] = time.Now().Add(time.Duration(w.rnd.IntN(6000)) * time.Millisecond)
		case w.acks && w.rnd.IntN(10) == 0:
			in.c.set(func(c *client) { c.ackFails += w.rnd.IntN(3) })
		case w.acks && w.rnd.IntN(10) == 0:
			in.c.set(func(c *client) { c.ackMute += w.rnd.IntN(3) })
		}
		for i, until := range down {
			if time.Now().After(until) || step == steps-1 {
				w.instances[i].c.cut(false)
				delete(down, i)
			}
		}
		time.Sleep(time.Duration(w.rnd.IntN(200)) * time.Millisecond)
		if w.lot != nil {
			for _, in := range w.instances {
				in.route.deps.Arrivals.Announce("contacts(emailaddress1='p')")
			}
		}
	}
	w.settle()
}

// settle waits until everything is acknowledged, and then checks the history.
func (w *world) settle() {
	began := time.Now()
	waits := func() bool { return len(w.b.unsettled()) > 0 || w.lot != nil && w.lot.count() > 0 }
	for waits() && time.Since(began) < 3*time.Minute+100*w.late {
		time.Sleep(time.Second)
	}
	synctest.Wait()
	if left := w.b.unsettled(); len(left) > 0 {
		for _, in := range w.instances {
			w.t.Logf("%+v", in.route.Status())
		}
		w.t.Errorf("never settled: %v", left)
	}
	if w.lot != nil && w.lot.count() > 0 {
		w.t.Errorf("%d are still parked: %+v", w.lot.count(), w.instances[0].route.Status())
	}
	for _, in := range w.instances {
		in.close()
	}
	w.graves.Wait()
	time.Sleep(w.late)
	for _, r := range w.crm.regressions() {
		w.t.Error(r)
	}
	for _, e := range w.early {
		w.t.Error("acknowledged before it was written or rejected: ", e)
	}
	rejected := w.out.rejected()
	for _, wr := range w.crm.writes() {
		if rejected[wr.Sequence] {
			w.t.Errorf("message %d was both written and rejected", wr.Sequence)
		}
	}
	if len(w.out.letters) != len(rejected) {
		w.t.Errorf("%d dead letters for %d rejected messages", len(w.out.letters), len(rejected))
	}
}

// TestNothingIsLostAndNoKeyGoesBack runs histories in which processes are killed,
// connections are cut, acknowledgements get lost, and writes fail or succeed
// without an answer. Each seed draws its own subset of these.
func TestNothingIsLostAndNoKeyGoesBack(t *testing.T) {
	var seen tally
	t.Cleanup(func() { seen.check(t) })
	for seed := range *seeds {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(uint64(seed), 7))
				w := &world{t: t, rnd: rnd, b: newBroker(), crm: &crm{}, out: &outbox{}}
				w.b.onAck = w.judge
				w.kills, w.cuts, w.acks = rnd.IntN(2) == 0, rnd.IntN(2) == 0, rnd.IntN(2) == 0
				w.faults, w.poison, w.noClaims = rnd.IntN(2) == 0, rnd.IntN(2) == 0, rnd.IntN(4) == 0
				w.run()
				seen.add(w)
			})
		})
	}
}

// tally proves that the histories were eventful.
type tally struct {
	mu                                           sync.Mutex
	takeOvers, redeliveries, twice, dead, closed int
}

func (c *tally) add(w *world) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.takeOvers += w.b.claims
	for _, n := range w.b.deliveries {
		c.redeliveries += n - 1
	}
	c.twice += len(w.crm.writes())
	c.dead += len(w.out.letters)
	c.twice -= distinct(w.crm.writes())
	for _, in := range w.instances {
		c.closed += strings.Count(in.logs.String(), "holding deliveries back")
	}
}

func distinct(log []write) int {
	m := map[write]bool{}
	for _, wr := range log {
		m[wr] = true
	}
	return len(m)
}

func (c *tally) check(t *testing.T) {
	for name, n := range map[string]int{
		"take-overs": c.takeOvers, "redeliveries": c.redeliveries, "repeated writes": c.twice,
		"dead letters": c.dead, "held-back deliveries": c.closed,
	} {
		if n == 0 {
			t.Errorf("no history had any %s", name)
		}
	}
	t.Logf("%+v", map[string]int{"take-overs": c.takeOvers, "redeliveries": c.redeliveries,
		"repeated writes": c.twice, "dead letters": c.dead, "hold-backs": c.closed})
}

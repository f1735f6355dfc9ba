package inbound

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

// listMapper maps {"keys":[K...]} to an upsert of each account K, in that order. It
// takes the member revision for the event's.
type listMapper struct{}

type keyList struct {
	Keys     []string
	Revision string
}

func (listMapper) Match(context.Context, *cloudevent.Event) (bool, error) { return true, nil }

func (listMapper) Map(ctx context.Context, e *cloudevent.Event) ([]*schema.Write, error) {
	var p keyList
	if err := json.Unmarshal(e.Data(), &p); err != nil {
		return nil, err
	}
	var all []*schema.Write
	for _, key := range p.Keys {
		one := cloudevent.New()
		one.SetID(e.ID())
		if err := one.SetData("application/json", payload{Key: key}); err != nil {
			return nil, err
		}
		w, err := keyMapper{}.Map(ctx, &one)
		if err != nil {
			return nil, err
		}
		w[0].Body = []byte(strings.TrimSuffix(string(w[0].Body), "}") + `,"primarycontactid@odata.bind":"/contacts(emailaddress1='P')"}`)
		all = append(all, w...)
	}
	return all, nil
}

func (m listMapper) Revision(_ context.Context, e *cloudevent.Event) (string, error) {
	var p keyList
	err := json.Unmarshal(e.Data(), &p)
	return p.Revision, err
}

func keysOf(keys ...string) string {
	data, _ := json.Marshal(keyList{Keys: keys})
	return string(data)
}

func severalBench(t *testing.T, cfg RouteConfig, b *broker, c *crm, out *outbox, l *lot) *bench {
	h := newBenchOn(t, cfg, b, c, out)
	h.route.mapper = listMapper{}
	if l != nil {
		h.route.deps.Parking, h.route.deps.Arrivals = &terminal{lot: l}, NewArrivals()
	}
	return h
}

// keysInOrder lists the keys of the write log.
func (c *crm) keysInOrder() string {
	var keys []string
	for _, w := range c.writes() {
		keys = append(keys, fmt.Sprint(w.Key, w.Sequence))
	}
	return strings.Join(keys, " ")
}

func TestTheWritesOfAMessageAreMadeInOrderAndThenItIsAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &crm{}
		h := severalBench(t, testConfig(), newBroker(), c, &outbox{}, nil)
		c.before = func(ctx context.Context, _ string, _ uint64, _ int) error {
			sleep(ctx, time.Second)
			return nil
		}
		h.b.onAck = func(uint64) {
			if n := len(c.writes()); n != 3 {
				t.Errorf("acknowledged after %d of 3 writes", n)
			}
		}
		h.b.publishRaw(keysOf("A", "B", "A"))
		h.start()
		h.after(20 * time.Second)
		if got := c.keysInOrder(); got != "A1 B1 A1" || c.peak() != 1 || len(h.b.unsettled()) != 0 {
			t.Errorf("wrote %s, %d at once, unsettled %v", got, c.peak(), h.b.unsettled())
		}
		s := h.settled[0]
		if len(s.Writes) != 3 || s.Write != s.Writes[0] || len(s.Results) != 3 || s.Result != s.Results[0] || s.Outcome != Written {
			t.Errorf("%+v", s)
		}
	})
}

func TestLaterMessagesOfAnyKeyWaitForTheLastWriteAndOthersDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &crm{}
		h := severalBench(t, testConfig(), newBroker(), c, &outbox{}, nil)
		slow := make(chan struct{})
		c.before = func(ctx context.Context, key string, seq uint64, _ int) error {
			if key == "B" && seq == 1 {
				<-slow
			}
			return nil
		}
		for _, data := range []string{keysOf("A", "B"), keysOf("A"), keysOf("C", "B"), keysOf("C"), keysOf("D")} {
			h.b.publishRaw(data)
		}
		h.start()
		h.after(2 * time.Second)
		if a, d := c.sequences("A"), c.sequences("D"); len(c.writes()) != 2 || len(a) != 1 || len(d) != 1 {
			t.Errorf("while B is slow: %s", c.keysInOrder())
		}
		close(slow)
		h.after(2 * time.Second)
		for key, want := range map[string][]uint64{"A": {1, 2}, "B": {1, 3}, "C": {3, 4}} {
			if diff := cmp.Diff(want, c.sequences(key)); diff != "" {
				t.Errorf("%s: %s", key, diff)
			}
		}
	})
}

func TestARedeliveredMessageIsWrittenAgainFromItsFirstWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c := newBroker(), &crm{}
		first := severalBench(t, testConfig(), b, c, &outbox{}, nil)
		c.before = func(ctx context.Context, key string, _ uint64, call int) error {
			if key == "B" && call == 2 {
				first.stop() // the process ends in the middle
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		b.publishRaw(keysOf("A", "B", "C"))
		first.start()
		first.after(time.Minute)
		if got := c.keysInOrder(); got != "A1" || len(b.unsettled()) != 1 {
			t.Fatalf("before the end: %s, unsettled %v", got, b.unsettled())
		}
		second := severalBench(t, testConfig(), b, c, &outbox{}, nil)
		second.start()
		second.after(time.Minute)
		if got := c.keysInOrder(); got != "A1 A1 B1 C1" || len(b.unsettled()) != 0 {
			t.Errorf("%s, unsettled %v", got, b.unsettled())
		}
	})
}

func TestARepeatedWriteDoesNotRepeatTheOnesBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &crm{}
		h := severalBench(t, testConfig(), newBroker(), c, &outbox{}, nil)
		c.before = func(_ context.Context, key string, _ uint64, call int) error {
			if key == "B" && call < 5 {
				return failing(outcome.Retry, outcome.Server)
			}
			return nil
		}
		h.b.publishRaw(keysOf("A", "B", "C"))
		h.start()
		h.after(time.Minute)
		if got := c.keysInOrder(); got != "A1 B1 C1" || c.calls != 6 {
			t.Errorf("%s in %d calls", got, c.calls)
		}
	})
}

func TestARejectedWriteInTheMiddleNamesWhatWasDoneAndTheExactRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.Receipts = "erp.receipts"
		c := &crm{}
		h := severalBench(t, cfg, newBroker(), c, &outbox{}, nil)
		c.before = func(_ context.Context, key string, _ uint64, _ int) error {
			if key == "C" {
				return failing(outcome.Reject, outcome.Invalid)
			}
			return nil
		}
		h.b.publishRaw(keysOf("A", "B", "C", "D"))
		h.b.publishRaw(keysOf("D"))
		h.start()
		h.after(time.Second)
		if got := c.keysInOrder(); got != "A1 B1 D2" || len(h.b.unsettled()) != 0 || len(h.out.letters) != 1 {
			t.Fatalf("%s, unsettled %v, %d letters", got, h.b.unsettled(), len(h.out.letters))
		}
		l := h.out.letters[0]
		if l.Writes != 4 || l.Done != 2 || l.Accepted != "accounts(accountnumber='A') accounts(accountnumber='B')" ||
			l.Method != "PATCH" || l.Path != "accounts(accountnumber='C')" || !strings.Contains(string(l.Body), `"sequence":1`) ||
			l.Key != KeyHash(schema.FoldKey("account", []schema.KeyPart{{Column: "accountnumber", Value: []byte(`"A"`)}})) || l.Attempts != 3 {
			t.Errorf("letter %+v", l)
		}
		var writes []string
		for _, w := range h.out.receipts[0].Writes {
			writes = append(writes, w.RecordID)
		}
		if r := h.out.receipts[0]; r.Outcome != Rejected || !slices.Equal(writes, []string{"id-A", "id-B"}) {
			t.Errorf("receipt %+v", r)
		}
		if r := h.out.receipts[1]; r.Outcome != Written || len(r.Writes) != 0 || r.RecordID != "id-D" {
			t.Errorf("receipt of one write %+v", r)
		}
	})
}

func TestAMissingParentInTheMiddleParksTheMessageUnderAllItsKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, o, c := &lot{}, &orphan{keys: "B"}, &crm{}
		c.before = o.before
		h := severalBench(t, parkConfig(), newBroker(), c, &outbox{}, l)
		for _, data := range []string{keysOf("A", "B", "C"), keysOf("C"), keysOf("D"), keysOf("D", "A"), keysOf("D")} {
			h.b.publishRaw(data)
		}
		h.start()
		h.after(20 * time.Second)
		// The second message of D follows through A, the third through the second.
		if left := h.b.unsettled(); len(left) > 0 || l.count() != 4 || len(c.writes()) != 2 || len(c.sequences("B")) != 0 {
			t.Fatalf("unsettled %v, %d parked, wrote %s", left, l.count(), c.keysInOrder())
		}
		if st := h.route.Status(); st.Parked != 4 {
			t.Errorf("status %+v", st)
		}
		o.arrive()
		h.route.deps.Arrivals.Announce("contacts(emailaddress1='p')")
		h.after(5 * time.Second)
		if bad := c.regressions(); len(bad) > 0 || l.count() != 0 {
			t.Errorf("%v, %d parked", bad, l.count())
		}
		// The first write stood already, and is not made again.
		for key, want := range map[string][]uint64{"A": {1, 4}, "B": {1}, "C": {1, 2}, "D": {3, 4, 5}} {
			if diff := cmp.Diff(want, c.sequences(key)); diff != "" {
				t.Errorf("%s: %s", key, diff)
			}
		}
	})
}

func TestAParkedMessageOfSeveralKeysIsWrittenFromTheFirstAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, o, c, b := &lot{}, &orphan{keys: "B"}, &crm{}, newBroker()
		c.before = o.before
		first := severalBench(t, parkConfig(), b, c, &outbox{}, l)
		b.publishRaw(keysOf("A", "B"))
		first.start()
		first.after(10 * time.Second)
		first.close()
		o.arrive()
		b.publishRaw(keysOf("B"))
		b.publishRaw(keysOf("A"))
		second := severalBench(t, parkConfig(), b, c, &outbox{}, l)
		second.start()
		second.after(time.Minute)
		if got := c.sequences("A"); !slices.Equal(got, []uint64{1, 1, 3}) {
			t.Errorf("A: %v", got)
		}
		if got := c.sequences("B"); !slices.Equal(got, []uint64{1, 2}) || l.count() != 0 {
			t.Errorf("B: %v, %d parked", got, l.count())
		}
	})
}

func TestAfterAnAmbiguousWriteOnlyItsKeyWaitsAlsoWithinTheMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.AmbiguityBound = 10 * time.Second
		c := &crm{}
		h := severalBench(t, cfg, newBroker(), c, &outbox{}, nil)
		began := time.Now()
		when := map[string]time.Duration{}
		c.before = func(_ context.Context, key string, seq uint64, call int) error {
			if call == 1 {
				return &outcome.Error{Verdict: outcome.Retry, Reason: outcome.Timeout, Ambiguous: true}
			}
			c.mu.Lock()
			when[key+strconv.FormatUint(seq, 10)+"/"+strconv.Itoa(call)] = time.Since(began)
			c.mu.Unlock()
			return nil
		}
		h.b.publishRaw(keysOf("A", "B", "A"))
		h.b.publishRaw(keysOf("B"))
		h.start()
		h.after(time.Minute)
		if got := c.keysInOrder(); got != "A1 B1 A1 B2" {
			t.Fatal(got)
		}
		if when["A1/2"] > 2*time.Second || when["B1/3"] > 2*time.Second || when["A1/4"] < 10*time.Second {
			t.Errorf("written at %v: the same write at once, B at once, the second of A after the bound", when)
		}
	})
}

func TestAnExpiredMessageIsFollowedUpOnceAWriteWasAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.Format = FormatCloudEvents
		c := &crm{}
		h := severalBench(t, cfg, newBroker(), c, &outbox{}, nil)
		event := func(keys string) string {
			return fmt.Sprintf(`{"specversion":"1.0","id":"x/1","source":"/t","type":"t","expirytime":%q,"data":%s}`,
				time.Now().Add(5*time.Second).UTC().Format(time.RFC3339), keys)
		}
		c.before = func(_ context.Context, key string, _ uint64, call int) error {
			if key != "A" && call < 20 {
				return failing(outcome.Retry, outcome.Server)
			}
			return nil
		}
		for _, keys := range []string{keysOf("A", "B"), keysOf("C", "A")} {
			h.b.mu.Lock()
			h.b.messages = append(h.b.messages, &Message{
				Subject: "erp.customer", Data: []byte(event(keys)), Stream: "ERP", Incarnation: "i1", Sequence: uint64(len(h.b.messages) + 1),
				Header: map[string][]string{"Content-Type": {"application/cloudevents+json"}},
			})
			h.b.mu.Unlock()
		}
		h.start()
		h.after(5 * time.Minute)
		if diff := cmp.Diff(map[string]int{Written: 1, Rejected: 1}, h.outcomes()); diff != "" || c.keysInOrder() != "A1 B1" {
			t.Errorf("%s, wrote %s", diff, c.keysInOrder())
		}
	})
}

// Three instances of a route with messages of several keys, cut off, killed and
// replaced while writes fail, parents come and go, and answers are lost.
func TestMessagesOfSeveralKeysKeepTheOrderOfEachKeyWhateverHappens(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, c, l, out := newBroker(), &crm{}, &lot{}, &outbox{}
				rnd := newRand(seed)
				var mu sync.Mutex
				draw := func(n int) int {
					mu.Lock()
					defer mu.Unlock()
					return rnd.IntN(n)
				}
				healed := false
				c.before = func(ctx context.Context, key string, _ uint64, _ int) error {
					if !sleep(ctx, time.Duration(draw(150))*time.Millisecond) {
						return ctx.Err()
					}
					mu.Lock()
					done := healed
					mu.Unlock()
					switch n := draw(20); {
					case done:
						return nil
					case n == 0:
						return failing(outcome.Retry, outcome.Server)
					case n < 9 && key < "C":
						return &outcome.Error{Verdict: outcome.Park, Reason: outcome.MissingReference}
					}
					return nil
				}
				c.after = func(context.Context, string, uint64, int) error {
					if draw(25) == 0 {
						return &outcome.Error{Verdict: outcome.Retry, Reason: outcome.Timeout, Ambiguous: true}
					}
					return nil
				}
				cfg := parkConfig()
				cfg.GiveUpParked = 24 * time.Hour
				instances := make([]*bench, 3)
				for i := range instances {
					instances[i] = severalBench(t, cfg, b, c, out, l)
					instances[i].start()
				}
				expected := map[string]map[uint64]bool{}
				for range 25 {
					for range 8 {
						var keys []string
						for range 1 + draw(4) {
							keys = append(keys, string("ABCDEFGH"[draw(8)]))
						}
						seq := b.publishRaw(keysOf(keys...))
						for _, key := range keys {
							if expected[key] == nil {
								expected[key] = map[uint64]bool{}
							}
							expected[key][seq] = true
						}
					}
					h, pause := draw(len(instances)), time.Duration(draw(3000))*time.Millisecond
					switch draw(6) {
					case 0:
						instances[h].c.cut(true)
						instances[h].after(pause)
						instances[h].c.cut(false)
					case 1:
						instances[h].close()
						instances[h] = severalBench(t, cfg, b, c, out, l)
						instances[h].start()
					default:
						instances[h].after(pause)
					}
				}
				mu.Lock()
				healed = true
				mu.Unlock()
				instances[0].after(20 * time.Minute)
				if bad := c.regressions(); len(bad) > 0 {
					t.Error(bad)
				}
				if left := b.unsettled(); len(left) > 0 || l.count() > 0 {
					t.Errorf("unsettled %v, %d parked: nobody may wait in a circle: %+v", left, l.count(), instances[0].route.Status())
				}
				written := map[string]map[uint64]bool{}
				for _, w := range c.writes() {
					if written[w.Key] == nil {
						written[w.Key] = map[uint64]bool{}
					}
					written[w.Key][w.Sequence] = true
				}
				if diff := cmp.Diff(expected, written); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

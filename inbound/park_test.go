package inbound

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
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

// lot is the stream of parked messages, shared by all instances.
type lot struct {
	mu     sync.Mutex
	place  uint64
	term   int
	ended  bool // the term was
	parked []*Parked
	most   int
	// resumed counts the terms that began with messages after one that was ended, waited
	// those that did not.
	resumed, waited int
	fail            func(call string) error
}

// terminal is one instance's connection to the lot; it implements Parking.
type terminal struct {
	lot  *lot
	term int
	c    *client // nil, or what the connection goes down with
}

func (t *terminal) enter(call string) (leave func(), err error) {
	if t.c != nil {
		t.c.b.mu.Lock()
		down := t.c.down
		t.c.b.mu.Unlock()
		if down {
			return func() {}, errors.New(call + ": no connection")
		}
	}
	t.lot.mu.Lock()
	if t.lot.fail != nil {
		err = t.lot.fail(call)
	}
	return t.lot.mu.Unlock, err
}

func (t *terminal) Open(context.Context) (Opened, error) {
	leave, err := t.enter("open")
	defer leave()
	if err != nil {
		return Opened{}, err
	}
	o := Opened{Ended: t.lot.ended, Own: t.term != 0 && t.term == t.lot.term}
	t.raise(false)
	for _, p := range t.lot.parked {
		l, m := *p.Letter, *p.Letter.Message
		m.Header, m.Data = nil, nil
		l.Message = &m
		o.Parked = append(o.Parked, &Parked{Letter: &l, Place: p.Place})
	}
	switch {
	case len(o.Parked) == 0:
	case o.Ended:
		t.lot.resumed++
	default:
		t.lot.waited++
	}
	return o, nil
}

// raise begins another term, or ends it; the lot is locked.
func (t *terminal) raise(ended bool) {
	t.lot.term++
	t.term, t.lot.ended = t.lot.term, ended
}

func (t *terminal) End(context.Context) error {
	leave, err := t.enter("end")
	defer leave()
	switch {
	case err != nil:
		return err
	case t.term != t.lot.term:
		return ErrFenced
	}
	t.raise(true)
	return nil
}

func (t *terminal) Hold(context.Context) error {
	leave, err := t.enter("hold")
	defer leave()
	switch {
	case err != nil:
		return err
	case t.term != t.lot.term:
		return ErrFenced
	}
	t.raise(false)
	return nil
}

func (t *terminal) Term(context.Context) (uint64, bool, error) {
	leave, err := t.enter("term")
	defer leave()
	if err != nil || len(t.lot.parked) == 0 {
		return 0, false, err
	}
	return uint64(t.lot.term), t.lot.ended, nil
}

func (t *terminal) Park(_ context.Context, p *Parked) error {
	leave, err := t.enter("park")
	defer leave()
	switch {
	case err != nil:
		return err
	case t.term != t.lot.term:
		return ErrFenced
	}
	t.lot.place++
	p.Place = t.lot.place
	c := *p
	t.lot.parked = append(t.lot.parked, &c)
	t.lot.most = max(t.lot.most, len(t.lot.parked))
	return nil
}

func (t *terminal) Fetch(_ context.Context, p *Parked) (*Parked, error) {
	leave, err := t.enter("fetch")
	defer leave()
	if err != nil {
		return nil, err
	}
	for _, q := range t.lot.parked {
		if q.Letter.Message.id() == p.Letter.Message.id() {
			return q, nil
		}
	}
	return nil, ErrNotParked
}

func (t *terminal) Remove(_ context.Context, p *Parked) error {
	leave, err := t.enter("remove")
	defer leave()
	if err != nil {
		return err
	}
	t.lot.parked = slices.DeleteFunc(t.lot.parked, func(q *Parked) bool {
		return q.Letter.Message.id() == p.Letter.Message.id()
	})
	return nil
}

// holds tells whether a message is parked.
func (l *lot) holds(seq uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.parked, func(p *Parked) bool { return p.Letter.Message.Sequence == seq })
}

func (l *lot) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.parked)
}

// childMapper is keyMapper with a reference to the contact P.
type childMapper struct{ keyMapper }

func (m childMapper) Map(ctx context.Context, e *cloudevent.Event) ([]*schema.Write, error) {
	all, err := m.keyMapper.Map(ctx, e)
	for _, w := range all {
		w.Body = []byte(strings.TrimSuffix(string(w.Body), "}") + `,"primarycontactid@odata.bind":"/contacts(emailaddress1='P')"}`)
	}
	return all, err
}

func parkedBench(t *testing.T, cfg RouteConfig, b *broker, c *crm, out *outbox, l *lot) *bench {
	h := newBenchOn(t, cfg, b, c, out)
	h.route.mapper = childMapper{}
	h.route.deps.Parking = &terminal{lot: l}
	h.route.deps.Arrivals = NewArrivals()
	return h
}

func parkConfig() RouteConfig {
	cfg := testConfig()
	cfg.ParkAfter = time.Second
	cfg.GiveUpParked = 10 * time.Minute
	return cfg
}

// orphan makes the writes of some keys fail until their parent is there.
type orphan struct {
	mu    sync.Mutex
	keys  string
	there bool
}

func (o *orphan) before(_ context.Context, key string, _ uint64, _ int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.there || !strings.Contains(o.keys, key) {
		return nil
	}
	return &outcome.Error{Verdict: outcome.Park, Reason: outcome.MissingReference, Code: "0x80060891", Status: 404,
		Message: "A record with the specified key values does not exist in contact entity"}
}

func (o *orphan) arrive() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.there = true
}

func TestAMessageWithoutItsParentIsParkedAndReleasedWhenTheParentArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, o := &lot{}, &orphan{keys: "A"}
		h := parkedBench(t, parkConfig(), newBroker(), &crm{before: o.before}, &outbox{}, l)
		for _, key := range []string{"A", "B", "A", "A"} {
			h.b.publish(key)
		}
		h.start()
		h.after(20 * time.Second)
		if left := h.b.unsettled(); len(left) > 0 || l.count() != 3 {
			t.Fatalf("unsettled %v, %d parked: want all acknowledged and 3 parked", left, l.count())
		}
		if st := h.route.Status(); st.Parked != 3 || !strings.Contains(st.Detail, "3 messages are parked") {
			t.Errorf("status %+v", st)
		}
		h.b.publish("A")
		h.after(time.Second)
		o.arrive()
		h.route.deps.Arrivals.Announce("contacts(emailaddress1='p')")
		h.after(2 * time.Second)
		if diff := cmp.Diff([]uint64{1, 3, 4, 5}, h.crm.sequences("A")); diff != "" {
			t.Error(diff)
		}
		h.b.publish("A")
		h.after(time.Second)
		if n := len(h.crm.sequences("A")); n != 5 || l.count() != 0 {
			t.Errorf("%d writes, %d parked: a key with nothing parked must be written directly", n, l.count())
		}
		if diff := cmp.Diff(map[string]int{Written: 6}, h.outcomes()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestParkedMessagesAreTriedOnATimerAndThenRejectedWithTheParentNamed(t *testing.T) {
	for _, there := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			l, o := &lot{}, &orphan{keys: "A"}
			h := parkedBench(t, parkConfig(), newBroker(), &crm{before: o.before}, &outbox{}, l)
			h.b.publish("A")
			h.b.publish("A")
			h.start()
			h.after(time.Minute)
			if there {
				o.arrive() // nobody tells
			}
			h.after(11 * time.Minute)
			if l.count() != 0 || len(h.b.unsettled()) != 0 {
				t.Fatalf("%d still parked", l.count())
			}
			if there {
				if diff := cmp.Diff([]uint64{1, 2}, h.crm.sequences("A")); diff != "" {
					t.Error(diff)
				}
				return
			}
			if len(h.out.letters) != 2 {
				t.Fatalf("%d letters", len(h.out.letters))
			}
			letter := h.out.letters[0]
			if letter.Reason != string(outcome.MissingReference) || letter.Waits != "contacts(emailaddress1='P')" ||
				letter.Message.Sequence != 1 || string(letter.Message.Data) != `{"key":"A"}` || letter.Attempts < 5 {
				t.Errorf("letter %+v", letter)
			}
		})
	}
}

func TestParkedMessagesSurviveARestartInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, o, b, c := &lot{}, &orphan{keys: "A"}, newBroker(), &crm{}
		c.before = o.before
		first := parkedBench(t, parkConfig(), b, c, &outbox{}, l)
		b.publish("A")
		b.publish("A")
		first.start()
		first.after(10 * time.Second)
		first.close()
		o.arrive()
		b.publish("A")
		b.publish("A")
		second := parkedBench(t, parkConfig(), b, c, &outbox{}, l)
		second.start()
		second.after(time.Minute)
		if diff := cmp.Diff([]uint64{1, 2, 3, 4}, c.sequences("A")); diff != "" {
			t.Error(diff)
		}
		if l.count() != 0 || len(b.unsettled()) != 0 {
			t.Errorf("%d parked, unsettled %v", l.count(), b.unsettled())
		}
	})
}

func TestAFewBadKeysNeverFillTheAckWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, o := &lot{}, &orphan{keys: "ABC"}
		h := parkedBench(t, parkConfig(), newBroker(), &crm{before: o.before}, &outbox{}, l)
		// Far more messages of bad keys than may be unacknowledged (200).
		for i := range 1500 {
			h.b.publish(string("ABC"[i%3]))
			if i%10 == 0 {
				h.b.publish("good")
			}
		}
		h.start()
		h.after(30 * time.Second)
		if n := len(h.crm.sequences("good")); n != 150 {
			t.Errorf("%d of 150 good messages were written", n)
		}
		if left := len(h.b.unsettled()); left != 0 || l.count() != 1500 {
			t.Errorf("%d unsettled, %d parked", left, l.count())
		}
		o.arrive()
		h.after(10 * time.Minute)
		if bad := h.crm.regressions(); len(bad) > 0 || len(h.crm.writes()) != 1650 {
			t.Errorf("%d writes, regressions %v", len(h.crm.writes()), bad)
		}
	})
}

func TestALaneBeyondItsCapIsParkedWhileItsFirstMessageFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, sick := &lot{}, true
		h := parkedBench(t, parkConfig(), newBroker(), &crm{}, &outbox{}, l)
		var mu sync.Mutex
		h.crm.before = func(_ context.Context, key string, _ uint64, _ int) error {
			mu.Lock()
			defer mu.Unlock()
			if key == "A" && sick {
				return failing(outcome.Retry, outcome.Server)
			}
			return nil
		}
		for range laneCap * 3 {
			h.b.publish("A")
		}
		h.start()
		h.after(30 * time.Second)
		if l.count() != laneCap*3 || len(h.b.unsettled()) != 0 {
			t.Errorf("%d parked, %d unsettled", l.count(), len(h.b.unsettled()))
		}
		mu.Lock()
		sick = false
		mu.Unlock()
		h.after(10 * time.Minute)
		if bad := h.crm.regressions(); len(bad) > 0 || len(h.crm.sequences("A")) != laneCap*3 {
			t.Errorf("%d written, regressions %v", len(h.crm.sequences("A")), bad)
		}
	})
}

func TestAMessageIsAcknowledgedOnlyOnceItIsSafelyParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, o := &lot{}, &orphan{keys: "A"}
		l.fail = func(call string) error {
			if call == "park" {
				return errors.New("no answer")
			}
			return nil
		}
		h := parkedBench(t, parkConfig(), newBroker(), &crm{before: o.before}, &outbox{}, l)
		h.b.publish("A")
		h.start()
		h.after(20 * time.Second)
		if len(h.b.unsettled()) != 1 {
			t.Error("acknowledged although nothing was stored")
		}
		l.mu.Lock()
		l.fail = nil
		l.mu.Unlock()
		h.after(20 * time.Second)
		if len(h.b.unsettled()) != 0 || l.count() != 1 {
			t.Errorf("unsettled %v, %d parked", h.b.unsettled(), l.count())
		}
	})
}

func TestAFullStreamOfParkedMessagesStopsTheRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, o := &lot{}, &orphan{keys: "A"}
		l.fail = func(call string) error {
			if call == "park" {
				return ErrOutboxFull
			}
			return nil
		}
		h := parkedBench(t, parkConfig(), newBroker(), &crm{before: o.before}, &outbox{}, l)
		h.b.publish("A")
		h.start()
		h.after(20 * time.Second)
		if st := h.route.Status(); st.State != StateStopped || len(h.b.unsettled()) != 1 {
			t.Errorf("state %s, unsettled %v", st.State, h.b.unsettled())
		}
	})
}

func TestNothingIsWrittenBeforeTheParkedMessagesAreKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lot{fail: func(string) error { return errors.New("no answer") }}
		h := parkedBench(t, parkConfig(), newBroker(), &crm{}, &outbox{}, l)
		h.b.publish("A")
		h.start()
		h.after(5 * time.Second)
		if n := len(h.crm.writes()); n != 0 {
			t.Errorf("%d writes", n)
		}
		l.mu.Lock()
		l.fail = nil
		l.mu.Unlock()
		h.after(5 * time.Second)
		if n := len(h.crm.writes()); n != 1 {
			t.Errorf("%d writes", n)
		}
	})
}

func TestAnInstanceThatWasReplacedParksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, o := &lot{}, &orphan{keys: "A"}
		h := parkedBench(t, parkConfig(), newBroker(), &crm{before: o.before}, &outbox{}, l)
		h.b.publish("A")
		h.start()
		h.after(500 * time.Millisecond)
		l.mu.Lock()
		l.term++ // somebody else
		l.mu.Unlock()
		h.after(2 * time.Second)
		l.mu.Lock()
		most := l.most
		l.mu.Unlock()
		if most != 0 {
			t.Error("parked in an older term")
		}
		h.after(30 * time.Second)
		if l.count() != 1 || len(h.b.unsettled()) != 0 {
			t.Errorf("%d parked, unsettled %v: the next session must get it right", l.count(), h.b.unsettled())
		}
	})
}

// Several instances are cut off, killed and replaced while parents come and go.
func TestParkedKeysNeverGoBackWhateverHappensToTheInstances(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, c, l, out := newBroker(), &crm{}, &lot{}, &outbox{}
				rnd := newRand(seed)
				var mu sync.Mutex
				there := false
				c.before = func(ctx context.Context, key string, _ uint64, _ int) error {
					mu.Lock()
					missing := key < "C" && !there && rnd.IntN(10) < 8
					latency := time.Duration(rnd.IntN(200)) * time.Millisecond
					mu.Unlock()
					if !sleep(ctx, latency) {
						return ctx.Err()
					}
					if missing {
						return &outcome.Error{Verdict: outcome.Park, Reason: outcome.MissingReference}
					}
					return nil
				}
				cfg := parkConfig()
				cfg.GiveUpParked = 24 * time.Hour
				instances := []*bench{parkedBench(t, cfg, b, c, out, l), parkedBench(t, cfg, b, c, out, l)}
				for _, h := range instances {
					h.start()
				}
				for range 30 {
					for range 10 {
						mu.Lock()
						key := string("ABCDEF"[rnd.IntN(6)])
						mu.Unlock()
						b.publish(key)
					}
					mu.Lock()
					what, which, pause := rnd.IntN(6), rnd.IntN(2), time.Duration(rnd.IntN(4000))*time.Millisecond
					mu.Unlock()
					h := instances[which]
					switch what {
					case 0:
						h.c.cut(true)
						h.after(pause)
						h.c.cut(false)
					case 1:
						h.close()
						instances[which] = parkedBench(t, cfg, b, c, out, l)
						instances[which].start()
					default:
						h.after(pause)
					}
				}
				mu.Lock()
				there = true
				mu.Unlock()
				instances[0].after(20 * time.Minute)
				if bad := c.regressions(); len(bad) > 0 {
					t.Error(bad)
				}
				if left := b.unsettled(); len(left) > 0 || l.count() > 0 {
					t.Errorf("unsettled %v, %d parked: %+v %+v", left, l.count(), instances[0].route.Status(), instances[1].route.Status())
				}
				written := map[uint64]bool{}
				for _, w := range c.writes() {
					written[w.Sequence] = true
				}
				if len(written) != 300 {
					t.Errorf("%d of 300 messages were written", len(written))
				}
			})
		})
	}
}

func TestReferencesAreTheAddressesOfParentsInTheKeyToo(t *testing.T) {
	parent := func(address string) schema.KeyPart {
		return schema.KeyPart{Column: "p", Parent: &schema.KeyParent{Reference: schema.Reference{Address: address}}}
	}
	got := references(&schema.Write{
		Key:  []schema.KeyPart{parent("accounts(accountnumber='A1')"), parent(""), {Column: "n", Value: []byte("1")}},
		Body: []byte(`{"a@odata.bind":"/contacts(emailaddress1='a%40b')"}`),
	})
	if want := "accounts(accountnumber='A1') contacts(emailaddress1='a%40b')"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestReferencesAreTheBoundAddressesOfBothBodies(t *testing.T) {
	got := references(&schema.Write{
		Body:     []byte(`{"name":"x","a@odata.bind":"/contacts(emailaddress1='a%40b')","b@odata.bind":null,"c@odata.bind":"/x y"}`),
		OnCreate: []byte(`{"a@odata.bind":"/contacts(emailaddress1='a%40b')","d@odata.bind":"new_regions(new_code='N')"}`),
	})
	if want := "contacts(emailaddress1='a%40b') new_regions(new_code='N')"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

package jet

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cebridge/inbound"
)

// newParking starts a server with a stream of dead letters.
func newParking(t testing.TB) (*Conn, *Parking) {
	t.Helper()
	c := connect(t, startServer(t))
	if err := c.EnsureDeadStream(t.Context(), ProvisionApply, "DEAD", names.DeadSubjects(), 1); err != nil {
		t.Fatal(err)
	}
	return c, c.Parking("DEAD", names, "erp")
}

func parked(key string, seq uint64) *inbound.Parked {
	return &inbound.Parked{Letter: &inbound.Letter{
		Route: "erp", Verdict: "park", Reason: "missing_reference", Key: inbound.KeyHash(key), Attempts: 3,
		Waits: "contacts(emailaddress1='a%40contoso.com')", First: time.Unix(1000, 0).UTC(), Last: time.Unix(1001, 0).UTC(),
		Message: &inbound.Message{
			Subject: "erp.customer", Stream: "ERP", Incarnation: "i1", Sequence: seq, Deliveries: 1, Stored: time.Unix(999, 0).UTC(),
			Header: map[string][]string{"X": {"y"}}, Data: []byte(`{"a":1}`),
		},
	}}
}

func open(t testing.TB, p *Parking) []*inbound.Parked {
	t.Helper()
	return opened(t, p).Parked
}

func opened(t testing.TB, p *Parking) inbound.Opened {
	t.Helper()
	o, err := p.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func park(t testing.TB, p *Parking, list ...*inbound.Parked) {
	t.Helper()
	for _, m := range list {
		if err := p.Park(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAParkedMessageComesBackWholeAndInOrder(t *testing.T) {
	t.Parallel()
	c, p := newParking(t)
	if list := open(t, p); len(list) != 0 {
		t.Fatalf("%d parked in an empty stream", len(list))
	}
	if term, ended, err := p.Term(t.Context()); term != 0 || ended || err != nil {
		t.Errorf("term %d, ended %v, %v where nothing is parked", term, ended, err)
	}
	park(t, p, parked("A", 5), parked("B", 6), parked("A", 7))
	list := open(t, c.Parking("DEAD", names, "erp"))
	var got []uint64
	for _, m := range list {
		got = append(got, m.Letter.Message.Sequence)
	}
	if diff := cmp.Diff([]uint64{5, 6, 7}, got); diff != "" {
		t.Error(diff)
	}
	whole, err := p.Fetch(t.Context(), list[2])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(parked("A", 7).Letter, whole.Letter); diff != "" {
		t.Error(diff)
	}
	if other := open(t, c.Parking("DEAD", names, "other")); len(other) != 0 {
		t.Errorf("another route sees %d", len(other))
	}
}

func TestARemovedMessageIsGoneWithAllItsCopies(t *testing.T) {
	t.Parallel()
	_, p := newParking(t)
	m := parked("A", 5)
	park(t, p, m, m) // the confirmation of the first was lost
	for range 2 {
		if err := p.Remove(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Fetch(t.Context(), m); !errors.Is(err, inbound.ErrNotParked) {
		t.Errorf("error %v, want ErrNotParked", err)
	}
	if list := open(t, p); len(list) != 0 {
		t.Errorf("%d left", len(list))
	}
}

func TestAnEarlierTermParksNothing(t *testing.T) {
	t.Parallel()
	c, first := newParking(t)
	open(t, first)
	park(t, first, parked("A", 1))
	second := c.Parking("DEAD", names, "erp")
	if list := open(t, second); len(list) != 1 {
		t.Fatalf("%d parked", len(list))
	}
	if err := first.Park(t.Context(), parked("A", 2)); !errors.Is(err, inbound.ErrFenced) {
		t.Errorf("error %v, want ErrFenced", err)
	}
	if err := first.Hold(t.Context()); !errors.Is(err, inbound.ErrFenced) {
		t.Errorf("error %v, want ErrFenced", err)
	}
	park(t, second, parked("A", 2))
	if list := open(t, second); len(list) != 2 {
		t.Errorf("%d parked", len(list))
	}
}

func TestHoldingATermChangesItAndLeavesOneFence(t *testing.T) {
	t.Parallel()
	c, p := newParking(t)
	open(t, p)
	park(t, p, parked("A", 1))
	before, _, err := p.Term(t.Context())
	if err != nil || before == 0 {
		t.Fatalf("term %d, %v", before, err)
	}
	for range 5 {
		if err := p.Hold(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	after, ended, err := p.Term(t.Context())
	if err != nil || after <= before || ended {
		t.Errorf("term %d after %d, %v", after, before, err)
	}
	if n := len(all(t, c, "DEAD", names.Parked("erp", fenceToken))); n != 1 {
		t.Errorf("%d fences, want 1", n)
	}
	park(t, p, parked("A", 2))
}

func TestTwoThatParkForTheFirstTimeDoNotBothSucceed(t *testing.T) {
	t.Parallel()
	c, first := newParking(t)
	second := c.Parking("DEAD", names, "erp")
	open(t, first)
	open(t, second)
	park(t, first, parked("A", 1))
	if err := second.Park(t.Context(), parked("A", 2)); !errors.Is(err, inbound.ErrFenced) {
		t.Errorf("error %v, want ErrFenced", err)
	}
}

func TestAForeignMessageAmongTheParkedIsNamed(t *testing.T) {
	t.Parallel()
	c, p := newParking(t)
	// The answer says that it is stored.
	if _, err := c.NATS().RequestWithContext(t.Context(), names.ParkedMessage("erp", "k", "i", 1), []byte("garbage")); err != nil {
		t.Fatal(err)
	}
	_, err := p.Open(t.Context())
	if !errors.Is(err, ErrNotLetter) || !strings.Contains(err.Error(), "sequence ") || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("error %v", err)
	}
}

func TestAFullStreamParksNothingButCanBeOpened(t *testing.T) {
	t.Parallel()
	c, p := newParking(t)
	open(t, p)
	park(t, p, parked("A", 1))
	stream, err := c.js.Stream(t.Context(), "DEAD")
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.MaxBytes = int64(stream.CachedInfo().State.Bytes) + 1
	if info, err := stream.Info(t.Context()); err == nil {
		cfg.MaxBytes = int64(info.State.Bytes) + 1
	}
	if _, err := c.js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if list := open(t, p); len(list) != 1 {
		t.Errorf("%d parked", len(list))
	}
	if err := p.Park(t.Context(), parked("A", 2)); !errors.Is(err, inbound.ErrOutboxFull) {
		t.Errorf("error %v, want ErrOutboxFull", err)
	}
	// A term that began without a fence of its own is no term to end, and nobody may take
	// it for the one before.
	other := c.Parking("DEAD", names, "erp")
	if o := opened(t, other); o.Own || o.Ended || !o.Unsure || len(o.Parked) != 1 {
		t.Errorf("%+v", o)
	}
	if err := other.End(t.Context()); !errors.Is(err, inbound.ErrFenced) {
		t.Errorf("error %v, want ErrFenced", err)
	}
	if err := p.End(t.Context()); !errors.Is(err, inbound.ErrOutboxFull) {
		t.Errorf("error %v, want ErrOutboxFull", err)
	}
	cfg.MaxBytes = -1
	if _, err := c.js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	// There is room again: the first that parks needs a fence of its own.
	if err := other.Park(t.Context(), parked("A", 2)); err != nil {
		t.Fatal(err)
	}
	if err := p.Park(t.Context(), parked("A", 3)); !errors.Is(err, inbound.ErrFenced) {
		t.Errorf("error %v, want ErrFenced", err)
	}
}

func TestOneAloneIsToldThatTheTermBeforeWasEnded(t *testing.T) {
	t.Parallel()
	c, first := newParking(t)
	open(t, first)
	park(t, first, parked("A", 1))
	if err := first.End(t.Context()); err != nil {
		t.Fatal(err)
	}
	if term, ended, err := first.Term(t.Context()); term == 0 || !ended || err != nil {
		t.Errorf("term %d, ended %v, %v", term, ended, err)
	}
	second, third := c.Parking("DEAD", names, "erp"), c.Parking("DEAD", names, "erp")
	if o := opened(t, second); !o.Ended || o.Own || len(o.Parked) != 1 {
		t.Errorf("%+v", o)
	}
	if o := opened(t, third); o.Ended || o.Own || len(o.Parked) != 1 {
		t.Errorf("%+v", o)
	}
	if _, ended, err := third.Term(t.Context()); ended || err != nil {
		t.Errorf("ended %v, %v", ended, err)
	}
	for name, p := range map[string]*Parking{"first": first, "second": second} {
		if err := p.End(t.Context()); !errors.Is(err, inbound.ErrFenced) {
			t.Errorf("%s: error %v, want ErrFenced", name, err)
		}
	}
	if n := len(all(t, c, "DEAD", names.Parked("erp", fenceToken))); n != 1 {
		t.Errorf("%d fences, want 1", n)
	}
}

func TestATermIsItsOwnAsLongAsNobodyElseBeganOne(t *testing.T) {
	t.Parallel()
	c, p := newParking(t)
	if o := opened(t, p); o.Own || o.Ended {
		t.Errorf("the first of all: %+v", o)
	}
	if err := p.End(t.Context()); !errors.Is(err, inbound.ErrFenced) {
		t.Errorf("ended without a term: %v", err)
	}
	park(t, p, parked("A", 1))
	if o := opened(t, p); !o.Own || o.Ended {
		t.Errorf("after parking: %+v", o)
	}
	if err := p.Hold(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o := opened(t, p); !o.Own {
		t.Errorf("after holding: %+v", o)
	}
	open(t, c.Parking("DEAD", names, "erp"))
	if o := opened(t, p); o.Own || o.Ended {
		t.Errorf("after another one: %+v", o)
	}
	if o := opened(t, p); !o.Own {
		t.Errorf("again: %+v", o)
	}
}

func TestAFenceOfAnEarlierVersionEndsNoTerm(t *testing.T) {
	t.Parallel()
	c, p := newParking(t)
	open(t, p)
	park(t, p, parked("A", 1))
	// It had no header of its own.
	if _, err := c.NATS().RequestWithContext(t.Context(), names.Parked("erp", fenceToken), nil); err != nil {
		t.Fatal(err)
	}
	if o := opened(t, p); o.Ended || o.Own {
		t.Errorf("%+v", o)
	}
}

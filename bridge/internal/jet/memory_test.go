package jet

import (
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cebridge/inbound"
)

func TestARevisionIsStoredOnceAndReadByEverybody(t *testing.T) {
	t.Parallel()
	c, _ := newLog(t)
	r := c.Revisions(testStream, names, "erp")
	key := inbound.KeyHash("account\x00accountnumber\x01a")
	got, err := r.Applied(t.Context(), key)
	if err != nil || got != (inbound.Applied{}) {
		t.Fatalf("an unknown key gives %+v, %v", got, err)
	}
	want := inbound.Applied{Revision: "n0007", Incarnation: "i1", Sequence: 9}
	if want.Place, err = r.Advance(t.Context(), key, want); err != nil {
		t.Fatal(err)
	}
	other := connect(t, embeddedOf(c)).Revisions(testStream, names, "erp")
	if got, err = other.Applied(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, err := c.Revisions(testStream, names, "other").Applied(t.Context(), key); err != nil || got.Revision != "" {
		t.Errorf("another route reads %+v, %v", got, err)
	}
}

func TestOfTwoRivalsOnlyOneAdvancesARevision(t *testing.T) {
	t.Parallel()
	c, _ := newLog(t)
	r := c.Revisions(testStream, names, "erp")
	place, err := r.Advance(t.Context(), "k", inbound.Applied{Revision: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	failed := make([]error, 2)
	for i := range failed {
		wg.Go(func() { _, failed[i] = r.Advance(t.Context(), "k", inbound.Applied{Revision: "n2", Place: place}) })
	}
	wg.Wait()
	if (failed[0] == nil) == (failed[1] == nil) || !errors.Is(errors.Join(failed...), inbound.ErrOutdated) {
		t.Errorf("errors %v, one must be ErrOutdated", failed)
	}
}

func TestOnlyTheLastRevisionOfAKeyIsKept(t *testing.T) {
	t.Parallel()
	c, _ := newLog(t)
	r := c.Revisions(testStream, names, "erp")
	var a inbound.Applied
	for _, a.Revision = range []string{"n1", "n2", "n3"} {
		var err error
		if a.Place, err = r.Advance(t.Context(), "k", a); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(all(t, c, testStream)); n != 1 {
		t.Errorf("%d messages are stored, want 1", n)
	}
}

func TestAFullStreamTakesNoRevision(t *testing.T) {
	t.Parallel()
	c, _ := newLog(t, func(s *EventStream) { s.MaxBytes = 1 << 10 })
	r := c.Revisions(testStream, names, "erp")
	var err error
	for i := 0; i < 50 && err == nil; i++ {
		_, err = r.Advance(t.Context(), inbound.KeyHash(string(rune('a'+i))), inbound.Applied{Revision: "n1"})
	}
	if !errors.Is(err, inbound.ErrStateFull) {
		t.Errorf("error %v, want ErrStateFull", err)
	}
}

func TestAForeignMessageIsNotARevision(t *testing.T) {
	t.Parallel()
	c, _ := newLog(t)
	r := c.Revisions(testStream, names, "erp")
	for _, data := range []string{"", "{}", `{"format":2,"revision":"n1"}`, "garbage"} {
		// The answer says that it is stored.
		if _, err := c.NATS().RequestWithContext(t.Context(), names.Revision("erp", "k"), []byte(data)); err != nil {
			t.Fatal(err)
		}
		if a, err := r.Applied(t.Context(), "k"); err == nil {
			t.Errorf("%q was read as %+v", data, a)
		}
	}
}

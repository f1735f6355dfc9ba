package jet

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
)

func TestInstancesAddToOneSumOfADay(t *testing.T) {
	t.Parallel()
	c, _ := newLog(t)
	if got, err := c.BudgetStore(testStream, names).Total(t.Context()); err != nil || got != (Used{}) {
		t.Fatalf("before the first request: %+v, %v", got, err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			s := c.BudgetStore(testStream, names)
			for range 10 {
				for {
					if _, err := s.Add(t.Context(), Used{"2026-01-31", 2, 3}); err == nil {
						break
					} else if !strings.Contains(err.Error(), "other instances were first") {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	s := c.BudgetStore(testStream, names)
	want := Used{"2026-01-31", 80, 120}
	if got, err := s.Total(t.Context()); err != nil || got != want {
		t.Errorf("the sum is %+v, %v", got, err)
	}
	if got, err := s.Add(t.Context(), Used{Date: "2026-01-31"}); err != nil || got != want {
		t.Errorf("adding nothing gives %+v, %v", got, err)
	}
	if got, err := s.Add(t.Context(), Used{"2026-02-01", 1, 0}); err != nil || got != (Used{"2026-02-01", 1, 0}) {
		t.Errorf("the next day begins with %+v, %v", got, err)
	}
	if got, err := s.Add(t.Context(), Used{"2026-01-31", 7, 0}); err != nil || got != (Used{"2026-02-01", 1, 0}) {
		t.Errorf("a clock that is late gets %+v, %v", got, err)
	}
	info, err := c.js.Stream(t.Context(), testStream)
	if err != nil {
		t.Fatal(err)
	}
	if n := info.CachedInfo().State.Msgs; n != 1 {
		t.Errorf("%d messages are kept, want the last alone", n)
	}
}

func TestAnAdditionWhoseAnswerWasLostCountsOnce(t *testing.T) {
	t.Parallel()
	c, _ := newLog(t)
	s := c.BudgetStore(testStream, names)
	if _, err := s.Add(t.Context(), Used{"2026-01-31", 10, 0}); err != nil {
		t.Fatal(err)
	}
	// As if that answer had been lost: the store remembers the attempt.
	stored, _, err := s.read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.unknown = storedBudget{Attempt: stored.Attempt, Outbound: 10}
	if got, err := s.Add(t.Context(), Used{"2026-01-31", 12, 4}); err != nil || got != (Used{"2026-01-31", 12, 4}) {
		t.Errorf("the repeated addition gives %+v, %v; want what was used once", got, err)
	}
	// And one that never arrived.
	s.unknown = storedBudget{Attempt: "lost", Outbound: 5}
	if got, err := s.Add(t.Context(), Used{"2026-01-31", 5, 0}); err != nil || got != (Used{"2026-01-31", 17, 4}) {
		t.Errorf("the repeated addition gives %+v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Add(ctx, Used{"2026-01-31", 1, 0}); err == nil {
		t.Error("an addition without a connection succeeded")
	}
}

func TestAForeignMessageInPlaceOfTheSumIsRefused(t *testing.T) {
	t.Parallel()
	c, _ := newLog(t)
	for _, text := range []string{"hello", `{"format":2}`, `[]`} {
		if _, err := c.store(t.Context(), &nats.Msg{Subject: names.Budget(), Data: []byte(text)}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.BudgetStore(testStream, names).Add(t.Context(), Used{"2026-01-31", 1, 1}); err == nil || !strings.Contains(err.Error(), "purge") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

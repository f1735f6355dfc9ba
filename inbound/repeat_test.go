package inbound

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

// creating maps to creates.
type creating struct{ keyMapper }

func (c creating) Map(ctx context.Context, e *cloudevent.Event) ([]*schema.Write, error) {
	writes, err := c.keyMapper.Map(ctx, e)
	for _, w := range writes {
		w.Operation = schema.OpCreate
	}
	return writes, err
}

// attempts keeps which attempts were marked as repeated.
type attempts struct {
	mu     sync.Mutex
	marked map[string][]bool
	fail   func(n int) error
}

func (a *attempts) Apply(_ context.Context, w *schema.Write) (schema.Result, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.marked[w.Predicate] = append(a.marked[w.Predicate], w.Repeat)
	if err := a.fail(len(a.marked[w.Predicate])); err != nil {
		return schema.Result{}, err
	}
	return schema.Result{Effect: schema.EffectCreated}, nil
}

func TestOnlyARepeatedCreateIsMarkedSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &attempts{marked: map[string][]bool{}}
		w.fail = func(n int) error {
			if n < 3 {
				return &outcome.Error{Verdict: outcome.Retry, Reason: outcome.Timeout, Ambiguous: true}
			}
			return nil
		}
		b := newBroker()
		r, err := NewRoute(testConfig(), b.client(), creating{}, w, &outbox{}, Deps{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		b.publish("A")
		time.Sleep(20 * time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(map[string][]bool{"accountnumber='A'": {false, true, true}}, w.marked); diff != "" {
			t.Error(diff)
		}
	})
}

func TestACreateThatAnotherInstanceMayHaveMadeIsMarkedAsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &attempts{marked: map[string][]bool{}}
		b := newBroker()
		stuck := true
		w.fail = func(int) error {
			if stuck {
				return &outcome.Error{Verdict: outcome.Retry, Reason: outcome.Timeout}
			}
			return nil
		}
		run := func(d time.Duration) {
			r, err := NewRoute(testConfig(), b.client(), creating{}, w, &outbox{}, Deps{})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- r.Run(ctx) }()
			time.Sleep(d)
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		b.publish("A")
		run(50 * time.Millisecond)
		w.mu.Lock()
		first := len(w.marked["accountnumber='A'"])
		stuck = false
		w.mu.Unlock()
		run(20 * time.Second)
		got := w.marked["accountnumber='A'"]
		if len(got) <= first || first == 0 || got[0] || !got[first] {
			t.Errorf("%d attempts of the first instance, marks %v", first, got)
		}
	})
}

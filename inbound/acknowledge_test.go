package inbound

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cebridge/schema"
)

// listFeed hands out its deliveries, once.
type listFeed []Delivery

func (f listFeed) Run(ctx context.Context, handle func(Delivery)) error {
	for _, d := range f {
		handle(d)
	}
	<-ctx.Done()
	return ctx.Err()
}

func (f listFeed) State(context.Context) (FeedState, error) { return FeedState{}, nil }

// openAck is a delivery whose confirmation comes when the test says so.
type openAck struct {
	m *Message

	mu     sync.Mutex
	then   Acked
	waited int // calls of Ack
	soon   bool
}

func newOpenAck(sequence uint64, key string) *openAck {
	return &openAck{m: &Message{Stream: "ERP", Sequence: sequence, Number: sequence, Deliveries: 1, Data: []byte(`{"key":"` + key + `"}`)}}
}

func (d *openAck) Message() *Message { return d.m }
func (d *openAck) Extend() error     { return nil }

func (d *openAck) Release() error { return nil }

func (d *openAck) Ack(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waited++
	return nil
}

func (d *openAck) AckLater(ctx context.Context, then Acked, soon bool) {
	d.mu.Lock()
	d.then, d.soon = then, soon
	d.mu.Unlock()
	context.AfterFunc(ctx, func() { d.end(ctx.Err()) })
}

// end tells how the acknowledgement ended. It returns false when none was sent, or its
// end was told.
func (d *openAck) end(err error) bool {
	d.mu.Lock()
	then := d.then
	d.then = nil
	d.mu.Unlock()
	if then != nil {
		then.Acked(err)
	}
	return then != nil
}

func (d *openAck) acks() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.waited
}

// wrote lists the keys that were written.
type wrote struct {
	mu   sync.Mutex
	keys []string
}

func (w *wrote) Apply(_ context.Context, r *schema.Write) (schema.Result, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keys = append(w.keys, string(r.Key[0].Value))
	return schema.Result{Effect: schema.EffectUpdated}, nil
}

func (w *wrote) sorted() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(slices.Values(w.keys))
}

func TestTheNextOfAKeyIsWrittenOnlyAfterTheConfirmationOfTheOneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a1, a2, a3, b := newOpenAck(1, "A"), newOpenAck(2, "A"), newOpenAck(3, "A"), newOpenAck(4, "B")
		w := &wrote{}
		r, err := NewRoute(testConfig(), listFeed{a1, a2, a3, b}, keyMapper{}, w, &outbox{}, Deps{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		written := func(when string, want ...string) {
			t.Helper()
			time.Sleep(time.Second)
			synctest.Wait()
			if got := w.sorted(); !slices.Equal(got, want) {
				t.Errorf("%s: written %v, want %v", when, got, want)
			}
		}
		written("at first", `"A"`, `"B"`)
		if st := r.Status(); st.InFlight != 4 || st.Results[Written] != 0 {
			t.Errorf("without a confirmation: %+v", st)
		}
		if !a1.end(nil) {
			t.Error("the first acknowledgement was not sent")
		}
		written("after the first confirmation", `"A"`, `"A"`, `"B"`)
		if st := r.Status(); st.InFlight != 3 || st.Results[Written] != 1 {
			t.Errorf("after the first confirmation: %+v", st)
		}
		a2.end(errors.New("timeout"))
		written("after a repeated acknowledgement", `"A"`, `"A"`, `"A"`, `"B"`)
		if a2.acks() != 1 || a1.acks() != 0 {
			t.Errorf("acknowledged again: %d, %d; wanted is the second one, once", a1.acks(), a2.acks())
		}
		if !a1.soon || !a2.soon || a3.soon || b.soon {
			t.Errorf("asked for soon: %v %v %v %v; wanted are those that others wait for", a1.soon, a2.soon, a3.soon, b.soon)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if got := w.sorted(); len(got) != 4 {
			t.Errorf("written in all: %v", got)
		}
	})
}

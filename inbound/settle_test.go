package inbound

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

func TestALostAcknowledgementIsRepeatedWithoutASecondWrite(t *testing.T) {
	faults := map[string]func(*client){
		"it did not reach the server":   func(c *client) { c.ackFails = 3 },
		"it reached it and is unproven": func(c *client) { c.ackMute = 3 },
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newBench(t, testConfig())
				fault(h.c)
				h.b.publish("A")
				h.b.publish("A")
				h.start()
				h.after(30 * time.Second)
				if diff := cmp.Diff([]uint64{1, 2}, h.crm.sequences("A")); diff != "" {
					t.Error(diff)
				}
				if diff := cmp.Diff(map[string]int{Written: 2}, h.outcomes()); diff != "" {
					t.Error(diff)
				}
				if left := h.b.unsettled(); len(left) != 0 {
					t.Errorf("unsettled: %v", left)
				}
			})
		})
	}
}

func TestTheNextMessageOfAKeyWaitsForAnUnprovenAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		h.c.ackFails = 1 << 30
		h.b.publish("A")
		h.b.publish("A")
		h.start()
		h.after(10 * time.Minute)
		if diff := cmp.Diff([]uint64{1}, h.crm.sequences("A")); diff != "" {
			t.Error(diff)
		}
		if st := h.route.Status(); !strings.Contains(st.LastError, "acknowledge") {
			t.Errorf("%+v", st)
		}
	})
}

func TestAWrittenMessageThatComesAgainAfterACutIsOnlyAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		h.crm.after = func(context.Context, string, uint64, int) error {
			h.c.cut(true) // after the write, before its acknowledgement
			return nil
		}
		h.b.publish("A")
		h.start()
		h.after(30 * time.Second)
		h.c.cut(false)
		h.after(10 * time.Second)
		if diff := cmp.Diff([]uint64{1}, h.crm.sequences("A")); diff != "" {
			t.Error(diff)
		}
		if len(h.b.unsettled()) != 0 || h.b.deliveriesOf(1) < 2 {
			t.Errorf("unsettled %v after %d deliveries", h.b.unsettled(), h.b.deliveriesOf(1))
		}
		if diff := cmp.Diff(map[string]int{Written: 1}, h.outcomes()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAnAcknowledgedMessageThatComesAgainIsAcknowledgedAgain(t *testing.T) {
	for data, want := range map[string]string{`{"key":"A"}`: Written, `{"key":"A","bad":true}`: Rejected, `{"skip":true}`: Unmatching} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cfg := testConfig()
				cfg.Receipts = "erp.receipts"
				h := newBench(t, cfg)
				h.b.publishRaw(data)
				h.start()
				h.after(time.Second)
				stored := h.out.calls
				h.b.mu.Lock()
				delete(h.b.acked, 1) // the server forgot, as after a crash
				h.b.pending[1] = &outstanding{}
				h.b.mu.Unlock()
				h.after(time.Second)
				if len(h.b.unsettled()) != 0 || h.crm.calls > 1 || h.out.calls != stored {
					t.Errorf("unsettled %v, %d calls, %d more letters and receipts",
						h.b.unsettled(), h.crm.calls, h.out.calls-stored)
				}
				if diff := cmp.Diff(map[string]int{want: 1}, h.outcomes()); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestACopyOfAMessageInHandIsNotWrittenTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		h.crm.before = func(ctx context.Context, _ string, _ uint64, _ int) error {
			sleep(ctx, 2*time.Second)
			return nil
		}
		h.b.publish("A")
		h.start()
		h.after(time.Second)
		h.b.mu.Lock()
		h.b.pending[1].deadline = time.Now() // an extension was lost
		h.b.mu.Unlock()
		h.after(5 * time.Second)
		if h.b.deliveriesOf(1) != 2 || h.crm.calls != 1 || len(h.b.unsettled()) != 0 {
			t.Errorf("%d deliveries, %d calls, unsettled %v", h.b.deliveriesOf(1), h.crm.calls, h.b.unsettled())
		}
	})
}

func TestTheNewerDeliveryIsTheOneThatIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		s := newSession(t.Context(), h.route)
		defer s.lapse()
		old, newer := &delivery{m: &Message{Sequence: 1}}, &delivery{m: &Message{Sequence: 1, Claim: "b", Deliveries: 2}}
		e := &entry{message: old.m, delivery: old}
		s.held[old.m.id()] = e
		if !s.replaced(newer.m, newer) || e.delivery != newer || e.claim != "b" {
			t.Errorf("%+v", e)
		}
		other := &delivery{m: &Message{Sequence: 1, Incarnation: "another"}}
		if s.replaced(other.m, other) {
			t.Error("a message of another incarnation of the stream counts as a copy")
		}
	})
}

func TestADeadLetterIsConfirmedBeforeTheAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		h.out.fail = func(call int) error {
			if call < 4 {
				return errors.New("timeout")
			}
			return nil
		}
		h.b.onAck = func(seq uint64) {
			if !h.out.rejected()[seq] {
				t.Error("acknowledged first")
			}
		}
		h.b.publishRaw(`{"key":"A","bad":true}`)
		h.start()
		h.after(10 * time.Second)
		if len(h.out.letters) != 1 || len(h.b.unsettled()) != 0 {
			t.Errorf("%d letters, unsettled %v", len(h.out.letters), h.b.unsettled())
		}
	})
}

func TestAFullDeadLetterStreamStopsTheRouteAndAcknowledgesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		full := true
		h.out.fail = func(int) error {
			if full {
				return errors.Join(errors.New("dead letter"), ErrOutboxFull)
			}
			return nil
		}
		h.b.publishRaw(`{"key":"A","bad":true}`)
		h.start()
		h.after(time.Minute)
		if st := h.route.Status(); st.State != StateStopped || !strings.Contains(st.Detail, "make room") {
			t.Errorf("%+v", st)
		}
		if len(h.b.unsettled()) != 1 {
			t.Error("acknowledged")
		}
		full = false
		h.route.Resume()
		h.after(10 * time.Second)
		if len(h.b.unsettled()) != 0 || len(h.out.letters) != 1 {
			t.Error("not settled after resume")
		}
	})
}

func TestReceiptsAreConfirmedBeforeTheAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.Receipts = "erp.receipts"
		h := newBench(t, cfg)
		h.out.fail = func(call int) error {
			if call == 1 {
				return errors.New("timeout")
			}
			return nil
		}
		h.b.onAck = func(uint64) {
			if len(h.out.receipts) == 0 {
				t.Error("acknowledged first")
			}
		}
		wantResult := false
		h.crm.before = func(_ context.Context, key string, _ uint64, _ int) error {
			if key == "B" {
				return failing(outcome.Reject, outcome.Plugin)
			}
			return nil
		}
		h.route.deps.Observe = func(s Settled) { wantResult = wantResult || s.Write != nil && s.Write.WantResult }
		h.b.publish("A")
		h.start()
		h.after(time.Second)
		h.b.publish("B")
		h.after(time.Second)
		h.b.publishRaw(`{"key":"C","skip":true}`)
		h.after(time.Second)
		for _, r := range h.out.receipts {
			r.Message = nil
		}
		common := Receipt{Route: "erp", Subject: "erp.receipts", EventSource: "/nats/ERP", Table: "account"}
		written, rejected := common, common
		written.EventID, written.Outcome, written.Effect = "i1/1", Written, schema.EffectUpdated
		written.RecordID, written.Version = "id-A", 1
		written.Cause = Cause{ID: "i1/1", Source: "/nats/ERP"}
		rejected.Cause = Cause{ID: "i1/2", Source: "/nats/ERP"}
		rejected.EventID, rejected.Outcome, rejected.Reason = "i1/2", Rejected, "plugin"
		rejected.Text = "the text of the server about SECRET-KEY"
		if diff := cmp.Diff([]*Receipt{&written, &rejected}, h.out.receipts); diff != "" {
			t.Error(diff)
		}
		if !wantResult {
			t.Error("the write did not ask for its result")
		}
		if len(h.b.unsettled()) != 0 {
			t.Error("not settled")
		}
	})
}

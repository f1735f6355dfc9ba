package inbound

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cebridge/schema/outcome"
)

// timed publishes a CloudEvent with an expirytime.
func (b *broker) timed(key, expires string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	seq := uint64(len(b.messages) + 1)
	b.messages = append(b.messages, &Message{
		Subject: "erp.customer", Stream: "ERP", Incarnation: "i1", Sequence: seq, Stored: time.Now(),
		Header: map[string][]string{"Content-Type": {"application/cloudevents+json"}},
		Data: []byte(`{"specversion":"1.0","id":"e/` + string('0'+rune(seq)) + `","source":"/x","type":"t","expirytime":"` + expires +
			`","data":{"key":"` + key + `"}}`),
	})
	b.rouse()
}

func TestAnExpiredEventIsADeadLetterAndNeverWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.Format = FormatCloudEvents
		h := newBench(t, cfg)
		now := time.Now().UTC()
		h.b.timed("A", now.Add(-time.Second).Format(time.RFC3339))
		h.b.timed("B", now.Add(time.Hour).Format(time.RFC3339))
		h.b.timed("C", "tomorrow")
		h.start()
		h.after(time.Second)
		if w := h.crm.writes(); len(w) != 1 || w[0].Key != "B" {
			t.Errorf("writes %v", w)
		}
		reasons := map[uint64]string{}
		for _, l := range h.out.letters {
			reasons[l.Message.Sequence] = l.Reason
		}
		if len(reasons) != 2 || reasons[1] != string(outcome.Expired) || reasons[3] != string(outcome.Invalid) {
			t.Errorf("reasons %v", reasons)
		}
		if left := h.b.unsettled(); len(left) > 0 {
			t.Errorf("not settled: %v", left)
		}
	})
}

func TestAnEventThatExpiresWhileItWaitsIsADeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.Format = FormatCloudEvents
		h := newBench(t, cfg)
		h.crm.before = func(context.Context, string, uint64, int) error {
			return failing(outcome.Retry, outcome.Server)
		}
		h.b.timed("A", time.Now().Add(5*time.Second).UTC().Format(time.RFC3339))
		h.start()
		h.after(10 * time.Second)
		if len(h.out.letters) != 1 || h.out.letters[0].Reason != string(outcome.Expired) || h.out.letters[0].Attempts < 2 {
			t.Fatalf("letters %+v", h.out.letters)
		}
		if !strings.HasPrefix(h.out.letters[0].Text, "the event expired at ") {
			t.Errorf("text %q", h.out.letters[0].Text)
		}
	})
}

func TestAnotherRoutesRetriedLetterIsUnmatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		h.b.publish("A")
		h.b.publish("B")
		h.b.messages[0].Header = map[string][]string{HeaderRetryRoute: {"other"}}
		h.b.messages[1].Header = map[string][]string{HeaderRetryRoute: {"erp"}}
		h.start()
		h.after(time.Second)
		if got := h.outcomes(); got[Unmatching] != 1 || got[Written] != 1 {
			t.Errorf("outcomes %v", got)
		}
	})
}

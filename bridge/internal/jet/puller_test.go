package jet

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"cebridge/inbound"
)

// idlePuller is a puller without a loop, for its decisions alone.
func idlePuller() *puller {
	f := &Feed{cfg: FeedConfig{AckWait: time.Minute, Prefetch: 8}, log: slog.New(slog.DiscardHandler)}
	return &puller{f: f, inbox: "_INBOX.x"}
}

// arrive delivers sequence seq for the nth time.
func (p *puller) arrive(t *testing.T, seq, n int, pin string, at time.Time) {
	t.Helper()
	p.keep(&nats.Msg{
		Subject: "erp.x", Header: nats.Header{"Nats-Pin-Id": {pin}}, Data: []byte(fmt.Sprint(seq)), Sub: &nats.Subscription{},
		Reply: fmt.Sprintf("$JS.ACK.ERP.d.%d.%d.%d.%d.0", n, seq, seq, time.Now().UnixNano()),
	}, at)
}

func (p *puller) sequences() (seqs []uint64, bytes int) {
	for _, h := range p.queue {
		seqs = append(seqs, h.msg.Sequence)
		bytes += h.size
	}
	return seqs, bytes
}

func TestWaitingMessagesThatMayBeSomebodyElsesAreDropped(t *testing.T) {
	t.Parallel()
	p := idlePuller()
	now := time.Now()
	p.arrive(t, 1, 1, "pin", now.Add(-50*time.Second))
	p.arrive(t, 2, 1, "pin", now.Add(-45*time.Second))
	p.arrive(t, 3, 1, "pin", now.Add(-44*time.Second))
	claims := p.f.claims.Load()
	p.expire(now)
	if seqs, bytes := p.sequences(); fmt.Sprint(seqs) != "[3]" || bytes != p.bytes {
		t.Errorf("%v wait with %d bytes, counted %d", seqs, bytes, p.bytes)
	}
	if p.f.claims.Load() == claims {
		t.Error("the claim stays, although dropped messages will come after later ones")
	}
	claims = p.f.claims.Load()
	p.expire(now)
	if p.f.claims.Load() != claims {
		t.Error("the claim changed without a reason")
	}
}

func TestALaterDeliveryReplacesTheWaitingOneInItsPlace(t *testing.T) {
	t.Parallel()
	p := idlePuller()
	now := time.Now()
	for seq := 1; seq <= 3; seq++ {
		p.arrive(t, seq, 1, "pin", now)
	}
	p.arrive(t, 2, 2, "other", now)
	p.arrive(t, 9, 4, "other", now)
	if seqs, bytes := p.sequences(); fmt.Sprint(seqs) != "[1 2 3 9]" || bytes != p.bytes {
		t.Errorf("%v wait with %d bytes, counted %d", seqs, bytes, p.bytes)
	}
	if p.queue[1].msg.Deliveries != 2 || p.pin != "other" {
		t.Errorf("delivery %d, pin %s", p.queue[1].msg.Deliveries, p.pin)
	}
}

func TestAMessageIsNotHandedOutAfterItsTime(t *testing.T) {
	t.Parallel()
	p := idlePuller()
	calls := 0
	handle := func(inbound.Delivery) { calls++ }
	stale := &held{handed: time.Now().Add(-2 * time.Minute), msg: &inbound.Message{}}
	p.f.hand(stale, handle)
	if calls != 0 || p.f.claims.Load() != 1 || !stale.returned.Load() {
		t.Errorf("%d calls, %d claims", calls, p.f.claims.Load())
	}
	p.f.hand(&held{handed: time.Now(), msg: &inbound.Message{}}, handle)
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

func TestPullsBackOffWhileNobodyAnswers(t *testing.T) {
	t.Parallel()
	p := idlePuller()
	now := time.Now()
	var waits []time.Duration
	for range 8 {
		p.later(now)
		waits = append(waits, p.retryAt.Sub(now))
	}
	if got := fmt.Sprint(waits); got != "[100ms 200ms 400ms 800ms 1.6s 3.2s 5s 5s]" {
		t.Errorf("got %s", got)
	}
	p.number, p.open = 7, true
	p.receive(context.Background(), &nats.Msg{Subject: "_INBOX.x.6", Header: nats.Header{"Status": {"408"}}}, time.Now())
	if !p.open {
		t.Error("the answer to an earlier pull ended this one")
	}
	p.receive(context.Background(), &nats.Msg{Subject: "_INBOX.x.7", Header: nats.Header{"Status": {"408"}}}, time.Now())
	if p.open || p.retryWait != 0 {
		t.Error("an answered pull is still open, or the wait was not reset")
	}
}

func TestALostPinIsForgotten(t *testing.T) {
	t.Parallel()
	p := idlePuller()
	p.number, p.open, p.pin = 1, true, "pin"
	p.receive(context.Background(), &nats.Msg{Subject: "_INBOX.x.1", Header: nats.Header{"Status": {"423"}, "Description": {"Nats-Wrong-Pin-Id"}}}, time.Now())
	if p.open || p.pin != "" {
		t.Errorf("open %v, pin %q", p.open, p.pin)
	}
}

func TestOnlyTheAnswerToTheLastRoundProvesAnExtension(t *testing.T) {
	t.Parallel()
	p := idlePuller()
	old := time.Now().Add(-30 * time.Second)
	p.arrive(t, 1, 1, "pin", old)
	p.round, p.rounds, p.roundTime = 5, p.queue, old.Add(20*time.Second)
	p.receive(context.Background(), &nats.Msg{Subject: "_INBOX.x.x4"}, time.Now())
	if !p.queue[0].touched.Equal(old) {
		t.Error("an earlier answer counted")
	}
	p.receive(context.Background(), &nats.Msg{Subject: "_INBOX.x.x5"}, time.Now())
	if !p.queue[0].touched.Equal(p.roundTime) {
		t.Error("the answer did not count")
	}
}

package jet

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
)

// finish ends the subscription and queues what the server had sent until then. What it
// sends while the subscription ends is lost, to come again after AckWait; so the open pull
// is let run empty before: the answer to a request that nothing fits into comes behind
// everything that was sent so far (nats-server 2.15.2, consumer.go: one queue of answers).
func (p *puller) finish(ctx context.Context, sub *nats.Subscription) {
	if p.f.c.Connected() && p.open && p.request("q", pullRequest{Batch: 1, MaxBytes: 1, NoWait: true, Group: pinGroup, PinID: p.pin}) == nil {
		bound := time.NewTimer(leaveWait)
		defer bound.Stop()
		for p.open {
			select {
			case m := <-p.in:
				if p.receive(ctx, m, time.Now()); m.Subject == p.inbox+".q" {
					p.open = false
				}
			case <-bound.C:
				p.open = false
			}
		}
	}
	// Without a connection nothing more arrives, and there is nothing to undo.
	if !p.f.c.Connected() || sub.Drain() != nil || p.f.c.nc.FlushTimeout(leaveWait) != nil {
		_ = sub.Unsubscribe()
	}
	for {
		select {
		case m := <-p.in:
			p.receive(ctx, m, time.Now())
		default:
			return
		}
	}
}

// leave gives the pin back if it is still ours. Failing costs a wait of PinnedTTL at
// the next take-over, nothing else.
func (f *Feed) leave(ctx context.Context, pin string) {
	if pin == "" || !f.c.Connected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveWait)
	defer cancel()
	info, err := f.info(ctx)
	if err != nil || len(info.PriorityGroups) == 0 || info.PriorityGroups[0].PinnedClientID != pin {
		return
	}
	in := map[string]string{"group": pinGroup}
	if err := f.c.api(ctx, "CONSUMER.UNPIN."+f.cfg.Stream+"."+f.cfg.Durable, in, &struct{}{}); err != nil {
		f.log.Debug("the pin was not given back", "consumer", f.cfg.Durable, "error", err)
	}
}

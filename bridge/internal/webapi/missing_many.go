package webapi

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"cebridge/outbound"
	"cebridge/schema/outcome"

	"golang.org/x/sync/errgroup"
)

const (
	// maxLookUps is the most records that are looked up in one $batch.
	maxLookUps = 500
	// lookUpsInFlight is how many are looked up at once where there is no $batch.
	lookUpsInFlight = 8
)

// lookUps remembers what the server takes.
type lookUps struct {
	mu   sync.Mutex
	size int // 0: not known yet
	// offUntil is when $batch is tried again after the server had none.
	offUntil time.Time
}

// next is how many records to ask for at once.
func (l *lookUps) next() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Now().Before(l.offUntil) {
		return 1
	}
	if l.size == 0 {
		l.size = maxLookUps
	}
	return l.size
}

// learn adapts to how a request for n records ended.
func (l *lookUps) learn(how ending, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch how {
	case whole:
		if n >= l.size {
			l.size = min(maxLookUps, l.size+max(1, l.size/8))
		}
	case refused, overdue:
		l.size = max(1, n/2)
	case unserved:
		l.offUntil = time.Now().Add(batchesOff)
	}
}

// Missing implements outbound.Confirmer: it reads each record's id, many in one
// $batch request. A record is missing only by the API's own word about that very
// record; one answer that is anything else is an error of them all, and so is an
// answer with too few parts or too many. What may pass is asked again a few times,
// as the server wishes. A batch that is refused as a whole or takes too long makes
// the next ones smaller; without $batch, records are read one by one.
func (c *Client) Missing(ctx context.Context, q outbound.Query, ids []string) ([]string, error) {
	if err := checkLookUp(q, ids...); err != nil {
		return nil, err
	}
	var missing []string
	for len(ids) > 0 {
		n, ask := min(c.lookUps.next(), len(ids)), c.missingOf
		if n == 1 {
			n, ask = min(4*lookUpsInFlight, len(ids)), c.missingAlone
		}
		var gone []string
		var how ending
		err := c.patiently(ctx, func() (err error) {
			gone, how, err = ask(ctx, q, ids[:n])
			if how == refused || how == unserved || how == overdue {
				return nil // the same again would end the same
			}
			return err
		})
		switch {
		case err != nil:
			return nil, err
		case how == overdue:
			return nil, &outcome.Error{Op: "$batch of " + strconv.Itoa(n) + " reads of " + q.Table.EntitySet, Verdict: outcome.Retry,
				Reason: outcome.Timeout, Message: "the next one will be smaller"}
		case how == whole:
			missing = append(missing, gone...)
			ids = ids[n:]
		}
	}
	return missing, nil
}

// missingAlone asks for each record by itself.
func (c *Client) missingAlone(ctx context.Context, q outbound.Query, ids []string) (missing []string, how ending, err error) {
	live := make([]bool, len(ids))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(lookUpsInFlight)
	for i, id := range ids {
		group.Go(func() (err error) {
			live[i], err = c.Exists(gctx, q, id)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, broken, err
	}
	for i, id := range ids {
		if !live[i] {
			missing = append(missing, id)
		}
	}
	return missing, whole, nil
}

// missingOf makes one $batch request.
func (c *Client) missingOf(ctx context.Context, q outbound.Query, ids []string) (missing []string, how ending, err error) {
	riders := make([]*passenger, len(ids))
	for i, id := range ids {
		riders[i] = &passenger{call: c.existsCall(q.Table, id)}
	}
	boundary := newBoundary(riders)
	body, err := c.batchBody(boundary, riders)
	if err != nil {
		return nil, broken, err
	}
	batch, reply := c.batchCall(body, boundary, len(ids))
	batch.reading, batch.name = true, "$batch of "+strconv.Itoa(len(ids))+" reads of "+q.Table.EntitySet
	permit, err := c.governor.admit(ctx, outboundSide)
	if err != nil {
		return nil, broken, err
	}
	defer c.governor.done(permit)
	switch err = c.exchange(ctx, batch, permit); {
	case err == nil:
		missing, how, err = c.readLookUps(ctx, riders, ids, batch, reply, permit)
	case reply.failed != nil:
		how = endingOf(*reply.failed, outcome.Of(err))
	default:
		how = broken
	}
	c.lookUps.learn(how, len(ids))
	return missing, how, err
}

// readLookUps reads the answers. Nothing is concluded from an answer that is not
// whole: its parts may not belong to the requests that they seem to answer.
func (c *Client) readLookUps(ctx context.Context, riders []*passenger, ids []string, batch *call, reply *batchReply, permit *permit) (missing []string, how ending, err error) {
	var failed *outcome.Error
	counts := map[partKind]int{}
	for i, part := range reply.parts {
		one := riders[i].call
		counts[partKind{one.op, part.status}]++
		a := part.answer(reply.arrived)
		if a.accepted {
			err := one.accept(a.status, a.fields(), bytes.NewReader(a.body))
			if err == nil {
				continue
			}
			a.refuse(err)
		}
		if a.header.Get("Retry-After") == "" {
			a.header.Set("Retry-After", reply.header.Get("Retry-After"))
		}
		verdict := c.judge(one, *a, batch.request)
		if saysGone(verdict, ids[i]) {
			missing = append(missing, ids[i])
			continue
		}
		if verdict.Verdict == outcome.RetryAfter {
			permit.sign = congested
			c.throttled(ctx, one, verdict)
		}
		// A refusal outlasts what may pass.
		if failed == nil || failed.Verdict == outcome.Retry || failed.Verdict == outcome.RetryAfter {
			failed = verdict
		}
	}
	for kind, n := range counts {
		c.measures.answered(kind.op, kind.status, n)
	}
	switch {
	case ctx.Err() != nil:
		return nil, broken, fmt.Errorf("%s: %w", batch.title(), ctx.Err())
	case failed != nil:
		return nil, broken, failed
	case len(reply.parts) < len(ids) && reply.ended && reply.stopped():
		return nil, unserved, nil // the server does not go on after a record that is not there
	case len(reply.parts) < len(ids), !reply.ended:
		return nil, broken, &outcome.Error{Op: batch.title(), Status: http.StatusOK, Verdict: outcome.Retry, Reason: outcome.BadAnswer,
			Message: strconv.Itoa(len(reply.parts)) + " answers to " + strconv.Itoa(len(ids)) + " requests", Err: reply.cut}
	}
	return missing, whole, nil
}

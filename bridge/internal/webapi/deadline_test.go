package webapi

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestRequestsOfOneCallerShareADeadlineForAShortTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deadlines{limit: 10 * time.Second}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		first := d.begin(ctx)
		time.Sleep(sharedFor / 2)
		second := d.begin(ctx)
		if first != second {
			t.Error("two requests of one caller at almost the same time have a deadline each")
		}
		time.Sleep(sharedFor / 2)
		third := d.begin(ctx)
		if third == first {
			t.Error("a request shares a deadline that is too early for it")
		}
		d.done(first)
		if first.ctx.Err() != nil {
			t.Error("ended while a request uses it")
		}
		d.done(second)
		if first.ctx.Err() == nil {
			t.Error("nobody uses it, and nobody will")
		}
		d.done(third)
		if third.ctx.Err() != nil {
			t.Error("the newest is for the next request still")
		}
		again := d.begin(ctx)
		time.Sleep(10*time.Second - sharedFor)
		if again.ctx.Err() != nil {
			t.Error("a request has more than sharedFor less than its limit")
		}
		time.Sleep(sharedFor)
		synctest.Wait()
		if !errors.Is(context.Cause(again.ctx), errTimeout) {
			t.Errorf("ended by %v", context.Cause(again.ctx))
		}
		d.done(again)
	})
}

func TestRequestsOfSeveralCallersEndOnlyWithTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deadlines{limit: 10 * time.Second}
		one, giveUp := context.WithCancel(t.Context())
		defer giveUp()
		two, cancel := context.WithCancel(t.Context())
		defer cancel()
		mine, other := d.begin(one), d.begin(two)
		giveUp()
		if mine.ctx.Err() == nil || other.ctx.Err() != nil {
			t.Errorf("mine %v, the other's %v", mine.ctx.Err(), other.ctx.Err())
		}
		d.done(mine)
		d.done(other)
		unused := d.current
		if d.begin(one); unused.ctx.Err() == nil {
			t.Error("what nobody used when another took its place goes on")
		}
	})
}

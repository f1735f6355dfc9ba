package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"cebridge/bridge/admin"
	"cebridge/bridge/internal/jet"
	"cebridge/bridge/internal/webapi"
	"cebridge/schema/telemetry"
)

const (
	// budgetSaved is how long what was used may stay unsaved, unless it is much.
	budgetSaved = time.Minute
	// budgetTick is how often it is looked whether it is much: more than a hundredth of
	// the day's budget.
	budgetTick = 5 * time.Second
	// budgetStored bounds one attempt to save.
	budgetStored = 5 * time.Second
	// budgetWarn is the part of the day's budget whose use is worth a warning.
	budgetWarn = 0.8
)

// budgetKeeper keeps the sum of the day's requests in the event stream, so that it
// outlasts the process and reaches every instance. What a killed process had not saved
// is not counted.
type budgetKeeper struct {
	budget *webapi.Budget
	store  *jet.BudgetStore
	log    *slog.Logger

	saved  time.Time
	failed bool
	// warned and ended are the days of which it was said that the budget gets scarce,
	// and that it is used up.
	warned, ended string
}

// newBudget is the budget that the configuration asks for, nil for none.
func (b *Bridge) newBudget() *webapi.Budget {
	w := b.cfg.WebAPI
	if w.DailyRequests == 0 {
		return nil
	}
	share := float64(w.DailyInboundPercent) / 100
	if len(b.cfg.Inbound.Routes) == 0 {
		share = 0
	}
	return webapi.NewBudget(w.DailyRequests, share)
}

// startBudget takes in what was used today already, and keeps the sum from then on.
func (b *Bridge) startBudget(ctx context.Context) error {
	if b.budget == nil {
		return nil
	}
	if err := b.exposeBudget(); err != nil {
		return err
	}
	k := &budgetKeeper{budget: b.budget, store: b.conn.BudgetStore(b.EventStream(), b.names), log: b.log}
	if err := k.save(ctx); err != nil {
		return fmt.Errorf("daily requests: %w", err)
	}
	loop, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.run(loop)
	}()
	b.cleanup.push("daily requests", 2*budgetStored, func(stop context.Context) error {
		cancel()
		<-done
		return k.save(stop)
	})
	return nil
}

func (k *budgetKeeper) run(ctx context.Context) {
	tick := time.NewTicker(budgetTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			k.tell()
			if !k.due(now) {
				continue
			}
			err := k.save(ctx)
			if err != nil && ctx.Err() == nil && !k.failed {
				k.log.Warn("the day's requests cannot be saved; they are counted in memory until they can", "error", err)
			}
			k.failed = err != nil
		}
	}
}

func (k *budgetKeeper) due(now time.Time) bool {
	u := k.budget.Unsaved()
	return now.Sub(k.saved) >= budgetSaved || u.Outbound+u.Inbound > k.budget.State().Limit/100
}

// save adds what was used here and takes in what was used elsewhere.
func (k *budgetKeeper) save(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, budgetStored)
	defer cancel()
	u := k.budget.Unsaved()
	total, err := k.store.Add(ctx, jet.Used(u))
	if err != nil {
		return err
	}
	k.saved = time.Now()
	return k.budget.Saved(u, webapi.Spent(total))
}

// tell warns once a day that the budget gets scarce, and once that it is used up.
func (k *budgetKeeper) tell() {
	s := k.budget.State()
	used := s.Outbound + s.Inbound
	switch {
	case s.Left == 0 && k.ended != s.Date:
		k.ended, k.warned = s.Date, s.Date
		k.log.Warn("the day's web api requests are used up: no table is polled and writes wait until the next day; "+
			"raise webapi.daily_requests, or poll less often", "used", used, "limit", s.Limit, "next_day", s.Reset)
	case float64(used) >= budgetWarn*float64(s.Limit) && k.warned != s.Date:
		k.warned = s.Date
		k.log.Warn("most of the day's web api requests are used; polls are further apart. "+
			"Raise webapi.daily_requests, or poll less often", "used", used, "limit", s.Limit, "next_day", s.Reset)
	}
}

func (b *Bridge) exposeBudget() error {
	m := b.prov.meter
	limit, err1 := m.Int64ObservableGauge(telemetry.WebAPIBudgetLimit, metric.WithUnit("{request}"),
		metric.WithDescription("Requests that may be made in a day."))
	used, err2 := m.Int64ObservableGauge(telemetry.WebAPIBudgetUsed, metric.WithUnit("{request}"),
		metric.WithDescription("Requests made today by all instances, as far as this one knows."))
	stretch, err3 := m.Float64ObservableGauge(telemetry.WebAPIBudgetStretch, metric.WithUnit("1"),
		metric.WithDescription("Factor by which polls are further apart than wanted."))
	err := errors.Join(err1, err2, err3)
	if err == nil {
		out := metric.WithAttributes(attribute.String(telemetry.AttrDirection, "outbound"))
		in := metric.WithAttributes(attribute.String(telemetry.AttrDirection, "inbound"))
		_, err = m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
			s := b.budget.State()
			o.ObserveInt64(limit, s.Limit)
			o.ObserveInt64(used, s.Outbound, out)
			o.ObserveInt64(used, s.Inbound, in)
			o.ObserveFloat64(stretch, s.Stretch)
			return nil
		}, limit, used, stretch)
	}
	if err != nil {
		return fmt.Errorf("daily requests: %w", err)
	}
	return nil
}

// countRequests lets an operator's requests count as everybody's, without a bound: a
// person asked for them.
func (o *Operator) countRequests() {
	b := o.b
	if b.cfg.WebAPI.DailyRequests == 0 {
		return
	}
	b.budget = webapi.NewBudget(math.MaxInt64/4, 0)
	k := &budgetKeeper{budget: b.budget, store: b.conn.BudgetStore(b.EventStream(), b.names), log: b.log}
	b.cleanup.push("daily requests", 2*budgetStored, func(ctx context.Context) error {
		if u := b.budget.Unsaved(); u.Outbound+u.Inbound == 0 {
			return nil
		}
		if err := k.save(ctx); err != nil {
			b.log.Warn("the command's requests are not counted in the day's budget", "error", err)
		}
		return nil
	})
}

// webapiStatus is what the client does, as people see it.
func (b *Bridge) webapiStatus() *admin.WebAPIStatus {
	if b.client == nil {
		return nil
	}
	l := b.client.Load()
	s := &admin.WebAPIStatus{
		Limit: l.Limit, MaxInFlight: l.Most, Hint: l.Hint,
		InFlight: map[string]int{"outbound": l.RunningOutbound, "inbound": l.RunningInbound},
		Waiting:  map[string]int{"outbound": l.WaitingOutbound, "inbound": l.WaitingInbound},
	}
	if !l.ClosedUntil.IsZero() {
		until := l.ClosedUntil.UTC()
		s.ClosedUntil = &until
	}
	if b.budget != nil {
		d := b.budget.State()
		s.Budget = &admin.BudgetStatus{
			Date: d.Date, Limit: d.Limit, Outbound: d.Outbound, Inbound: d.Inbound, Left: d.Left, OutboundLeft: d.OutboundLeft,
			Reset: d.Reset, Stretch: d.Stretch,
		}
	}
	return s
}

// budgetStatus is what the stream tells of the day's budget.
func (o *Operator) budgetStatus(ctx context.Context) (*admin.WebAPIStatus, error) {
	b := o.b
	budget := b.newBudget()
	if budget == nil {
		return nil, nil
	}
	total, err := b.conn.BudgetStore(b.EventStream(), b.names).Total(ctx)
	if err != nil {
		return nil, err
	}
	if nothing := budget.Unsaved(); total.Date == nothing.Date {
		if err := budget.Saved(nothing, webapi.Spent(total)); err != nil {
			return nil, err
		}
	}
	d := budget.State()
	return &admin.WebAPIStatus{MaxInFlight: b.cfg.WebAPI.MaxInFlight, Budget: &admin.BudgetStatus{
		Date: d.Date, Limit: d.Limit, Outbound: d.Outbound, Inbound: d.Inbound, Left: d.Left, OutboundLeft: d.OutboundLeft, Reset: d.Reset,
	}}, nil
}

package bridge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cebridge/bridge/admin"
	"cebridge/bridge/internal/jet"
	"cebridge/bridge/internal/webapi"
	"cebridge/schema/outcome"
)

func (b *Bridge) startTelemetry(ctx context.Context) error {
	p, err := newProviders(ctx, b.log, b.cfg.Org, Version, b.opt.tracer)
	if err != nil {
		return err
	}
	b.prov = p
	b.cleanup.push("telemetry", 5*time.Second, p.close)
	return nil
}

func (b *Bridge) startAdmin(context.Context) error {
	if b.cfg.Admin.Listen == "" {
		return nil
	}
	srv, err := admin.New(admin.Options{
		Listen:       b.cfg.Admin.Listen,
		AllowRemote:  b.cfg.Admin.AllowRemote,
		AllowedHosts: b.cfg.Admin.AllowedHosts,
		Metrics:      b.prov.scrape,
		Source:       b,
		Schemas:      b.schema,
		Logger:       b.log,
	})
	if err != nil {
		return fmt.Errorf("admin port: %w", err)
	}
	if err := srv.Start(); err != nil {
		return fmt.Errorf("admin port: %w", err)
	}
	b.admin = srv
	b.cleanup.push("admin port", 5*time.Second, srv.Stop)
	return nil
}

func (b *Bridge) startNATS(ctx context.Context) error {
	n := b.cfg.NATS
	if n.Embedded != nil {
		e, err := jet.StartEmbedded(jet.EmbeddedOptions{
			StoreDir: n.Embedded.Dir, Host: n.Embedded.Host, Port: n.Embedded.Port, MaxStore: n.Embedded.MaxStore,
			ServerName: "cebridge-" + b.cfg.Org, Logger: b.log,
		})
		if err != nil {
			return fmt.Errorf("embedded NATS server: %w", err)
		}
		b.embedded = e
		b.cleanup.push("embedded NATS server", time.Minute, func(context.Context) error { e.Stop(); return nil })
	}
	conf, err := n.TLS.build()
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	what := "NATS"
	b.waiting.Store(&what)
	defer b.waiting.Store(nil)
	conn, err := jet.Connect(ctx, jet.Config{
		URLs: n.URLs, Embedded: b.embedded, Name: "cebridge " + b.cfg.Org,
		CredentialsFile: n.CredentialsFile, NKeyFile: n.NKeyFile, User: n.User,
		Password: n.Password.Text(), Token: n.Token.Text(), InboxPrefix: n.InboxPrefix, TLS: conf,
		Logger: b.log, Meter: b.prov.meter,
	})
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	b.conn = conn
	b.cleanup.push("NATS connection", 10*time.Second, func(context.Context) error { conn.Close(); return nil })
	return nil
}

// provideStreams makes or checks the streams. The event stream holds the only
// state there is, and it is made before the dead-letter stream: when it is missing
// although the other is there, it was lost, and an empty one in its place would
// hide that.
func (b *Bridge) provideStreams(ctx context.Context) error {
	mode := jet.Mode(b.cfg.Provision)
	lost, err := b.conn.StreamExists(ctx, b.names.DeadStream())
	if err != nil {
		return err
	}
	if err := b.conn.EnsureEventStream(ctx, mode, jet.EventStream{
		Name: b.EventStream(), Subjects: b.names.EventSubjects(), Replicas: b.cfg.Stream.Replicas,
		HistoryPerRecord: b.cfg.Stream.HistoryPerRecord, MaxBytes: b.cfg.Stream.MaxBytes,
	}, !lost); err != nil {
		return err
	}
	if c := b.cfg.Outbound.ClaimCheck; c != nil {
		if err := b.conn.EnsureBucket(ctx, mode, b.bucket(), b.cfg.Stream.Replicas); err != nil {
			return err
		}
	}
	if err := b.conn.EnsureDeadStream(ctx, mode, b.names.DeadStream(), b.names.DeadSubjects(), b.cfg.Stream.Replicas); err != nil {
		return err
	}
	for _, s := range b.cfg.Inbound.Streams {
		if err := b.conn.EnsureSourceStream(ctx, mode, s.Name, s.Subjects, b.cfg.Stream.Replicas); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bridge) startWebAPI(ctx context.Context) error {
	w := b.cfg.WebAPI
	auth, err := w.login(b.prov.meter)
	if err != nil {
		return fmt.Errorf("web api login: %w", err)
	}
	conf, err := w.TLS.build()
	if err != nil {
		return fmt.Errorf("web api: %w", err)
	}
	proxy, fromEnvironment := w.proxy()
	ttl := w.ResolveTTL
	if ttl == 0 {
		ttl = -1
	}
	client, err := webapi.New(webapi.Config{
		Budget: b.budget,
		TLS:    conf, ProxyURL: proxy, ProxyFromEnvironment: fromEnvironment,
		URL: w.URL, Version: w.Version, Auth: auth, Timeout: w.Timeout, MaxInFlight: w.MaxInFlight,
		Batch: webapi.BatchConfig{Max: w.BatchMax, Linger: w.BatchLinger}, ResolveTTL: ttl, HTTP2: w.HTTP2,
		Transport: b.opt.transport, Logger: b.log, Meter: b.prov.meter, Tracer: b.prov.tracer,
	})
	if err != nil {
		return fmt.Errorf("web api: %w", err)
	}
	b.client = client
	return nil
}

// await calls fn until it succeeds, fails for good, or ctx ends. What may pass by
// itself is waited for, and said once.
func (b *Bridge) await(ctx context.Context, what string, fn func(context.Context) error) error {
	wait := 500 * time.Millisecond
	said := ""
	var last error // why it waits, which the end of ctx alone would not tell
	for {
		err := fn(ctx)
		o := outcome.Of(err)
		if err == nil || ctx.Err() != nil || o == nil || !passing(o.Verdict) {
			b.waiting.Store(nil)
			if err != nil {
				return fmt.Errorf("%s: %w", what, errors.Join(err, ctx.Err(), last))
			}
			return nil
		}
		if text := err.Error(); text != said {
			b.log.Warn("waiting to start", "for", what, "error", text)
			said = text
		}
		last = err
		b.waiting.Store(&what)
		delay := max(wait, o.RetryAfter)
		wait = min(2*wait, 30*time.Second)
		timer := time.NewTimer(delay)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%s: %w", what, errors.Join(ctx.Err(), last))
		case <-timer.C:
		}
	}
}

func passing(v outcome.Verdict) bool {
	return v == outcome.Retry || v == outcome.RetryAfter || v == outcome.RetryRace || v == outcome.Park
}

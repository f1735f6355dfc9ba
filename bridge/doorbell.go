package bridge

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"golang.org/x/net/netutil"

	"cebridge/schema/telemetry"
)

// The bounds of the doorbell's listener.
const (
	doorbellConnections = 64
	doorbellHeader      = 12 << 10 // the server adds 4 KiB of its own
	doorbellTimeout     = 10 * time.Second
)

// entityHeader names the table in a webhook of Customer Engagement. Source: "Use
// webhooks to create external handlers for server events".
const entityHeader = "X-Ms-Dynamics-Entity-Name"

// Results of a ring, as the metric labels them.
const (
	ringRung    = "rung"
	ringRefused = "refused"
	ringUnknown = "unknown_table"
)

// doorbell turns rings into polls that happen now. A ring says nothing but that it
// is worth looking: what it claims is never believed, and one that is lost only
// means that the change is found by the next poll.
type doorbell struct {
	ringers map[string]*ringer
	name    string
	key     [sha256.Size]byte
	rings   metric.Int64Counter
	log     *slog.Logger
	server  *http.Server
}

// startDoorbell opens the doorbell of the running tables: always on NATS, and over
// HTTP when it is configured.
func (b *Bridge) startDoorbell(tables []*table) error {
	if len(tables) == 0 {
		return nil
	}
	cfg := b.cfg.Doorbell
	rings, err := b.prov.meter.Int64Counter(telemetry.DoorbellRings, metric.WithUnit("{ring}"),
		metric.WithDescription("Rings of the doorbell."))
	if err != nil {
		return fmt.Errorf("doorbell: %w", err)
	}
	d := &doorbell{ringers: map[string]*ringer{}, name: cfg.Name, key: sha256.Sum256([]byte(cfg.Key.Text())), rings: rings, log: b.log}
	for _, t := range tables {
		d.ringers[t.name] = &ringer{gap: cfg.Gap, poke: t.worker.Poke}
	}
	prefix := b.names.Ring("")
	stop, err := b.conn.Listen(b.names.Ring("*"), func(subject string) {
		d.ring(strings.TrimPrefix(subject, prefix))
	})
	if err != nil {
		return fmt.Errorf("doorbell: %w", err)
	}
	b.cleanup.push("doorbell", 5*time.Second, func(context.Context) error {
		defer d.silence()
		return stop()
	})
	if cfg.Listen == "" {
		return nil
	}
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("doorbell: %w", err)
	}
	d.serve(listener, cfg.Path)
	b.doorbellAddr.Store(new(listener.Addr().String()))
	b.cleanup.push("doorbell port", 5*time.Second, func(ctx context.Context) error {
		if err := d.server.Shutdown(ctx); err != nil {
			return errors.Join(err, d.server.Close())
		}
		return nil
	})
	b.log.Info("doorbell open", "address", listener.Addr().String(), "path", cfg.Path)
	return nil
}

// DoorbellAddr is the address of the doorbell's HTTP listener, "" when there is none.
func (b *Bridge) DoorbellAddr() string {
	if addr := b.doorbellAddr.Load(); addr != nil {
		return *addr
	}
	return ""
}

func (d *doorbell) serve(listener net.Listener, path string) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+path, d.handle)
	d.server = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: doorbellTimeout, ReadTimeout: doorbellTimeout, WriteTimeout: doorbellTimeout, IdleTimeout: time.Minute,
		MaxHeaderBytes:               doorbellHeader,
		ErrorLog:                     slog.NewLogLogger(d.log.Handler(), slog.LevelDebug),
		DisableGeneralOptionsHandler: true,
	}
	go func() {
		if err := d.server.Serve(netutil.LimitListener(listener, doorbellConnections)); !errors.Is(err, http.ErrServerClosed) {
			d.log.Error("doorbell closed by itself; changes are found by polling alone", "error", err)
		}
	}()
}

// handle takes one ring. The body is not read: it holds a copy of the record, which
// is nothing to trust and nothing to keep. A table that is not followed is answered
// like any other, since the sender would try again what is answered with an error.
func (d *doorbell) handle(w http.ResponseWriter, r *http.Request) {
	if !d.knows(r) {
		d.count(ringRefused)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if table := r.Header.Get(entityHeader); table != "" {
		d.ring(table)
	} else {
		for name := range d.ringers {
			d.ring(name)
		}
	}
	w.WriteHeader(http.StatusAccepted)
}

// knows tells whether the request carries the key, as a query parameter or as a
// header. The time it takes tells nothing about the key.
func (d *doorbell) knows(r *http.Request) bool {
	inQuery, inHeader := sha256.Sum256([]byte(r.URL.Query().Get(d.name))), sha256.Sum256([]byte(r.Header.Get(d.name)))
	return subtle.ConstantTimeCompare(inQuery[:], d.key[:])|subtle.ConstantTimeCompare(inHeader[:], d.key[:]) == 1
}

// ring makes the next poll of a table happen now.
func (d *doorbell) ring(table string) {
	r := d.ringers[table]
	if r == nil {
		d.count(ringUnknown)
		return
	}
	d.count(ringRung)
	r.ring()
}

func (d *doorbell) count(result string) {
	d.rings.Add(context.Background(), 1, metric.WithAttributes(attribute.String(telemetry.AttrResult, result)))
}

func (d *doorbell) silence() {
	for _, r := range d.ringers {
		r.silence()
	}
}

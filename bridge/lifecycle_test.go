package bridge_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cebridge/bridge"
	"cebridge/bridge/sim"
	"cebridge/schema"
)

const embedded = `
org: contoso
webapi: {url: SIM}
nats: {embedded: {dir: "NATS", port: -1}}
`

func TestStartAndStopMayBeCalledInAnyOrder(t *testing.T) {
	_, url := newSim(t, sim.Options{})
	b, err := bridge.New(parse(t, embedded+followAccounts, url, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if err := b.Stop(ctx); err != nil {
		t.Errorf("stop before start: %v", err)
	}
	for range 3 { // the same bridge may be started again
		if err := b.Start(ctx); err != nil {
			t.Fatal(err)
		}
		if err := b.Start(ctx); !errors.Is(err, bridge.ErrStarted) {
			t.Errorf("a second start: %v", err)
		}
		if err := b.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
		if err := b.Stop(ctx); err != nil {
			t.Errorf("a second stop: %v", err)
		}
	}
}

func TestAFailedStartLeavesNothingBehind(t *testing.T) {
	_, url := newSim(t, sim.Options{})
	dir := t.TempDir()
	bad := parse(t, embedded+strings.Replace(followAccounts, "name,", "nmae,", 1), url, dir)
	b, err := bridge.New(bad)
	if err != nil {
		t.Fatal(err)
	}
	var ps schema.Problems
	if err := b.Start(t.Context()); !errors.As(err, &ps) || !strings.Contains(err.Error(), "nmae") || ps[0].Line == 0 {
		t.Fatalf("start with an unknown column: %v", err)
	}
	// The store is free again.
	good, err := bridge.New(parse(t, embedded+followAccounts, url, dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := good.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := good.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWhatDoesNotFitTheMetadataIsReportedAtOnce(t *testing.T) {
	_, url := newSim(t, sim.Options{})
	b, err := bridge.New(parse(t, embedded+`
outbound:
  type_prefix: com.contoso.crm
  tables:
    account: {columns: [name, acountnumber]}
    equipment: {columns: [name]}
    nothing: {columns: [name]}
inbound:
  streams: {ERP: {subjects: [erp.>]}}
  routes:
    bad:
      stream: ERP
      start: all
      table: account
      key: {name: data.id}
      columns: {telephone: data.phone}
      lookups: {primarycontactid: {account: {accountnumber: data.x}}}
`, url, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	err = b.Start(t.Context())
	var ps schema.Problems
	if !errors.As(err, &ps) {
		t.Fatalf("not problems: %v", err)
	}
	for _, want := range []string{
		"no column acountnumber", "change tracking is off for table equipment", "no table nothing", "telephone", "primarycontactid", "bad.key",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing says %q in:\n%v", want, err)
		}
	}
	for _, p := range ps {
		if p.File != "test.yaml" || p.Line == 0 || p.Column == 0 || p.Field == "" {
			t.Errorf("no place: %+v", p)
		}
	}
}

func TestTheBridgeWaitsForCustomerEngagementAtTheStart(t *testing.T) {
	// A port that belongs to the test, where nobody answers yet.
	s, err := sim.New(sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	asked, open := make(chan struct{}, 1), make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-open:
			s.Handler().ServeHTTP(w, r)
		default:
			select {
			case asked <- struct{}{}:
			default:
			}
			panic(http.ErrAbortHandler) // cuts the connection
		}
	}))
	defer srv.Close()
	cfg := parse(t, embedded+followAccounts+"\nadmin: {listen: \"127.0.0.1:0\"}\n", srv.URL, t.TempDir())
	b, err := bridge.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	started := make(chan error, 1)
	go func() { started <- b.Start(ctx) }()
	select {
	case <-asked:
	case err := <-started:
		t.Fatalf("the start did not wait: %v", err)
	}
	close(open)
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	if status, body := get(t, "http://"+b.AdminAddr()+"/readyz"); status != http.StatusOK {
		t.Errorf("readyz: %d %s", status, body)
	}
	if err := b.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestRunEndsWithoutErrorWhenItsContextDoes(t *testing.T) {
	_, url := newSim(t, sim.Options{})
	for _, when := range []string{"before it started", "while it runs"} {
		b, err := bridge.New(parse(t, embedded+followAccounts, url, t.TempDir()))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if when == "before it started" {
			cancel()
		}
		ended := make(chan error, 1)
		go func() { ended <- b.Run(ctx) }()
		if when == "while it runs" {
			tick := time.NewTicker(5 * time.Millisecond)
			for b.Ready() != nil {
				select {
				case <-tick.C:
				case err := <-ended:
					t.Fatalf("ended by itself: %v", err)
				}
			}
			tick.Stop()
			cancel()
		}
		if err := <-ended; err != nil {
			t.Errorf("cancelled %s: %v", when, err)
		}
		cancel()
	}
}

func TestALostEventStreamIsNotMadeAnewInSilence(t *testing.T) {
	r := newRig(t, followAccounts, func(s *sim.Server) {
		insert(t, s, "account", map[string]any{"name": "Contoso"})
	})
	r.events("crm.contoso.account.>")()
	r.stop()
	if err := r.js.DeleteStream(r.ctx, r.bridge.EventStream()); err != nil {
		t.Fatal(err)
	}
	b, err := bridge.New(parse(t, head+followAccounts, r.url, r.nats))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(r.ctx); err == nil || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("start without the event stream: %v", err)
		b.Stop(context.Background())
	}
}

func TestTwoBridgesOfOneOrganizationPublishNothingTwice(t *testing.T) {
	r := newRig(t, followAccounts, nil)
	rival, err := bridge.New(parse(t, head+followAccounts, r.url, r.nats))
	if err != nil {
		t.Fatal(err)
	}
	if err := rival.Start(r.ctx); err != nil {
		t.Fatal(err)
	}
	defer rival.Stop(context.Background())
	next := r.events("crm.contoso.account.>")
	want := map[string]bool{}
	for range 30 {
		want[insert(t, r.sim, "account", map[string]any{"name": "n"})] = true
	}
	for range 30 {
		e := next()
		if !want[e.Subject] || e.change() == "updated" || e.change() == "deleted" {
			t.Fatalf("%s %s stands on the stream, it was published before or never made", e.change(), e.Subject)
		}
		delete(want, e.Subject)
	}
}

package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestProbesTellTheStateOfTheBridge(t *testing.T) {
	t.Parallel()
	src := &source{err: errors.New("not connected to NATS")}
	s := start(t, func(o *Options) { o.Source = src })
	check := func(when string, want map[string]int) {
		t.Helper()
		for path, status := range want {
			if got := get(t, s, "GET", path); got.status != status {
				t.Errorf("%s: %s answers %d, want %d", when, path, got.status, status)
			}
		}
	}
	check("before it was ready", map[string]int{"/livez": 200, "/readyz": 503, "/startupz": 503})
	if got := get(t, s, "GET", "/readyz").body; got != "not connected to NATS\n" {
		t.Errorf("the reason is %q", got)
	}
	src.set(nil)
	check("ready", map[string]int{"/livez": 200, "/readyz": 200, "/startupz": 200})
	src.set(errors.New("stopping"))
	check("no longer ready", map[string]int{"/livez": 200, "/readyz": 503, "/startupz": 200})
}

func TestReadinessCountsAsStarted(t *testing.T) {
	t.Parallel()
	src := &source{}
	s := start(t, func(o *Options) { o.Source = src })
	if got := get(t, s, "GET", "/readyz"); got.status != 200 {
		t.Fatalf("readyz answers %d", got.status)
	}
	src.set(errors.New("not connected to NATS"))
	if got := get(t, s, "GET", "/startupz"); got.status != 200 {
		t.Errorf("startupz answers %d after the bridge was ready once", got.status)
	}
}

func TestStatusJSONIsTheContract(t *testing.T) {
	t.Parallel()
	lag := 1.5
	src := &source{status: Status{
		Version: "1.2.3", Org: "contoso", Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		NATS: NATSStatus{Connected: true},
		Tables: []TableStatus{{
			Table: "account", State: "following", LagSeconds: &lag,
			Checkpoint: CheckpointStatus{Sequence: 1<<63 + 1, AgeSeconds: 2, Phase: "following", Epoch: 1, Rows: 7},
			Events:     map[string]int64{"created": 3},
			LastError:  `<script>alert("x")</script>`,
		}},
		Routes: []RouteStatus{{Route: "erp", State: "running", Pending: 4, AckPending: 5, InFlight: 6, Results: map[string]int64{"written": 9}}},
	}}
	s := start(t, func(o *Options) { o.Source = src })
	got := get(t, s, "GET", "/status.json")
	if got.status != 200 || got.header.Get("Content-Type") != "application/json" {
		t.Fatalf("status %d, type %q", got.status, got.header.Get("Content-Type"))
	}
	const want = `{
  "version": "1.2.3",
  "org": "contoso",
  "started": "2026-01-02T03:04:05Z",
  "nats": {
    "connected": true,
    "embedded": false
  },
  "tables": [
    {
      "table": "account",
      "state": "following",
      "checkpoint": {
        "sequence": 9223372036854775809,
        "age_seconds": 2,
        "phase": "following",
        "epoch": 1,
        "rows": 7
      },
      "lag_seconds": 1.5,
      "since_success_seconds": null,
      "events": {
        "created": 3
      },
      "last_error": "\u003cscript\u003ealert(\"x\")\u003c/script\u003e"
    }
  ],
  "routes": [
    {
      "route": "erp",
      "state": "running",
      "pending": 4,
      "ack_pending": 5,
      "in_flight": 6,
      "results": {
        "written": 9
      }
    }
  ]
}
`
	if diff := cmp.Diff(want, got.body); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestStatusOfNothingHasEmptyLists(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	var got struct{ Tables, Routes *[]any }
	if err := json.Unmarshal([]byte(get(t, s, "GET", "/status.json").body), &got); err != nil || got.Tables == nil || got.Routes == nil {
		t.Errorf("lists are not lists: %v", err)
	}
}

func TestOneStatusServesAllWhoAsk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := &source{block: make(chan struct{})}
		p := newPages(Options{Source: src})
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if _, err := p.statusJSON(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if n := src.calls.Load(); n != 1 {
			t.Errorf("%d calls run at once, want 1", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if _, err := p.statusJSON(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a client that went away still waits: %v", err)
		}
		cancel()
		close(src.block)
		wg.Wait()
		if n := src.calls.Load(); n != 1 {
			t.Errorf("%d calls for requests within a second, want 1", n)
		}
		time.Sleep(statusAge) // the bubble's clock
		if _, err := p.statusJSON(t.Context()); err != nil || src.calls.Load() != 2 {
			t.Errorf("an old status was served again: %d calls, %v", src.calls.Load(), err)
		}
	})
}

// panicking panics the first time it is asked.
type panicking struct{ source }

func (p *panicking) Status() Status {
	if p.calls.Add(1) == 1 {
		panic("boom")
	}
	return Status{Org: "contoso"}
}

func TestPanicInTheSourceDoesNotBlockThePage(t *testing.T) {
	t.Parallel()
	p := newPages(Options{Source: &panicking{}})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_, _ = p.statusJSON(t.Context())
	}()
	if body, err := p.statusJSON(t.Context()); err != nil || !strings.Contains(string(body), "contoso") {
		t.Errorf("after a panic: %s, %v", body, err)
	}
}

func TestMetricsAndSchemasAreServed(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *Options) {
		o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "up 1\n")
		})
		o.Schemas = func(table, version string) ([]byte, bool) {
			return []byte(`{"title":"account"}`), table == "account" && version == "3"
		}
	})
	if got := get(t, s, "GET", "/metrics"); got.status != 200 || got.body != "up 1\n" || got.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("metrics: %+v", got)
	}
	if got := get(t, s, "GET", "/schemas/account/3.json"); got.status != 200 || got.body != `{"title":"account"}` ||
		got.header.Get("Content-Type") != "application/schema+json" {
		t.Errorf("schema: %+v", got)
	}
	if got := get(t, s, "GET", "/schemas/account/4.json"); got.status != 404 {
		t.Errorf("unknown version: %d", got.status)
	}
}

func TestWhatIsNotConfiguredIsNotFound(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for _, path := range []string{"/metrics", "/schemas/account/3.json"} {
		if got := get(t, s, "GET", path); got.status != 404 {
			t.Errorf("%s answers %d", path, got.status)
		}
	}
}

func TestIndexNamesEveryPage(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	got := get(t, s, "GET", "/")
	for _, path := range []string{"/livez", "/readyz", "/startupz", "/status.json", "/metrics", "/schemas/"} {
		if !strings.Contains(got.body, path) {
			t.Errorf("the index does not name %s", path)
		}
	}
	for _, banned := range []string{"<script", "<style", "style=", "http://", "https://"} {
		if strings.Contains(got.body, banned) {
			t.Errorf("the index has %q, which its own policy forbids", banned)
		}
	}
}

func TestStatusThatIsNoJSONIsAnError(t *testing.T) {
	t.Parallel()
	lag := math.Inf(1)
	src := &source{status: Status{Org: "contoso", Tables: []TableStatus{{LagSeconds: &lag}}}}
	s := start(t, func(o *Options) { o.Source = src })
	if got := get(t, s, "GET", "/status.json"); got.status != 500 || strings.Contains(got.body, "Inf") {
		t.Errorf("status %d, body %q", got.status, got.body)
	}
}

package webapi

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"cebridge/bridge/internal/http1"
	"cebridge/outbound"
	"cebridge/schema"
)

const (
	guid1 = "0a0b0c0d-0000-4000-8000-000000000001"
	guid2 = "0a0b0c0d-0000-4000-8000-000000000002"
	guid3 = "0a0b0c0d-0000-4000-8000-00000000000f"
)

// accountTable is a small table to query and write.
func accountTable() *schema.Table {
	return &schema.Table{
		LogicalName: "account", EntitySet: "accounts", PrimaryID: "accountid",
		Columns: []schema.Column{
			{LogicalName: "accountid", Type: schema.TypeUniqueID},
			{LogicalName: "accountnumber", Type: schema.TypeString, MaxLength: 20},
			{LogicalName: "name", Type: schema.TypeString, MaxLength: 160},
			{LogicalName: "modifiedon", Type: schema.TypeDateTime},
			{LogicalName: "primarycontactid", Type: schema.TypeLookup, Targets: []string{"contact"}},
		},
		Keys: []schema.AlternateKey{{LogicalName: "number", Columns: []string{"accountnumber"}, Status: schema.KeyActive}},
	}
}

func accountQuery() outbound.Query {
	return outbound.Query{Table: accountTable(), Columns: []string{"name", "primarycontactid", "modifiedon"}, PageSize: 500}
}

// page renders a page of the account table; base is the address links start with.
func page(base, rows, link string) string {
	return fmt.Sprintf(`{"@odata.context":"%s/api/data/v9.2/$metadata#accounts","value":[%s],%s}`, base, rows, link)
}

func deltaLink(base, token string) string {
	return fmt.Sprintf(`"@odata.deltaLink":"%s/api/data/v9.2/accounts?$select=name&$deltatoken=%s"`, base, token)
}

func nextLink(base, token string) string {
	return fmt.Sprintf(`"@odata.nextLink":"%s/api/data/v9.2/accounts?$select=name&$skiptoken=%s"`, base, token)
}

func row(id string, version int, name string) string {
	return fmt.Sprintf(`{"@odata.etag":"W/\"%d\"","accountid":"%s","versionnumber":%d,"name":%q}`, version, id, version, name)
}

// answering is a handler that answers JSON with the headers the API sets.
func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; odata.metadata=minimal")
		w.Header().Set("OData-Version", "4.0")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// newTestClient serves h on the loopback and returns a client of it.
func newTestClient(t testing.TB, h http.Handler, change ...func(*Config)) (*Client, *httptest.Server) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	cfg := Config{URL: srv.URL}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, srv
}

// pipeServer is an HTTP server on in-memory connections, fit for a synctest
// bubble. Every host name leads to it.
type pipeServer struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipeServer) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipeServer) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipeServer) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipeServer) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// startPipe serves h in memory and returns a transport to it. stop ends both and
// leaves no goroutine behind.
func startPipe(h http.Handler) (transport *http1.Pool, stop func()) {
	p := &pipeServer{conns: make(chan net.Conn), closed: make(chan struct{})}
	// A WaitGroup may not be added to while somebody waits for it at zero.
	var mu sync.Mutex
	idle := sync.NewCond(&mu)
	running := 0
	note := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		if running += n; running == 0 {
			idle.Broadcast()
		}
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note(1)
		defer note(-1)
		h.ServeHTTP(w, r)
	})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(p)
	}()
	transport = newPool(Config{MaxInFlight: 64})
	transport.Dial = p.dial
	return transport, func() {
		transport.CloseIdleConnections()
		_ = srv.Close()
		<-served
		mu.Lock()
		defer mu.Unlock()
		for running > 0 {
			idle.Wait()
		}
	}
}

// newPipeClient is newTestClient in memory; stop must run inside the bubble.
func newPipeClient(t *testing.T, h http.Handler, change ...func(*Config)) (c *Client, stop func()) {
	t.Helper()
	transport, stop := startPipe(h)
	cfg := Config{URL: "http://contoso.example", Transport: transport}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c, stop
}

// wantText fails unless the error's text holds all parts.
func wantText(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

// advance lets virtual time pass. It is for synctest bubbles only, where it takes
// no real time.
func advance(d time.Duration) { <-time.After(d) }

// upsertOf is a keyed write to account number n.
func upsertOf(n int) *schema.Write {
	return &schema.Write{
		Operation: schema.OpUpsert, Table: "account", EntitySet: "accounts",
		Predicate: fmt.Sprintf("accountnumber='A%d'", n), Body: []byte(fmt.Sprintf(`{"name":"Contoso %d"}`, n)),
	}
}

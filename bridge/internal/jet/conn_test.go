package jet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"cebridge/inbound"
	"cebridge/outbound"
	"cebridge/schema/telemetry"
)

// serverWithUsers runs a server with JetStream and these users.
func serverWithUsers(t *testing.T, users ...*server.User) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, JetStream: true, StoreDir: t.TempDir(), Users: users})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("not ready")
	}
	return s.ClientURL()
}

// freePort is a port that is the test's own until it ends, and on which nobody listens
// yet. It is none of those that the system gives to whoever asks for any (from 32768 on,
// see ip(7), ip_local_port_range), and its UDP port is taken as a mark for other tests that
// choose one in this way.
func freePort(t *testing.T) int {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(10_000))
		mark, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			mark.Close()
			continue
		}
		l.Close()
		t.Cleanup(func() { mark.Close() })
		return l.Addr().(*net.TCPAddr).Port
	}
	t.Fatal("no port is free")
	panic("unreachable")
}

func TestConnectWaitsForTheFirstServer(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	log := &record{}
	result := make(chan error, 1)
	go func() {
		c, err := Connect(context.Background(), Config{URLs: []string{fmt.Sprintf("nats://127.0.0.1:%d", port)},
			Timeout: patience, Logger: log.logger()})
		if err == nil {
			c.Close()
		}
		result <- err
	}()
	for !strings.Contains(log.text(), "trying again") {
		select {
		case err := <-result:
			t.Fatalf("Connect did not wait: %v", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
	startServer(t, func(o *EmbeddedOptions) { o.Port = port })
	if err := within(t, result, "Connect"); err != nil {
		t.Error(err)
	}
}

// longer gives a call that ends with its time a longer one as long as it does not say
// what it waited for: a busy machine may not have come so far.
func longer(call func(time.Duration) (err error, told bool)) (err error) {
	for d := 200 * time.Millisecond; d < patience; d *= 4 {
		var told bool
		if err, told = call(d); told || err == nil {
			break
		}
	}
	return err
}

func TestConnectGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	url := fmt.Sprintf("nats://127.0.0.1:%d", freePort(t))
	for way, connect := range map[string]func(time.Duration) error{
		"context": func(d time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			_, err := Connect(ctx, Config{URLs: []string{url}})
			return err
		},
		"timeout": func(d time.Duration) error {
			_, err := Connect(t.Context(), Config{URLs: []string{url}, Timeout: d})
			return err
		},
	} {
		err := longer(func(d time.Duration) (error, bool) {
			err := connect(d)
			return err, errors.Is(err, nats.ErrNoServers)
		})
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, nats.ErrNoServers) {
			t.Errorf("%s: got %v", way, err)
		}
	}
}

func TestConnectDoesNotRetryWhatOnlyAPersonCanChange(t *testing.T) {
	t.Parallel()
	url := serverWithUsers(t, &server.User{Username: "bridge", Password: "right"})
	seed := filepath.Join(t.TempDir(), "seed")
	if err := os.WriteFile(seed, []byte("not a seed"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]Config{
		"nobody named":          {},
		"wrong password":        {URLs: []string{url}, User: "bridge", Password: "wrong"},
		"wrong token":           {URLs: []string{url}, Token: "wrong"},
		"no credentials file":   {URLs: []string{url}, CredentialsFile: "/nonexistent/user.creds"},
		"unreadable nkey file":  {URLs: []string{url}, NKeyFile: seed},
		"unreadable server URL": {URLs: []string{"nats://[::1"}},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		c, err := Connect(ctx, cfg)
		cancel()
		if err == nil {
			c.Close()
			t.Errorf("%s: connected", name)
			continue
		}
		if strings.Contains(err.Error(), "wrong") {
			t.Errorf("%s: the error shows a secret: %v", name, err)
		}
		if ctx.Err() == context.DeadlineExceeded {
			t.Errorf("%s: was tried again and again: %v", name, err)
		}
	}
	c, err := Connect(t.Context(), Config{URLs: []string{url}, User: "bridge", Password: "right", InboxPrefix: "_INBOX_bridge"})
	if err != nil {
		t.Fatal(err)
	}
	if inbox := c.NATS().NewInbox(); !strings.HasPrefix(inbox, "_INBOX_bridge.") {
		t.Errorf("inbox is %s", inbox)
	}
	c.Close()
	c.Close() // twice does no harm
	if c.Connected() {
		t.Error("still connected")
	}
}

// oldServer speaks as much of the protocol as a client needs to connect.
func oldServer(t *testing.T, info string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				fmt.Fprintf(conn, "INFO %s\r\n", info)
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					if lines.Text() == "PING" {
						fmt.Fprint(conn, "PONG\r\n")
					}
				}
			}()
		}
	}()
	return "nats://" + l.Addr().String()
}

func TestConnectRefusesAnOldServerByName(t *testing.T) {
	t.Parallel()
	for info, says := range map[string]string{
		`{"server_id":"X","server_name":"nats-7","version":"2.10.22","max_payload":1048576,"headers":true}`: "nats-7: it runs version 2.10.22: upgrade it to 2.12.7",
		`{"server_id":"X","server_name":"nats-8","version":"2.15.2","max_payload":1048576,"headers":false}`: "nats-8 does not support headers",
	} {
		_, err := Connect(t.Context(), Config{URLs: []string{oldServer(t, info)}, Timeout: patience})
		if !errors.Is(err, outbound.ErrMisconfigured) || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v", err)
		}
	}
}

func TestNothingIsCommittedToAServerThatWasRefusedLater(t *testing.T) {
	t.Parallel()
	c, l := newLog(t)
	refused := fmt.Errorf("%w: too old", outbound.ErrMisconfigured)
	c.refused.Store(&refused)
	if _, err := l.Commit(t.Context(), outbound.Batch{Checkpoint: checkpoint("c")}); !errors.Is(err, outbound.ErrMisconfigured) {
		t.Errorf("got %v", err)
	}
	if err := c.checkServer(c.nc); err != nil {
		t.Fatal(err)
	}
	mustCommit(t, l, nil, 0)
}

func TestAMissingPermissionIsNamedNotATimeout(t *testing.T) {
	t.Parallel()
	url := serverWithUsers(t,
		&server.User{Username: "admin", Password: "p"},
		&server.User{Username: "bridge", Password: "p", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{"$JS.API.STREAM.INFO.*"}}}})
	admin, err := Connect(t.Context(), Config{URLs: []string{url}, User: "admin", Password: "p"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	if err := admin.EnsureEventStream(t.Context(), ProvisionApply, eventStream(), true); err != nil {
		t.Fatal(err)
	}
	c, err := Connect(t.Context(), Config{URLs: []string{url}, User: "bridge", Password: "p"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	l := c.Log(testStream)
	for name, call := range map[string]func(context.Context) error{
		"commit": func(ctx context.Context) error {
			_, err := l.Commit(ctx, outbound.Batch{Messages: events(0, 2, 5), Checkpoint: checkpoint("c")})
			return err
		},
		"receipt": func(ctx context.Context) error {
			return c.Outbox("X", names, OutboxSettings{}).Receipt(ctx, &inbound.Receipt{Route: "r", Subject: "receipts.r", Outcome: "written", Message: &inbound.Message{Sequence: 1}})
		},
	} {
		err := longer(func(d time.Duration) (error, bool) {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			err := call(ctx)
			return err, errors.Is(err, nats.ErrPermissionViolation)
		})
		if name == "commit" && !errors.Is(err, outbound.ErrMisconfigured) {
			t.Errorf("%s: not ErrMisconfigured: %v", name, err)
		}
		if !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("%s: the permission is not named: %v", name, err)
		}
	}
}

func TestAsyncErrorsAreRememberedOnceAndForAWhile(t *testing.T) {
	t.Parallel()
	var a asyncErrors
	if err := a.since(time.Time{}); err != nil {
		t.Errorf("got %v", err)
	}
	for i := range 20 {
		a.add(fmt.Errorf("error %d", i/2))
	}
	if got, want := a.since(time.Time{}).Error(), "error 6\nerror 7\nerror 8\nerror 9"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := a.since(time.Now().Add(time.Second)); err != nil {
		t.Errorf("later: got %v", err)
	}
}

func TestTheConnectionIsAMetric(t *testing.T) {
	t.Parallel()
	e := startServer(t)
	reader := metric.NewManualReader()
	meter := metric.NewMeterProvider(metric.WithReader(reader)).Meter(telemetry.Scope)
	c, err := Connect(t.Context(), Config{Embedded: e, Name: "erp", Meter: meter})
	if err != nil {
		t.Fatal(err)
	}
	read := func() []metricdata.DataPoint[int64] {
		var got metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &got); err != nil {
			t.Fatal(err)
		}
		for _, s := range got.ScopeMetrics {
			for _, m := range s.Metrics {
				if m.Name == telemetry.NATSConnected {
					return m.Data.(metricdata.Gauge[int64]).DataPoints
				}
			}
		}
		return nil
	}
	if got := read(); len(got) != 1 || got[0].Value != 1 {
		t.Errorf("connected: %v", got)
	}
	c.Close()
	if got := read(); len(got) != 0 {
		t.Errorf("closed: %v", got)
	}
}

package jet

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"cebridge/outbound"
)

func TestAnEmbeddedServerDoesNotListenUnlessAsked(t *testing.T) {
	t.Parallel()
	if url := startServer(t).URL(); url != "" {
		t.Errorf("it listens on %s", url)
	}
	e := startServer(t, func(o *EmbeddedOptions) { o.Port = -1 })
	if !strings.HasPrefix(e.URL(), "nats://127.0.0.1:") {
		t.Fatalf("URL is %s", e.URL())
	}
	nc, err := nats.Connect(e.URL())
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
}

func TestStartErrorsReachTheCaller(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		opts EmbeddedOptions
		says string
	}{
		{"no directory", EmbeddedOptions{}, "directory"},
		{"a file as directory", EmbeddedOptions{StoreDir: file}, file},
		{"a file within the path", EmbeddedOptions{StoreDir: filepath.Join(file, "below")}, "not a directory"},
		{"a busy port", EmbeddedOptions{StoreDir: t.TempDir(), Port: busy.Addr().(*net.TCPAddr).Port}, "address already in use"},
		{"a host that is nobody's", EmbeddedOptions{StoreDir: t.TempDir(), Host: "203.0.113.7", Port: -1}, "203.0.113.7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log := &record{}
			tt.opts.Logger = log.logger()
			e, err := StartEmbedded(tt.opts)
			if err == nil {
				e.Stop()
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("the error does not say %q: %v", tt.says, err)
			}
		})
	}
}

func TestTheServersLogIsBridged(t *testing.T) {
	t.Parallel()
	log := &record{}
	startServer(t, func(o *EmbeddedOptions) { o.Logger = log.logger(); o.ServerName = "contoso-1" })
	if text := log.text(); !strings.Contains(text, "nats server: ") || !strings.Contains(text, "contoso-1") {
		t.Errorf("log is %s", text)
	}
}

func TestACommitSurvivesARestartOfTheEmbeddedServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	on := func(o *EmbeddedOptions) { o.StoreDir = dir }
	e := startServer(t, on)
	c := connect(t, e)
	if err := c.EnsureEventStream(t.Context(), ProvisionApply, eventStream(), true); err != nil {
		t.Fatal(err)
	}
	seq := mustCommit(t, c.Log(testStream), events(0, 10, 5), 0)
	c.Close()
	e.Stop()
	e.Stop() // twice does no harm

	again := connect(t, startServer(t, on)).Log(testStream)
	data, got, err := again.Checkpoint(t.Context(), names.Checkpoint("account"))
	if string(data) != "c" || got != seq || err != nil {
		t.Errorf("got %q, %d, %v", data, got, err)
	}
	if _, err := again.Commit(t.Context(), outbound.Batch{Checkpoint: checkpoint("d"), Expected: seq}); err != nil {
		t.Error(err)
	}
}

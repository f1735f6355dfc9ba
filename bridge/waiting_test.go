package bridge_test

import (
	"bytes"
	"context"
	"log/slog"
	"testing"

	"cebridge/bridge"
)

// hear calls fn for each line of a log that holds text.
type hear struct {
	text string
	fn   func()
}

func (h hear) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(h.text)) {
		h.fn()
	}
	return len(b), nil
}

func TestABridgeWithoutNATSIsNotReadyAndSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	const nobody = "nats://127.0.0.1:1" // a port that no other test can be given
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tried := make(chan struct{}, 100)
	log := slog.New(slog.NewJSONHandler(hear{"no NATS server answers", func() { tried <- struct{}{} }}, nil))
	b, err := bridge.New(parse(t, head+followAccounts, "http://127.0.0.1:1", nobody), bridge.WithLogger(log))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- b.Start(ctx) }()
	select {
	case <-tried:
	case err := <-ended:
		t.Fatalf("the start ended: %v", err)
	}
	if err := b.Ready(); err == nil || err.Error() != "starting: waiting for NATS" {
		t.Errorf("ready: %v", err)
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("the start succeeded without NATS")
	}
}

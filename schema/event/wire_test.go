package event_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"cebridge/schema/event"
)

// connect runs a NATS server inside the process, without a socket.
func connect(t *testing.T) *nats.Conn {
	t.Helper()
	s, err := server.NewServer(&server.Options{DontListen: true, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// NATS clients trim header values and replace line breaks on their own; what this
// package writes must not be touched by that.
func TestMessagesPassThroughNATSUnchanged(t *testing.T) {
	t.Parallel()
	nc := connect(t)
	sub, err := nc.SubscribeSync("crm.contoso.account.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []event.Mode{event.Structured, event.Binary} {
		encoder, err := event.NewEncoder(event.Settings{
			Source: "/crm/contoso/account", TypePrefix: "com.contoso.crm", Table: "account", Mode: mode,
		})
		if err != nil {
			t.Fatal(err)
		}
		header, data, err := encoder.Encode(&event.Record{
			RecordID: " Zürich \"100%\" ", Version: 7, Epoch: 2, Change: event.Created, ReadBy: event.ByResync,
			Recorded: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Row: []byte(`{"name":" \u00fc \ud83d\ude00 "}`),
			Causation: " : , ; \\ \u2028 ", TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		})
		if err != nil {
			t.Fatal(err)
		}
		want, err := event.Unmarshal(header, data)
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.PublishMsg(&nats.Msg{Subject: "crm.contoso.account.1", Header: header, Data: data}); err != nil {
			t.Fatal(err)
		}
		m, err := sub.NextMsg(10 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(header, map[string][]string(m.Header)); diff != "" {
			t.Errorf("%s: headers -sent +received\n%s", mode, diff)
		}
		got, err := event.Unmarshal(m.Header, m.Data)
		if err != nil {
			t.Fatalf("%s: %v", mode, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: event -sent +received\n%s", mode, diff)
		}
		if p, err := event.ReadHeader(m.Header); err != nil || p.Version != 7 || p.Epoch != 2 {
			t.Errorf("%s: %+v, %v", mode, p, err)
		}
	}
}

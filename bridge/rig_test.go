package bridge_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/bridge"
	"cebridge/bridge/internal/jet"
	"cebridge/bridge/sim"
	"cebridge/inbound"
)

// patience is how long a test waits for what must come: far longer than it takes on a
// machine that does other things at the same time.
const patience = 4 * time.Minute

// rig is a whole bridge between a simulator over HTTP and a JetStream server.
type rig struct {
	t       *testing.T
	ctx     context.Context
	sim     *sim.Server
	url     string
	bridge  *bridge.Bridge
	js      jetstream.JetStream
	nats    string
	settled chan inbound.Settled
	opts    []bridge.Option
	// head is how every configuration begins.
	head string
}

// newSim starts a simulator with the people and places that tests refer to.
func newSim(t *testing.T, o sim.Options) (*sim.Server, string) {
	t.Helper()
	s, err := sim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	url, err := s.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, url
}

// parse reads a configuration in which SIM and NATS stand for the test's own.
func parse(t *testing.T, text, url, nats string) bridge.Config {
	t.Helper()
	cfg, err := bridge.ParseConfig("test.yaml", []byte(strings.NewReplacer("SIM", url, "NATS", nats).Replace(text)))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

const head = `
org: contoso
webapi: {url: SIM}
nats: {urls: ["NATS"]}
`

// newRig starts a bridge with the given rest of a configuration. prepare fills the
// simulator before the bridge starts.
func newRig(t *testing.T, text string, prepare func(*sim.Server)) *rig {
	t.Helper()
	return newRigWith(t, text, sim.Options{RecordWrites: true}, prepare)
}

func newRigWith(t *testing.T, text string, o sim.Options, prepare func(*sim.Server), opts ...bridge.Option) *rig {
	t.Helper()
	return newRigUnder(t, head, text, o, prepare, opts...)
}

// newRigUnder starts a bridge whose configuration begins with another head.
func newRigUnder(t *testing.T, head, text string, o sim.Options, prepare func(*sim.Server), opts ...bridge.Option) *rig {
	t.Helper()
	return newRigAt(t, jet.EmbeddedOptions{}, head, text, o, prepare, opts...)
}

// newRigOn uses a JetStream server of that kind.
func newRigOn(t *testing.T, server jet.EmbeddedOptions, text string, o sim.Options, prepare func(*sim.Server), opts ...bridge.Option) *rig {
	t.Helper()
	return newRigAt(t, server, head, text, o, prepare, opts...)
}

func newRigAt(t *testing.T, server jet.EmbeddedOptions, head, text string, o sim.Options, prepare func(*sim.Server), opts ...bridge.Option) *rig {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r := &rig{t: t, ctx: ctx, settled: make(chan inbound.Settled, 1000), opts: opts, head: head}
	r.sim, r.url = newSim(t, o)
	if prepare != nil {
		prepare(r.sim)
	}
	// The server outlives the bridge, so that a bridge can be restarted.
	server.StoreDir, server.Port = t.TempDir(), -1
	srv, err := jet.StartEmbedded(server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Stop)
	r.nats = srv.URL()
	nc, err := nats.Connect(r.nats, nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if r.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	r.start(text)
	t.Cleanup(r.stop)
	return r
}

func (r *rig) start(text string) {
	r.t.Helper()
	opts := append(r.opts, bridge.WithSettled(func(_ string, s inbound.Settled) { r.settled <- s }))
	b, err := bridge.New(parse(r.t, r.head+text, r.url, r.nats), opts...)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := b.Start(r.ctx); err != nil {
		r.t.Fatal(err)
	}
	r.bridge = b
}

func (r *rig) stop() {
	if err := r.bridge.Stop(context.Background()); err != nil {
		r.t.Errorf("stop: %v", err)
	}
}

// restart stops the bridge in order and starts another with that configuration.
func (r *rig) restart(text string) {
	r.t.Helper()
	r.stop()
	r.start(text)
}

// send publishes one structured CloudEvent.
func (r *rig) send(subject, typ, id string, data any) {
	r.t.Helper()
	body, err := json.Marshal(map[string]any{
		"specversion": "1.0", "id": id, "source": "/test", "type": typ, "subject": id, "data": data,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.raw(subject, nats.Header{"Content-Type": {"application/cloudevents+json"}}, body)
}

func (r *rig) raw(subject string, h nats.Header, body []byte) {
	r.t.Helper()
	if _, err := r.js.PublishMsg(r.ctx, &nats.Msg{Subject: subject, Header: h, Data: body}); err != nil {
		r.t.Fatal(err)
	}
}

// next waits for the next settled message.
func (r *rig) next() inbound.Settled {
	r.t.Helper()
	select {
	case s := <-r.settled:
		return s
	case <-r.ctx.Done():
		r.t.Fatal("no message was settled in time")
		panic("unreachable")
	}
}

// written waits for the next settled message and fails unless it was written.
func (r *rig) written() inbound.Settled {
	r.t.Helper()
	s := r.next()
	if s.Err != nil || s.Outcome != "written" {
		r.t.Fatalf("message %d was %s: %v", s.Message.Sequence, s.Outcome, s.Err)
	}
	return s
}

// outEvent is an outbound event, as far as tests look at it.
type outEvent struct {
	ID, Source, Type, Subject, Sequence, PreviousVersion, ChangedColumns, ReadBy, DataSchema, OrgID, PartitionKey, Time, TraceParent, Reason string
	Data                                                                                                                                     struct{ Record, Previous map[string]any }
	header                                                                                                                                   nats.Header
	raw                                                                                                                                      []byte
}

func (e outEvent) change() string { return e.Type[strings.LastIndexByte(e.Type, '.')+1:] }

// events returns a function that waits for the next event on the stream.
func (r *rig) events(filter string) func() outEvent {
	r.t.Helper()
	c, err := r.js.OrderedConsumer(r.ctx, r.bridge.EventStream(), jetstream.OrderedConsumerConfig{FilterSubjects: []string{filter}})
	if err != nil {
		r.t.Fatal(err)
	}
	it, err := c.Messages()
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(it.Stop)
	return func() outEvent {
		r.t.Helper()
		m, err := it.Next(jetstream.NextContext(r.ctx))
		if err != nil {
			r.t.Fatalf("wait for an event: %v", err)
		}
		var e outEvent
		if err := json.Unmarshal(m.Data(), &e); err != nil {
			r.t.Fatalf("event %s: %v", m.Data(), err)
		}
		e.header, e.raw = m.Headers(), m.Data()
		return e
	}
}

func insert(t *testing.T, s *sim.Server, table string, row map[string]any) string {
	t.Helper()
	id, err := s.Insert(table, row)
	if err != nil {
		t.Fatalf("insert into %s: %v", table, err)
	}
	return id
}

func row(t *testing.T, s *sim.Server, table, id string) map[string]any {
	t.Helper()
	r, ok := s.Row(table, id)
	if !ok {
		t.Fatalf("%s %s is not there", table, id)
	}
	return r
}

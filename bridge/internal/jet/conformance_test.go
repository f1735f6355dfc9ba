package jet

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/bridge/internal/natsproxy"
	"cebridge/outbound"
	"cebridge/outbound/logtest"
)

func TestLogIsAStream(t *testing.T) {
	t.Parallel()
	logtest.Run(t, func(t *testing.T) logtest.Setup { return newNode(t, nil).setup(t) })
}

// The order of writes, leaders that go and replicas that lag are a matter of several
// servers: three in this process, with routes through proxies.
func TestLogIsAStreamOnThreeNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("three servers take half a minute; the full run has them")
	}
	t.Parallel()
	c := newCluster(t)
	n := 0
	logtest.Run(t, func(t *testing.T) logtest.Setup {
		n++
		return c.setup(t, fmt.Sprint(testStream, "_", n))
	})
}

// node is a server that listens, as an operator would run it.
type node struct {
	opts server.Options
	srv  *server.Server
}

func newNode(t *testing.T, change func(*server.Options)) *node {
	n := &node{opts: server.Options{
		ServerName: "node", Host: "127.0.0.1", Port: freePort(t), NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: 1 << 30, JetStreamMaxMemory: 64 << 20,
	}}
	if change != nil {
		change(&n.opts)
	}
	n.start(t)
	t.Cleanup(n.stop)
	return n
}

func (n *node) start(t *testing.T) {
	t.Helper()
	opts := n.opts
	srv, err := server.NewServer(&opts)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(patience) {
		t.Fatal("the server does not listen")
	}
	n.srv = srv
}

func (n *node) stop() {
	n.srv.Shutdown()
	n.srv.WaitForShutdown()
}

func dial(t *testing.T, addr string) *Conn {
	t.Helper()
	c, err := Connect(t.Context(), Config{URLs: []string{"nats://" + addr}, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func (n *node) addr() string { return n.srv.Addr().String() }

// setup makes an event stream on the node.
func (n *node) setup(t *testing.T) logtest.Setup {
	c := dial(t, n.addr())
	const largest = 64 << 10
	s := eventStream()
	s.MaxBytes = 32 << 20
	if err := c.EnsureEventStream(t.Context(), ProvisionApply, s, true); err != nil {
		t.Fatal(err)
	}
	updateStream(t, c, func(cfg *jetstream.StreamConfig) { cfg.MaxMsgSize = largest })
	su := setupOf(t, c, n.addr(), testStream)
	su.MaxMessage = largest
	su.Fill = func(t *testing.T) {
		updateStream(t, c, func(cfg *jetstream.StreamConfig) { cfg.MaxBytes = 4096 })
	}
	su.Limit = func(t *testing.T, limit int) {
		n.opts.JetStreamLimits.MaxBatchSize = limit
		n.stop()
		n.start(t)
		waitUntil(t, "the client to be connected again", func() bool {
			_, _, err := c.Log(testStream).Checkpoint(t.Context(), names.Checkpoint("account"))
			return err == nil
		})
	}
	su.OpenBatches = func(t *testing.T) func() { return openBatches(t, c) }
	return su
}

// setupOf is what every server offers: rivals, writers that stall, answers that are lost.
func setupOf(t *testing.T, c *Conn, addr, stream string) logtest.Setup {
	return logtest.Setup{
		Stream: c.Log(stream),
		Rival:  func(t *testing.T) outbound.Stream { return dial(t, addr).Log(stream) },
		All:    func(t *testing.T) []outbound.Stored { return all(t, c, stream, names.Table("account")) },
		Stalled: func(t *testing.T) (outbound.Stream, <-chan struct{}, func()) {
			held, free := make(chan struct{}), make(chan struct{})
			p := proxy(t, addr, func(m natsproxy.Publish) {
				if strings.Contains(m.Header, "Nats-Batch-Commit") {
					close(held)
					<-free
				}
			})
			release := sync.OnceFunc(func() { close(free) })
			t.Cleanup(release)
			return dial(t, p.Addr()).Log(stream), held, release
		},
		Mute: func(t *testing.T) (outbound.Stream, func()) {
			var p *natsproxy.Proxy
			p = proxy(t, addr, func(m natsproxy.Publish) {
				if strings.Contains(m.Header, "Nats-Batch-Commit") {
					p.Mute(true)
				}
			})
			return dial(t, p.Addr()).Log(stream), func() { p.Mute(false) }
		},
	}
}

func proxy(t *testing.T, addr string, onPublish func(natsproxy.Publish)) *natsproxy.Proxy {
	t.Helper()
	p, err := natsproxy.Start(natsproxy.Options{Target: addr, OnPublish: onPublish})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// openBatches begins batches until the server refuses one.
func openBatches(t *testing.T, c *Conn) (end func()) {
	t.Helper()
	var open []string
	for i := range 100 {
		id := fmt.Sprint("open-", i)
		m := &nats.Msg{Subject: names.Record("account", recordID(500+i)), Header: nats.Header{
			"Nats-Batch-Id": {id}, "Nats-Batch-Sequence": {"1"},
		}}
		answer, err := c.NATS().RequestMsg(m, patience)
		if err != nil {
			t.Fatal(err)
		}
		if len(answer.Data) > 0 {
			break
		}
		open = append(open, id)
	}
	if len(open) < 2 || len(open) > 99 {
		t.Fatalf("%d batches are open: the server's limit was not met", len(open))
	}
	return func() {
		// A gap in a batch makes the server give it up.
		for _, id := range open {
			m := &nats.Msg{Subject: names.Record("account", recordID(499)), Header: nats.Header{
				"Nats-Batch-Id": {id}, "Nats-Batch-Sequence": {"9"},
			}}
			if err := c.NATS().PublishMsg(m); err != nil {
				t.Error(err)
			}
		}
	}
}

// cluster is three servers. What the third says to the others and hears from them goes
// through proxies.
type cluster struct {
	nodes   [3]*node
	proxies []*natsproxy.Proxy
	// frozen: the third's replicas of streams get nothing new, and cannot stand for
	// election; all else of the third works.
	frozen atomic.Bool
}

// lose tells what a frozen replica does not hear, nor say: the entries of a stream's log,
// and votes. The names of streams' groups begin with S, of consumers' with C:
// nats-server 2.15.2, server/jetstream_cluster.go.
func (c *cluster) lose(subject string) bool {
	return c.frozen.Load() && (strings.HasPrefix(subject, "$NRG.AE.S-") || strings.HasPrefix(subject, "$NRG.V.S-"))
}

func newCluster(t *testing.T) *cluster {
	c := &cluster{}
	var ports [3]int
	for i := range ports {
		ports[i] = freePort(t)
		p, err := natsproxy.Start(natsproxy.Options{Target: local(ports[i]), Route: c.lose})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		c.proxies = append(c.proxies, p)
	}
	to := func(addr string) *url.URL { return &url.URL{Scheme: "nats-route", Host: addr} }
	routes := [3][]*url.URL{
		{to(local(ports[1]))}, {to(local(ports[0]))}, {to(c.proxies[0].Addr()), to(c.proxies[1].Addr())},
	}
	for i := range c.nodes {
		c.nodes[i] = newNode(t, func(o *server.Options) {
			o.ServerName, o.Routes = fmt.Sprint("node", i+1), routes[i]
			// Servers tell each other where to find the third one, and it is told where
			// to find them: all of that names proxies.
			o.Cluster = server.ClusterOpts{Name: "three", Host: "127.0.0.1", Port: ports[i], Advertise: c.proxies[i].Addr(), PoolSize: -1}
		})
	}
	waitUntil(t, "the cluster to have a leader", func() bool {
		for _, n := range c.nodes {
			if n.srv.JetStreamIsLeader() {
				return n.srv.NumRoutes() >= 2
			}
		}
		return false
	})
	return c
}

func local(port int) string { return fmt.Sprint("127.0.0.1:", port) }

func (c *cluster) setup(t *testing.T, stream string) logtest.Setup {
	conn := dial(t, c.nodes[0].addr())
	s := eventStream()
	s.Name, s.Replicas = stream, 3
	waitUntil(t, "the stream to be made", func() bool {
		return conn.EnsureEventStream(t.Context(), ProvisionApply, s, true) == nil
	})
	t.Cleanup(func() { removeStream(t, conn, stream) })
	su := setupOf(t, conn, c.nodes[0].addr(), stream)
	su.NewLeader = func(t *testing.T) { stepDown(t, conn, stream) }
	su.Lag = func(t *testing.T) (outbound.Stream, func()) {
		behind := c.follower(t, conn, stream).Log(stream)
		c.cutOff(true)
		t.Cleanup(func() { c.cutOff(false) })
		return behind, func() { c.cutOff(false) }
	}
	return su
}

// follower connects to the third node, once it does not lead the stream and has all of it.
func (c *cluster) follower(t *testing.T, conn *Conn, stream string) *Conn {
	t.Helper()
	third := c.nodes[2]
	waitUntil(t, "another node to lead", func() bool {
		leader := leaderOf(t, conn, stream)
		if leader == third.opts.ServerName {
			stepDown(t, conn, stream)
		}
		return leader != "" && leader != third.opts.ServerName
	})
	var seq uint64
	waitUntil(t, "the leader to answer", func() bool {
		var err error
		_, seq, err = conn.Log(stream).Checkpoint(t.Context(), names.Checkpoint("account"))
		return err == nil
	})
	behind := dial(t, third.addr())
	waitUntil(t, "the third node to be where the others are", func() bool {
		return behind.Log(stream).Last(t.Context(), names.Checkpoint("account"), seq, nil, func(outbound.Stored) error { return nil }) == nil
	})
	return behind
}

// cutOff lets nothing pass between the third node and the others.
func (c *cluster) cutOff(on bool) {
	for _, p := range c.proxies {
		p.Hold(on)
		if on {
			p.Cut() // else it would pass questions on to servers that it cannot hear
		}
	}
}

// removeStream removes a stream of the cluster, since the next one takes the same subjects.
// The cluster may be without a leader for a while: it had to do without a node.
func removeStream(t *testing.T, c *Conn, stream string) {
	for end := time.Now().Add(patience); ; <-time.After(50 * time.Millisecond) {
		err := c.js.DeleteStream(context.Background(), stream)
		if err == nil || errors.Is(err, jetstream.ErrStreamNotFound) {
			return
		}
		if time.Now().After(end) {
			t.Error(err)
			return
		}
	}
}

func leaderOf(t *testing.T, c *Conn, stream string) string {
	s, err := c.js.Stream(t.Context(), stream)
	if err != nil || s.CachedInfo().Cluster == nil {
		return ""
	}
	return s.CachedInfo().Cluster.Leader
}

// stepDown makes the stream's leader give up its office.
func stepDown(t *testing.T, c *Conn, stream string) {
	t.Helper()
	waitUntil(t, "the leader to step down", func() bool {
		_, err := c.NATS().Request("$JS.API.STREAM.LEADER.STEPDOWN."+stream, nil, 5*time.Second)
		return err == nil
	})
}

func waitUntil(t *testing.T, what string, ask func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ask(); {
		if time.Now().After(end) {
			t.Fatalf("waited too long for %s", what)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

//go:build unix

package soak

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"cebridge/bridge/internal/jet"
	"cebridge/bridge/internal/natsproxy"
	"cebridge/bridge/sim"
	"cebridge/outbound"
	"cebridge/schema"
)

// boundaryTable is the one table of these tests.
const boundaryTable = "account"

// boundary is a step of the outbound engine at which the process is killed.
type boundary string

const (
	// beforeFetch: the source has the request of a page and has not answered.
	beforeFetch boundary = "before fetch"
	// afterFetch: the page was answered, the first message of its batch is on its way.
	afterFetch boundary = "after fetch"
	// midCommit: half the messages of the batch are with the server.
	midCommit boundary = "mid commit"
	// beforeCommit: all events are with the server, the commit message is not.
	beforeCommit boundary = "before commit"
	// commitArrivesLate: as beforeCommit, but the commit message arrives after the kill.
	commitArrivesLate boundary = "commit arrives after the kill"
	// afterCommit: the batch is stored, its answer did not reach the process.
	afterCommit boundary = "after commit"
	// ackUnread: the answer is in the process's socket, which it never reads.
	ackUnread boundary = "before ack read"
)

// stores tells whether the batch of the page is on the stream after the kill.
func (b boundary) stores() bool {
	return b == commitArrivesLate || b == afterCommit || b == ackUnread
}

// boundaryRig is a bridge whose every page request and every published message
// passes through the test's hands.
type boundaryRig struct {
	*run
	proxy *natsproxy.Proxy
	web   *httptest.Server

	mu      sync.Mutex
	trap    boundary // "" lets everything pass
	page    int      // the page of the round, and the batch, at which the trap shuts
	half    string   // Nats-Batch-Sequence of the middle of a batch
	shut    chan struct{}
	release chan struct{}
	at      int      // the page of the round that was requested last
	batches []string // that hold an event of the table, in this life
	pages   []string // requested in this life, in order
	sprung  string   // the page request that is held
}

func newBoundaryRig(ctx context.Context, t *testing.T, rows, pageSize int) *boundaryRig {
	t.Helper()
	r := &boundaryRig{run: &run{o: Options{Dir: t.TempDir(), Child: childOf(t)}}, half: fmt.Sprint(pageSize / 2)}
	t.Cleanup(func() {
		r.disarm()
		if r.proxy != nil {
			r.proxy.Close()
		}
		if r.web != nil {
			r.web.CloseClientConnections()
			r.web.Close()
		}
		r.close()
	})
	if err := r.set(ctx, rows, pageSize); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *boundaryRig) set(ctx context.Context, rows, pageSize int) error {
	var err error
	if r.sim, err = sim.New(sim.Options{RecordWrites: true}); err != nil {
		return err
	}
	if err := r.sim.Seed(boundaryTable, rows, func(i int) map[string]any {
		return map[string]any{"name": fmt.Sprint("seed ", i), "numberofemployees": i}
	}); err != nil {
		return err
	}
	r.web = httptest.NewServer(http.HandlerFunc(r.serve))
	if r.nats, err = jet.StartEmbedded(jet.EmbeddedOptions{StoreDir: filepath.Join(r.o.Dir, "jetstream"), Port: -1}); err != nil {
		return err
	}
	if r.conn, err = jet.Connect(ctx, jet.Config{Embedded: r.nats, Name: "boundary"}); err != nil {
		return err
	}
	if r.js, err = jetstream.New(r.conn.NATS()); err != nil {
		return err
	}
	r.names = schema.Names{Prefix: "crm", Org: org}
	if r.recorder, err = record(ctx, r.conn, r.names); err != nil {
		return err
	}
	direct, err := url.Parse(r.nats.URL())
	if err != nil {
		return err
	}
	if r.proxy, err = natsproxy.Start(natsproxy.Options{Target: direct.Host, OnPublish: r.published}); err != nil {
		return err
	}
	if r.log, err = os.Create(filepath.Join(r.o.Dir, "bridge.log")); err != nil {
		return err
	}
	r.config = filepath.Join(r.o.Dir, "bridge.yaml")
	return os.WriteFile(r.config, fmt.Appendf(nil, `org: %s
webapi: {url: %s}
nats: {urls: ["nats://%s"]}
stream: {history_per_record: -1}
outbound:
  type_prefix: com.contoso.crm
  tables:
    %s: {columns: [name, accountnumber, numberofemployees, telephone1], poll: 100ms, page_size: %d}
`, org, r.web.URL, net.JoinHostPort("127.0.0.1", portOf(r.proxy.Addr())), boundaryTable, pageSize), 0o600)
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// serve is the source: it notes every page that is asked for.
func (r *boundaryRig) serve(w http.ResponseWriter, q *http.Request) {
	if strings.Contains(q.Header.Get("Prefer"), "odata.track-changes") {
		r.mu.Lock()
		if r.at++; !strings.Contains(q.URL.RawQuery, "skiptoken") {
			r.at = 1
		}
		r.pages = append(r.pages, pageOf(q.URL))
		var wait <-chan struct{}
		if r.trap == beforeFetch && r.at == r.page {
			r.sprung = pageOf(q.URL)
			wait = r.spring()
		}
		r.mu.Unlock()
		if wait != nil {
			<-wait
		}
	}
	r.sim.Handler().ServeHTTP(w, q)
}

// published sees each message on its way to the server.
func (r *boundaryRig) published(m natsproxy.Publish) {
	if wait := r.look(m); wait != nil {
		<-wait
	}
}

func (r *boundaryRig) look(m natsproxy.Publish) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.trap == "" || r.trap == beforeFetch {
		return nil
	}
	batch := headerOf(m, "Nats-Batch-Id")
	if _, event := r.names.RecordID(boundaryTable, m.Subject); event && (len(r.batches) == 0 || r.batches[len(r.batches)-1] != batch) {
		r.batches = append(r.batches, batch)
	}
	if len(r.batches) != r.page || batch != r.batches[r.page-1] {
		return nil
	}
	place, commit := headerOf(m, "Nats-Batch-Sequence"), headerOf(m, "Nats-Batch-Commit") != ""
	switch {
	case r.trap == afterFetch && place == "1", r.trap == midCommit && place == r.half,
		(r.trap == beforeCommit || r.trap == commitArrivesLate) && commit:
		return r.spring()
	case (r.trap == afterCommit || r.trap == ackUnread) && commit:
		r.proxy.Mute(true)
		r.spring()
	}
	return nil
}

func headerOf(m natsproxy.Publish, name string) string {
	_, rest, found := strings.Cut(m.Header, "\r\n"+name+": ")
	if !found {
		return ""
	}
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}

// spring shuts the trap once, and returns what opens it again.
func (r *boundaryRig) spring() <-chan struct{} {
	r.trap = ""
	close(r.shut)
	return r.release
}

// arm sets the trap for the next life.
func (r *boundaryRig) arm(b boundary, page int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trap, r.page, r.batches, r.pages, r.at = b, page, nil, nil, 0
	r.shut, r.release = make(chan struct{}), make(chan struct{})
}

func (r *boundaryRig) disarm() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trap = ""
	if r.release != nil {
		close(r.release)
		r.release = nil
	}
}

// requested returns the pages asked for in this life and begins the next one.
func (r *boundaryRig) requested() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.pages
	r.pages = nil
	return list
}

func (r *boundaryRig) requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pages
}

// die starts the bridge, waits until the trap shuts, and kills the process there.
// events is how many must be on the stream by then.
func (r *boundaryRig) die(ctx context.Context, b boundary, page, events int) error {
	r.arm(b, page)
	c, err := r.start()
	if err != nil {
		return err
	}
	defer c.kill() //nolint:errcheck // killed below; here for the ways out before that
	select {
	case <-r.shut:
	case <-c.done:
		return fmt.Errorf("the bridge ended by itself: %w: %s", c.err, r.lastLines())
	case <-ctx.Done():
		return fmt.Errorf("the bridge never came to this boundary: %w: %s", ctx.Err(), r.lastLines())
	}
	switch b {
	case beforeFetch:
		// The page before is being stored meanwhile.
		err = poll(ctx, func() (bool, error) {
			at, err := r.checkpoint(ctx)
			return err == nil && at.link == r.held(), err
		})
	case afterCommit, ackUnread:
		err = r.await(ctx, events)
	}
	if err == nil && b == ackUnread {
		err = r.deliverUnread(ctx, c)
	}
	if err := errors.Join(err, c.kill()); err != nil {
		return err
	}
	if b != commitArrivesLate {
		r.proxy.Cut() // what was held dies with the process
	}
	r.disarm()
	r.proxy.Mute(false)
	return r.await(ctx, events)
}

func (r *boundaryRig) held() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sprung
}

// deliverUnread freezes the process and lets the server's answer into its socket.
func (r *boundaryRig) deliverUnread(ctx context.Context, c *child) error {
	pid := c.cmd.Process.Pid
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stop the bridge: %w", err)
	}
	var ws syscall.WaitStatus
	for {
		if _, err := syscall.Wait4(pid, &ws, syscall.WUNTRACED, nil); errors.Is(err, syscall.EINTR) {
			continue
		} else if err != nil || !ws.Stopped() {
			return fmt.Errorf("wait for the bridge to stand still: status %#x: %w", ws, err)
		}
		break
	}
	before := r.proxy.Answered()
	r.proxy.Mute(false)
	return poll(ctx, func() (bool, error) { return r.proxy.Answered() > before, nil })
}

// position is where the checkpoint on the stream stands.
type position struct {
	*outbound.Checkpoint
	link string // the page that its link names
}

func (r *boundaryRig) checkpoint(ctx context.Context) (*position, error) {
	s, err := r.js.Stream(ctx, r.names.EventStream())
	if err != nil {
		return nil, err
	}
	m, err := s.GetLastMsgForSubject(ctx, r.names.Checkpoint(boundaryTable))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return &position{Checkpoint: &outbound.Checkpoint{}}, nil
	}
	if err != nil {
		return nil, err
	}
	c, err := outbound.DecodeCheckpoint(m.Data)
	if err != nil {
		return nil, err
	}
	link, err := url.Parse(c.Link)
	if err != nil {
		return nil, err
	}
	return &position{c, pageOf(link)}, nil
}

// events is the recording of the stream as it stands, and how many events are in it.
func (r *boundaryRig) events(ctx context.Context) ([]Event, int, error) {
	s, err := r.js.Stream(ctx, r.names.EventStream())
	if err != nil {
		return nil, 0, err
	}
	return r.recorder.until(ctx, s.CachedInfo().State.LastSeq)
}

// await waits for so many events on the stream; more are an error.
func (r *boundaryRig) await(ctx context.Context, want int) error {
	got := 0
	err := poll(ctx, func() (bool, error) {
		var err error
		if _, got, err = r.events(ctx); err == nil && got > want {
			err = fmt.Errorf("%d events are on the stream, there must be %d", got, want)
		}
		return got == want, err
	})
	if err != nil {
		return fmt.Errorf("%d events on the stream, want %d: %w", got, want, err)
	}
	return nil
}

// live starts the bridge and kills it once it has followed changes for two polls that
// showed nothing. It returns what the life asked for.
func (r *boundaryRig) live(ctx context.Context) ([]string, error) {
	r.requested()
	c, err := r.start()
	if err != nil {
		return nil, err
	}
	defer c.kill() //nolint:errcheck // killed below; here for the ways out before that
	done := -1
	err = poll(ctx, func() (bool, error) {
		select {
		case <-c.done:
			return false, fmt.Errorf("the bridge ended by itself: %w", c.err)
		default:
		}
		at, err := r.checkpoint(ctx)
		if err != nil {
			return false, err
		}
		list := r.requests()
		if at.Phase != outbound.PhaseFollowing || at.RoundStart != nil {
			return false, nil
		}
		if done < 0 {
			done = len(list)
		}
		n := len(list)
		return n >= done+3 && isDelta(list[n-1]) && isDelta(list[n-2]) && isDelta(list[n-3]), nil
	})
	if err != nil {
		return nil, fmt.Errorf("let the bridge catch up: %w: %s", err, r.lastLines())
	}
	if err := c.kill(); err != nil {
		return nil, err
	}
	return r.requested(), nil
}

// pageOf names a page: a checkpoint's link is relative, and clients escape its
// characters as they like.
func pageOf(u *url.URL) string {
	query := u.RawQuery
	if plain, err := url.PathUnescape(query); err == nil {
		query = plain
	}
	return path.Base(u.Path) + "?" + query
}

func isDelta(page string) bool { return strings.Contains(page, "deltatoken") }

// isFirst tells whether a page is the first of a full read.
func isFirst(page string) bool { return !isDelta(page) && !strings.Contains(page, "skiptoken") }

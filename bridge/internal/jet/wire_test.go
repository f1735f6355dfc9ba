package jet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/outbound"
)

// A stream that does not exist lets a test play the server: nothing else answers its
// subjects.
const played = "PLAYED"

// playedLog is a log whose stream is played by the test.
func playedLog(t *testing.T) (*Conn, *Log) {
	t.Helper()
	c := connect(t, startServer(t))
	l := c.Log(played)
	l.limits.Store(&streamLimits{maxMessage: -1, subjects: []string{">"}})
	return c, l
}

func play(t *testing.T, c *Conn, subject string, answer nats.MsgHandler) {
	t.Helper()
	if _, err := c.nc.Subscribe(subject, answer); err != nil {
		t.Fatal(err)
	}
}

func TestEveryAnswerToACommitHasItsMeaning(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		first string // answer to the first message
		last  string // answer to the last one; "-" is none
		want  error
		sent  bool // the last message was sent
	}{
		{"a server that stores the first message by itself", `{"stream":"PLAYED","seq":1}`, "", outbound.ErrMisconfigured, false},
		{"a refused first message", `{"error":{"code":429,"err_code":10210,"description":"too many"}}`, "", outbound.ErrUnavailable, false},
		{"garbage for the first message", `<html>`, "", outbound.ErrUnavailable, false},
		{"garbage for the last one", "", `<html>`, outbound.ErrUnknown, true},
		{"another stream", "", `{"stream":"OTHER","seq":4,"batch":"%s","count":4}`, outbound.ErrUnknown, true},
		{"another batch", "", `{"stream":"PLAYED","seq":4,"batch":"x","count":4}`, outbound.ErrUnknown, true},
		{"another count", "", `{"stream":"PLAYED","seq":4,"batch":"%s","count":3}`, outbound.ErrUnknown, true},
		{"no sequence", "", `{"stream":"PLAYED","batch":"%s","count":4}`, outbound.ErrUnknown, true},
		{"no batch: a server that stored it singly", "", `{"stream":"PLAYED","seq":4}`, outbound.ErrUnknown, true},
		{"silence", "", "-", outbound.ErrUnknown, true},
		{"fenced", "", `{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 7"}}`, outbound.ErrFenced, true},
		{"success", "", `{"stream":"PLAYED","seq":4,"batch":"%s","count":4}`, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, l := playedLog(t)
			var sent atomic.Bool
			play(t, c, "crm.>", func(m *nats.Msg) {
				if m.Reply != "" {
					_ = m.Respond([]byte(tt.first))
				}
			})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			play(t, c, "crm-state.>", func(m *nats.Msg) {
				sent.Store(true)
				if answer := tt.last; answer == "-" {
					cancel()
				} else {
					_ = m.Respond([]byte(strings.ReplaceAll(answer, "%s", m.Header.Get("Nats-Batch-Id"))))
				}
			})
			seq, err := l.Commit(ctx, outbound.Batch{Messages: events(0, 3, 5), Checkpoint: checkpoint("c"), Expected: 9})
			if !errors.Is(err, tt.want) || err == nil != (tt.want == nil) || tt.want == nil && seq != 4 {
				t.Errorf("got %d, %v", seq, err)
			}
			if sent.Load() != tt.sent {
				t.Errorf("the last message was sent: %v", sent.Load())
			}
		})
	}
}

func TestTheErrorTableOfThePackage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status, code int
		text         string
		want         error
	}{
		{400, 10071, "wrong last sequence: 7", outbound.ErrFenced},
		{400, 10164, "wrong last sequence", outbound.ErrFenced},
		{400, 10002, "resource limits exceeded for account", outbound.ErrFull},
		{503, 10023, "insufficient resources", outbound.ErrFull},
		{500, 10028, "insufficient memory resources available", outbound.ErrFull},
		{500, 10047, "insufficient storage resources available", outbound.ErrFull},
		{503, 10077, "maximum bytes exceeded", outbound.ErrFull},
		{503, 10077, "maximum messages exceeded", outbound.ErrFull},
		{503, 10077, "message too large", outbound.ErrTooLarge},
		{503, 10077, "store is closed", outbound.ErrUnknown},
		{400, 10054, "message size exceeds maximum allowed", outbound.ErrTooLarge},
		{400, 10097, "header size exceeds maximum allowed of 64k", outbound.ErrTooLarge},
		{400, 10056, "stream name in subject does not match request", outbound.ErrMisconfigured},
		{404, 10059, "stream not found", outbound.ErrMisconfigured},
		{400, 10165, "invalid per-message TTL", outbound.ErrMisconfigured},
		{400, 10166, "per-message TTL is disabled", outbound.ErrMisconfigured},
		{400, 10174, "atomic publish is disabled", outbound.ErrMisconfigured},
		{400, 10177, "atomic publish unsupported header used", outbound.ErrMisconfigured},
		{400, 10199, "atomic publish batch is too large: 500", outbound.ErrBatchTooLong},
		{400, 10109, "invalid operation on sealed stream", outbound.ErrMisconfigured},
		{500, 10111, "rollup not permitted", outbound.ErrMisconfigured},
		{503, 10008, "JetStream system temporarily unavailable", outbound.ErrUnavailable},
		{500, 10009, "not leader", outbound.ErrUnavailable},
		{503, 10076, "JetStream not enabled", outbound.ErrUnavailable},
		{500, 10118, "stream is offline", outbound.ErrUnavailable},
		{429, 10210, "atomic publish too many inflight", outbound.ErrUnavailable},
		{503, 19999, "something new", outbound.ErrUnavailable},
		{429, 19999, "something new", outbound.ErrUnavailable},
		{400, 10176, "atomic publish batch is incomplete", outbound.ErrUnknown},
		{400, 10201, "atomic publish batch contains duplicate message id", outbound.ErrUnknown},
		{400, 19999, "something new", outbound.ErrUnknown},
	} {
		err := refusal(&jetstream.APIError{Code: tt.status, ErrorCode: jetstream.ErrorCode(tt.code), Description: tt.text})
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%d %d %s: got %v", tt.status, tt.code, tt.text, err)
		}
	}
}

// replica plays one answer to a direct read: messages, then the end.
func replica(c *Conn, reply string, upTo, pending uint64, fenceAt uint64, subjects ...string) {
	var last uint64
	for i, s := range subjects {
		seq := uint64(i + 1)
		if strings.Contains(s, "checkpoint") {
			seq = fenceAt
		}
		_ = c.nc.PublishMsg(&nats.Msg{Subject: reply, Header: nats.Header{
			"Nats-Subject": {s}, "Nats-Sequence": {fmt.Sprint(seq)}, "Nats-Last-Sequence": {fmt.Sprint(last)}}})
		last = seq
	}
	status(c, reply, "204 EOB", "Nats-Num-Pending", fmt.Sprint(pending), "Nats-Last-Sequence", fmt.Sprint(last), "Nats-UpTo-Sequence", fmt.Sprint(upTo))
}

// status sends a status line, which the client library cannot.
func status(c *Conn, reply, line string, pairs ...string) {
	code, text, _ := strings.Cut(line, " ")
	h := nats.Header{"Status": {code}, "Description": {text}}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	_ = c.nc.PublishMsg(&nats.Msg{Subject: reply, Header: h})
}

func TestLastAsksAgainUntilAReplicaHasCaughtUp(t *testing.T) {
	t.Parallel()
	c, l := playedLog(t)
	cp := names.Checkpoint("account")
	record := names.Record("account", recordID(1))
	var asked atomic.Int32
	play(t, c, apiPrefix+"DIRECT.GET."+played, func(m *nats.Msg) {
		switch asked.Add(1) {
		case 1: // behind, without the fence
			replica(c, m.Reply, 8, 0, 0, record)
		case 2: // behind, with the fence before
			replica(c, m.Reply, 8, 0, 8, record, cp)
		case 3: // behind, with nothing at all
			status(c, m.Reply, "404 No Results")
		default:
			replica(c, m.Reply, 12, 0, 10, record, cp)
		}
	})
	var got []string
	err := l.Last(t.Context(), cp, 10, []string{record}, func(s outbound.Stored) error {
		got = append(got, s.Subject)
		return nil
	})
	if err != nil || len(got) != 1 || asked.Load() != 4 {
		t.Errorf("got %v, %v after %d questions", got, err, asked.Load())
	}
}

func TestLastBelievesNoPageOfALaggingReplica(t *testing.T) {
	t.Parallel()
	c, l := playedLog(t)
	cp := names.Checkpoint("account")
	a, b := names.Record("account", recordID(1)), names.Record("account", recordID(2))
	var asked atomic.Int32
	play(t, c, apiPrefix+"DIRECT.GET."+played, func(m *nats.Msg) {
		if asked.Add(1) == 1 {
			replica(c, m.Reply, 12, 2, 0, a) // the rest comes in the next page
			return
		}
		replica(c, m.Reply, 5, 0, 0, b) // from a replica that is behind
	})
	var got []string
	err := l.Last(t.Context(), cp, 10, []string{a, b}, func(s outbound.Stored) error {
		got = append(got, s.Subject)
		return nil
	})
	if !errors.Is(err, outbound.ErrStale) || len(got) != 1 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestLastNoticesAnAnswerWithAHole(t *testing.T) {
	t.Parallel()
	cp := names.Checkpoint("account")
	record := names.Record("account", recordID(1))
	one := func(c *Conn, reply string, seq, before uint64) {
		_ = c.nc.PublishMsg(&nats.Msg{Subject: reply, Header: nats.Header{
			"Nats-Subject": {record}, "Nats-Sequence": {fmt.Sprint(seq)}, "Nats-Last-Sequence": {fmt.Sprint(before)}}})
	}
	for name, answer := range map[string]func(*Conn, string){
		"a message lost in the middle": func(c *Conn, reply string) {
			one(c, reply, 3, 2)
			status(c, reply, "204 EOB", "Nats-Num-Pending", "0", "Nats-Last-Sequence", "3", "Nats-UpTo-Sequence", "12")
		},
		"the last message lost": func(c *Conn, reply string) {
			status(c, reply, "204 EOB", "Nats-Num-Pending", "0", "Nats-Last-Sequence", "3", "Nats-UpTo-Sequence", "12")
		},
		"a message that could not be loaded": func(c *Conn, reply string) { status(c, reply, "404 Message Not Found") },
		"nothing after messages":             func(c *Conn, reply string) { one(c, reply, 1, 0); status(c, reply, "404 No Results") },
		"too many results":                   func(c *Conn, reply string) { status(c, reply, "413 Too Many Results") },
		"a bad request":                      func(c *Conn, reply string) { status(c, reply, "408 Bad Request") },
		"an end without numbers":             func(c *Conn, reply string) { status(c, reply, "204 EOB") },
		"a message without a sequence": func(c *Conn, reply string) {
			_ = c.nc.PublishMsg(&nats.Msg{Subject: reply, Data: []byte("x")})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, l := playedLog(t)
			play(t, c, apiPrefix+"DIRECT.GET."+played, func(m *nats.Msg) { answer(c, m.Reply) })
			calls := 0
			err := l.Last(t.Context(), cp, 10, []string{record}, func(outbound.Stored) error { calls++; return nil })
			if !errors.Is(err, outbound.ErrUnavailable) || calls != 0 {
				t.Errorf("got %v after %d calls", err, calls)
			}
		})
	}
}

// cutter is a proxy that breaks a connection when it sees a text.
type cutter struct {
	net.Listener
	target string
	text   []byte
	after  bool // pass the text on before breaking; the answer is lost then
	armed  atomic.Bool
	cut    chan struct{}
}

func newCutter(t *testing.T, target, text string, after bool) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &cutter{Listener: l, target: strings.TrimPrefix(target, "nats://"), text: []byte(text), after: after, cut: make(chan struct{}, 1)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return p
}

func (p *cutter) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	var silent atomic.Bool
	answers := make(chan struct{})
	go func() {
		defer close(answers)
		buf := make([]byte, 32<<10)
		for {
			n, err := server.Read(buf)
			if n > 0 && !silent.Load() {
				_, _ = client.Write(buf[:n])
			}
			if err != nil {
				client.Close()
				return
			}
		}
	}()
	defer func() { server.Close(); <-answers }()
	buf := make([]byte, 256<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		if bytes.Contains(buf[:n], p.text) && p.armed.CompareAndSwap(true, false) {
			silent.Store(true)
			if p.after {
				_, _ = server.Write(buf[:n])
			}
			p.cut <- struct{}{}
			return
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

func TestAnUnknownOutcomeIsSettledByTheCheckpoint(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]bool{"the commit was lost": false, "its answer was lost": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := startServer(t, func(o *EmbeddedOptions) { o.Port = -1 })
			admin := connect(t, e)
			if err := admin.EnsureEventStream(t.Context(), ProvisionApply, eventStream(), true); err != nil {
				t.Fatal(err)
			}
			proxy := newCutter(t, e.URL(), "Nats-Batch-Commit", after)
			c, err := Connect(t.Context(), Config{URLs: []string{"nats://" + proxy.Addr().String()}, Timeout: patience})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Close)
			l := c.Log(testStream)
			seq := mustCommit(t, l, events(0, 2, 5), 0)
			proxy.armed.Store(true)
			// An answer is awaited for as long as the context allows: the end of the
			// connection ends that.
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, err = l.Commit(ctx, outbound.Batch{Messages: events(5, 2, 5), Checkpoint: checkpoint("mine"), Expected: seq})
			if !errors.Is(err, outbound.ErrUnknown) {
				t.Fatalf("got %v", err)
			}
			if ctx.Err() != nil {
				t.Error("a broken connection was not noticed")
			}
			within(t, proxy.cut, "the cut")
			// What the engine does now: read the checkpoint until the leader answers.
			want := map[bool]string{false: "c", true: "mine"}[after]
			var data []byte
			for deadline := time.Now().Add(patience); ; {
				if data, _, err = l.Checkpoint(t.Context(), names.Checkpoint("account")); err == nil && string(data) == want {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("the checkpoint is %q, %v; want %q", data, err, want)
				}
			}
			if got := len(all(t, admin, testStream, names.Table("account"))); got != map[bool]int{false: 2, true: 4}[after] {
				t.Errorf("%d events", got)
			}
		})
	}
}

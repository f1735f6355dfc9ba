// Package natsproxy stands between NATS clients and a server, for tests: it sees every
// published message before the server does, can hold one back with all that follows it
// on its connection, and can keep the server's answers, or everything, from passing.
// On a route between servers, whose protocol is another, it can hold everything or lose
// chosen messages.
package natsproxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
)

// Publish is one message on its way to the server.
type Publish struct {
	Subject string
	Header  string // as sent, with its lines
	Data    []byte
}

// Options of a proxy.
type Options struct {
	// Target is the server's address.
	Target string
	// OnPublish is called before a message is passed on; the connection waits for it.
	// nil passes bytes without looking.
	OnPublish func(Publish)
	// Route is for a route between servers: a message on a subject for which it is true
	// is lost, in either direction. nil passes bytes without looking. OnPublish is for
	// clients; the two exclude each other.
	Route func(subject string) (lose bool)
}

// Proxy is a listening proxy.
type Proxy struct {
	o    Options
	l    net.Listener
	mu   sync.Mutex
	cond *sync.Cond
	// mute: nothing from the server passes. held: nothing passes at all.
	mute, held, closed bool
	answered           int64 // bytes of the server that reached a client's socket
	conns              map[net.Conn]bool
}

// Start listens on a free port of this machine.
func Start(o Options) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	p := &Proxy{o: o, l: l, conns: map[net.Conn]bool{}}
	p.cond = sync.NewCond(&p.mu)
	go p.accept()
	return p, nil
}

// Addr is where clients connect.
func (p *Proxy) Addr() string { return p.l.Addr().String() }

// Mute keeps the server's answers from passing until it is taken back.
func (p *Proxy) Mute(on bool) { p.set(func() { p.mute = on }) }

// Hold keeps everything from passing until it is taken back. Nothing is lost.
func (p *Proxy) Hold(on bool) { p.set(func() { p.held = on }) }

// Answered counts the bytes of the server that were handed to clients' sockets.
func (p *Proxy) Answered() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.answered
}

// Close ends every connection.
func (p *Proxy) Close() {
	p.l.Close()
	p.set(func() { p.closed = true; p.drop() })
}

// Cut ends every connection; clients may connect again.
func (p *Proxy) Cut() { p.set(p.drop) }

func (p *Proxy) drop() {
	for c := range p.conns {
		c.Close()
	}
	clear(p.conns)
}

func (p *Proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.cond.Broadcast()
}

func (p *Proxy) accept() {
	for {
		client, err := p.l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.o.Target)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		if p.closed {
			client.Close()
			server.Close()
		} else {
			p.conns[client], p.conns[server] = true, true
		}
		p.mu.Unlock()
		go func() { p.forward(client, server); client.Close(); server.Close() }()
		go func() { p.back(server, client); client.Close(); server.Close() }()
	}
}

// pass waits until bytes may pass and writes them.
func (p *Proxy) pass(to io.Writer, b []byte, answer bool) error {
	p.mu.Lock()
	for !p.closed && (p.held || answer && p.mute) {
		p.cond.Wait()
	}
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return errors.New("proxy closed")
	}
	n, err := to.Write(b)
	if answer {
		p.set(func() { p.answered += int64(n) })
	}
	return err
}

func (p *Proxy) back(server, client net.Conn) {
	if p.o.Route != nil {
		p.route(server, client, true)
		return
	}
	p.copy(server, client, true)
}

func (p *Proxy) copy(from, to net.Conn, answer bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && p.pass(to, buf[:n], answer) != nil || err != nil {
			return
		}
	}
}

// forward passes what a client sends, message by message.
func (p *Proxy) forward(client, server net.Conn) {
	if p.o.Route != nil {
		p.route(client, server, false)
		return
	}
	if p.o.OnPublish == nil {
		p.copy(client, server, false)
		return
	}
	r := bufio.NewReaderSize(client, 64<<10)
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return
		}
		f := strings.Fields(string(line))
		total, header := 0, 0
		if len(f) > 2 && (f[0] == "HPUB" || f[0] == "PUB") {
			if total, err = strconv.Atoi(f[len(f)-1]); err != nil {
				return
			}
			total += 2 // the line end behind the payload
			if f[0] == "HPUB" {
				if header, err = strconv.Atoi(f[len(f)-2]); err != nil {
					return
				}
			}
			body := make([]byte, total)
			if _, err := io.ReadFull(r, body); err != nil {
				return
			}
			p.o.OnPublish(Publish{Subject: f[1], Header: string(body[:header]), Data: bytes.Clone(body[header : total-2])})
			line = append(line, body...)
		}
		if p.pass(server, line, false) != nil {
			return
		}
	}
}

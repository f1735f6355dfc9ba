package natsproxy

import (
	"bufio"
	"fmt"
	"net"
	"testing"
	"time"
)

// lines starts a server that answers each line with it, and returns its address and
// what it heard.
func lines(t *testing.T) (addr string, heard <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	ch := make(chan string, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for s := bufio.NewScanner(c); s.Scan(); {
					ch <- s.Text()
					fmt.Fprintln(c, s.Text())
				}
			}()
		}
	}()
	return l.Addr().String(), ch
}

func next(t *testing.T, ch <-chan string) string {
	t.Helper()
	select {
	case s := <-ch:
		return s
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
		return ""
	}
}

func TestAMessageIsSeenWholeAndHeldUntilItIsLetGo(t *testing.T) {
	addr, heard := lines(t)
	seen, free := make(chan Publish), make(chan struct{})
	p, err := Start(Options{Target: addr, OnPublish: func(m Publish) { seen <- m; <-free }})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const header = "NATS/1.0\r\nA: b\r\n\r\n"
	fmt.Fprintf(c, "PING\r\nHPUB orders.new reply %d %d\r\n%shello\r\nPONG\r\n", len(header), len(header)+5, header)
	if got := next(t, heard); got != "PING" {
		t.Errorf("the server heard %q first", got)
	}
	if m := <-seen; m.Subject != "orders.new" || m.Header != header || string(m.Data) != "hello" {
		t.Errorf("saw %+v", m)
	}
	select {
	case got := <-heard:
		t.Errorf("the server heard %q of a message that is held", got)
	default:
	}
	close(free)
	for _, want := range []string{fmt.Sprintf("HPUB orders.new reply %d %d", len(header), len(header)+5), "NATS/1.0", "A: b", "", "hello", "PONG"} {
		if got := next(t, heard); got != want {
			t.Errorf("the server heard %q, want %q", got, want)
		}
	}
}

func TestAnAnswerWaitsWhileTheProxyIsMute(t *testing.T) {
	addr, heard := lines(t)
	p, err := Start(Options{Target: addr})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p.Mute(true)
	fmt.Fprintln(c, "question")
	if got := next(t, heard); got != "question" {
		t.Errorf("the server heard %q", got)
	}
	answers := make(chan string, 1)
	go func() {
		for s := bufio.NewScanner(c); s.Scan(); {
			answers <- s.Text()
		}
		close(answers)
	}()
	select {
	case got := <-answers:
		t.Errorf("%q passed a mute proxy", got)
	default:
	}
	if n := p.Answered(); n != 0 {
		t.Errorf("%d bytes of an answer passed a mute proxy", n)
	}
	p.Mute(false)
	if got := next(t, answers); got != "question" {
		t.Errorf("heard %q", got)
	}
	for began := time.Now(); p.Answered() != int64(len("question\n")); {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("%d bytes of answers are counted", p.Answered())
		}
	}
	p.Cut()
	if _, open := <-answers; open {
		t.Error("the connection outlived the cut")
	}
}

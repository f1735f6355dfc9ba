package natsproxy

import (
	"bufio"
	"io"
	"net"
	"strconv"
	"strings"
)

// route passes what one server says to another, message by message, without those that
// are to be lost. A message is RMSG, LMSG or HMSG, whose first argument is its account
// (after the origin's cluster in LMSG), then its subject, and whose last is its size:
// nats-server 2.15.2, server/route.go. Routes must not be compressed.
func (p *Proxy) route(from, to net.Conn, answer bool) {
	r := bufio.NewReaderSize(from, 64<<10)
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return
		}
		subject, size, err := routed(string(line))
		if err != nil {
			return
		}
		if subject != "" {
			body := make([]byte, size+2) // and the line end behind the payload
			if _, err := io.ReadFull(r, body); err != nil {
				return
			}
			if p.o.Route(subject) {
				continue
			}
			line = append(line, body...)
		}
		if p.pass(to, line, answer) != nil {
			return
		}
	}
}

// routed reads the subject and the size of a message from its first line; other lines have
// no subject.
func routed(line string) (subject string, size int, err error) {
	f := strings.Fields(line)
	at := 2
	switch {
	case len(f) < 4:
		return "", 0, nil
	case f[0] == "LMSG":
		at = 3
	case f[0] != "RMSG" && f[0] != "HMSG":
		return "", 0, nil
	}
	size, err = strconv.Atoi(f[len(f)-1])
	return f[at], size, err
}

//go:build unix && !aix && !solaris

package http1

import (
	"net"
	"syscall"
)

// Supported tells whether an idle connection can be looked at on this system. Where it
// cannot, a Pool works and is not to be used for requests that must not meet a closed
// connection.
const Supported = true

// probe looks at a connection without taking anything from it.
type probe struct {
	raw  syscall.RawConn
	look func(fd uintptr) bool // made once
	dead bool
	one  [1]byte
}

// newProbe returns nil for a connection that has no descriptor.
func newProbe(c net.Conn) *probe {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	p := &probe{raw: raw}
	p.look = func(fd uintptr) bool {
		for {
			_, _, err := syscall.Recvfrom(int(fd), p.one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			if err == syscall.EINTR {
				continue
			}
			// A byte or the end of the stream (no error) are as bad as a broken connection.
			p.dead = err != syscall.EAGAIN && err != syscall.EWOULDBLOCK
			return true // never waits
		}
	}
	return p
}

// quiet tells whether the connection is open and holds no byte to read.
func (p *probe) quiet() bool {
	p.dead = true
	return p.raw.Read(p.look) == nil && !p.dead
}

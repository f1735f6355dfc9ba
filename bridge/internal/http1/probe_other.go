//go:build !unix || aix || solaris

package http1

import "net"

// Supported tells whether an idle connection can be looked at on this system.
const Supported = false

type probe struct{}

func newProbe(net.Conn) *probe { return nil }

func (*probe) quiet() bool { return true }

package jet

import (
	"fmt"
	"strings"

	"github.com/nats-io/nats-server/v2/server"

	"cebridge/outbound"
)

const (
	// MaxSubject is the longest subject that is sent, in bytes. A protocol line
	// beyond 4096 bytes would end the connection.
	MaxSubject = 1024
	// maxHeader is the server's bound of all headers of one message.
	maxHeader = 64<<10 - 1
	hdrLine   = len("NATS/1.0\r\n")
	hdrEnd    = len("\r\n")
)

// headerSize is the number of bytes that h takes on the wire.
func headerSize(h map[string][]string) int {
	if len(h) == 0 {
		return 0
	}
	return hdrLine + hdrEnd + headerLines(h)
}

// headerLines is what the lines of h take alone.
func headerLines(h map[string][]string) (n int) {
	for k, vs := range h {
		for _, v := range vs {
			n += len(k) + len(": ") + len(v) + len("\r\n")
		}
	}
	return n
}

// checkSubject refuses what may not be published to. Wildcards would be stored
// literally, and an overlong subject cuts the connection.
func checkSubject(s string) error {
	if len(s) > MaxSubject {
		return fmt.Errorf("%w: a subject of %d bytes, at most %d are sent", outbound.ErrTooLarge, len(s), MaxSubject)
	}
	if !server.IsValidLiteralSubject(s) || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return fmt.Errorf("%w: %q is not a subject to publish to", outbound.ErrMisconfigured, s)
	}
	return nil
}

// checkFilter refuses what cannot name one or more subjects.
func checkFilter(s string) error {
	if len(s) > MaxSubject || !server.IsValidSubject(s) {
		return fmt.Errorf("%w: %.100q names no subject", outbound.ErrMisconfigured, s)
	}
	return nil
}

// checkHeader refuses header lines that would not arrive as they are: the client
// library replaces line ends by blanks without a word.
func checkHeader(h map[string][]string) error {
	for k, vs := range h {
		if k == "" || strings.ContainsFunc(k, func(r rune) bool { return r <= ' ' || r == ':' || r >= 0x7f }) {
			return fmt.Errorf("%w: %q cannot be the name of a header", outbound.ErrMisconfigured, k)
		}
		for _, v := range vs {
			if strings.ContainsAny(v, "\r\n\x00") {
				return fmt.Errorf("%w: header %s contains a line end", outbound.ErrMisconfigured, k)
			}
		}
	}
	return nil
}

// reserved headers describe how a message was stored or delivered; a stored message
// is handed on without them.
var reserved = map[string]bool{
	"Nats-Stream": true, "Nats-Subject": true, "Nats-Sequence": true, "Nats-Time-Stamp": true,
	"Nats-Num-Pending": true, "Nats-Last-Sequence": true, "Nats-UpTo-Sequence": true,
	"Nats-Batch-Id": true, "Nats-Batch-Sequence": true, "Nats-Batch-Commit": true,
	"Nats-Expected-Stream": true, "Nats-Expected-Last-Sequence": true,
	"Nats-Expected-Last-Subject-Sequence": true, "Nats-Expected-Last-Subject-Sequence-Subject": true,
	"Nats-Pin-Id": true,
}

// strip removes the reserved headers from h, in place.
func strip(h map[string][]string) map[string][]string {
	for k := range h {
		if reserved[k] {
			delete(h, k)
		}
	}
	return h
}

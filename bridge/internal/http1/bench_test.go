//go:build unix

package http1

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// transports are compared by benchmarks: -bench 'Write/.*' and benchstat -col /transport.
func transports(conns int) map[string]closing {
	return map[string]closing{"transport=pool": &Pool{TLS: trusting(), MaxConns: conns}, "transport=standard": newStandard(conns)}
}

// blind answers whatever comes in one read with the same text: the server's share of
// the time is small then.
func blind(text string) script {
	return func(_ int, c net.Conn, _ *reader) {
		in, out := make([]byte, 16<<10), []byte(text)
		for {
			if _, err := c.Read(in); err != nil {
				return
			}
			if _, err := c.Write(out); err != nil {
				return
			}
		}
	}
}

// processorTime is that of the whole process, the server's share included: what counts on a
// machine that others use too.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkWrite is one PATCH with a small body, answered by 204.
func BenchmarkWrite(b *testing.B) {
	answer := "HTTP/1.1 204 No Content\r\nOData-Version: 4.0\r\nDate: Sun, 22 Nov 2026 21:00:00 GMT\r\n" +
		"OData-EntityId: https://contoso.crm.dynamics.com/api/data/v9.2/accounts(00000000-0000-0000-0000-000000000001)\r\n\r\n"
	body := []byte(`{"name":"Contoso","telephone1":"+49 30 1234567"}`)
	for _, scheme := range []string{"http", "https"} {
		for _, flight := range []int{1, 52, 256} {
			for name, transport := range transports(flight) {
				b.Run(fmt.Sprintf("scheme=%s/flight=%d/%s", scheme, flight, name), func(b *testing.B) {
					s := serve(b, scheme, blind(answer))
					ctx, end := context.WithCancel(b.Context())
					defer end()
					var left atomic.Int64
					left.Store(int64(b.N))
					b.ReportAllocs()
					b.ResetTimer()
					before := processorTime(b)
					var all sync.WaitGroup
					for range flight {
						all.Go(func() {
							for left.Add(-1) >= 0 {
								req, err := http.NewRequestWithContext(ctx, "PATCH", s.url+"api/data/v9.2/accounts(accountnumber='A1')", bytes.NewReader(body))
								if err != nil {
									b.Error(err)
									return
								}
								req.Header["Content-Type"] = []string{"application/json"}
								resp, err := transport.RoundTrip(req)
								if err != nil {
									b.Error(err)
									return
								}
								_ = resp.Body.Close()
							}
						})
					}
					all.Wait()
					b.StopTimer()
					b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
					transport.CloseIdleConnections()
				})
			}
		}
	}
}

// BenchmarkPage is one GET with an answer of 8 MiB, read in pieces of 8 KiB, with a known
// length and in chunks of 4 KiB.
func BenchmarkPage(b *testing.B) {
	const size = 8 << 20
	var chunked bytes.Buffer
	chunked.WriteString("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	piece := bytes.Repeat([]byte("x"), 4<<10)
	for range size / len(piece) {
		fmt.Fprintf(&chunked, "%x\r\n%s\r\n", len(piece), piece)
	}
	chunked.WriteString("0\r\n\r\n")
	for kind, answer := range map[string]string{"length": sized(string(bytes.Repeat([]byte("x"), size))), "chunks": chunked.String()} {
		for _, scheme := range []string{"http", "https"} {
			for name, transport := range transports(1) {
				b.Run(fmt.Sprintf("kind=%s/scheme=%s/%s", kind, scheme, name), func(b *testing.B) {
					s := serve(b, scheme, blind(answer))
					in := make([]byte, 8<<10)
					b.SetBytes(size)
					b.ReportAllocs()
					before := processorTime(b)
					for b.Loop() {
						req := newRequest(b, "GET", s.url, "")
						req.Header.Set("Accept-Encoding", "identity")
						resp, err := transport.RoundTrip(req)
						if err != nil {
							b.Fatal(err)
						}
						n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{resp.Body}, in)
						if n != size || err != nil {
							b.Fatal(n, err)
						}
						_ = resp.Body.Close()
					}
					b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
					transport.CloseIdleConnections()
				})
			}
		}
	}
}

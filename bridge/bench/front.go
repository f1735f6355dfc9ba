package bench

import (
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
)

// front is the simulator behind a listener that counts connections.
type front struct {
	server      *httptest.Server
	url         string
	authority   string // the file with the certificate to trust; empty without TLS
	http2       bool
	connections atomic.Int64
}

// newFront listens without TLS when version is 0, and over TLS with HTTP of that version.
func newFront(h http.Handler, version int, dir string) (*front, error) {
	f := &front{server: httptest.NewUnstartedServer(h), http2: version == 2}
	f.server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			f.connections.Add(1)
		}
	}
	if version == 0 {
		f.server.Start()
		f.url = f.server.URL
		return f, nil
	}
	f.server.EnableHTTP2 = f.http2
	f.server.StartTLS()
	f.url = f.server.URL
	f.authority = filepath.Join(dir, "authority.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.server.Certificate().Raw})
	if err := os.WriteFile(f.authority, text, 0o600); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// settings is what the configuration of a bridge says of the front, beside its address.
func (f *front) settings() string {
	if f.authority == "" {
		return ""
	}
	return fmt.Sprintf(", http2: %t, tls: {ca_file: %q}", f.http2, f.authority)
}

func (f *front) close() { f.server.Close() }

package webapi

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
)

func TestHTTP2IsSpokenOnlyWhenAskedForAndSharesConnections(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		var opened, newer, n atomic.Int32
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			n.Add(1)
			if r.ProtoMajor == 2 {
				newer.Add(1)
			}
			answering(204, "")(w, r)
		}))
		srv.EnableHTTP2 = true
		srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				opened.Add(1)
			}
		}
		srv.StartTLS()
		defer srv.Close()
		roots := x509.NewCertPool()
		roots.AddCert(srv.Certificate())
		c, err := New(Config{URL: srv.URL, MaxInFlight: 8, TLS: &tls.Config{RootCAs: roots}, HTTP2: http2})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		write := func() {
			if err := applyError(c, t.Context(), upsertAccount()); err != nil {
				t.Errorf("http2 %v: %v", http2, err)
			}
		}
		write() // from here on a connection is there to share
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for range 10 {
					write()
				}
			})
		}
		group.Wait()
		if all := n.Load(); all != 81 || http2 && newer.Load() != all || !http2 && newer.Load() != 0 {
			t.Errorf("http2 %v: %d of %d requests came over HTTP/2", http2, newer.Load(), all)
		}
		if http2 && opened.Load() != 1 {
			t.Errorf("HTTP/2 took %d connections", opened.Load())
		}
	}
}

func TestNTLMRefusesHTTP2(t *testing.T) {
	t.Parallel()
	login, err := NewNTLM(NTLMConfig{User: "CONTOSO\\bridge", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = New(Config{URL: "https://crm.contoso.example/CONTOSO", Auth: login, HTTP2: true})
	wantText(t, err, "NTLM", "HTTP/2")
}

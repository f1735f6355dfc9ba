package admin

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// guard decides which requests are looked at.
type guard struct {
	hosts  map[string]bool
	remote bool
	next   http.Handler
}

func newGuard(listenHost string, o *Options, next http.Handler) *guard {
	g := &guard{hosts: map[string]bool{"localhost": true}, remote: o.AllowRemote, next: next}
	for _, h := range append([]string{listenHost}, o.AllowedHosts...) {
		if h != "" {
			g.hosts[fold(h)] = true
		}
	}
	return g
}

// ServeHTTP checks the host first: a foreign page shall learn nothing, not even
// which methods there are.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	switch {
	case !g.known(r.Host):
		refuse(w, http.StatusMisdirectedRequest, "this host name is not among the allowed hosts of the admin port")
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "only GET and HEAD")
	case r.ContentLength != 0:
		h.Set("Connection", "close") // so that the server does not read it
		refuse(w, http.StatusRequestEntityTooLarge, "a request has no body here")
	default:
		g.next.ServeHTTP(w, r)
	}
}

// known tells whether a Host header names this server.
func (g *guard) known(hostport string) bool {
	name, ok := hostName(hostport)
	if !ok || name == "" {
		return false
	}
	if g.hosts[name] || isLoopback(name) {
		return true
	}
	_, err := netip.ParseAddr(name)
	return g.remote && err == nil
}

// hostName takes the port and brackets from a Host header and folds the rest.
func hostName(hostport string) (string, bool) {
	if _, err := netip.ParseAddr(hostport); err == nil {
		return fold(hostport), true
	}
	if !strings.Contains(hostport, ":") {
		return fold(hostport), !strings.ContainsAny(hostport, "[]/@ ")
	}
	if strings.HasPrefix(hostport, "[") && strings.HasSuffix(hostport, "]") {
		hostport += ":"
	}
	host, _, err := net.SplitHostPort(hostport)
	return fold(host), err == nil
}

// fold makes host names comparable: lower case, no trailing dot.
func fold(host string) string { return strings.TrimSuffix(strings.ToLower(host), ".") }

// isLoopback tells whether only this machine can reach the host.
func isLoopback(host string) bool {
	if fold(host) == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

func refuse(w http.ResponseWriter, status int, why string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(why + "\n")) // the client may be gone
}

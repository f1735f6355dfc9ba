package admin

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
)

func TestForeignHostNamesAreRefused(t *testing.T) {
	t.Parallel()
	src := &source{}
	s := start(t, func(o *Options) { o.AllowedHosts, o.Source = []string{"Bridge.Contoso.com"}, src })
	_, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{
		"127.0.0.1:" + port:       200,
		"127.0.0.1":               200,
		"127.1.2.3":               200,
		"[::1]:" + port:           200,
		"[::1]":                   200,
		"localhost:" + port:       200,
		"LOCALHOST":               200,
		"localhost.:" + port:      200,
		"bridge.contoso.com":      200,
		"BRIDGE.contoso.com:443":  200,
		"bridge.contoso.com.":     200,
		"fabrikam.com":            421,
		"fabrikam.com:" + port:    421,
		"localhost.fabrikam.com":  421,
		"127.0.0.1.fabrikam.com":  421,
		"xbridge.contoso.com":     421,
		"bridge.contoso.com.x":    421,
		"192.0.2.1":               421,
		"[2001:db8::1]:" + port:   421,
		"":                        421,
		":" + port:                421,
		"2130706433":              421, // 127.0.0.1 as one number
		"[::1":                    421,
		"[localhost]x:1":          421,
		"a:b:c":                   421,
		"localhost:1:2":           421,
		"fabrikam.com@localhost":  400, // the HTTP server refuses it
		"fabrikam.com/localhost":  400,
		"localhost\\fabrikam.com": 400,
	} {
		got := raw(t, s, "GET /status.json HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
		if got.status != want {
			t.Errorf("host %q: status %d, want %d", host, got.status, want)
		}
		if got.status != 200 && strings.Contains(got.body, "tables") {
			t.Errorf("host %q: the status was told", host)
		}
	}
}

func TestAbsoluteFormNamesTheHost(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	got := raw(t, s, "GET http://fabrikam.com/livez HTTP/1.1\r\nHost: "+s.Addr()+"\r\nConnection: close\r\n\r\n")
	if got.status != 421 {
		t.Errorf("status %d for a request target with a foreign host", got.status)
	}
}

func TestForwardedHostDoesNotHelp(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	got := raw(t, s, "GET /livez HTTP/1.1\r\nHost: fabrikam.com\r\nX-Forwarded-Host: localhost\r\nForwarded: host=localhost\r\nConnection: close\r\n\r\n")
	if got.status != 421 {
		t.Errorf("status %d", got.status)
	}
}

func TestRemoteServersAnswerUnderAnyAddressButNotAnyName(t *testing.T) {
	t.Parallel()
	o := &Options{Listen: "0.0.0.0:8080", AllowRemote: true, Source: &source{}}
	host, err := o.check()
	if err != nil {
		t.Fatal(err)
	}
	g := newGuard(host, o, nil)
	for name, want := range map[string]bool{
		"10.1.2.3:8080": true, "[2001:db8::1]:8080": true, "localhost": true, "0.0.0.0:8080": true,
		"fabrikam.com": false, "10.1.2.3.fabrikam.com": false, "": false,
	} {
		if got := g.known(name); got != want {
			t.Errorf("host %q known: %v, want %v", name, got, want)
		}
	}
}

func TestOnlyGetAndHead(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for _, path := range []string{"/", "/livez", "/status.json", "/nowhere"} {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "PROPFIND"} {
			got := get(t, s, method, path)
			if method == "CONNECT" && got.status == 400 {
				continue // the HTTP server itself wants host:port there
			}
			if got.status != 405 || got.header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d, Allow %q", method, path, got.status, got.header.Get("Allow"))
			}
		}
	}
	if got := get(t, s, "OPTIONS", "*"); got.status != 405 {
		t.Errorf("OPTIONS *: %d", got.status)
	}
	got := raw(t, s, "POST /livez HTTP/1.1\r\nHost: "+s.Addr()+"\r\nX-HTTP-Method-Override: GET\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	if got.status != 405 {
		t.Errorf("method override: %d", got.status)
	}
}

func TestHeadHasNoBody(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for _, path := range []string{"/", "/livez", "/readyz", "/status.json"} {
		if got := get(t, s, "HEAD", path); got.status != 200 || got.body != "" {
			t.Errorf("%s: status %d, body %q", path, got.status, got.body)
		}
	}
}

func TestOtherPathsAreNotFound(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *Options) {
		o.Schemas = func(table, version string) ([]byte, bool) { return []byte("{}"), true }
	})
	for _, path := range []string{
		"/nowhere", "//", "//livez", "/livez/", "/./livez", "/a/../livez", "/LIVEZ", "/livez%00", "/%6civez", "/livez%2f",
		"/schemas", "/schemas/", "/schemas/account", "/schemas/account.json", "/schemas/account/3", "/schemas/account/.json",
		"/schemas//3.json", "/schemas/../3.json", "/schemas/account/../../livez", "/schemas/account/..%2f3.json",
		"/schemas/%2e%2e/3.json", "/schemas/account/3/4.json", "/schemas/account/3.json/", "/schemas/account/3.json.json",
		"/schemas/a%20b/3.json", "/schemas/" + strings.Repeat("a", 65) + "/3.json", "/debug/pprof/", "/status.json;x", `/\livez`,
	} {
		got := get(t, s, "GET", path)
		if got.status != 404 || got.header.Get("Location") != "" {
			t.Errorf("%s: status %d, location %q", path, got.status, got.header.Get("Location"))
		}
	}
	if got := get(t, s, "GET", "/schemas/account/3.json?x=../../etc"); got.status != 200 {
		t.Errorf("a query changes the page: %d", got.status)
	}
}

func TestBodiesAreNotRead(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for name, header := range map[string]string{
		"announced": "Content-Length: 10000000000",
		"chunked":   "Transfer-Encoding: chunked",
	} {
		got := raw(t, s, "GET /livez HTTP/1.1\r\nHost: "+s.Addr()+"\r\n"+header+"\r\n\r\n")
		if got.status != 413 || !got.close {
			t.Errorf("%s: status %d, connection closed: %v", name, got.status, got.close)
		}
	}
}

func TestLargeHeadersAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	request := func(n int) string {
		return fmt.Sprintf("GET /livez HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nX: %s\r\n\r\n", s.Addr(), strings.Repeat("x", n))
	}
	if got := raw(t, s, request(8<<10)); got.status != 200 {
		t.Errorf("8 KiB: %d", got.status)
	}
	if got := raw(t, s, request(maxHeader)); got.status != 431 {
		t.Errorf("%d bytes: %d", maxHeader, got.status)
	}
}

func TestEveryAnswerHasTheSecurityHeaders(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: " + s.Addr(),
		"GET /status.json HTTP/1.1\r\nHost: " + s.Addr(),
		"GET /nowhere HTTP/1.1\r\nHost: " + s.Addr(),
		"POST /livez HTTP/1.1\r\nHost: " + s.Addr(),
		"GET /livez HTTP/1.1\r\nHost: fabrikam.com",
	} {
		got := raw(t, s, request+"\r\nOrigin: https://fabrikam.com\r\nConnection: close\r\n\r\n")
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Resource-Policy": "same-origin", "Access-Control-Allow-Origin": "",
		} {
			if got := got.header.Get(name); got != want {
				t.Errorf("%.40q: %s is %q, want %q", request, name, got, want)
			}
		}
		if csp := got.header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") {
			t.Errorf("%.40q: policy %q", request, csp)
		}
	}
}

// FuzzHosts: a host that passes is, for a URL parser too, a loopback name or address.
func FuzzHosts(f *testing.F) {
	for _, h := range []string{"localhost:1", "127.0.0.1", "[::1]:80", "[::1%25lo]:1", "::1", "localhost.", "x@127.0.0.1:1", "[127.0.0.1]:1"} {
		f.Add(h)
	}
	g := newGuard("127.0.0.1", &Options{}, nil)
	f.Fuzz(func(t *testing.T, host string) {
		if !g.known(host) {
			return
		}
		if host == "::1" || strings.Count(host, ":") > 1 && !strings.Contains(host, "[") {
			return // an address without brackets stands in no URL
		}
		u, err := url.Parse("http://" + host + "/")
		if err != nil {
			return // no browser gets here
		}
		if name := u.Hostname(); !isLoopback(fold(name)) {
			t.Errorf("host %q passes, and is %q in a URL", host, name)
		}
	})
}

package http1

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func zipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.String()
}

// TestAnswersAreReadAndConnectionsKeptAsNetHTTPDoes makes each request twice: kept says
// that both came on one connection.
func TestAnswersAreReadAndConnectionsKeptAsNetHTTPDoes(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 10_000)
	packed := zipped(long)
	for name, c := range map[string]struct {
		method, answer string
		status         int
		body           string
		kept           bool
	}{
		"no content":            {"PATCH", noContent, 204, "", true},
		"not modified":          {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, "", true},
		"head":                  {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, "", true},
		"empty":                 {"GET", sized(""), 200, "", true},
		"length":                {"GET", sized("hello"), 200, "hello", true},
		"a long one":            {"GET", sized(long), 200, long, true},
		"chunks":                {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", 200, "hello!", true},
		"chunks with a trailer": {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n", 200, "hello", true},
		"informational":         {"POST", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n" + sized("x"), 200, "x", true},
		"closing":               {"GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 200, "ok", false},
		"HTTP/1.0":              {"GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok", false},
		"HTTP/1.0 keeping":      {"GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", 200, "ok", true},
		"left over":             {"GET", sized("ok") + "more", 200, "ok", false},
		"left over after 204":   {"PATCH", noContent + sized("ok"), 204, "", false},
		"compressed":            {"GET", fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(packed), packed), 200, long, true},
		"compressed in chunks":  {"GET", fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(packed), packed), 200, long, true},
		"an error":              {"PATCH", "HTTP/1.1 412 Precondition Failed\r\nContent-Length: 2\r\n\r\n{}", 412, "{}", true},
	} {
		t.Run(name, func(t *testing.T) {
			alike(t, func(t *testing.T, transport closing, scheme string) {
				if _, ours := transport.(*Pool); !ours && strings.HasPrefix(name, "left over") {
					return // net/http may find them as late as in the next answer
				}
				s := serve(t, scheme, answering(c.answer))
				for range 2 {
					body := ""
					if c.method == "PATCH" || c.method == "POST" {
						body = `{"name":"Contoso"}`
					}
					resp, got := ask(t, transport, newRequest(t, c.method, s.url, body))
					if resp.StatusCode != c.status || got != c.body {
						t.Fatalf("%d, %d bytes", resp.StatusCode, len(got))
					}
					if resp.Request == nil || (resp.TLS != nil) != (scheme == "https") {
						t.Error("the answer does not name its request or its TLS")
					}
					if strings.HasPrefix(name, "compressed") && (!resp.Uncompressed || resp.Header.Get("Content-Encoding") != "" || resp.ContentLength != -1) {
						t.Errorf("not marked as decoded: %+v", resp.Header)
					}
				}
				if n := s.conns.Load(); (n == 1) != c.kept || n > 2 {
					t.Errorf("%d connections", n)
				}
			})
		})
	}
}

func TestAnAnswerThatEndsWithTheConnectionIsRead(t *testing.T) {
	alike(t, func(t *testing.T, transport closing, scheme string) {
		s := serve(t, scheme, once("HTTP/1.1 200 OK\r\n\r\nall of it"))
		for range 2 {
			if _, body := ask(t, transport, newRequest(t, "GET", s.url, "")); body != "all of it" {
				t.Errorf("%q", body)
			}
		}
		if s.conns.Load() != 2 {
			t.Errorf("%d connections", s.conns.Load())
		}
	})
}

func TestABadAnswerIsAnErrorAndEndsTheConnection(t *testing.T) {
	for name, answer := range map[string]string{
		"nothing":             "",
		"half a status":       "HTTP/1.1 20",
		"half a header":       "HTTP/1.1 200 OK\r\nContent-",
		"no HTTP":             "SSH-2.0-Contoso\r\n\r\n",
		"a cut body":          "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
		"a cut chunk":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort",
		"no last chunk":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
		"two lengths":         "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"damaged compression": "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
		"cut compression":     "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + zipped("hello hello hello")[:20],
		"a header too large":  "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", DefaultMaxHeaderBytes) + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			alike(t, func(t *testing.T, transport closing, scheme string) {
				s := serve(t, scheme, once(answer))
				resp, err := transport.RoundTrip(newRequest(t, "GET", s.url, ""))
				if err == nil {
					_, err = io.ReadAll(resp.Body)
					_ = resp.Body.Close()
				}
				if err == nil {
					t.Fatal("no error")
				}
				if name == "a header too large" && !strings.Contains(err.Error(), "header") {
					t.Errorf("unclear: %v", err)
				}
				// What is wrong inside of the compression says nothing about the connection.
				if p, ours := transport.(*Pool); ours && !strings.HasSuffix(name, "compression") {
					if _, open := p.count(); open != 0 {
						t.Errorf("%d connections are kept after %v", open, err)
					}
				}
			})
		})
	}
}

func TestSwitchingProtocolsAndEndlessInformationAreErrors(t *testing.T) {
	pools(t, func(t *testing.T, p *Pool, scheme string) {
		for want, answer := range map[string]string{
			"101": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
			"1xx": strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", maxInformational+1),
		} {
			s := serve(t, scheme, answering(answer))
			if _, err := p.RoundTrip(newRequest(t, "PATCH", s.url, "{}")); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", want, err)
			}
			if _, open := p.count(); open != 0 {
				t.Errorf("%s: the connection is kept", want)
			}
		}
	})
}

func TestCompressionIsAskedForOnlyWhenTheCallerLeavesItOpen(t *testing.T) {
	packed := zipped("hello")
	for name, c := range map[string]struct {
		method, header, value, sent string
		decoded                     bool
	}{
		"left open":    {"GET", "", "", "gzip", true},
		"head":         {"HEAD", "", "", "", false},
		"a range":      {"GET", "Range", "bytes=0-9", "", false},
		"asked itself": {"GET", "Accept-Encoding", "gzip", "gzip", false},
		"identity":     {"GET", "Accept-Encoding", "identity", "identity", false},
	} {
		t.Run(name, func(t *testing.T) {
			alike(t, func(t *testing.T, transport closing, scheme string) {
				got := make(chan string, 1)
				s := serve(t, scheme, func(_ int, conn netConn, r *reader) {
					req, _, ok := request(r)
					if !ok {
						return
					}
					got <- req.Header.Get("Accept-Encoding")
					_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n", len(packed))
					if c.method != "HEAD" {
						_, _ = io.WriteString(conn, packed)
					}
				})
				req := newRequest(t, c.method, s.url, "")
				if c.header != "" {
					req.Header.Set(c.header, c.value)
				}
				before := fmt.Sprint(req.Header)
				resp, body := ask(t, transport, req)
				if sent := <-got; sent != c.sent || resp.Uncompressed != c.decoded {
					t.Errorf("%q was sent, decoded: %v", sent, resp.Uncompressed)
				}
				if c.decoded && body != "hello" || !c.decoded && c.method == "GET" && body != packed {
					t.Errorf("%q", body)
				}
				if fmt.Sprint(req.Header) != before {
					t.Errorf("the caller's header was changed: %v", req.Header)
				}
			})
		})
	}
}

func TestTheBodyMayBeClosedTwiceAndIsNotReadAfterwards(t *testing.T) {
	packed := zipped("hello")
	for _, answer := range []string{
		sized("hello"),
		fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(packed), packed),
	} {
		alike(t, func(t *testing.T, transport closing, scheme string) {
			s := serve(t, scheme, answering(answer))
			resp, err := transport.RoundTrip(newRequest(t, "GET", s.url, ""))
			if err != nil {
				t.Fatal(err)
			}
			if err := resp.Body.Close(); err != nil {
				t.Error(err)
			}
			if err := resp.Body.Close(); err != nil {
				t.Error(err)
			}
			if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || err == nil || err == io.EOF {
				t.Errorf("read %d, %v", n, err)
			}
			ask(t, transport, newRequest(t, "GET", s.url, ""))
			if s.conns.Load() != 2 {
				t.Errorf("%d connections: one whose answer was not read is used again", s.conns.Load())
			}
		})
	}
}

func TestCloseEndsAReadThatWaits(t *testing.T) {
	for name, answer := range map[string]string{
		"plain":      "HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\nhello",
		"compressed": "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 90\r\n\r\n" + zipped("hello")[:12],
	} {
		t.Run(name, func(t *testing.T) {
			alike(t, func(t *testing.T, transport closing, scheme string) {
				s := serve(t, scheme, answering(answer))
				resp, err := transport.RoundTrip(newRequest(t, "GET", s.url, ""))
				if err != nil {
					t.Fatal(err)
				}
				ended := make(chan error)
				go func() {
					_, err := io.Copy(io.Discard, resp.Body)
					ended <- err
				}()
				if err := resp.Body.Close(); err != nil {
					t.Error(err)
				}
				if <-ended == nil {
					t.Error("the cut body looks whole")
				}
			})
		})
	}
}

// once plays an answer to the first request and closes.
func once(text string) script {
	return func(_ int, c netConn, r *reader) {
		if _, _, ok := request(r); ok {
			_, _ = io.WriteString(c, text)
			closeWell(c)
		}
	}
}

func TestTheRequestIsWrittenAsNetHTTPDoes(t *testing.T) {
	for name, c := range map[string]struct {
		method, body string
		change       func(*http.Request)
	}{
		"get":            {"GET", "", nil},
		"a small body":   {"PATCH", `{"a":1}`, nil},
		"a large body":   {"POST", strings.Repeat("x", 100_000), nil},
		"unknown length": {"POST", "abc", func(r *http.Request) { r.ContentLength, r.GetBody = -1, nil }},
		"other host":     {"GET", "", func(r *http.Request) { r.Host = "contoso.example" }},
		"no user agent":  {"GET", "", func(r *http.Request) { r.Header.Set("User-Agent", "") }},
		"closing":        {"DELETE", "", func(r *http.Request) { r.Close = true }},
		"escaped":        {"GET", "", func(r *http.Request) { r.URL.RawQuery = "$filter=name%20eq%20%27a%27"; r.URL.Path = "/a b" }},
		"headers":        {"PUT", "x", func(r *http.Request) { r.Header["X-B"] = []string{"1", "2"}; r.Header.Set("Authorization", "Bearer t") }},
	} {
		t.Run(name, func(t *testing.T) {
			texts := map[string]string{}
			alike(t, func(t *testing.T, transport closing, scheme string) {
				got := make(chan string, 1)
				s := serve(t, scheme, func(_ int, conn netConn, r *reader) {
					var b bytes.Buffer
					tee := newReader(io.TeeReader(r, &b))
					if _, _, ok := request(tee); ok {
						got <- b.String()
						_, _ = io.WriteString(conn, noContent)
						_, _ = r.ReadByte() // until the client closes
					}
				})
				req := newRequest(t, c.method, s.url, c.body)
				if c.change != nil {
					c.change(req)
				}
				ask(t, transport, req)
				text := strings.ReplaceAll(<-got, strings.Split(s.url, "/")[2], "HOST")
				if first := texts[scheme]; first == "" {
					texts[scheme] = text
				} else if sortedLines(first) != sortedLines(text) {
					t.Errorf("one wrote\n%.500s\nthe other\n%.500s", first, text)
				}
			})
		})
	}
}

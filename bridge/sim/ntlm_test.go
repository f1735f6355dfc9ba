package sim

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/go-ntlmssp"
)

// windows starts a server that asks for NTLM.
func windows(t *testing.T, change func(*Auth)) (*Server, string) {
	t.Helper()
	a := Auth{Method: AuthNTLM, User: `CONTOSO\svc`, Password: "Pässw0rd"}
	if change != nil {
		change(&a)
	}
	s := newTestServer(t, Options{Profile: OnPremises, Auth: a})
	url, err := s.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return s, url
}

// wire is one connection on which a test speaks HTTP by hand.
type wire struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
	host string
}

func dialWire(t *testing.T, url string) *wire {
	t.Helper()
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &wire{t: t, conn: conn, r: bufio.NewReader(conn), host: host}
}

// ask sends one request and reads the answer; authorization may be empty.
func (w *wire) ask(method, authorization, body string) *http.Response {
	w.t.Helper()
	head := ""
	if authorization != "" {
		head = "Authorization: " + authorization + "\r\n"
	}
	path := "/contoso/api/data/v9.1/WhoAmI"
	if method != http.MethodGet {
		path = "/contoso/api/data/v9.1/accounts"
	}
	if _, err := fmt.Fprintf(w.conn, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s", method, path, w.host, head, len(body), body); err != nil {
		w.t.Fatal(err)
	}
	resp, err := http.ReadResponse(w.r, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp
}

// second does the first two legs and returns the challenge.
func (w *wire) second(scheme string) []byte {
	w.t.Helper()
	first, err := ntlmssp.NewNegotiateMessage("", "")
	if err != nil {
		w.t.Fatal(err)
	}
	resp := w.ask("GET", scheme+" "+base64.StdEncoding.EncodeToString(first), "")
	token, ok := strings.CutPrefix(resp.Header.Get("WWW-Authenticate"), scheme+" ")
	challenge, err := base64.StdEncoding.DecodeString(token)
	if resp.StatusCode != 401 || !ok || err != nil || len(resp.Header.Values("WWW-Authenticate")) != 1 {
		w.t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	return challenge
}

func third(t *testing.T, scheme string, challenge []byte, user, password string) string {
	t.Helper()
	m, err := ntlmssp.NewAuthenticateMessage(challenge, user, password, nil)
	if err != nil {
		t.Fatal(err)
	}
	return scheme + " " + base64.StdEncoding.EncodeToString(m)
}

func TestNTLMLogsAConnectionIn(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"NTLM", "Negotiate"} {
		s, url := windows(t, nil)
		w := dialWire(t, url)
		resp := w.ask("GET", "", "")
		if got := resp.Header.Values("WWW-Authenticate"); resp.StatusCode != 401 || len(got) != 2 || got[0] != "Negotiate" || got[1] != "NTLM" {
			t.Fatalf("%d %v", resp.StatusCode, got)
		}
		challenge := w.second(scheme)
		if resp := w.ask("GET", third(t, scheme, challenge, `contoso\SVC`, "Pässw0rd"), ""); resp.StatusCode != 200 {
			t.Fatalf("%s: %d", scheme, resp.StatusCode)
		}
		// The connection is logged in, for other requests too; another one is not.
		if resp := w.ask("POST", "", `{"name":"Contoso"}`); resp.StatusCode != 204 {
			t.Errorf("on the connection: %d", resp.StatusCode)
		}
		if resp := dialWire(t, url).ask("GET", "", ""); resp.StatusCode != 401 {
			t.Errorf("on another: %d", resp.StatusCode)
		}
		if n := s.AuthCounts(); n.Logins != 1 || n.LoginsRefused != 0 || n.Challenges != 3 {
			t.Errorf("%+v", n)
		}
		// A new first message begins anew, and ends what was.
		w.second(scheme)
		if resp := w.ask("GET", "", ""); resp.StatusCode != 401 {
			t.Errorf("after a new first message: %d", resp.StatusCode)
		}
	}
}

func TestNTLMRefusesWhatProvesNothing(t *testing.T) {
	t.Parallel()
	s, url := windows(t, nil)
	good := func(w *wire) string { return third(t, "NTLM", w.second("NTLM"), `CONTOSO\svc`, "Pässw0rd") }
	used := dialWire(t, url)
	replay := good(used)
	if resp := used.ask("GET", replay, ""); resp.StatusCode != 200 {
		t.Fatal(resp.StatusCode)
	}
	for name, answer := range map[string]func(*wire) string{
		"wrong password": func(w *wire) string { return third(t, "NTLM", w.second("NTLM"), `CONTOSO\svc`, "passw0rd") },
		"wrong user":     func(w *wire) string { return third(t, "NTLM", w.second("NTLM"), `CONTOSO\other`, "Pässw0rd") },
		"wrong domain":   func(w *wire) string { return third(t, "NTLM", w.second("NTLM"), `FABRIKAM\svc`, "Pässw0rd") },
		"replay":         func(w *wire) string { w.second("NTLM"); return replay },
		"of another connection": func(w *wire) string {
			w.second("NTLM")
			return good(dialWire(t, url))
		},
		"without a challenge": func(*wire) string { return good(dialWire(t, url)) },
		"cut short": func(w *wire) string {
			text := good(w)
			return text[:len(text)/8*4]
		},
		"garbage": func(*wire) string { return "NTLM ====" },
		"basic":   func(*wire) string { return "Basic Q09OVE9TT1xzdmM6UMOkc3N3MHJk" },
		"kerberos": func(*wire) string {
			return "Negotiate " + base64.StdEncoding.EncodeToString([]byte("\x60\x82\x01\x00 a ticket"))
		},
	} {
		w := dialWire(t, url)
		if resp := w.ask("GET", answer(w), ""); resp.StatusCode != 401 {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
		if resp := w.ask("GET", "", ""); resp.StatusCode != 401 {
			t.Errorf("%s left the connection logged in", name)
		}
	}
	// A challenge is good for one answer.
	w := dialWire(t, url)
	challenge := w.second("NTLM")
	w.ask("GET", third(t, "NTLM", challenge, `CONTOSO\svc`, "wrong"), "")
	if resp := w.ask("GET", third(t, "NTLM", challenge, `CONTOSO\svc`, "Pässw0rd"), ""); resp.StatusCode != 401 {
		t.Errorf("a challenge was good twice: %d", resp.StatusCode)
	}
	if n := s.AuthCounts(); n.Logins != 1 {
		t.Errorf("%+v", n)
	}
}

func TestNTLMConnectionsEndAsConfigured(t *testing.T) {
	t.Parallel()
	s, url := windows(t, func(a *Auth) { a.RequestsPerConnection = 4 })
	w := dialWire(t, url)
	w.ask("GET", third(t, "NTLM", w.second("NTLM"), `CONTOSO\svc`, "Pässw0rd"), "")
	if resp := w.ask("GET", "", ""); resp.Close {
		t.Error("closed early")
	}
	if resp := w.ask("GET", "", ""); resp.StatusCode != 200 || !resp.Close {
		t.Errorf("the fourth answer: %d, close %v", resp.StatusCode, resp.Close)
	}
	if _, err := w.r.ReadByte(); err != io.EOF {
		t.Errorf("the connection is open: %v", err)
	}
	if n := s.AuthCounts(); n.Closed != 1 {
		t.Errorf("%+v", n)
	}

	s, url = windows(t, func(a *Auth) { a.CloseRate = 1 })
	w = dialWire(t, url)
	resp := w.ask("GET", "", "") // whole, and without a word about the end
	if _, err := w.r.ReadByte(); resp.StatusCode != 401 || resp.Close || err == nil {
		t.Errorf("%d, close %v, %v", resp.StatusCode, resp.Close, err)
	}
	if n := s.AuthCounts(); n.Closed != 1 {
		t.Errorf("%+v", n)
	}
}

// The example of MS-NLMP section 4.2.4: user User, domain Domain, password Password.
func TestNTLMv2ProofIsTheOneOfTheSpecification(t *testing.T) {
	t.Parallel()
	challenge := unhex(t, "0123456789abcdef")
	temp := unhex(t, "01010000000000000000000000000000aaaaaaaaaaaaaaaa00000000"+
		"02000c0044006f006d00610069006e0001000c005300650072007600650072000000000000000000")
	proof := unhex(t, "68cd0ab851e51c96aabc927bebef6a1c")
	m := authenticate{user: "User", domain: "Domain", response: append(proof, temp...)}
	if !m.proves("Password", challenge) {
		t.Error("the specification's own example is refused")
	}
	if m.proves("password", challenge) || m.proves("Password", unhex(t, "0123456789abcdee")) {
		t.Error("something else is accepted")
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzAuthenticateMessage(f *testing.F) {
	m, err := ntlmssp.NewAuthenticateMessage(challengeMessage([]byte("8 bytes!"), "CONTOSO", epoch, 0), `CONTOSO\svc`, "p", nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m)
	f.Add(m[:64])
	f.Add([]byte("NTLMSSP\x00\x03\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, m []byte) {
		a := &authState{Auth: Auth{User: `CONTOSO\svc`, Password: "another"}}
		if messageType(m) == 1 {
			_ = challengeMessage([]byte("8 bytes!"), "CONTOSO", epoch, negotiateFlags(m))
		}
		if a.admits(m, []byte("8 bytes!")) {
			t.Error("admitted without the password")
		}
	})
}

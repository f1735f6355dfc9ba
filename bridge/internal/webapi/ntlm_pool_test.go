package webapi

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"cebridge/schema/outcome"
)

// windowsServer speaks the three legs of NTLM and believes any third one.
type windowsServer struct {
	scheme string // the only one it offers
	// refuse tells whether the n-th write on a logged-in connection meets 401.
	refuse func(n int) bool

	mu     sync.Mutex
	in     map[string]bool // by the client's address
	writes []int           // lengths of the bodies that arrived, refused ones too
	logins int
}

// secondMessage is the smallest challenge: no target, no information about it.
func secondMessage() string {
	m := make([]byte, 48)
	copy(m, "NTLMSSP\x00")
	binary.LittleEndian.PutUint32(m[8:], 2)
	binary.LittleEndian.PutUint32(m[20:], 0x00000201)
	copy(m[24:], "8 bytes!")
	return base64.StdEncoding.EncodeToString(m)
}

func (s *windowsServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	message, _ := base64.StdEncoding.DecodeString(token)
	switch {
	case scheme == s.scheme && len(message) > 8 && message[8] == 1:
		s.in[r.RemoteAddr] = false
		w.Header().Set("WWW-Authenticate", s.scheme+" "+secondMessage())
		w.WriteHeader(http.StatusUnauthorized)
		return
	case scheme == s.scheme && len(message) > 8 && message[8] == 3:
		s.in[r.RemoteAddr] = true
		s.logins++
	}
	if !s.in[r.RemoteAddr] {
		w.Header().Set("WWW-Authenticate", s.scheme)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if r.Method == http.MethodPatch {
		s.writes = append(s.writes, len(body))
		if s.refuse != nil && s.refuse(len(s.writes)) {
			w.Header().Set("WWW-Authenticate", s.scheme)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("OData-Version", "4.0")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	answering(200, `{"UserId":"`+guid1+`","BusinessUnitId":"`+guid2+`","OrganizationId":"`+guid3+`"}`)(w, r)
}

func newWindowsServer(t *testing.T, s *windowsServer) (*windowsServer, *Client, *httptest.Server) {
	t.Helper()
	s.in = map[string]bool{}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	c, _ := newNTLMClient(t, srv.URL, `CONTOSO\u`, "p")
	return s, c, srv
}

func TestNTLMSpeaksNegotiateWhereOnlyThatIsOffered(t *testing.T) {
	t.Parallel()
	s, c, _ := newWindowsServer(t, &windowsServer{scheme: "Negotiate"})
	for range 3 {
		if _, err := c.WhoAmI(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if s.logins != 1 {
		t.Errorf("%d logins", s.logins)
	}
}

func TestNTLMSaysWhenTheServerWantsSomethingElse(t *testing.T) {
	t.Parallel()
	_, c, _ := newWindowsServer(t, &windowsServer{scheme: "Bearer"})
	_, err := c.Apply(t.Context(), ntlmWrite(1, 1, 0))
	e := outcome.Of(err)
	if e == nil || e.Verdict != outcome.Reauthenticate || e.Reason != outcome.Unauthorized || e.Ambiguous {
		t.Fatalf("%+v", err)
	}
	wantText(t, err, "neither NTLM nor Negotiate", "AD FS")
}

func TestAServerThatAsksForNothingIsServed(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(answering(200, `{"UserId":"`+guid1+`","BusinessUnitId":"`+guid2+`","OrganizationId":"`+guid3+`"}`))
	t.Cleanup(srv.Close)
	c, _ := newNTLMClient(t, srv.URL, "u@contoso.example", "p")
	if _, err := c.WhoAmI(t.Context()); err != nil {
		t.Error(err)
	}
}

// A body travels on connections that are logged in, so it arrives once; it is sent a
// second time only after a 401 on such a connection, and not a third time.
func TestAWriteIsSentAgainOnceAfterARefusalOnALoggedInConnection(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		refuse         func(n int) bool
		pad            int
		writes, logins int
		ok             bool
	}{
		"accepted":      {nil, 0, 1, 1, true},
		"large":         {nil, 4 * warmAbove, 1, 1, true},
		"refused once":  {func(n int) bool { return n == 1 }, 4 * warmAbove, 2, 2, true},
		"refused twice": {func(int) bool { return true }, 0, 2, 2, false},
	} {
		s, client, _ := newWindowsServer(t, &windowsServer{scheme: "NTLM", refuse: c.refuse})
		w := ntlmWrite(1, 1, c.pad)
		_, err := client.Apply(t.Context(), w)
		if e := outcome.Of(err); (err == nil) != c.ok || !c.ok && (e == nil || e.Verdict != outcome.Reauthenticate || e.Ambiguous) {
			t.Errorf("%s: %v", name, err)
		}
		if len(s.writes) != c.writes || s.logins != c.logins {
			t.Errorf("%s: %d writes, %d logins", name, len(s.writes), s.logins)
		}
		for _, n := range s.writes {
			if n != len(w.Body) {
				t.Errorf("%s: a body of %d bytes arrived, want %d", name, n, len(w.Body))
			}
		}
	}
}

// What never left this machine is no ambiguous write.
func TestAWriteWithoutALoginIsNotAmbiguous(t *testing.T) {
	t.Parallel()
	// A port that no other test can be given.
	c, _ := newNTLMClient(t, "http://127.0.0.1:1", "u", "p")
	_, err := c.Apply(t.Context(), ntlmWrite(1, 1, 0))
	if e := outcome.Of(err); e == nil || e.Verdict != outcome.Retry || e.Reason != outcome.Network || e.Ambiguous {
		t.Errorf("%+v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Apply(ctx, ntlmWrite(1, 1, 0)); err == nil || outcome.Of(err) != nil {
		t.Errorf("the caller's own end became a verdict: %v", err)
	}
}

func TestNTLMTakesNoTransport(t *testing.T) {
	t.Parallel()
	login, err := NewNTLM(NTLMConfig{User: "u", Password: "p"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{URL: "http://crm.example", Auth: login, Transport: http.DefaultTransport}); err == nil {
		t.Error("a shared transport was taken")
	}
	if _, err := NewNTLM(NTLMConfig{User: "u"}); err == nil {
		t.Error("an empty password was taken")
	}
}

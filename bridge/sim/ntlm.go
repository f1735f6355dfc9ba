package sim

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net"
	"net/http"
	"strings"
	"sync"
)

// windowsConn is the login of one connection. NTLM authenticates a connection, not a
// request: whoever sends on it afterwards is the user who logged in.
type windowsConn struct {
	net net.Conn

	mu        sync.Mutex
	challenge []byte // sent in the second leg, nil before and after
	loggedIn  bool
	requests  int
}

type connKey struct{}

// withConn gives every connection its login state. Requests that come without one,
// through Handler on a foreign server, can never log in.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, &windowsConn{net: c})
}

// guardNTLM lets requests pass on connections that are logged in. The exchange is
// 401 with the schemes, 401 with a challenge, the answer to the request ("NTLM Over
// HTTP Protocol", MS-NTHT). Negotiate is offered beside NTLM as Internet Information
// Services does, and takes NTLM messages only: there is no Kerberos. A first message
// on a connection that is logged in begins anew.
func (s *Server) guardNTLM(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := r.Context().Value(connKey{}).(*windowsConn)
		if c == nil {
			drain(r)
			s.challengeNTLM(w, "Negotiate", "NTLM")
			return
		}
		end, cut := s.auth.endConnection(c)
		if end {
			w.Header().Set("Connection", "close")
		}
		if !cut {
			s.passNTLM(w, r, c, api)
			return
		}
		// The whole answer leaves first, so that nothing of this request is lost.
		a := &answerBuffer{}
		s.passNTLM(a, r, c, api)
		drain(r)
		sendHeader(w, a, a.body.Len())
		_, _ = w.Write(a.body.Bytes())
		_ = http.NewResponseController(w).Flush()
		_ = c.net.Close()
	})
}

// passNTLM does one leg of the exchange, or lets the request pass.
func (s *Server) passNTLM(w http.ResponseWriter, r *http.Request, c *windowsConn, api http.Handler) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "NTLM") && !strings.EqualFold(scheme, "Negotiate") {
		c.mu.Lock()
		in := c.loggedIn
		c.mu.Unlock()
		if in {
			api.ServeHTTP(w, r)
			return
		}
		drain(r)
		s.challengeNTLM(w, "Negotiate", "NTLM")
		return
	}
	message, err := base64.StdEncoding.DecodeString(strings.TrimSpace(token))
	if err != nil {
		message = nil
	}
	switch messageType(message) {
	case 1:
		drain(r)
		challenge := make([]byte, 8)
		if _, err := rand.Read(challenge); err != nil {
			panic(http.ErrAbortHandler)
		}
		c.mu.Lock()
		c.challenge, c.loggedIn = challenge, false
		c.mu.Unlock()
		second := challengeMessage(challenge, s.auth.domain(), s.opts.Now(), negotiateFlags(message))
		s.challengeNTLM(w, scheme+" "+base64.StdEncoding.EncodeToString(second))
	case 3:
		c.mu.Lock()
		challenge := c.challenge
		c.challenge = nil
		c.loggedIn = challenge != nil && s.auth.admits(message, challenge)
		in := c.loggedIn
		c.mu.Unlock()
		s.auth.count(func(n *AuthCounts) {
			if in {
				n.Logins++
			} else {
				n.LoginsRefused++
			}
		})
		if in {
			api.ServeHTTP(w, r)
			return
		}
		drain(r)
		s.challengeNTLM(w, "Negotiate", "NTLM")
	default:
		drain(r)
		s.challengeNTLM(w, "Negotiate", "NTLM")
	}
}

func (s *Server) challengeNTLM(w http.ResponseWriter, challenges ...string) {
	s.auth.count(func(c *AuthCounts) { c.Challenges++ })
	unauthorized(w, challenges...)
}

// endConnection decides whether a connection ends after this request: announced, or
// cut without a word.
func (a *authState) endConnection(c *windowsConn) (end, cut bool) {
	c.mu.Lock()
	c.requests++
	end = a.RequestsPerConnection > 0 && c.requests >= a.RequestsPerConnection
	c.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	cut = !end && a.CloseRate > 0 && a.rng.Float64() < a.CloseRate
	if end || cut {
		a.counts.Closed++
	}
	return end, cut
}

// domain is the NetBIOS name of the domain that the server claims to be in.
func (a *authState) domain() string {
	if domain, _, ok := strings.Cut(a.User, `\`); ok {
		return strings.ToUpper(domain)
	}
	if _, domain, ok := strings.Cut(a.User, "@"); ok {
		first, _, _ := strings.Cut(domain, ".")
		return strings.ToUpper(first)
	}
	return "CONTOSO"
}

// admits checks a third message: the configured user, by name and domain without
// regard to case, and the proof of the password. A name without a domain is taken to
// be of the server's own, as Windows does.
func (a *authState) admits(message, challenge []byte) bool {
	m, err := parseAuthenticate(message)
	if err != nil {
		return false
	}
	given, known := m.user, a.User
	if domain, name, ok := strings.Cut(a.User, `\`); ok {
		if m.domain != "" && !strings.EqualFold(m.domain, domain) {
			return false
		}
		known = name
	}
	return strings.EqualFold(given, known) && m.proves(a.Password, challenge)
}

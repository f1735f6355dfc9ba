package webapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"cebridge/schema/outcome"

	"github.com/Azure/go-ntlmssp"
)

// maxDrained is how much of an answer is read to keep its connection.
const maxDrained = 256 << 10

// errNoLogin is the cause when the server closes every connection before its login
// is done.
var errNoLogin = errors.New("the server closes connections before an NTLM login on them is done")

// login makes sure that the slot's connection is logged in. A server that asks for
// nothing is fine too.
func (p *ntlmPool) login(ctx context.Context, s *ntlmSlot) error {
	last := errNoLogin
	for range loginTries {
		if s.loggedIn() { // warm: without a token the server would begin anew
			resp, err := p.leg(ctx, s, "")
			switch {
			case err == nil && resp.StatusCode != http.StatusUnauthorized && s.loggedIn():
				return nil
			case err == nil && resp.StatusCode != http.StatusUnauthorized:
				continue // answered, and closed
			}
			s.reset()
		}
		done := false
		err := p.auth.attempt(ctx, func() (accepted, refused bool, err error) {
			done, refused, err = p.handshake(ctx, s)
			return done, refused, err
		})
		switch {
		case done:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errBrokenLogin):
			last = err
		case err != nil:
			return err
		}
		s.reset()
	}
	return fmt.Errorf("ntlm login: %w", last)
}

// errBrokenLogin: the exchange did not come to an end, which says nothing about the
// password.
var errBrokenLogin = errors.New("the connection ended during the login")

// handshake does the legs of one login. refused is told only when the server said no
// on the very connection that it had challenged.
func (p *ntlmPool) handshake(ctx context.Context, s *ntlmSlot) (accepted, refused bool, err error) {
	scheme := *p.scheme.Load()
	first, err := ntlmssp.NewNegotiateMessage("", "")
	if err != nil {
		return false, false, fmt.Errorf("ntlm login: %w", err)
	}
	resp, err := p.leg(ctx, s, scheme+" "+base64.StdEncoding.EncodeToString(first))
	if err != nil {
		return false, false, err
	}
	number := s.live.Load()
	if resp.StatusCode != http.StatusUnauthorized {
		s.in = number // it asks for no login, at least not here
		return true, false, nil
	}
	challenge, offered := challengeOf(resp.Header, scheme)
	switch {
	case len(challenge) > 0:
	case offered != scheme && offered != "":
		p.scheme.Store(&offered)
		return false, false, errBrokenLogin
	default:
		return false, false, &outcome.Error{
			Op: "NTLM login", Verdict: outcome.Reauthenticate, Reason: outcome.Unauthorized, Status: resp.StatusCode,
			Message: "the server offers neither NTLM nor Negotiate; does it want a token (AD FS)?",
		}
	}
	third, err := ntlmssp.NewAuthenticateMessage(challenge, p.auth.user, p.auth.password, nil)
	if err != nil {
		return false, false, fmt.Errorf("ntlm login: the server's challenge: %w", err)
	}
	if number == 0 || s.live.Load() != number {
		return false, false, errBrokenLogin
	}
	resp, err = p.leg(ctx, s, scheme+" "+base64.StdEncoding.EncodeToString(third))
	switch {
	case err != nil:
		return false, false, err
	case s.dialled.Load() != number:
		return false, false, errBrokenLogin
	case resp.StatusCode == http.StatusUnauthorized:
		return false, true, nil
	}
	s.in = number
	return true, false, nil
}

// leg sends one GET of a login and reads its answer away.
func (p *ntlmPool) leg(ctx context.Context, s *ntlmSlot, authorization string) (*http.Response, error) {
	// The caller's trace is about the caller's request: it must not see this one.
	req, err := http.NewRequestWithContext(valueless{ctx}, http.MethodGet, p.probe, nil)
	if err != nil {
		return nil, fmt.Errorf("ntlm login: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "cebridge")
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := s.http.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	discard(resp)
	return s.ended(resp, nil)
}

// challengeOf finds the server's challenge in the scheme that was tried, and the best
// scheme that it offers.
func challengeOf(h http.Header, scheme string) (challenge []byte, offered string) {
	for _, value := range h.Values("WWW-Authenticate") {
		name, token, _ := strings.Cut(value, " ")
		switch {
		case strings.EqualFold(name, scheme) && token != "":
			if b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(token)); err == nil && bytes.HasPrefix(b, []byte("NTLMSSP\x00")) {
				return b, scheme
			}
		case strings.EqualFold(name, "NTLM"):
			offered = "NTLM"
		case strings.EqualFold(name, "Negotiate") && offered == "":
			offered = "Negotiate"
		}
	}
	return nil, offered
}

// discard reads an answer away, so that its connection can be used again.
func discard(resp *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxDrained))
	_ = resp.Body.Close()
}

// valueless hides what a context carries; it still ends when the context ends.
type valueless struct{ context.Context }

// Value implements context.Context.
func (valueless) Value(any) any { return nil }

package webapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"cebridge/schema/outcome"
)

const (
	// A refused password is not tried again for a while, since every try counts
	// towards the lockout of the account: five minutes, doubled up to an hour. One
	// that was accepted before gets a second chance sooner: a domain controller may
	// have been away.
	refusedHold    = 5 * time.Minute
	maxRefusedHold = time.Hour
	provenHold     = 30 * time.Second
)

// NTLMConfig is a Windows user for an on-premises server.
type NTLMConfig struct {
	// User is DOMAIN\name or name@domain.
	User, Password string
}

// NTLM logs connections in by NTLM, version 2 only, also within Negotiate where the
// server offers nothing else. Source: "Authenticate to Dynamics 365 Customer
// Engagement with the Web API" (on-premises guide: network credentials), "NTLM Over
// HTTP Protocol" (MS-NTHT). Channel binding is not offered: a server that requires
// Extended Protection refuses it.
//
// NTLM belongs to a connection, and a shared pool would send the legs of one exchange
// on several connections. So every request has a transport of its own with at most
// one connection; see ntlmPool.
type NTLM struct {
	user, password string

	mu      sync.Mutex
	proven  bool // the password was accepted, and not refused since
	refused int  // in a row
	heldTo  time.Time
	first   chan struct{} // holds one token: the right to try an unproven password
}

// NewNTLM checks the user; it sends nothing.
func NewNTLM(cfg NTLMConfig) (*NTLM, error) {
	if cfg.User == "" || cfg.Password == "" {
		return nil, errors.New("ntlm: user and password: one is empty")
	}
	n := &NTLM{user: cfg.User, password: cfg.Password, first: make(chan struct{}, 1)}
	n.first <- struct{}{}
	return n, nil
}

// Authorize has nothing to add to a request: the connection is what logs in.
func (n *NTLM) Authorize(context.Context, *http.Request) error { return nil }

// Invalidate has nothing else to offer: what a fresh connection could cure was tried.
func (n *NTLM) Invalidate(*http.Request) bool { return false }

func (n *NTLM) secrets() []string { return []string{n.password} }

// attempt runs one login. Until a password was accepted once, one login runs at a
// time: many connections that try a wrong one at once would lock the account.
// login tells whether the server accepted or refused; neither when it could not.
func (n *NTLM) attempt(ctx context.Context, login func() (accepted, refused bool, err error)) error {
	n.mu.Lock()
	proven := n.proven
	n.mu.Unlock()
	if !proven {
		select {
		case <-n.first:
			defer func() { n.first <- struct{}{} }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := n.held(); err != nil {
		return err
	}
	accepted, refused, err := login()
	n.mu.Lock()
	switch {
	case accepted:
		n.proven, n.refused = true, 0
	case refused:
		hold := min(refusedHold<<min(n.refused, 8), maxRefusedHold)
		if n.proven {
			hold = provenHold
		} else {
			n.refused++
		}
		n.proven, n.heldTo = false, time.Now().Add(hold)
	}
	n.mu.Unlock()
	if refused {
		return n.held()
	}
	return err
}

// held is the error that stands in for an attempt while none may be made.
func (n *NTLM) held() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	wait := time.Until(n.heldTo)
	if wait <= 0 {
		return nil
	}
	return &outcome.Error{
		Op: "NTLM login", Verdict: outcome.Reauthenticate, Reason: outcome.Unauthorized, Status: http.StatusUnauthorized,
		Message: fmt.Sprintf("the server refuses the user or its password; not tried again for %s, so that the account is not locked", wait.Round(time.Second)),
	}
}

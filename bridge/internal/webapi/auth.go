package webapi

import (
	"context"
	"net/http"
)

// Authenticator adds credentials to the client's requests. It is called for
// requests to the configured origin only, from many goroutines.
type Authenticator interface {
	// Authorize sets the credentials on req. An error is an *outcome.Error, or
	// the context's.
	Authorize(ctx context.Context, req *http.Request) error
	// Invalidate is told that the server refused the credentials on req. It
	// tells whether another attempt would carry different ones.
	Invalidate(req *http.Request) bool
}

// None sends no credentials.
type None struct{}

// Authorize does nothing.
func (None) Authorize(context.Context, *http.Request) error { return nil }

// Invalidate has nothing else to offer.
func (None) Invalidate(*http.Request) bool { return false }

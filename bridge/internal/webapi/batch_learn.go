package webapi

import (
	"net/http"
	"time"

	"cebridge/schema/outcome"
)

// learn adapts size and linger to how a request ended.
func (b *batcher) learn(reason ending, took time.Duration, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch reason {
	case whole:
		b.took += (took - b.took) / 8
		if b.took <= 0 {
			b.took = took
		}
		if n == b.size {
			b.size = min(b.most, b.size+max(1, b.size/8))
		}
	case overdue, refused:
		b.size = max(2, min(b.size, n/2))
	case unserved:
		b.offUntil = time.Now().Add(batchesOff)
	}
}

// ending is how a $batch request ended.
type ending uint8

const (
	whole    ending = iota // every write has its answer, or none but its own to blame
	short                  // the server stopped at a failure and left the rest alone
	refused                // refused as a whole, nothing was run
	unserved               // there is no $batch here
	overdue                // no answer in time
	broken                 // anything else
)

// endingOf reads an answer that was no batch answer.
func endingOf(a answer, verdict *outcome.Error) ending {
	switch a.status {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusUnsupportedMediaType:
		return unserved
	case http.StatusUnauthorized, http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusTooManyRequests:
	default:
		if a.status >= 400 && a.status < 500 && verdict.Verdict != outcome.RetryAfter {
			return refused
		}
	}
	if verdict.Reason == outcome.Timeout || a.status == http.StatusGatewayTimeout {
		return overdue
	}
	return broken
}

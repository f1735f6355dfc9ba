package sim

import (
	"maps"
	"net/http"
	"strings"
	"sync"
)

// Kinds of requests, for RequestCounts.
const (
	RequestCollection = "collection" // an untracked query, or a create by POST
	RequestLoad       = "load"       // a page of an initial load
	RequestDelta      = "delta"      // a page behind a delta link
	RequestRecord     = "record"     // one record by id or key
	RequestProperty   = "property"   // one column or reference of a record
	RequestCount      = "count"
	RequestBatch      = "batch"
	RequestMetadata   = "metadata"
	RequestFunction   = "function" // WhoAmI and the like, the service document
)

// RequestCounts counts HTTP requests as they arrive, faults included, by method
// and kind: "PATCH record". What a $batch holds is not counted one by one.
type RequestCounts map[string]int

// Total is the number of all requests.
func (c RequestCounts) Total() int {
	n := 0
	for _, v := range c {
		n += v
	}
	return n
}

// Method is the number of requests with that HTTP method.
func (c RequestCounts) Method(method string) int {
	n := 0
	for k, v := range c {
		if strings.HasPrefix(k, method+" ") {
			n += v
		}
	}
	return n
}

// Of is the number of requests of that method and kind.
func (c RequestCounts) Of(method, kind string) int { return c[method+" "+kind] }

type requestCounter struct {
	mu     sync.Mutex
	counts RequestCounts
}

func (c *requestCounter) add(method, kind string, n int) {
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete, http.MethodPut:
	default:
		method = "OTHER"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = RequestCounts{}
	}
	c.counts[method+" "+kind] += n
}

// Requests counts the API requests since the start or the last ResetRequests.
func (s *Server) Requests() RequestCounts {
	s.counts.mu.Lock()
	defer s.counts.mu.Unlock()
	if s.counts.counts == nil {
		return RequestCounts{}
	}
	return maps.Clone(s.counts.counts)
}

// ResetRequests sets the counts to zero.
func (s *Server) ResetRequests() {
	s.counts.mu.Lock()
	defer s.counts.mu.Unlock()
	s.counts.counts = nil
}

// kindOf classifies a request by its URL and Prefer header alone.
func (s *Server) kindOf(r *http.Request) string {
	_, rest, _ := s.splitPath(r)
	head, tail, _ := strings.Cut(rest, "/")
	name := firstName(rest)
	keyed := strings.Contains(head, "(") || strings.Contains(head, "%28")
	switch {
	case name == "$batch":
		return RequestBatch
	case name == "$metadata" || name == "EntityDefinitions" || name == "ReactivateEntityKey" || strings.HasPrefix(name, "Publish"):
		return RequestMetadata
	case name == "" || name == "WhoAmI" || strings.HasPrefix(name, "Retrieve"):
		return RequestFunction
	case tail == "$count":
		return RequestCount
	case keyed && tail != "":
		return RequestProperty
	case keyed:
		return RequestRecord
	}
	params := parseParams(r.URL.RawQuery)
	if _, ok := params.get("$deltatoken"); ok {
		return RequestDelta
	}
	if token, ok := params.get("$skiptoken"); ok {
		switch c, e := parseCookie(token); {
		case e != nil || !c.tracking:
			return RequestCollection
		case c.phase == phaseLoad:
			return RequestLoad
		}
		return RequestDelta
	}
	if preferences(r).track {
		return RequestLoad
	}
	return RequestCollection
}

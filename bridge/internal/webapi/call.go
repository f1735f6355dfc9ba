package webapi

import (
	"bytes"
	"io"
	"net/http"
	"strings"

	"cebridge/schema"
)

// The operations: the label of metrics, and what classify goes by.
const (
	opPage     = "page"
	opExists   = "exists"
	opResolve  = "resolve"
	opMetadata = "metadata"
	opWhoAmI   = "whoami"
	opUpsert   = string(schema.OpUpsert)
	opCreate   = string(schema.OpCreate)
	opUpdate   = string(schema.OpUpdate)
	opDelete   = string(schema.OpDelete)
	opBatch    = "batch"
)

// call is one request to make, and what is needed to judge its answer.
type call struct {
	op     string
	method string
	// path is relative to the API root, query included, already encoded.
	path string
	// name is the path as errors show it: without query and tokens.
	name   string
	header map[string]string
	body   []byte
	// limit bounds the bytes of a good answer.
	limit int64
	// linked: the request follows a link of an earlier answer.
	linked bool
	// accept reads a 2xx answer. Its error is a *malformed when the answer is not
	// what the API promises, else the read's own.
	accept func(status int, header fields, body io.Reader) error
	// sending, if set, is called before each HTTP request.
	sending func()
	// reads, if set, tells that accept reads an answer although its status is no 2xx.
	reads func(header fields) bool
	// failed, if set, is given an answer that was not accepted.
	failed func(answer)
	// request is the last HTTP request made of the call: it names the credentials.
	request *http.Request
	// inbound: a read that a write needs.
	inbound bool
	// reading: a POST that only carries reads, such as a $batch of them.
	reading bool
	// bulk: a part of a long read, which others may overtake.
	bulk bool
	// operations is how many a batch holds; 0 is one.
	operations int
}

// side is the direction that the call serves.
func (c *call) side() side {
	if c.inbound || c.isWrite() {
		return inboundSide
	}
	return outboundSide
}

// isWrite tells whether the server may change data when it gets the request.
func (c *call) isWrite() bool { return c.method != http.MethodGet && !c.reading }

// binds tells whether the body refers to other records.
func (c *call) binds() bool { return hasBind(c.body) }

func hasBind(body []byte) bool { return bytes.Contains(body, []byte("@odata.bind")) }

// setsOwner tells whether the body names an owner.
func (c *call) setsOwner() bool { return bytes.Contains(c.body, []byte(`"ownerid`)) }

// set adds a header.
func (c *call) set(name, value string) {
	if c.header == nil {
		c.header = make(map[string]string, 2)
	}
	c.header[name] = value
}

// title names the call in errors: "PATCH accounts(accountnumber='ABC123')".
func (c *call) title() string { return c.method + " " + c.name }

// malformed says how an answer departs from what the API promises.
type malformed struct{ text string }

func (m *malformed) Error() string { return m.text }

// looksLikeMarkup tells a login or proxy page from JSON.
func looksLikeMarkup(header http.Header, body []byte) bool {
	if strings.Contains(strings.ToLower(header.Get("Content-Type")), "html") {
		return true
	}
	body = bytes.TrimLeft(body, " \t\r\n\xef\xbb\xbf")
	return len(body) > 0 && body[0] == '<'
}

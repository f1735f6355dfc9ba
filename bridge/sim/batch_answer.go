package sim

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
)

// answerBuffer is an http.ResponseWriter that keeps the answer.
type answerBuffer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *answerBuffer) Header() http.Header {
	if a.header == nil {
		a.header = http.Header{}
	}
	return a.header
}

// WriteHeader implements http.ResponseWriter.
func (a *answerBuffer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *answerBuffer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

func (a *answerBuffer) code() int {
	if a.status == 0 {
		return http.StatusOK
	}
	return a.status
}

// batchHeaders are the headers of a part, in the order of the documentation's
// examples. Those of the connection and of the caller's limits stand only
// outside, and REQ_ID only with failures.
var batchHeaders = []string{"REQ_ID", "Content-Type", "OData-Version", "Location", "OData-EntityId", "ETag", "Preference-Applied", "Retry-After"}

// part writes the answer as one application/http part.
func (a *answerBuffer) part(out *bytes.Buffer, boundary, contentID string) {
	fmt.Fprintf(out, "--%s\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n", boundary)
	if contentID != "" {
		fmt.Fprintf(out, "Content-ID: %s\r\n", contentID)
	}
	fmt.Fprintf(out, "\r\nHTTP/1.1 %d %s\r\n", a.code(), http.StatusText(a.code()))
	for _, name := range batchHeaders {
		if name == "REQ_ID" && a.code() < http.StatusBadRequest {
			continue
		}
		for key, values := range a.Header() {
			if strings.EqualFold(key, name) && len(values) > 0 {
				fmt.Fprintf(out, "%s: %s\r\n", name, strings.Join(values, ", "))
			}
		}
	}
	out.WriteString("\r\n")
	out.Write(a.body.Bytes())
	out.WriteString("\r\n")
}

package sim

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// Limits of one batch. Source: execute batch operations using the Web API; the
// size of the body is a bound of the simulator.
const (
	maxBatchRequests = 1000
	maxBatchURL      = 64 << 10
	maxBatchBody     = 64 << 20
	maxBatchAnswer   = 256 << 20
)

// codeUnexpectedFault is UnExpected of the platform's error-code list.
const codeUnexpectedFault = "0x80040216"

// serveBatch answers POST $batch. The whole body is read and checked first: a
// batch that breaks the format (line ends other than CRLF, more than 1,000
// requests, a batch in a batch, a GET in a change set) is refused as a whole with
// a plain JSON error and nothing runs. Requests then run one after another.
//
// Without Prefer: odata.continue-on-error the first failure ends the batch and
// its status becomes the status of the answer, whose body still holds the parts
// up to and including it; what ran before stays committed. With it the answer is
// 200 and each part has its own status. A failed change set is rolled back and
// answered by the one failing part, inside a changesetresponse (seen on live
// servers, where OData 4.0 has it bare).
//
// Assumptions: the texts of refusals (they are those of Microsoft's OData
// library), that a URL of another host is refused, and that the refusal comes
// before anything ran.
func (s *Server) serveBatch(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		s.writeError(w, r, &apiError{Status: http.StatusMethodNotAllowed, Code: codeInvalidRequest,
			Message: "The requested resource does not support http method '" + r.Method + "'."})
		return
	}
	items, e := s.readBatch(w, r)
	if e != nil {
		s.writeError(w, r, e)
		return
	}
	b := &batchRun{server: s, outer: r, boundary: "batchresponse_" + uuid.NewString()}
	if e := b.run(items, continueOnError(r)); e != nil {
		s.writeError(w, r, e)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "multipart/mixed; boundary="+b.boundary)
	h.Set("OData-Version", "4.0")
	h.Set("Content-Length", strconv.Itoa(b.out.Len()))
	w.WriteHeader(b.status)
	_, _ = w.Write(b.out.Bytes())
}

// readBatch reads and checks the whole batch.
func (s *Server) readBatch(w http.ResponseWriter, r *http.Request) ([]batchItem, *apiError) {
	mediaType, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "multipart/mixed" || params["boundary"] == "" {
		return nil, invalidRequest("The content type of a batch is multipart/mixed with a boundary; it was '%s'.", r.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBatchBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &apiError{Status: http.StatusRequestEntityTooLarge, Code: codeInvalidRequest, Message: "The batch is too large."}
	case err != nil:
		return nil, invalidRequest("Stream was not readable.")
	}
	items, e := parseBatch(body, params["boundary"])
	if e != nil {
		return nil, e
	}
	root, err := url.Parse(s.apiRoot(r))
	if err != nil {
		return nil, invalidRequest("The batch was addressed by a URL that cannot be read.")
	}
	for i := range items {
		for j := range items[i].requests {
			if e := items[i].requests[j].resolve(root); e != nil {
				return nil, e
			}
		}
	}
	return items, nil
}

// continueOnError reads Prefer: odata.continue-on-error, with or without a value.
func continueOnError(r *http.Request) bool {
	for _, header := range r.Header.Values("Prefer") {
		for item := range strings.SplitSeq(header, ",") {
			name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(item)), "=")
			if strings.TrimPrefix(name, "odata.") == "continue-on-error" {
				return value != "false"
			}
		}
	}
	return false
}

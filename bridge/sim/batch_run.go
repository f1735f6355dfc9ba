package sim

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/uuid"
)

// batchRun executes the parts of one batch and collects the answer.
type batchRun struct {
	server   *Server
	outer    *http.Request
	boundary string
	status   int // of the outer answer
	out      bytes.Buffer
}

// errChangeSetFailed rolls a change set back.
var errChangeSetFailed = errors.New("a request of the change set failed")

// run executes the parts in order. It fails only when the answer grows beyond
// the bound of the simulator, or the caller went away.
func (b *batchRun) run(items []batchItem, goOn bool) *apiError {
	b.status = http.StatusOK
	for i := range items {
		if b.outer.Context().Err() != nil {
			return &apiError{Status: http.StatusServiceUnavailable, Message: "The request was aborted."}
		}
		var status int
		if items[i].changeSet {
			status = b.changeSet(items[i].requests)
		} else {
			status = b.single(items[i].requests[0])
		}
		if b.out.Len() > maxBatchAnswer {
			return &apiError{Status: http.StatusInternalServerError, Code: codeUnexpectedFault, Message: "The answer to the batch is too large."}
		}
		if status >= http.StatusBadRequest && !goOn {
			b.status = status
			break
		}
	}
	fmt.Fprintf(&b.out, "--%s--\r\n", b.boundary)
	return nil
}

// single runs a request outside of a change set.
func (b *batchRun) single(q batchRequest) int {
	q, e := q.bind(nil)
	answer := &answerBuffer{}
	if e != nil {
		b.server.writeError(answer, b.outer, e)
	} else {
		b.server.dispatch(answer, q.httpRequest(b.outer))
	}
	answer.part(&b.out, b.boundary, q.contentID)
	return answer.code()
}

// changeSet runs the requests as one transaction and returns the first failing
// status, or 200.
func (b *batchRun) changeSet(requests []batchRequest) int {
	var answers []*answerBuffer
	status, first := http.StatusOK, 0
	err := b.server.atomically(func(h http.Handler) error {
		written := map[string]string{}
		for i, q := range requests {
			answer := &answerBuffer{}
			q, e := q.bind(written)
			if e != nil {
				b.server.writeError(answer, b.outer, e)
			} else {
				h.ServeHTTP(answer, q.httpRequest(b.outer))
			}
			if answer.code() >= http.StatusBadRequest {
				// Only the failing request is answered.
				answers, first, status = []*answerBuffer{answer}, i, answer.code()
				return errChangeSetFailed
			}
			answers = append(answers, answer)
			if entity := answer.Header().Get("OData-EntityId"); entity != "" && q.contentID != "" {
				written[q.contentID] = entity
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, errChangeSetFailed) {
		answer := &answerBuffer{}
		b.server.writeError(answer, b.outer, &apiError{Status: http.StatusInternalServerError, Code: codeUnexpectedFault, Message: err.Error()})
		answers, first, status = []*answerBuffer{answer}, 0, answer.code()
	}
	inner := "changesetresponse_" + uuid.NewString()
	fmt.Fprintf(&b.out, "--%s\r\nContent-Type: multipart/mixed; boundary=%s\r\n\r\n", b.boundary, inner)
	for i, answer := range answers {
		answer.part(&b.out, inner, requests[first+i].contentID)
	}
	fmt.Fprintf(&b.out, "--%s--\r\n", inner)
	return status
}

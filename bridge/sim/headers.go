package sim

import "net/http"

// wireNames are the names of headers as servers were recorded to send them, where
// that differs from how net/http writes them. Header names have no case, but
// scripts compare them as texts.
var wireNames = map[string]string{
	"Odata-Entityid": "OData-EntityId", "Odata-Version": "OData-Version", "Etag": "ETag", "Req_id": "REQ_ID",
	"Www-Authenticate": "WWW-Authenticate", "X-Ms-Service-Request-Id": "x-ms-service-request-id", "X-Ms-Dop-Hint": "x-ms-dop-hint",
	"X-Ms-Ratelimit-Time-Remaining-Xrm-Requests":  "x-ms-ratelimit-time-remaining-xrm-requests",
	"X-Ms-Ratelimit-Burst-Remaining-Xrm-Requests": "x-ms-ratelimit-burst-remaining-xrm-requests",
}

// exactHeaders makes answers on the wire carry wireNames. It belongs outside of
// everything that looks at headers.
func exactHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(&exactWriter{ResponseWriter: w}, r)
	})
}

// exactWriter renames headers just before they are sent.
type exactWriter struct {
	http.ResponseWriter
	sent bool
}

// WriteHeader implements http.ResponseWriter.
func (w *exactWriter) WriteHeader(status int) {
	if !w.sent && status >= http.StatusOK {
		w.sent = true
		h := w.Header()
		for name, exact := range wireNames {
			if values, ok := h[name]; ok {
				delete(h, name)
				h[exact] = values
			}
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *exactWriter) Write(b []byte) (int, error) {
	if !w.sent {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *exactWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
)

// apiError is an answer other than success, in the server's own words.
type apiError struct {
	Status int
	// Code is "0x80040217", or "" where the server sends none.
	Code    string
	Message string
	// Annotations are extra members of the error object, sent only to callers
	// that ask for annotations.
	Annotations map[string]string
	// plain makes the body a page of the web server instead of OData: what IIS
	// answers before the application sees the request.
	plain bool
}

// Error implements error.
func (e *apiError) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("%d: %s", e.Status, e.Message)
	}
	return fmt.Sprintf("%d: %s: %s", e.Status, e.Code, e.Message)
}

// Codes of the OData layer. They are what online sends; on-premises leaves the
// code of such errors empty (ce-webapi §0 and §13: "likelier empty").
const (
	codeInvalidPayload = "0x80048D19"
	codeInvalidRequest = "0x80060888"
)

// Codes of the platform. Source: the platform's error-code list (developer
// guide, data service error codes).
const (
	codeNotFound        = "0x80040217" // ObjectDoesNotExist
	codeNotFoundByKey   = "0x80060891" // RecordNotFoundByEntityKey
	codeDuplicateKey    = "0x80060892" // DuplicateRecordEntityKey
	codeDuplicateRecord = "0x80040237" // DuplicateRecord
	codeConcurrency     = "0x80060882" // ConcurrencyVersionMismatch
	codeConcurrencyOff  = "0x8006088D" // OptimisticConcurrencyNotEnabled
	codeExpiredVersion  = "0x80044352" // ExpiredVersionStamp
	codeTrackingOff     = "0x80072491" // ChangeTrackingNotEnabledForEntity
	codeStringTooLong   = "0x80044331" // StringLengthTooLong
	codeOptionValue     = "0x8004431A" // PicklistValueOutOfRange
	codeIntegerRange    = "0x8004432F" // IntegerValueOutOfRange
	codeDecimalRange    = "0x80044330" // DecimalValueOutOfRange
	codeStateStatus     = "0x80048408" // InvalidStateCodeStatusCode
	codeInvalidArgument = "0x80040203" // InvalidArgument
	codeUserUnknown     = "0x80040225" // the named caller is disabled or unknown
)

// invalidPayload is a body the OData layer refuses.
func invalidPayload(format string, args ...any) *apiError {
	return &apiError{Status: http.StatusBadRequest, Code: codeInvalidPayload, Message: fmt.Sprintf(format, args...)}
}

// invalidRequest is a URL or query option the OData layer refuses.
func invalidRequest(format string, args ...any) *apiError {
	return &apiError{Status: http.StatusBadRequest, Code: codeInvalidRequest, Message: fmt.Sprintf(format, args...)}
}

// notSimulated refuses what the real server may do and the simulator does not:
// a loud refusal instead of a wrong answer. It has no code, so that no client
// can learn to rely on it.
func notSimulated(format string, args ...any) *apiError {
	return &apiError{
		Status:  http.StatusNotImplemented,
		Message: "Not simulated: " + fmt.Sprintf(format, args...),
	}
}

// pageError is the web server's refusal of a URL, without an OData body.
func pageError(status int, message string) *apiError {
	return &apiError{Status: status, Message: message, plain: true}
}

// writeError sends e in the envelope {"error":{"code","message"}}. On-premises
// adds innererror{message,type,stacktrace} and sends no code for faults of the
// OData layer.
func (s *Server) writeError(w http.ResponseWriter, r *http.Request, e *apiError) {
	if e.plain {
		writePage(w, e)
		return
	}
	code := e.Code
	if s.opts.Profile == OnPremises && (code == codeInvalidPayload || code == codeInvalidRequest) {
		code = ""
	}
	var b bytes.Buffer
	b.WriteString(`{"error":{"code":`)
	writeJSONText(&b, code)
	b.WriteString(`,"message":`)
	writeJSONText(&b, e.Message)
	if r != nil && len(r.Header["Prefer"]) > 0 {
		s.writeDetails(&b, preferences(r), e)
	}
	if s.opts.Profile == OnPremises {
		b.WriteString(`,"innererror":{"message":`)
		writeJSONText(&b, e.Message)
		b.WriteString(`,"type":"Microsoft.Crm.CrmHttpException","stacktrace":"   at Microsoft.Crm.Extensibility.OData.CrmODataExecutionContext"}`)
	}
	b.WriteString("}}")
	h := w.Header()
	h.Set("Content-Type", jsonContentType)
	h.Set("OData-Version", "4.0")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(e.Status)
	_, _ = w.Write(b.Bytes())
}

// Annotations of errors. Sources: developer guide, "Include more details with
// errors"; those that only plug-ins set are not simulated.
const (
	detailHelpLink = "@Microsoft.PowerApps.CDS.HelpLink"
	detailInner    = "@Microsoft.PowerApps.CDS.InnerError.Message"
)

// writeDetails adds the annotations that the caller asks for. Those that every
// error with a platform code has exist online only.
func (s *Server) writeDetails(b *bytes.Buffer, p prefs, e *apiError) {
	details := maps.Clone(e.Annotations)
	if hex, ok := strings.CutPrefix(e.Code, "0x8"); ok && s.opts.Profile == Online {
		if details == nil {
			details = map[string]string{}
		}
		details[detailHelpLink] = "http://go.microsoft.com/fwlink/?LinkID=398563&error=Microsoft.Crm.CrmException%3a8" + strings.ToLower(hex) + "&client=platform"
		details[detailInner] = e.Message
	}
	for _, name := range sortedKeys(details) {
		if p.annotates(name[1:]) {
			b.WriteByte(',')
			writeJSONText(b, name)
			b.WriteByte(':')
			writeJSONText(b, details[name])
		}
	}
}

// writePage answers as IIS does: HTML, no OData header.
func writePage(w http.ResponseWriter, e *apiError) {
	body := "<!DOCTYPE html>\r\n<html><head><title>" + http.StatusText(e.Status) + "</title></head>\r\n<body><h1>" +
		strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(e.Message) + "</h1></body></html>\r\n"
	h := w.Header()
	h.Del("OData-Version")
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(e.Status)
	_, _ = w.Write([]byte(body))
}

// jsonContentType is the content type of every JSON answer.
const jsonContentType = "application/json; odata.metadata=minimal"

// writeJSONText writes s as a JSON string without HTML escapes.
func writeJSONText(b *bytes.Buffer, s string) {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes
	b.Truncate(b.Len() - 1)
}

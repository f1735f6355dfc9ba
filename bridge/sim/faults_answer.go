package sim

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// throttleFacets are the three service protection limits with the code and text
// of each. Source: service protection API limits.
var throttleFacets = map[string]struct{ code, message string }{
	"":            {"0x80072322", "Number of requests exceeded the limit of 6000 over time window of 300 seconds."},
	"requests":    {"0x80072322", "Number of requests exceeded the limit of 6000 over time window of 300 seconds."},
	"time":        {"0x80072321", "Combined execution time of incoming requests exceeded limit of 1,200,000 milliseconds over time window of 300 seconds. Decrease number of concurrent requests or reduce the duration of requests and try again later."},
	"concurrency": {"0x80072326", "Number of concurrent requests exceeded the limit of 52."},
}

// replaces tells whether the fault answers in place of the API.
func (r *Rule) replaces() bool {
	return slices.Contains([]FaultKind{
		FaultThrottle, FaultServerError, FaultError, FaultPlainError, FaultUnauthorized,
		FaultHTMLPage, FaultLoginRedirect, FaultExpiredToken,
	}, r.Kind)
}

// answer writes the answer of a fault that replaces the API's.
func (r *Rule) answer(s *Server, w http.ResponseWriter, req *http.Request) {
	h := w.Header()
	retryAfter := r.RetryAfter
	if r.Kind == FaultThrottle {
		retryAfter = cmp.Or(retryAfter, "1")
	}
	if retryAfter != "" && retryAfter != "absent" {
		h.Set("Retry-After", retryAfter)
	}
	fail := func(status int, code, message string) {
		s.writeError(w, req, &apiError{
			Status: cmp.Or(r.Status, status), Code: cmp.Or(r.Code, code), Message: cmp.Or(r.Message, message),
		})
	}
	switch r.Kind {
	case FaultThrottle:
		facet := throttleFacets[r.Facet]
		fail(http.StatusTooManyRequests, facet.code, facet.message)
	case FaultServerError:
		status := cmp.Or(r.Status, http.StatusServiceUnavailable)
		if r.Code != "" || status == http.StatusInternalServerError {
			fail(status, codeUnexpectedFault, "An unexpected error occurred.")
			return
		}
		writeHTML(w, status, "<h2>"+strconv.Itoa(status)+" "+http.StatusText(status)+"</h2>")
	case FaultError:
		// An empty code is a case of its own, so nothing is filled in.
		s.writeError(w, req, &apiError{Status: cmp.Or(r.Status, http.StatusBadRequest), Code: r.Code, Message: r.Message})
	case FaultPlainError:
		h.Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(cmp.Or(r.Status, http.StatusBadRequest))
		_ = json.NewEncoder(w).Encode(map[string]string{
			"Message": "An error has occurred.", "ExceptionMessage": r.Message, "StackTrace": "", "ErrorCode": r.Code,
		})
	case FaultUnauthorized:
		h.Set("WWW-Authenticate", "Bearer authorization_uri=https://"+r.host()+"/common/oauth2/authorize, resource_id=https://"+req.Host+"/")
		fail(http.StatusUnauthorized, "", "The access token is missing or has expired.")
	case FaultHTMLPage:
		writeHTML(w, cmp.Or(r.Status, http.StatusOK), "<form action=\"https://"+r.host()+"/login\"><input name=\"login\"></form>")
	case FaultLoginRedirect:
		h.Set("Location", "https://"+r.host()+"/common/oauth2/authorize?redirect_uri="+url.QueryEscape("https://"+req.Host+"/"))
		writeHTML(w, http.StatusFound, "<h2>Object moved</h2>")
	case FaultExpiredToken:
		fail(http.StatusBadRequest, "0x80044352", "Version stamp associated with the client has expired. Please perform a full sync.")
	}
}

// host is where sign-in pages and foreign links point to.
func (r *Rule) host() string {
	if r.Kind == FaultForeignLink {
		return cmp.Or(r.Host, "crm.fabrikam.com")
	}
	return cmp.Or(r.Host, "login.contoso.com")
}

func writeHTML(w http.ResponseWriter, status int, content string) {
	h := w.Header()
	h.Del("OData-Version")
	h.Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte("<!DOCTYPE html>\r\n<html><head><title>Sign in</title></head>\r\n<body>" + content + "</body></html>\r\n"))
}

// spoilLinks redirects or removes the paging and delta links of a JSON answer;
// false when it has none. Members of the answer may change their order.
func spoilLinks(body []byte, rule Rule) (spoiled []byte, found bool) {
	var page map[string]json.RawMessage
	if json.Unmarshal(body, &page) != nil {
		return body, false
	}
	for _, name := range []string{"@odata.nextLink", "@odata.deltaLink"} {
		raw, ok := page[name]
		if !ok {
			continue
		}
		found = true
		if rule.Kind == FaultMissingLink {
			delete(page, name)
			continue
		}
		var link string
		if json.Unmarshal(raw, &link) != nil {
			return body, false
		}
		u, err := url.Parse(link)
		if err != nil {
			return body, false
		}
		u.Host = rule.host()
		moved, err := json.Marshal(u.String())
		if err != nil {
			return body, false
		}
		page[name] = moved
	}
	if !found {
		return body, false
	}
	spoiled, err := json.Marshal(page)
	if err != nil {
		return body, false
	}
	return spoiled, true
}

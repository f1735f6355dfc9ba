package sim

import (
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// endpointAccessTypes are the members of the enumeration that
// RetrieveCurrentOrganization takes. Source: Web API reference, EndpointAccessType.
var endpointAccessTypes = map[string]bool{"Default": true, "Internet": true, "Intranet": true}

// checkCall refuses a call of a function whose path holds anything but its name and
// its parameters: none, or access, which wants AccessType as a literal or an alias.
func checkCall(rest, name string, access bool, ps params) *apiError {
	if text, err := url.PathUnescape(rest); err == nil {
		rest = text
	}
	args, given := strings.CutPrefix(rest, name)
	if !given || !access && args != "" && args != "()" {
		return notFoundSegment(rest)
	}
	if !access {
		return nil
	}
	value, ok := strings.CutPrefix(args, "(AccessType=")
	value, closed := strings.CutSuffix(value, ")")
	if !ok || !closed {
		return notFoundSegment(rest)
	}
	if strings.HasPrefix(value, "@") {
		if value, ok = ps.get(value); !ok {
			return querySyntax()
		}
	}
	member := strings.TrimPrefix(value, "Microsoft.Dynamics.CRM.EndpointAccessType")
	if len(member) < 2 || member[0] != '\'' || member[len(member)-1] != '\'' || !endpointAccessTypes[member[1:len(member)-1]] {
		return invalidRequest("The value '%s' is not of the type Microsoft.Dynamics.CRM.EndpointAccessType.", shorten(value))
	}
	return nil
}

// refuseOptions refuses system query options where none is taken; other parameters
// are the caller's own.
func refuseOptions(ps params) *apiError {
	for _, p := range ps {
		if p.bad {
			return querySyntax()
		}
		if strings.HasPrefix(p.name, "$") {
			return checkOption(p.name, map[string]bool{}, nil)
		}
	}
	return nil
}

// function answers a function of the server with fn.
func (s *Server) function(w http.ResponseWriter, r *http.Request, rest, name string, fn func(http.ResponseWriter, *http.Request) *apiError) *apiError {
	if r.Method != http.MethodGet {
		return methodNotAllowed(r)
	}
	ps := parseParams(r.URL.RawQuery)
	if e := refuseOptions(ps); e != nil {
		return e
	}
	if e := checkCall(rest, name, name == "RetrieveCurrentOrganization", ps); e != nil {
		return e
	}
	return fn(w, r)
}

// checkAccept refuses a caller that takes none of the forms the server has: JSON,
// with odata.metadata minimal or none (which is answered minimal). Counts are
// text. The status and text are those of the OData library that the server uses.
func checkAccept(r *http.Request) *apiError {
	accept := strings.Join(r.Header.Values("Accept"), ",")
	if accept == "" || accept == "application/json" { // nearly every request
		return nil
	}
	full := false
	for item := range strings.SplitSeq(accept, ",") {
		if strings.TrimSpace(item) == "" {
			continue
		}
		kind, args, err := mime.ParseMediaType(item)
		switch {
		case err != nil, kind == "*/*", kind == "application/*", kind == "text/*", kind == "text/plain":
			return nil
		case kind == "application/json" && !strings.EqualFold(args["odata.metadata"], "full"):
			return nil
		case kind == "application/json":
			full = true
		}
	}
	switch {
	case full:
		return notSimulated("answers with odata.metadata=full.")
	case strings.TrimSpace(accept) == "":
		return nil
	}
	return &apiError{
		Status: http.StatusUnsupportedMediaType, Code: codeInvalidRequest,
		Message: "A supported MIME type could not be found that matches the acceptable MIME types for the request. " +
			"The supported type(s) 'application/json;odata.metadata=minimal' do not match any of the acceptable MIME types '" + shorten(accept) + "'.",
	}
}

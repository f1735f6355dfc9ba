package sim

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"cebridge/schema"
)

// serveMetadata answers $metadata and everything below EntityDefinitions. rest is
// the path below the API root, percent-encoded or not. The changes that are
// simulated are those of changeDefinition.
//
// Shapes: developer guide, query table definitions using the Web API, and service
// documents. What the guide leaves open is an assumption: the text of errors, the
// codes, and that the properties left out here are not asked for.
func (s *Server) serveMetadata(w http.ResponseWriter, r *http.Request, rest string) {
	if decoded, err := url.PathUnescape(rest); err == nil {
		rest = decoded
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		if e := s.changeDefinition(w, r, rest); e != nil {
			s.writeError(w, r, e)
		}
		return
	}
	if rest == "$metadata" {
		s.serveCSDL(w, r)
		return
	}
	body, e := s.metadataAnswer(r, rest)
	if e != nil {
		s.writeError(w, r, e)
		return
	}
	writeMetadata(w, body)
}

func (s *Server) metadataAnswer(r *http.Request, rest string) (metaObject, *apiError) {
	q, e := parseMetaQuery(r.URL.RawQuery)
	if e != nil {
		return nil, e
	}
	segments, e := parseMetaPath(rest)
	if e != nil {
		return nil, e
	}
	m := s.metaRequest(r)
	if segments[0].name != "EntityDefinitions" {
		return nil, segmentNotFound(segments[0].name)
	}
	if segments[0].key == nil {
		if len(segments) > 1 {
			return nil, segmentNotFound(segments[1].name)
		}
		return m.collection(m.definitions(), "EntityDefinitions", q)
	}
	t, e := m.table(segments[0].key)
	if e != nil {
		return nil, e
	}
	return m.below(t, segments, q)
}

// metaRequest prepares the answer to one request.
func (s *Server) metaRequest(r *http.Request) metaRequest {
	return metaRequest{root: s.apiRoot(r), tables: s.catalog(), guarded: s.guarded, job: func(table, key string) metaObject {
		id, ok := s.jobs.id(table, key)
		if !ok {
			return nil
		}
		return metaObject{{name: "asyncoperationid", value: metaGUID(id.String())}}
	}}
}

// metaSegment is one part of a path, name(key).
type metaSegment struct {
	name string
	key  *metaKey
}

// metaKey addresses a definition by MetadataId or by LogicalName (SchemaName for
// relationships).
type metaKey struct {
	id   metaGUID
	name string
}

// is tells whether the key addresses the thing with that id and name.
func (k *metaKey) is(id metaGUID, name string) bool {
	if k.id != "" {
		return k.id == id
	}
	return k.name == name
}

func (k *metaKey) String() string { return string(k.id) + k.name }

var metaSegmentText = regexp.MustCompile(`^([A-Za-z.$]+)(?:\((?:MetadataId=)?([0-9a-fA-F-]{36})\)|\((?:LogicalName|SchemaName)='([^']*)'\))?$`)

func parseMetaPath(rest string) ([]metaSegment, *apiError) {
	var segments []metaSegment
	for part := range strings.SplitSeq(strings.TrimSuffix(rest, "/"), "/") {
		m := metaSegmentText.FindStringSubmatch(part)
		if m == nil {
			return nil, invalidRequest("Bad Request - Error in query syntax.")
		}
		seg := metaSegment{name: m[1]}
		switch {
		case schema.IsGUID(m[2]):
			seg.key = &metaKey{id: metaGUID(strings.ToLower(m[2]))}
		case m[3] != "":
			seg.key = &metaKey{name: m[3]}
		case strings.Contains(part, "("):
			return nil, invalidRequest("Bad Request - Error in query syntax.")
		}
		segments = append(segments, seg)
		if len(segments) > maxMetaDepth {
			return nil, invalidRequest("Bad Request - Error in query syntax.")
		}
	}
	return segments, nil
}

func segmentNotFound(name string) *apiError {
	return &apiError{Status: http.StatusNotFound, Code: codeInvalidRequest, Message: "Resource not found for the segment '" + name + "'."}
}

func definitionNotFound(what string, k *metaKey) *apiError {
	return &apiError{Status: http.StatusNotFound, Code: codeNotFound, Message: "Could not find " + what + " with name or id " + k.String() + "."}
}

// writeMetadata sends a JSON answer.
func writeMetadata(w http.ResponseWriter, body metaObject) {
	raw, err := body.MarshalJSON()
	if err != nil {
		// Only unsupported Go values fail to encode, which no definition holds.
		http.Error(w, "metadata cannot be encoded", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", jsonContentType)
	h.Set("OData-Version", "4.0")
	_, _ = w.Write(raw)
}

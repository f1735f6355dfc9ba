package bridge

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"

	"cebridge/bridge/internal/yamltree"
)

// maxDataSchema bounds the file of a schema: documents of a whole system's events are
// larger than samples.
const maxDataSchema = 1 << 20

// dataSchema reads the JSON Schema of a route's events: the JSON itself, or the name of a
// file with it, from the directory of the configuration. What follows a # in the name
// is the part of the document that is meant.
func (r *reader) dataSchema(m *yamltree.Map) (data []byte, part string) {
	text := strings.TrimSpace(m.String("schema", ""))
	if text == "" {
		return nil, ""
	}
	data = []byte(text)
	if text[0] != '{' {
		path, fragment, _ := strings.Cut(text, "#")
		if part = fragment; part != "" && !strings.HasPrefix(part, "/") {
			m.Note("schema", "what follows # is a path such as #/components/schemas/customer")
			return nil, ""
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(r.doc.File), path)
		}
		var err error
		if data, err = readSmallFile(path, maxDataSchema); err != nil {
			m.Note("schema", "the schema of the events: %v", err)
			return nil, ""
		}
		data = bytes.TrimPrefix(bytes.TrimSpace(data), []byte("\xef\xbb\xbf"))
	}
	var any json.RawMessage
	if syntax := (*json.SyntaxError)(nil); errors.As(json.Unmarshal(data, &any), &syntax) {
		m.Note("schema", "the schema of the events is not JSON: byte %d: %v", syntax.Offset, syntax)
		return nil, ""
	}
	return data, part
}

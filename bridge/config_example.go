package bridge

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"

	"cebridge/bridge/internal/yamltree"
	"cebridge/inbound"
)

// example reads a route's sample of an event: written out as a mapping, or as JSON, or the
// name of a file with that, from the directory of the configuration. Of a CloudEvent only
// the data count.
func (r *reader) example(m *yamltree.Map, format inbound.Format) []byte {
	var data []byte
	var text string
	if m.IsMap("example") {
		data = m.JSON("example")
	} else {
		text = strings.TrimSpace(m.String("example", ""))
		data = []byte(text)
	}
	if len(data) == 0 {
		return nil
	}
	if text != "" && !strings.ContainsAny(text[:1], "{[") {
		path := text
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(r.doc.File), path)
		}
		var err error
		if data, err = readSecretFile(path); err != nil {
			m.Note("example", "the sample of an event: %v", err)
			return nil
		}
		data = bytes.TrimPrefix(bytes.TrimSpace(data), []byte("\xef\xbb\xbf"))
	}
	var event struct {
		SpecVersion string          `json:"specversion"`
		Data        json.RawMessage `json:"data"`
	}
	err := json.Unmarshal(data, &event)
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		m.Note("example", "the sample of an event is not JSON: byte %d: %v", syntax.Offset, syntax)
		return nil
	}
	if err == nil && format == inbound.FormatCloudEvents && event.SpecVersion != "" && event.Data != nil {
		return event.Data
	}
	return data
}

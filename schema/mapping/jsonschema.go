package mapping

import (
	_ "embed"
	"encoding/json"
	"fmt"
)

//go:embed fields.json
var fieldSchemas []byte

// JSONSchema describes the fields of a mapping for editors: definitions for "$defs" of
// a JSON Schema (2020-12), of which #/$defs/mapping/properties has the fields that
// Fields names, #/$defs/codes is what ParseCodes reads and #/$defs/filter what ParseFilter does.
func JSONSchema() (defs map[string]any, err error) {
	if err := json.Unmarshal(fieldSchemas, &defs); err != nil {
		return nil, fmt.Errorf("the schema of mappings: %w", err)
	}
	return defs, nil
}

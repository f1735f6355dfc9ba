package mapping

import (
	"maps"
	"slices"
	"testing"
)

func TestTheSchemaForEditorsHasTheFieldsThatTheParserReads(t *testing.T) {
	defs, err := JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	properties := defs["mapping"].(map[string]any)["properties"].(map[string]any)
	sorted := func(names []string) []string { slices.Sort(names); return names }
	if got, want := slices.Sorted(maps.Keys(properties)), sorted(Fields()); !slices.Equal(got, want) {
		t.Errorf("of a mapping: %v, the parser has %v", got, want)
	}
	write := defs["write"].(map[string]any)["properties"].(map[string]any)
	if got, want := slices.Sorted(maps.Keys(write)), sorted(partFields()); !slices.Equal(got, want) {
		t.Errorf("of a write: %v, the parser has %v", got, want)
	}
	if got := properties["writes"].(map[string]any)["maxItems"]; got != float64(maxParts) {
		t.Errorf("at most %v writes, the parser takes %d", got, maxParts)
	}
}

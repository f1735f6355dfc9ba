package schema

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// JSONSchema describes the data of a table's events, for the published columns,
// as JSON Schema 2020-12. The version is a digest of the document, so that it
// changes exactly when the shape does. id stands as $id when it is not empty;
// it does not count in the version. Protected columns are described as they stand in
// events.
func JSONSchema(t *Table, columns []string, id func(version string) string, protected map[string]Protection) (doc []byte, version string, err error) {
	record := map[string]any{}
	for _, name := range columns {
		c := t.Column(name)
		if c == nil {
			return nil, "", fmt.Errorf("json schema of table %s: no column %s", t.LogicalName, name)
		}
		record[c.ReadName()] = columnSchema(c)
		if p, ok := protected[name]; ok {
			record[c.ReadName()] = p.describe()
		}
	}
	object := func(props map[string]any) map[string]any {
		return map[string]any{"type": "object", "properties": props}
	}
	root := map[string]any{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"title":       t.LogicalName,
		"description": "data of the events of table " + t.LogicalName + "; record is absent on deletes",
		"type":        "object",
		"properties": map[string]any{
			"record":     object(record),
			"previous":   object(record),
			"references": map[string]any{"type": "object"},
		},
	}
	plain, err := json.Marshal(root)
	if err != nil {
		return nil, "", fmt.Errorf("json schema of table %s: %w", t.LogicalName, err)
	}
	sum := sha256.Sum256(plain)
	version = hex.EncodeToString(sum[:6])
	if id == nil {
		return plain, version, nil
	}
	root["$id"] = id(version)
	doc, err = json.MarshalIndent(root, "", "  ")
	return doc, version, err
}

// columnSchema describes one column as it stands in data.record. Every column
// may be null: a column that was never filled reads as null.
func columnSchema(c *Column) map[string]any {
	s := map[string]any{}
	nullable := func(t string) { s["type"] = []string{t, "null"} }
	switch c.Type {
	case TypeString, TypeMemo, TypeMultiSelect, TypeImage, TypeEntityName, TypeVirtual:
		nullable("string")
		if c.MaxLength > 0 {
			s["maxLength"] = c.MaxLength
		}
	case TypeInteger, TypeBigInt:
		nullable("integer")
		if c.Min != nil {
			s["minimum"] = *c.Min
		}
		if c.Max != nil {
			s["maximum"] = *c.Max
		}
	case TypePicklist, TypeState, TypeStatus:
		nullable("integer")
		oneOf := []map[string]any{{"type": "null"}}
		for _, o := range c.Options {
			oneOf = append(oneOf, map[string]any{"const": o.Value, "title": o.Label})
		}
		if len(c.Options) > 0 {
			s["oneOf"] = oneOf
		}
	case TypeDecimal, TypeDouble, TypeMoney:
		nullable("number")
	case TypeBoolean:
		nullable("boolean")
	case TypeDateTime:
		nullable("string")
		s["format"] = "date-time"
		if c.Behavior == BehaviorDateOnly {
			s["format"] = "date"
		}
	case TypePartyList:
		nullable("array")
	default:
		nullable("string")
		s["format"] = "uuid"
		if len(c.Targets) > 0 {
			s["description"] = "references one of the tables " + fmt.Sprint(c.Targets)
		}
	}
	return s
}

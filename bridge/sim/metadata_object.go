package sim

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/google/uuid"
)

// metaMember is one property of a metadata object.
type metaMember struct {
	name  string
	value any
	// derived marks a property that only a derived type declares: it can be
	// selected and filtered on after a cast, not before.
	derived bool
}

// metaObject is a JSON object whose members keep their order.
type metaObject []metaMember

// MarshalJSON implements json.Marshaler.
func (o metaObject) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		writeJSONText(&b, m.name)
		b.WriteByte(':')
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(m.value); err != nil {
			return nil, err
		}
		b.Truncate(b.Len() - 1)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// add appends a property of the base type.
func (o *metaObject) add(name string, value any) {
	*o = append(*o, metaMember{name: name, value: value})
}

// addDerived appends a property of a derived type.
func (o *metaObject) addDerived(name string, value any) {
	*o = append(*o, metaMember{name: name, value: value, derived: true})
}

// change replaces a property's value.
func (o metaObject) change(name string, value any) {
	for i := range o {
		if o[i].name == name {
			o[i].value = value
		}
	}
}

// get returns a property's value.
func (o metaObject) get(name string) (any, bool) {
	for _, m := range o {
		if m.name == name {
			return m.value, true
		}
	}
	return nil, false
}

// metaEnum is a value of an enumeration: text in JSON, a typed literal in $filter.
type metaEnum struct{ typ, value string }

// MarshalJSON implements json.Marshaler.
func (e metaEnum) MarshalJSON() ([]byte, error) { return json.Marshal(e.value) }

// metaGUID is a GUID: text in JSON, a bare literal in $filter.
type metaGUID string

// metadataID derives the MetadataId of a named thing, the same in every run.
func metadataID(parts ...string) metaGUID {
	return metaGUID(uuid.NewSHA1(uuid.NameSpaceOID, []byte(strings.Join(parts, "/"))).String())
}

// metaLabel is a Label with one text in English (1033).
func metaLabel(text string, id metaGUID) metaObject {
	l := metaObject{
		{name: "Label", value: text}, {name: "LanguageCode", value: 1033}, {name: "IsManaged", value: true},
		{name: "MetadataId", value: id}, {name: "HasChanged", value: nil},
	}
	return metaObject{{name: "LocalizedLabels", value: []metaObject{l}}, {name: "UserLocalizedLabel", value: l}}
}

// metaNoLabel is a Label without a text.
func metaNoLabel() metaObject {
	return metaObject{{name: "LocalizedLabels", value: []metaObject{}}, {name: "UserLocalizedLabel", value: nil}}
}

// metaManaged is a BooleanManagedProperty.
func metaManaged(value bool, name string) metaObject {
	return metaObject{{name: "Value", value: value}, {name: "CanBeChanged", value: true}, {name: "ManagedPropertyLogicalName", value: name}}
}

// displayName makes a caption of a schema name: new_ErpNumber becomes Erp Number.
func displayName(schemaName string) string {
	if i := strings.IndexByte(schemaName, '_'); i >= 0 && isCustomName(strings.ToLower(schemaName)) {
		schemaName = schemaName[i+1:]
	}
	var b strings.Builder
	for i, r := range schemaName {
		if i > 0 && r >= 'A' && r <= 'Z' && schemaName[i-1] >= 'a' && schemaName[i-1] <= 'z' {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// isCustomName tells whether a logical name carries a publisher's prefix. The
// composite address columns of standard tables have an underscore too.
func isCustomName(logical string) bool {
	return strings.Contains(logical, "_") && !strings.HasPrefix(logical, "address")
}

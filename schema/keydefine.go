package schema

import (
	"fmt"
	"hash/crc32"
	"regexp"
	"slices"
	"strings"
)

// Limits of an alternate key. Source: developer guide, "Work with alternate keys".
const (
	maxKeyColumns = 16
	maxKeyBytes   = 900
	// maxKeys is what a table can have online; on-premises it is 5, which the
	// server refuses by itself.
	maxKeys = 10
	// maxKeyName is the longest schema name that is given to a key (assumption: the
	// limit of other schema names).
	maxKeyName = 100
)

// keyTypes are the types of columns that a key may have, with the bytes that a value
// takes in the index; texts take two a character. Source: as above.
var keyTypes = map[ColumnType]int{
	TypeString: 0, TypeInteger: 4, TypePicklist: 4, TypeDateTime: 8, TypeDecimal: 13,
	TypeLookup: 16, TypeCustomer: 16, TypeOwner: 16,
}

// KeyUnfit says why those columns of a table cannot be made an alternate key; "" when
// nothing known speaks against it.
func KeyUnfit(t *Table, columns []string) string {
	if len(columns) > maxKeyColumns {
		return fmt.Sprintf("a key has %d columns at most", maxKeyColumns)
	}
	size := 0
	for i, name := range columns {
		col := t.Column(name)
		if col == nil {
			return "table " + t.LogicalName + " has no column " + name
		}
		if slices.Contains(columns[:i], name) {
			return "column " + name + " stands twice"
		}
		bytes, ok := keyTypes[col.Type]
		if !ok {
			return "column " + name + " is of type " + string(col.Type) + ", which cannot be part of a key"
		}
		if col.Type == TypeString {
			bytes = 2 * col.MaxLength
		}
		size += bytes
	}
	if size > maxKeyBytes {
		return fmt.Sprintf("its values can take %d bytes, and a key has %d at most: use shorter columns", size, maxKeyBytes)
	}
	if len(t.Keys) >= maxKeys {
		return fmt.Sprintf("table %s has %d alternate keys, which is the most a table can have", t.LogicalName, len(t.Keys))
	}
	return ""
}

// publisherPrefix is the form of a publisher's customization prefix. Source:
// developer guide, "Publisher table reference", column customizationprefix.
var publisherPrefix = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{1,7}$`)

// ValidPublisherPrefix tells whether s can begin the names of customizations.
func ValidPublisherPrefix(s string) bool {
	return publisherPrefix.MatchString(s) && !strings.HasPrefix(strings.ToLower(s), "mscrm")
}

// KeyName is the schema name of a key that the bridge defines: the publisher's
// prefix, cebridge, and the columns, without their own prefix where it is the same.
// The same columns in another order have the same name; a name that would be too
// long ends with a checksum.
func KeyName(prefix string, columns []string) string {
	parts := slices.Sorted(slices.Values(columns))
	for i, c := range parts {
		parts[i] = strings.TrimPrefix(c, prefix+"_")
	}
	name := prefix + "_cebridge_" + strings.Join(parts, "_")
	if len(name) > maxKeyName {
		sum := fmt.Sprintf("_%08x", crc32.ChecksumIEEE([]byte(name)))
		name = name[:maxKeyName-len(sum)] + sum
	}
	return name
}

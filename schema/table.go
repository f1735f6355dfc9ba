package schema

import "slices"

// Ownership says who may own the records of a table.
type Ownership string

// The ownership types of EntityMetadata.OwnershipType.
const (
	UserOwned         Ownership = "UserOwned"
	OrganizationOwned Ownership = "OrganizationOwned"
	BusinessOwned     Ownership = "BusinessOwned"
	NotOwned          Ownership = "None"
)

// Table is what the bridge knows of one table's metadata.
// The json and yaml names are the format of schema snapshots.
type Table struct {
	LogicalName           string         `json:"logicalName" yaml:"logicalName"`
	SchemaName            string         `json:"schemaName" yaml:"schemaName"`
	EntitySet             string         `json:"entitySet" yaml:"entitySet"`
	PrimaryID             string         `json:"primaryId" yaml:"primaryId"`
	PrimaryName           string         `json:"primaryName,omitempty" yaml:"primaryName,omitempty"`
	Ownership             Ownership      `json:"ownership,omitempty" yaml:"ownership,omitempty"`
	ChangeTracking        bool           `json:"changeTracking,omitempty" yaml:"changeTracking,omitempty"`
	OptimisticConcurrency bool           `json:"optimisticConcurrency,omitempty" yaml:"optimisticConcurrency,omitempty"`
	Columns               []Column       `json:"columns" yaml:"columns"`
	Keys                  []AlternateKey `json:"keys,omitempty" yaml:"keys,omitempty"`
	Navigations           []Navigation   `json:"navigations,omitempty" yaml:"navigations,omitempty"`
}

// ColumnType is the AttributeType of a column as the Web API spells it. The
// three types that the Web API reports as Virtual with an AttributeTypeName
// (multi-select choice, image, file) have names of their own here.
type ColumnType string

// The column types.
const (
	TypeBigInt      ColumnType = "BigInt"
	TypeBoolean     ColumnType = "Boolean"
	TypeCustomer    ColumnType = "Customer"
	TypeDateTime    ColumnType = "DateTime"
	TypeDecimal     ColumnType = "Decimal"
	TypeDouble      ColumnType = "Double"
	TypeEntityName  ColumnType = "EntityName"
	TypeFile        ColumnType = "File"
	TypeImage       ColumnType = "Image"
	TypeInteger     ColumnType = "Integer"
	TypeLookup      ColumnType = "Lookup"
	TypeMemo        ColumnType = "Memo"
	TypeMoney       ColumnType = "Money"
	TypeMultiSelect ColumnType = "MultiSelectPicklist"
	TypeOwner       ColumnType = "Owner"
	TypePartyList   ColumnType = "PartyList"
	TypePicklist    ColumnType = "Picklist"
	TypeState       ColumnType = "State"
	TypeStatus      ColumnType = "Status"
	TypeString      ColumnType = "String"
	TypeUniqueID    ColumnType = "Uniqueidentifier"
	TypeVirtual     ColumnType = "Virtual"
)

// The values of DateTimeBehavior.
const (
	BehaviorUserLocal           = "UserLocal"
	BehaviorDateOnly            = "DateOnly"
	BehaviorTimeZoneIndependent = "TimeZoneIndependent"
)

// Option is one value of a choice, state, status or two-option column.
type Option struct {
	Value int64  `json:"value" yaml:"value"`
	Label string `json:"label" yaml:"label"`
	// State is the state a status value belongs to; -1 or absent elsewhere.
	State *int64 `json:"state,omitempty" yaml:"state,omitempty"`
	// DefaultStatus is the status a state value implies when none is written.
	DefaultStatus *int64 `json:"defaultStatus,omitempty" yaml:"defaultStatus,omitempty"`
}

// Column is one column of a table. Limits that do not apply to its type are zero.
type Column struct {
	LogicalName string     `json:"logicalName" yaml:"logicalName"`
	SchemaName  string     `json:"schemaName,omitempty" yaml:"schemaName,omitempty"`
	Type        ColumnType `json:"type" yaml:"type"`
	// MaxLength is in characters (String, Memo).
	MaxLength int `json:"maxLength,omitempty" yaml:"maxLength,omitempty"`
	// Min and Max bound numbers; nil means the type's own range.
	Min *float64 `json:"min,omitempty" yaml:"min,omitempty"`
	Max *float64 `json:"max,omitempty" yaml:"max,omitempty"`
	// Precision is the number of decimals (Decimal, Money, Double).
	Precision int `json:"precision,omitempty" yaml:"precision,omitempty"`
	// Behavior is one of the Behavior constants (DateTime).
	Behavior string   `json:"behavior,omitempty" yaml:"behavior,omitempty"`
	Options  []Option `json:"options,omitempty" yaml:"options,omitempty"`
	// Targets are the logical names a lookup may point at.
	Targets []string `json:"targets,omitempty" yaml:"targets,omitempty"`
	// ReadOnly means valid neither for create nor for update (computed, system).
	ReadOnly bool `json:"readOnly,omitempty" yaml:"readOnly,omitempty"`
	// CreateOnly means valid for create only.
	CreateOnly bool `json:"createOnly,omitempty" yaml:"createOnly,omitempty"`
	// UpdateOnly means valid for update only.
	UpdateOnly bool `json:"updateOnly,omitempty" yaml:"updateOnly,omitempty"`
	// Required means that null is refused (RequiredLevel SystemRequired).
	Required bool `json:"required,omitempty" yaml:"required,omitempty"`
}

// IsLookup tells whether the column holds a reference, read as _name_value and
// written through a navigation property.
func (c *Column) IsLookup() bool {
	return c.Type == TypeLookup || c.Type == TypeCustomer || c.Type == TypeOwner
}

// ReadName is the name under which the Web API returns and selects the column.
func (c *Column) ReadName() string {
	if c.IsLookup() {
		return "_" + c.LogicalName + "_value"
	}
	return c.LogicalName
}

// KeyStatus is the state of an alternate key's index.
type KeyStatus string

// The values of EntityKeyIndexStatus. Only an Active key can address records.
const (
	KeyPending    KeyStatus = "Pending"
	KeyInProgress KeyStatus = "InProgress"
	KeyActive     KeyStatus = "Active"
	KeyFailed     KeyStatus = "Failed"
)

// AlternateKey is a set of columns that together address one record.
type AlternateKey struct {
	LogicalName string    `json:"logicalName" yaml:"logicalName"`
	SchemaName  string    `json:"schemaName,omitempty" yaml:"schemaName,omitempty"`
	Columns     []string  `json:"columns" yaml:"columns"`
	Status      KeyStatus `json:"status,omitempty" yaml:"status,omitempty"`
}

// Navigation is the single-valued navigation property through which a lookup
// column is bound to one of its targets. Name is case-sensitive.
type Navigation struct {
	Column string `json:"column" yaml:"column"`
	Target string `json:"target" yaml:"target"`
	Name   string `json:"name" yaml:"name"`
	// Relationship is the schema name of the many-to-one relationship.
	Relationship string `json:"relationship,omitempty" yaml:"relationship,omitempty"`
}

// Column returns the column with that logical name, or nil.
func (t *Table) Column(logicalName string) *Column {
	for i := range t.Columns {
		if t.Columns[i].LogicalName == logicalName {
			return &t.Columns[i]
		}
	}
	return nil
}

// Navigation returns the navigation property that binds column to target, or nil.
func (t *Table) Navigation(column, target string) *Navigation {
	for i := range t.Navigations {
		if n := &t.Navigations[i]; n.Column == column && n.Target == target {
			return n
		}
	}
	return nil
}

// Key returns the alternate key made of exactly those columns, in any order, or nil.
func (t *Table) Key(columns []string) *AlternateKey {
	want := slices.Sorted(slices.Values(columns))
	for i := range t.Keys {
		if slices.Equal(want, slices.Sorted(slices.Values(t.Keys[i].Columns))) {
			return &t.Keys[i]
		}
	}
	return nil
}

// KeyColumns returns the columns that belong to any alternate key, each once.
func (t *Table) KeyColumns() []string {
	var names []string
	for _, k := range t.Keys {
		for _, c := range k.Columns {
			if !slices.Contains(names, c) {
				names = append(names, c)
			}
		}
	}
	return names
}

// Catalog finds tables by logical name. It is read-only once built.
type Catalog map[string]*Table

// NewCatalog indexes tables by logical name.
func NewCatalog(tables ...*Table) Catalog {
	c := make(Catalog, len(tables))
	for _, t := range tables {
		c[t.LogicalName] = t
	}
	return c
}

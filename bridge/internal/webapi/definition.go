package webapi

import (
	"errors"
	"strings"

	"cebridge/schema"
)

// tableQuery asks for a table with everything that needs no cast.
// Source: "Query table definitions using the Web API".
const tableQuery = "?$select=LogicalName,SchemaName,EntitySetName,PrimaryIdAttribute,PrimaryNameAttribute," +
	"OwnershipType,ChangeTrackingEnabled,IsOptimisticConcurrencyEnabled" +
	"&$expand=Attributes($select=LogicalName,SchemaName,AttributeOf,AttributeType,AttributeTypeName,IsValidForCreate,IsValidForUpdate,RequiredLevel)," +
	"Keys($select=LogicalName,SchemaName,KeyAttributes,EntityKeyIndexStatus)," +
	"ManyToOneRelationships($select=SchemaName,ReferencingAttribute,ReferencedEntity,ReferencingEntityNavigationPropertyName)"

// ownerTable is the abstract table that relationships of owner columns name;
// records are bound to its two kinds, users and teams.
const ownerTable = "owner"

// casts are the derived column types with facts of their own.
var casts = []struct {
	name, query string
	types       []schema.ColumnType
}{
	{"StringAttributeMetadata", "?$select=LogicalName,MaxLength", []schema.ColumnType{schema.TypeString}},
	{"MemoAttributeMetadata", "?$select=LogicalName,MaxLength", []schema.ColumnType{schema.TypeMemo}},
	{"IntegerAttributeMetadata", "?$select=LogicalName,MinValue,MaxValue", []schema.ColumnType{schema.TypeInteger}},
	{"DecimalAttributeMetadata", "?$select=LogicalName,MinValue,MaxValue,Precision", []schema.ColumnType{schema.TypeDecimal}},
	{"DoubleAttributeMetadata", "?$select=LogicalName,MinValue,MaxValue,Precision", []schema.ColumnType{schema.TypeDouble}},
	{"MoneyAttributeMetadata", "?$select=LogicalName,MinValue,MaxValue,Precision", []schema.ColumnType{schema.TypeMoney}},
	{"DateTimeAttributeMetadata", "?$select=LogicalName,DateTimeBehavior", []schema.ColumnType{schema.TypeDateTime}},
	{"LookupAttributeMetadata", "?$select=LogicalName,Targets",
		[]schema.ColumnType{schema.TypeLookup, schema.TypeCustomer, schema.TypeOwner, schema.TypePartyList}},
	{"BooleanAttributeMetadata", "?$select=LogicalName&$expand=OptionSet", []schema.ColumnType{schema.TypeBoolean}},
	{"PicklistAttributeMetadata", "?$select=LogicalName&$expand=OptionSet,GlobalOptionSet", []schema.ColumnType{schema.TypePicklist}},
	{"MultiSelectPicklistAttributeMetadata", "?$select=LogicalName&$expand=OptionSet,GlobalOptionSet", []schema.ColumnType{schema.TypeMultiSelect}},
	{"StateAttributeMetadata", "?$select=LogicalName&$expand=OptionSet", []schema.ColumnType{schema.TypeState}},
	{"StatusAttributeMetadata", "?$select=LogicalName&$expand=OptionSet", []schema.ColumnType{schema.TypeStatus}},
}

// tableDefinition is the part of EntityMetadata that the bridge needs.
type tableDefinition struct {
	LogicalName, SchemaName, EntitySetName string
	PrimaryIDAttribute                     string `json:"PrimaryIdAttribute"`
	PrimaryNameAttribute                   string
	OwnershipType                          string
	ChangeTrackingEnabled                  bool
	IsOptimisticConcurrencyEnabled         bool
	Attributes                             []columnDefinition
	Keys                                   []keyDefinition
	ManyToOneRelationships                 []relationshipDefinition
}

type keyDefinition struct {
	LogicalName, SchemaName string
	KeyAttributes           []string
	EntityKeyIndexStatus    string
}

type relationshipDefinition struct {
	SchemaName                              string
	ReferencingAttribute                    string
	ReferencedEntity                        string
	ReferencingEntityNavigationPropertyName string
}

// columnDefinition is the part of AttributeMetadata and of its derived types
// that the bridge needs.
type columnDefinition struct {
	LogicalName, SchemaName            string
	AttributeOf                        string
	AttributeType                      string
	AttributeTypeName                  struct{ Value string }
	IsValidForCreate, IsValidForUpdate bool
	RequiredLevel                      struct{ Value string }

	MaxLength          int
	MinValue, MaxValue *float64
	Precision          int
	DateTimeBehavior   struct{ Value string }
	Targets            []string
	OptionSet          *optionSet
	GlobalOptionSet    *optionSet
}

type optionSet struct {
	Options                 []option
	FalseOption, TrueOption *option
}

type option struct {
	Value         int64
	Label         label
	State         *int64
	DefaultStatus *int64
}

type label struct {
	UserLocalizedLabel *struct{ Label string }
	LocalizedLabels    []struct{ Label string }
}

func (l label) text() string {
	if l.UserLocalizedLabel != nil {
		return l.UserLocalizedLabel.Label
	}
	if len(l.LocalizedLabels) > 0 {
		return l.LocalizedLabels[0].Label
	}
	return ""
}

// table converts the definition. Columns that belong to another one (the name
// beside a lookup) are no properties of the Web API and are left out.
func (d *tableDefinition) table() (*schema.Table, error) {
	if d.LogicalName == "" || d.PrimaryIDAttribute == "" || len(d.Attributes) == 0 {
		return nil, errors.New("no name, primary id or columns")
	}
	t := &schema.Table{
		LogicalName: d.LogicalName, SchemaName: d.SchemaName, EntitySet: d.EntitySetName,
		PrimaryID: d.PrimaryIDAttribute, PrimaryName: d.PrimaryNameAttribute,
		Ownership:      schema.Ownership(d.OwnershipType),
		ChangeTracking: d.ChangeTrackingEnabled, OptimisticConcurrency: d.IsOptimisticConcurrencyEnabled,
	}
	for i := range d.Attributes {
		if a := &d.Attributes[i]; a.AttributeOf == "" {
			t.Columns = append(t.Columns, a.column())
		}
	}
	for _, k := range d.Keys {
		t.Keys = append(t.Keys, schema.AlternateKey{LogicalName: k.LogicalName, SchemaName: k.SchemaName,
			Columns: k.KeyAttributes, Status: schema.KeyStatus(k.EntityKeyIndexStatus)})
	}
	for _, r := range d.ManyToOneRelationships {
		if r.ReferencingEntityNavigationPropertyName != "" {
			t.Navigations = append(t.Navigations, schema.Navigation{Column: r.ReferencingAttribute, Target: r.ReferencedEntity,
				Name: r.ReferencingEntityNavigationPropertyName, Relationship: r.SchemaName})
		}
	}
	return t, nil
}

func (d *columnDefinition) column() schema.Column {
	return schema.Column{
		LogicalName: d.LogicalName, SchemaName: d.SchemaName, Type: d.columnType(),
		ReadOnly:   !d.IsValidForCreate && !d.IsValidForUpdate,
		CreateOnly: d.IsValidForCreate && !d.IsValidForUpdate,
		UpdateOnly: !d.IsValidForCreate && d.IsValidForUpdate,
		Required:   d.RequiredLevel.Value == "SystemRequired",
	}
}

// columnType tells the three types apart that the API reports as Virtual.
func (d *columnDefinition) columnType() schema.ColumnType {
	if d.AttributeType == string(schema.TypeVirtual) {
		switch t := schema.ColumnType(strings.TrimSuffix(d.AttributeTypeName.Value, "Type")); t {
		case schema.TypeMultiSelect, schema.TypeImage, schema.TypeFile:
			return t
		}
	}
	return schema.ColumnType(d.AttributeType)
}

// addFacts adds what a cast told.
func (d *columnDefinition) addFacts(col *schema.Column) {
	col.MaxLength, col.Min, col.Max = d.MaxLength, d.MinValue, d.MaxValue
	col.Precision, col.Behavior, col.Targets = d.Precision, d.DateTimeBehavior.Value, d.Targets
	set := d.OptionSet
	if set == nil || len(set.Options) == 0 && set.TrueOption == nil {
		set = d.GlobalOptionSet
	}
	if set == nil {
		return
	}
	options := set.Options
	if set.FalseOption != nil && set.TrueOption != nil {
		options = []option{*set.FalseOption, *set.TrueOption}
	}
	for _, o := range options {
		col.Options = append(col.Options, schema.Option{Value: o.Value, Label: o.Label.text(), State: o.State, DefaultStatus: o.DefaultStatus})
	}
}

// ownerNavigations replaces the navigation to the abstract owner by one to each
// target of the column: ownerid@odata.bind takes users and teams alike.
func ownerNavigations(t *schema.Table) []schema.Navigation {
	var out []schema.Navigation
	for _, n := range t.Navigations {
		col := t.Column(n.Column)
		if n.Target != ownerTable || col == nil || col.Type != schema.TypeOwner {
			out = append(out, n)
			continue
		}
		for _, target := range col.Targets {
			each := n
			each.Target = target
			out = append(out, each)
		}
	}
	return out
}

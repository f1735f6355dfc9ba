package sim

import "cebridge/schema"

// columnFact is what the metadata service says of one column type.
type columnFact struct {
	edm      string // type of the property in $metadata
	cast     string // name of the derived type, without the namespace
	typeCode string // AttributeType
	typeName string // AttributeTypeName.Value
	text     bool   // has a maximum length
	choice   bool   // has an option set of its own
	key      bool   // may be part of an alternate key
}

// columnFacts is read-only. Multi-select choices, images and files are Virtual
// with a type name of their own (assumption). Key types: developer guide, define
// alternate keys; state and status are not among them.
var columnFacts = map[schema.ColumnType]columnFact{
	schema.TypeBigInt:      {"Edm.Int64", "BigIntAttributeMetadata", "BigInt", "BigIntType", false, false, false},
	schema.TypeBoolean:     {"Edm.Boolean", "BooleanAttributeMetadata", "Boolean", "BooleanType", false, false, false},
	schema.TypeCustomer:    {"Edm.Guid", "LookupAttributeMetadata", "Customer", "CustomerType", false, false, true},
	schema.TypeDateTime:    {"Edm.DateTimeOffset", "DateTimeAttributeMetadata", "DateTime", "DateTimeType", false, false, true},
	schema.TypeDecimal:     {"Edm.Decimal", "DecimalAttributeMetadata", "Decimal", "DecimalType", false, false, true},
	schema.TypeDouble:      {"Edm.Double", "DoubleAttributeMetadata", "Double", "DoubleType", false, false, false},
	schema.TypeEntityName:  {"Edm.String", "EntityNameAttributeMetadata", "EntityName", "EntityNameType", false, false, false},
	schema.TypeFile:        {"Edm.Guid", "FileAttributeMetadata", "Virtual", "FileType", false, false, false},
	schema.TypeImage:       {"Edm.Binary", "ImageAttributeMetadata", "Virtual", "ImageType", false, false, false},
	schema.TypeInteger:     {"Edm.Int32", "IntegerAttributeMetadata", "Integer", "IntegerType", false, false, true},
	schema.TypeLookup:      {"Edm.Guid", "LookupAttributeMetadata", "Lookup", "LookupType", false, false, true},
	schema.TypeMemo:        {"Edm.String", "MemoAttributeMetadata", "Memo", "MemoType", true, false, false},
	schema.TypeMoney:       {"Edm.Decimal", "MoneyAttributeMetadata", "Money", "MoneyType", false, false, false},
	schema.TypeMultiSelect: {"Edm.String", "MultiSelectPicklistAttributeMetadata", "Virtual", "MultiSelectPicklistType", false, true, false},
	schema.TypeOwner:       {"Edm.Guid", "LookupAttributeMetadata", "Owner", "OwnerType", false, false, true},
	schema.TypePartyList:   {"", "LookupAttributeMetadata", "PartyList", "PartyListType", false, false, false},
	schema.TypePicklist:    {"Edm.Int32", "PicklistAttributeMetadata", "Picklist", "PicklistType", false, true, true},
	schema.TypeState:       {"Edm.Int32", "StateAttributeMetadata", "State", "StateType", false, true, false},
	schema.TypeStatus:      {"Edm.Int32", "StatusAttributeMetadata", "Status", "StatusType", false, true, false},
	schema.TypeString:      {"Edm.String", "StringAttributeMetadata", "String", "StringType", true, false, true},
	schema.TypeUniqueID:    {"Edm.Guid", "UniqueIdentifierAttributeMetadata", "Uniqueidentifier", "UniqueidentifierType", false, false, false},
	schema.TypeVirtual:     {"Edm.String", "AttributeMetadata", "Virtual", "VirtualType", false, false, false},
}

// castSample names, for each type that the Attributes collection can be cast to,
// a column type that shows its properties.
func castSample(cast string) (schema.ColumnType, bool) {
	if cast == "LookupAttributeMetadata" {
		return schema.TypeLookup, true
	}
	for t, f := range columnFacts {
		if f.cast == cast && cast != "AttributeMetadata" {
			return t, true
		}
	}
	return "", false
}

// edmType is the type of the property that carries the column.
func edmType(c *schema.Column) string {
	if c.Type == schema.TypeDateTime && c.Behavior == schema.BehaviorDateOnly {
		return "Edm.Date"
	}
	return columnFacts[c.Type].edm
}

package sim

import (
	"math"

	"cebridge/schema"
)

// attributeObject is the AttributeMetadata of a column with the properties of
// its derived type. position is the column's place in the table, from 0.
func attributeObject(t *schema.Table, c *schema.Column, position int) metaObject {
	facts := columnFacts[c.Type]
	level := "None"
	if c.Required {
		level = "SystemRequired"
	}
	custom := isCustomName(c.LogicalName)
	var o metaObject
	o.add("AttributeOf", nil)
	o.add("AttributeType", metaEnum{"AttributeTypeCode", facts.typeCode})
	o.add("AttributeTypeName", metaObject{{name: "Value", value: facts.typeName}})
	o.add("ColumnNumber", position+1)
	o.add("Description", metaNoLabel())
	o.add("DisplayName", metaLabel(displayName(c.SchemaName), metadataID("caption", t.LogicalName, c.LogicalName)))
	o.add("DeprecatedVersion", nil)
	o.add("IntroducedVersion", "1.0.0.0")
	o.add("EntityLogicalName", t.LogicalName)
	o.add("IsAuditEnabled", metaManaged(true, "canmodifyauditsettings"))
	o.add("IsCustomAttribute", custom)
	o.add("IsPrimaryId", c.LogicalName == t.PrimaryID)
	o.add("IsPrimaryName", c.LogicalName == t.PrimaryName)
	o.add("IsValidODataAttribute", facts.edm != "")
	o.add("IsValidForCreate", !c.ReadOnly && !c.UpdateOnly)
	o.add("IsValidForRead", !isWriteOnly(t, c))
	o.add("IsValidForUpdate", !c.ReadOnly && !c.CreateOnly)
	o.add("CanBeSecuredForRead", false)
	o.add("CanBeSecuredForCreate", false)
	o.add("CanBeSecuredForUpdate", false)
	o.add("IsSecured", false)
	o.add("IsManaged", !custom)
	o.add("LinkedAttributeId", nil)
	o.add("LogicalName", c.LogicalName)
	o.add("IsCustomizable", metaManaged(true, "iscustomizable"))
	o.add("IsRenameable", metaManaged(true, "isrenameable"))
	o.add("IsValidForAdvancedFind", metaManaged(true, "canmodifysearchsettings"))
	o.add("RequiredLevel", metaObject{
		{name: "Value", value: metaEnum{"AttributeRequiredLevel", level}}, {name: "CanBeChanged", value: !c.Required},
		{name: "ManagedPropertyLogicalName", value: "canmodifyrequirementlevelsettings"},
	})
	o.add("SchemaName", c.SchemaName)
	o.add("ExternalName", nil)
	o.add("IsLogical", false)
	o.add("SourceType", 0)
	o.add("MetadataId", metadataID("column", t.LogicalName, c.LogicalName))
	o.add("HasChanged", nil)
	o.derive(c)
	return o
}

// derive adds what the derived type of the column declares.
func (o *metaObject) derive(c *schema.Column) {
	limits := func(lowest, highest float64) {
		o.addDerived("MaxValue", boundOr(c.Max, highest))
		o.addDerived("MinValue", boundOr(c.Min, lowest))
	}
	switch c.Type {
	case schema.TypeString:
		o.addDerived("Format", metaEnum{"StringFormat", "Text"})
		o.addDerived("FormatName", metaObject{{name: "Value", value: "Text"}})
		o.addDerived("ImeMode", metaEnum{"ImeMode", "Auto"})
		o.addDerived("MaxLength", c.MaxLength)
		o.addDerived("DatabaseLength", 2*c.MaxLength)
		o.addDerived("IsLocalizable", false)
		o.addDerived("YomiOf", nil)
	case schema.TypeMemo:
		o.addDerived("Format", metaEnum{"StringFormat", "TextArea"})
		o.addDerived("ImeMode", metaEnum{"ImeMode", "Auto"})
		o.addDerived("MaxLength", c.MaxLength)
		o.addDerived("IsLocalizable", false)
	case schema.TypeInteger:
		o.addDerived("Format", metaEnum{"IntegerFormat", "None"})
		limits(math.MinInt32, math.MaxInt32)
		o.addDerived("FormulaDefinition", "")
		o.addDerived("SourceTypeMask", 0)
	case schema.TypeBigInt:
		o.addDerived("MaxValue", int64(math.MaxInt64))
		o.addDerived("MinValue", int64(math.MinInt64))
	case schema.TypeDecimal, schema.TypeDouble:
		limits(-100000000000, 100000000000)
		o.addDerived("ImeMode", metaEnum{"ImeMode", "Disabled"})
		o.addDerived("Precision", c.Precision)
	case schema.TypeMoney:
		limits(-922337203685477, 922337203685477)
		o.addDerived("ImeMode", metaEnum{"ImeMode", "Disabled"})
		o.addDerived("Precision", c.Precision)
		o.addDerived("PrecisionSource", 0)
		o.addDerived("CalculationOf", nil)
		o.addDerived("IsBaseCurrency", false)
	case schema.TypeDateTime:
		format := "DateAndTime"
		if c.Behavior == schema.BehaviorDateOnly {
			format = "DateOnly"
		}
		o.addDerived("Format", metaEnum{"DateTimeFormat", format})
		o.addDerived("ImeMode", metaEnum{"ImeMode", "Inactive"})
		o.addDerived("MinSupportedValue", "1753-01-01T00:00:00Z")
		o.addDerived("MaxSupportedValue", "9999-12-30T23:59:59Z")
		o.addDerived("DateTimeBehavior", metaObject{{name: "Value", value: c.Behavior}})
		o.addDerived("CanChangeDateTimeBehavior", metaManaged(true, "canmodifybehavior"))
	case schema.TypeLookup, schema.TypeCustomer, schema.TypeOwner, schema.TypePartyList:
		targets := c.Targets
		if targets == nil {
			targets = []string{}
		}
		o.addDerived("Targets", targets)
		o.addDerived("Format", metaEnum{"LookupFormat", "None"})
	case schema.TypeBoolean:
		o.addDerived("DefaultValue", false)
	case schema.TypePicklist, schema.TypeState, schema.TypeStatus, schema.TypeMultiSelect:
		o.addDerived("DefaultFormValue", nil)
	}
}

// optionSetObject is the OptionSet of a choice, state, status or two-option
// column. Shape: developer guide, query table definitions, "Retrieving attributes".
func optionSetObject(t *schema.Table, c *schema.Column) metaObject {
	name := t.LogicalName + "_" + c.LogicalName
	var o metaObject
	kind := "Picklist"
	switch c.Type {
	case schema.TypeBoolean:
		kind = "Boolean"
		byValue := map[int64]any{}
		for _, opt := range booleanOptions(c) {
			byValue[opt.Value] = optionObject(t, c, opt)
		}
		o.add("FalseOption", byValue[0])
		o.add("TrueOption", byValue[1])
	case schema.TypeState, schema.TypeStatus:
		kind = string(c.Type)
		fallthrough
	default:
		options := make([]metaObject, 0, len(c.Options))
		for _, opt := range c.Options {
			options = append(options, optionObject(t, c, opt))
		}
		o.add("Options", options)
	}
	o.add("Description", metaNoLabel())
	o.add("DisplayName", metaLabel(displayName(c.SchemaName), metadataID("optionsetcaption", name)))
	o.add("IsCustomOptionSet", isCustomName(c.LogicalName))
	o.add("IsGlobal", false)
	o.add("IsManaged", true)
	o.add("IsCustomizable", metaManaged(true, "iscustomizable"))
	o.add("Name", name)
	o.add("ExternalTypeName", nil)
	o.add("OptionSetType", metaEnum{"OptionSetType", kind})
	o.add("IntroducedVersion", nil)
	o.add("MetadataId", metadataID("optionset", name))
	o.add("HasChanged", nil)
	return o
}

// optionObject is one option with, for states and statuses, their relation.
func optionObject(t *schema.Table, c *schema.Column, opt schema.Option) metaObject {
	var o metaObject
	switch c.Type {
	case schema.TypeState:
		o.add("@odata.type", "#Microsoft.Dynamics.CRM.StateOptionMetadata")
	case schema.TypeStatus:
		o.add("@odata.type", "#Microsoft.Dynamics.CRM.StatusOptionMetadata")
	}
	o.add("Value", opt.Value)
	o.add("Label", metaLabel(opt.Label, metadataID("option", t.LogicalName, c.LogicalName, opt.Label)))
	o.add("Description", metaNoLabel())
	o.add("Color", nil)
	o.add("IsManaged", true)
	o.add("ExternalValue", nil)
	o.add("MetadataId", nil)
	o.add("HasChanged", nil)
	switch c.Type {
	case schema.TypeState:
		o.add("DefaultStatus", opt.DefaultStatus)
		o.add("InvariantName", opt.Label)
	case schema.TypeStatus:
		o.add("State", opt.State)
		o.add("TransitionData", nil)
	}
	return o
}

// booleanOptions are the two options of a two-option column, No and Yes unless
// the schema says otherwise.
func booleanOptions(c *schema.Column) []schema.Option {
	if len(c.Options) == 2 {
		return c.Options
	}
	return []schema.Option{{Value: 0, Label: "No"}, {Value: 1, Label: "Yes"}}
}

func boundOr(v *float64, otherwise float64) float64 {
	if v != nil {
		return *v
	}
	return otherwise
}

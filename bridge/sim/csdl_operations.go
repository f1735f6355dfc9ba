package sim

import "cebridge/schema"

// operations declares the functions and actions that are served, but for the
// bound ones. Types of parameters: Web API function and action reference.
func (c *csdl) operations() {
	c.line(3, `<ComplexType Name="WhoAmIResponse">`)
	for _, name := range []string{"BusinessUnitId", "UserId", "OrganizationId"} {
		c.line(4, `<Property Name=%s Type="Edm.Guid" Nullable="false" />`, name)
	}
	c.line(3, `</ComplexType>`)
	c.line(3, `<ComplexType Name="RetrieveVersionResponse">`)
	c.line(4, `<Property Name="Version" Type="Edm.String" Unicode="false" />`)
	c.line(3, `</ComplexType>`)
	c.line(3, `<Function Name="WhoAmI"><ReturnType Type="mscrm.WhoAmIResponse" Nullable="false" /></Function>`)
	c.line(3, `<Function Name="RetrieveVersion"><ReturnType Type="mscrm.RetrieveVersionResponse" Nullable="false" /></Function>`)
	c.line(3, `<Action Name="PublishAllXml" />`)
	c.line(3, `<Action Name="PublishXml">`)
	c.line(4, `<Parameter Name="ParameterXml" Type="Edm.String" Nullable="false" Unicode="false" />`)
	c.line(3, `</Action>`)
	c.line(3, `<Action Name="ReactivateEntityKey">`)
	c.line(4, `<Parameter Name="EntityLogicalName" Type="Edm.String" Nullable="false" Unicode="false" />`)
	c.line(4, `<Parameter Name="EntityKeyLogicalName" Type="Edm.String" Nullable="false" Unicode="false" />`)
	c.line(3, `</Action>`)
	c.line(3, `<Action Name="Merge">`)
	for _, name := range []string{"Target", "Subordinate"} {
		c.line(4, `<Parameter Name=%s Type="mscrm.crmbaseentity" Nullable="false" />`, name)
	}
	c.line(4, `<Parameter Name="UpdateContent" Type="mscrm.crmbaseentity" />`)
	c.line(4, `<Parameter Name="PerformParentingChecks" Type="Edm.Boolean" Nullable="false" />`)
	c.line(3, `</Action>`)
}

// operationImports makes them callable.
func (c *csdl) operationImports() {
	for _, name := range []string{"WhoAmI", "RetrieveVersion"} {
		c.line(4, `<FunctionImport Name=%s Function=%s />`, name, "mscrm."+name)
	}
	for _, name := range []string{"PublishAllXml", "PublishXml", "ReactivateEntityKey", "Merge"} {
		c.line(4, `<ActionImport Name=%s Action=%s />`, name, "mscrm."+name)
	}
}

// principal is the base type of users and teams, which records' owners are.
func (c *csdl) principal(tables []*schema.Table) {
	c.line(3, `<EntityType Name="principal" BaseType="mscrm.crmbaseentity">`)
	c.line(4, `<Key><PropertyRef Name="ownerid" /></Key>`)
	c.line(4, `<Property Name="ownerid" Type="Edm.Guid" />`)
	c.collections(ownerTable, tables)
	c.line(3, `</EntityType>`)
}

// collections declares the collection-valued navigation properties of a table:
// the partners of the lookups that point at it.
func (c *csdl) collections(table string, tables []*schema.Table) {
	seen := map[string]bool{}
	for _, r := range oneToMany(&schema.Table{LogicalName: table}, tables) {
		if name := r.schemaName(); !seen[name] {
			seen[name] = true
			c.line(4, `<NavigationProperty Name=%s Type=%s Partner=%s />`, name, "Collection(mscrm."+r.referencing.LogicalName+")", r.nav.Name)
		}
	}
}

package sim

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"cebridge/schema"
)

// serveCSDL answers $metadata: the schema in XML, namespace
// Microsoft.Dynamics.CRM, alias mscrm. Annotations (change tracking, alternate
// keys, optimistic concurrency, computed columns) appear only with
// ?annotations=true (developer guide, service documents).
func (s *Server) serveCSDL(w http.ResponseWriter, r *http.Request) {
	if e := refuseOptions(parseParams(r.URL.RawQuery)); e != nil {
		s.writeError(w, r, e)
		return
	}
	annotated := r.URL.Query().Get("annotations") == "true"
	body := csdlDocument(s.catalog(), annotated)
	h := w.Header()
	h.Set("Content-Type", "application/xml")
	h.Set("OData-Version", "4.0")
	_, _ = w.Write(body)
}

// csdlDocument renders the tables in the order of their names.
func csdlDocument(tables []*schema.Table, annotated bool) []byte {
	tables = slices.SortedFunc(slices.Values(tables), func(a, b *schema.Table) int { return strings.Compare(a.LogicalName, b.LogicalName) })
	c := &csdl{tables: schema.NewCatalog(tables...), annotated: annotated}
	c.line(0, `<?xml version="1.0" encoding="utf-8"?>`)
	c.line(0, `<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx">`)
	c.line(1, `<edmx:DataServices>`)
	c.line(2, `<Schema Namespace="Microsoft.Dynamics.CRM" Alias="mscrm" xmlns="http://docs.oasis-open.org/odata/ns/edm">`)
	c.line(3, `<EntityType Name="crmbaseentity" Abstract="true" />`)
	c.line(3, `<EntityType Name="crmmodelbaseentity" BaseType="mscrm.crmbaseentity" Abstract="true" />`)
	c.principal(tables)
	for _, t := range tables {
		c.entityType(t, tables)
	}
	c.operations()
	c.line(3, `<EntityContainer Name="System">`)
	for _, t := range tables {
		c.entitySet(t)
	}
	c.operationImports()
	c.line(3, `</EntityContainer>`)
	c.line(2, `</Schema>`)
	c.line(1, `</edmx:DataServices>`)
	c.line(0, `</edmx:Edmx>`)
	return c.out.Bytes()
}

type csdl struct {
	out       bytes.Buffer
	tables    schema.Catalog
	annotated bool
}

// line writes one indented line; each argument becomes a quoted attribute value.
func (c *csdl) line(indent int, format string, args ...string) {
	quoted := make([]any, len(args))
	for i, a := range args {
		var b strings.Builder
		b.WriteByte('"')
		_ = xml.EscapeText(&b, []byte(a)) // a strings.Builder takes every write
		b.WriteByte('"')
		quoted[i] = b.String()
	}
	c.out.WriteString(strings.Repeat("  ", indent))
	fmt.Fprintf(&c.out, format, quoted...)
	c.out.WriteByte('\n')
}

func (c *csdl) entityType(t *schema.Table, tables []*schema.Table) {
	base := "mscrm.crmbaseentity"
	if t.LogicalName == "systemuser" || t.LogicalName == "team" {
		// Users and teams are principals, whose key is ownerid: that is why
		// systemusers(systemuserid=...) is not a valid address.
		base = "mscrm.principal"
	}
	c.line(3, `<EntityType Name=%s BaseType=%s>`, t.LogicalName, base)
	if base == "mscrm.crmbaseentity" {
		c.line(4, `<Key><PropertyRef Name=%s /></Key>`, t.PrimaryID)
	}
	for i := range t.Columns {
		if col := &t.Columns[i]; edmType(col) != "" {
			c.property(t, col)
		}
	}
	for i := range t.Navigations {
		c.navigationProperty(t, &t.Navigations[i])
	}
	c.collections(t.LogicalName, tables)
	if c.annotated {
		c.alternateKeys(t)
	}
	c.line(3, `</EntityType>`)
}

func (c *csdl) property(t *schema.Table, col *schema.Column) {
	name, typ := col.ReadName(), edmType(col)
	unicode := ""
	if typ == "Edm.String" {
		unicode = ` Unicode="false"`
	}
	computed := c.annotated && (col.ReadOnly || col.IsLookup())
	if !computed {
		c.line(4, `<Property Name=%s Type=%s`+unicode+` />`, name, typ)
		return
	}
	c.line(4, `<Property Name=%s Type=%s`+unicode+`>`, name, typ)
	if col.ReadOnly {
		c.line(5, `<Annotation Term="Org.OData.Core.V1.Computed" Bool="true" />`)
	} else {
		c.line(5, `<Annotation Term="Org.OData.Core.V1.Permissions"><EnumMember>Org.OData.Core.V1.PermissionType/Read</EnumMember></Annotation>`)
	}
	c.line(4, `</Property>`)
}

func (c *csdl) navigationProperty(t *schema.Table, n *schema.Navigation) {
	col := t.Column(n.Column)
	if col == nil {
		return
	}
	target, id := n.Target, n.Target+"id"
	if other := c.tables[n.Target]; other != nil {
		id = other.PrimaryID
	}
	if col.Type == schema.TypeOwner {
		if t.Navigation(n.Column, col.Targets[0]) != n {
			return // one property serves both owners
		}
		target, id = "principal", "ownerid"
	}
	partner := n.Relationship
	if partner == "" {
		partner = relation{referencing: t, nav: n, referenced: n.Target}.schemaName()
	}
	c.line(4, `<NavigationProperty Name=%s Type=%s Nullable="false" Partner=%s>`, n.Name, "mscrm."+target, partner)
	c.line(5, `<ReferentialConstraint Property=%s ReferencedProperty=%s />`, col.ReadName(), id)
	c.line(4, `</NavigationProperty>`)
}

// alternateKeys annotates the keys that can address records.
func (c *csdl) alternateKeys(t *schema.Table) {
	var active []*schema.AlternateKey
	for i := range t.Keys {
		if t.Keys[i].Status == schema.KeyActive || t.Keys[i].Status == "" {
			active = append(active, &t.Keys[i])
		}
	}
	if len(active) == 0 {
		return
	}
	c.line(4, `<Annotation Term="OData.Community.Keys.V1.AlternateKeys">`)
	c.line(5, `<Collection>`)
	for _, k := range active {
		c.line(6, `<Record Type="OData.Community.Keys.V1.AlternateKey"><PropertyValue Property="Key"><Collection>`)
		for _, name := range k.Columns {
			alias := name
			if col := t.Column(name); col != nil {
				alias = col.ReadName()
			}
			c.line(7, `<Record Type="OData.Community.Keys.V1.PropertyRef"><PropertyValue Property="Alias" String=%s /><PropertyValue Property="Name" PropertyPath=%s /></Record>`, alias, alias)
		}
		c.line(6, `</Collection></PropertyValue></Record>`)
	}
	c.line(5, `</Collection>`)
	c.line(4, `</Annotation>`)
}

func (c *csdl) entitySet(t *schema.Table) {
	c.line(4, `<EntitySet Name=%s EntityType=%s>`, t.EntitySet, "mscrm."+t.LogicalName)
	for i := range t.Navigations {
		n := &t.Navigations[i]
		col := t.Column(n.Column)
		if col == nil || col.Type == schema.TypeOwner || c.tables[n.Target] == nil {
			continue
		}
		c.line(5, `<NavigationPropertyBinding Path=%s Target=%s />`, n.Name, c.tables[n.Target].EntitySet)
	}
	if c.annotated {
		if t.ChangeTracking {
			c.line(5, `<Annotation Term="Org.OData.Capabilities.V1.ChangeTracking"><Record><PropertyValue Property="Supported" Bool="true" /></Record></Annotation>`)
		}
		if t.OptimisticConcurrency {
			c.line(5, `<Annotation Term="Org.OData.Core.V1.OptimisticConcurrency"><Collection><PropertyPath>versionnumber</PropertyPath></Collection></Annotation>`)
		}
	}
	c.line(4, `</EntitySet>`)
}

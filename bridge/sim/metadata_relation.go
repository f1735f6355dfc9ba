package sim

import "cebridge/schema"

// ownerTable is the abstract table that every owner lookup references: users and
// teams share its primary id. The relationship of ownerid names it, not its two
// targets, which only LookupAttributeMetadata.Targets lists (entity reference,
// relationships owner_accounts and alike).
const ownerTable = "owner"

// relation is one many-to-one relationship.
type relation struct {
	referencing *schema.Table
	nav         *schema.Navigation
	referenced  string // logical name
	attribute   string // primary id of referenced
}

// manyToOne lists the relationships of a table in the order of its navigations.
func manyToOne(t *schema.Table, tables []*schema.Table) []relation {
	var rs []relation
	owners := map[string]bool{}
	for i := range t.Navigations {
		n := &t.Navigations[i]
		col := t.Column(n.Column)
		if col == nil {
			continue
		}
		if col.Type == schema.TypeOwner {
			if !owners[n.Column] {
				owners[n.Column] = true
				rs = append(rs, relation{t, n, ownerTable, "ownerid"})
			}
			continue
		}
		id := n.Target + "id"
		for _, other := range tables {
			if other.LogicalName == n.Target {
				id = other.PrimaryID
			}
		}
		rs = append(rs, relation{t, n, n.Target, id})
	}
	return rs
}

// oneToMany lists the relationships in which a table is referenced.
func oneToMany(t *schema.Table, tables []*schema.Table) []relation {
	var rs []relation
	for _, other := range tables {
		for _, r := range manyToOne(other, tables) {
			if r.referenced == t.LogicalName {
				rs = append(rs, r)
			}
		}
	}
	return rs
}

// schemaName is the relationship's name; a schema file may leave it out.
func (r relation) schemaName() string {
	if r.nav.Relationship != "" {
		return r.nav.Relationship
	}
	return r.referenced + "_" + r.referencing.LogicalName + "_" + r.nav.Column
}

// object is the OneToManyRelationshipMetadata.
func (r relation) object() metaObject {
	name := r.schemaName()
	var o metaObject
	o.add("ReferencedAttribute", r.attribute)
	o.add("ReferencedEntity", r.referenced)
	o.add("ReferencingAttribute", r.nav.Column)
	o.add("ReferencingEntity", r.referencing.LogicalName)
	o.add("IsHierarchical", false)
	o.add("EntityKey", nil)
	o.add("ReferencedEntityNavigationPropertyName", name)
	o.add("ReferencingEntityNavigationPropertyName", r.nav.Name)
	o.add("RelationshipBehavior", 1)
	o.add("IsCustomRelationship", isCustomName(r.nav.Column))
	o.add("IsCustomizable", metaManaged(true, "iscustomizable"))
	o.add("IsValidForAdvancedFind", true)
	o.add("SchemaName", name)
	o.add("SecurityTypes", metaEnum{"SecurityTypes", "Append"})
	o.add("IsManaged", !isCustomName(r.nav.Column))
	o.add("RelationshipType", metaEnum{"RelationshipType", "OneToManyRelationship"})
	o.add("IntroducedVersion", "1.0.0.0")
	o.add("MetadataId", metadataID("relationship", name, r.nav.Target))
	o.add("HasChanged", nil)
	cascade := metaObject{}
	for _, action := range []string{"Assign", "Delete", "Merge", "Reparent", "Share", "Unshare"} {
		value := "NoCascade"
		if action == "Delete" {
			value = "RemoveLink"
		}
		cascade.add(action, metaEnum{"CascadeType", value})
	}
	o.add("CascadeConfiguration", cascade)
	return o
}

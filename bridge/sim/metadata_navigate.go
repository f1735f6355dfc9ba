package sim

import (
	"cmp"
	"slices"
	"strings"

	"cebridge/schema"
)

// metaNamespace qualifies the types of a cast.
const metaNamespace = "Microsoft.Dynamics.CRM."

// metaRequest answers one metadata request from the tables as they are.
type metaRequest struct {
	root   string // absolute URL of the API with a trailing slash
	tables []*schema.Table
	// job is the latest index job of a key, nil when it had none.
	job func(table, key string) metaObject
	// guarded tells whether column-level security is on for a column.
	guarded func(table, column string) bool
}

// metaSet is a collection of definitions of one type before selection.
type metaSet struct {
	typeName string
	cast     bool       // derived properties may be selected
	sample   metaObject // declares the properties, also when the set is empty
	items    []metaItem
}

// metaItem is one definition with what it needs to expand its navigations.
type metaItem struct {
	object metaObject
	table  *schema.Table
	column *schema.Column // set for columns
}

func (m metaRequest) table(k *metaKey) (*schema.Table, *apiError) {
	for _, t := range m.tables {
		if k.is(metadataID("table", t.LogicalName), t.LogicalName) {
			return t, nil
		}
	}
	return nil, definitionNotFound("an entity", k)
}

func (m metaRequest) definitions() metaSet {
	set := metaSet{typeName: "EntityMetadata", sample: entityObject(&schema.Table{})}
	for _, t := range m.tables {
		set.items = append(set.items, metaItem{object: entityObject(t), table: t})
	}
	slices.SortFunc(set.items, func(a, b metaItem) int { return cmp.Compare(a.table.LogicalName, b.table.LogicalName) })
	return set
}

// attributes lists the columns of a table, all of them or those of one derived type.
func (m metaRequest) attributes(t *schema.Table, cast string) (metaSet, *apiError) {
	set := metaSet{typeName: "AttributeMetadata"}
	sampleType := schema.TypeVirtual
	if cast != "" {
		var known bool
		if sampleType, known = castSample(cast); !known {
			return set, segmentNotFound(metaNamespace + cast)
		}
		set.typeName, set.cast = cast, true
	}
	set.sample = attributeObject(t, &schema.Column{Type: sampleType}, 0)
	for i := range t.Columns {
		c := &t.Columns[i]
		actual := columnFacts[c.Type].cast
		if cast != "" && cast != actual {
			continue
		}
		o := attributeObject(t, c, i)
		o.change("IsSecured", m.guarded != nil && m.guarded(t.LogicalName, c.LogicalName))
		if cast == "" {
			o = append(metaObject{{name: "@odata.type", value: "#" + metaNamespace + actual}}, o...)
		}
		set.items = append(set.items, metaItem{object: o, table: t, column: c})
	}
	return set, nil
}

func (m metaRequest) keys(t *schema.Table) metaSet {
	set := metaSet{typeName: "EntityKeyMetadata", sample: keyObject(t, &schema.AlternateKey{}, nil)}
	for i := range t.Keys {
		set.items = append(set.items, metaItem{object: keyObject(t, &t.Keys[i], m.job(t.LogicalName, t.Keys[i].LogicalName)), table: t})
	}
	return set
}

func (m metaRequest) relations(t *schema.Table, rs []relation) metaSet {
	set := metaSet{typeName: "OneToManyRelationshipMetadata", sample: relation{referencing: t, nav: &schema.Navigation{}}.object()}
	for _, r := range rs {
		set.items = append(set.items, metaItem{object: r.object(), table: t})
	}
	return set
}

// navigation resolves a collection-valued navigation property of a table.
func (m metaRequest) navigation(t *schema.Table, name string) (metaSet, *apiError) {
	switch name {
	case "Attributes":
		return m.attributes(t, "")
	case "Keys":
		return m.keys(t), nil
	case "ManyToOneRelationships":
		return m.relations(t, manyToOne(t, m.tables)), nil
	case "OneToManyRelationships":
		return m.relations(t, oneToMany(t, m.tables)), nil
	case "ManyToManyRelationships":
		return metaSet{typeName: "ManyToManyRelationshipMetadata", sample: metaObject{{name: "SchemaName"}, {name: "MetadataId"}}}, nil
	}
	return metaSet{}, segmentNotFound(name)
}

// below answers EntityDefinitions(key) and the paths under it.
func (m metaRequest) below(t *schema.Table, segments []metaSegment, q metaQuery) (metaObject, *apiError) {
	context := "EntityDefinitions"
	if len(segments) == 1 {
		set := metaSet{typeName: "EntityMetadata", sample: entityObject(t), items: []metaItem{{object: entityObject(t), table: t}}}
		return m.single(set, context, q)
	}
	context += "('" + t.LogicalName + "')/" + segments[1].name
	if segments[1].key == nil && len(segments) == 2 {
		if value, ok := entityObject(t).get(segments[1].name); ok {
			return metaObject{{name: "@odata.context", value: m.root + "$metadata#" + context}, {name: "value", value: value}}, nil
		}
	}
	set, e := m.navigation(t, segments[1].name)
	if e != nil {
		return nil, e
	}
	rest := segments[2:]
	if k := segments[1].key; k != nil {
		set.items = slices.DeleteFunc(set.items, func(it metaItem) bool { return !it.addressedBy(k) })
		if len(set.items) == 0 {
			return nil, definitionNotFound("a definition in "+segments[1].name, k)
		}
	}
	if len(rest) > 0 && segments[1].name == "Attributes" {
		if cast, ok := strings.CutPrefix(rest[0].name, metaNamespace); ok && rest[0].key == nil {
			if set, e = m.narrow(t, set, cast, segments[1].key); e != nil {
				return nil, e
			}
			context += "/" + rest[0].name
			rest = rest[1:]
		}
	}
	switch {
	case len(rest) == 1 && segments[1].key != nil && rest[0].key == nil:
		return m.optionSet(set, context, rest[0].name, q)
	case len(rest) > 0:
		return nil, segmentNotFound(rest[0].name)
	case segments[1].key != nil:
		return m.single(set, context, q)
	}
	return m.collection(set, context, q)
}

// narrow applies a cast to a set of columns, or to the one that a key addresses.
func (m metaRequest) narrow(t *schema.Table, set metaSet, cast string, k *metaKey) (metaSet, *apiError) {
	narrowed, e := m.attributes(t, cast)
	if e != nil || k == nil {
		return narrowed, e
	}
	narrowed.items = slices.DeleteFunc(narrowed.items, func(it metaItem) bool { return it.column != set.items[0].column })
	if len(narrowed.items) == 0 {
		return narrowed, definitionNotFound("a "+cast, k)
	}
	return narrowed, nil
}

// addressedBy tells whether a key names the item by MetadataId, LogicalName or SchemaName.
func (it metaItem) addressedBy(k *metaKey) bool {
	id, _ := it.object.get("MetadataId")
	name, named := it.object.get("LogicalName")
	if !named {
		name, _ = it.object.get("SchemaName")
	}
	guid, _ := id.(metaGUID)
	text, _ := name.(string)
	return k.is(guid, text)
}

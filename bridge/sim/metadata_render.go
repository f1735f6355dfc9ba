package sim

import (
	"slices"

	"cebridge/schema"
)

// collection answers a set of definitions: context, then value.
func (m metaRequest) collection(set metaSet, context string, q metaQuery) (metaObject, *apiError) {
	values, e := m.render(set, context, q)
	if e != nil {
		return nil, e
	}
	body := metaObject{{name: "@odata.context", value: m.root + "$metadata#" + context + q.contextSuffix()}}
	if q.count {
		body.add("@odata.count", len(values))
	}
	body.add("value", values)
	return body, nil
}

// single answers one definition, its properties beside the context.
func (m metaRequest) single(set metaSet, context string, q metaQuery) (metaObject, *apiError) {
	if q.filter != nil {
		return nil, invalidRequest("The query parameter $filter is not supported")
	}
	values, e := m.render(set, context, q)
	if e != nil {
		return nil, e
	}
	body := metaObject{{name: "@odata.context", value: m.root + "$metadata#" + context + q.contextSuffix() + "/$entity"}}
	return append(body, values[0]...), nil
}

// optionSet answers OptionSet or GlobalOptionSet below one column.
func (m metaRequest) optionSet(set metaSet, context, name string, q metaQuery) (metaObject, *apiError) {
	it := set.items[0]
	if it.column == nil || !set.cast {
		return nil, segmentNotFound(name)
	}
	o, e := m.optionSetOf(it, name)
	if e != nil {
		return nil, e
	}
	if o == nil {
		return nil, definitionNotFound("an option set of "+it.column.LogicalName, &metaKey{name: name})
	}
	if e := q.check("OptionSetMetadata", o, true); e != nil {
		return nil, e
	}
	body := metaObject{{name: "@odata.context", value: m.root + "$metadata#" + context + "/" + name + q.contextSuffix() + "/$entity"}}
	return append(body, q.keep(o)...), nil
}

// render filters, selects and expands the items of a set.
func (m metaRequest) render(set metaSet, context string, q metaQuery) ([]metaObject, *apiError) {
	if e := q.check(set.typeName, set.sample, set.cast); e != nil {
		return nil, e
	}
	values := []metaObject{}
	for _, it := range set.items {
		if q.filter != nil {
			ok, e := q.filter.matches(it.object)
			if e != nil {
				return nil, e
			}
			if !ok {
				continue
			}
		}
		o := slices.Clip(q.keep(it.object))
		for _, x := range q.expand {
			expanded, e := m.expand(set, it, context, x)
			if e != nil {
				return nil, e
			}
			o = append(o, expanded...)
		}
		values = append(values, o)
	}
	return values, nil
}

// expand renders one navigation property with its context annotation before it.
func (m metaRequest) expand(set metaSet, it metaItem, context string, x metaExpand) (metaObject, *apiError) {
	id, _ := it.object.get("MetadataId")
	guid, _ := id.(metaGUID)
	if it.column != nil {
		o, e := m.optionSetOf(it, x.name)
		if !set.cast || e != nil {
			return nil, invalidRequest("Could not find a property named '%s' on type '%s%s'.", x.name, metaNamespace, set.typeName)
		}
		if o == nil {
			return metaObject{{name: x.name, value: nil}}, nil
		}
		if e := x.query.check("OptionSetMetadata", o, true); e != nil {
			return nil, e
		}
		at := m.root + "$metadata#EntityDefinitions('" + it.table.LogicalName + "')/Attributes(" + string(guid) + ")/" +
			metaNamespace + set.typeName + "/" + x.name + x.query.contextSuffix() + "/$entity"
		return metaObject{{name: x.name + "@odata.context", value: at}, {name: x.name, value: x.query.keep(o)}}, nil
	}
	if set.typeName != "EntityMetadata" {
		return nil, invalidRequest("Could not find a property named '%s' on type '%s%s'.", x.name, metaNamespace, set.typeName)
	}
	inner, e := m.navigation(it.table, x.name)
	if e != nil {
		return nil, invalidRequest("Could not find a property named '%s' on type '%s%s'.", x.name, metaNamespace, set.typeName)
	}
	at := context + "(" + string(guid) + ")/" + x.name
	values, e := m.render(inner, at, x.query)
	if e != nil {
		return nil, e
	}
	return metaObject{
		{name: x.name + "@odata.context", value: m.root + "$metadata#" + at + x.query.contextSuffix()},
		{name: x.name, value: values},
	}, nil
}

// optionSetOf returns the option set of a column under one of its two names; the
// global one is null since every option set here belongs to its column.
func (m metaRequest) optionSetOf(it metaItem, name string) (metaObject, *apiError) {
	hasOptions := columnFacts[it.column.Type].choice || it.column.Type == schema.TypeBoolean
	switch {
	case name == "OptionSet" && hasOptions:
		return optionSetObject(it.table, it.column), nil
	case name == "GlobalOptionSet" && hasOptions:
		return nil, nil
	}
	return nil, segmentNotFound(name)
}

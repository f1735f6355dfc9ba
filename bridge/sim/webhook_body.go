package sim

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"cebridge/schema"

	"github.com/google/uuid"
)

const contractsNamespace = ":http://schemas.microsoft.com/xrm/2011/Contracts"

// executionContext is the RemoteExecutionContext of a call in the JSON of the
// data contract serializer: type markers, dates as \/Date(ms)\/, slashes escaped.
// Beyond 256 KB the four members that hold records are left out. Source: developer
// guide, "Use WebHooks" and "Understand the execution context".
func (s *Server) executionContext(call hookCall) (body []byte, exceeded bool) {
	target := metaObject{{name: "key", value: "Target"}, {name: "value", value: call.target()}}
	output := []metaObject{}
	if call.message == messageCreate {
		output = append(output, metaObject{{name: "key", value: "id"}, {name: "value", value: call.row.id.String()}})
	}
	var o metaObject
	o.add("BusinessUnitId", wellKnown.businessUnit.String())
	o.add("CorrelationId", call.correlation.String())
	o.add("Depth", 1)
	o.add("InitiatingUserAzureActiveDirectoryObjectId", uuid.Nil.String())
	o.add("InitiatingUserId", call.caller.String())
	o.add("InputParameters", []metaObject{target})
	o.add("IsExecutingOffline", false)
	o.add("IsInTransaction", false)
	o.add("IsOfflinePlayback", false)
	o.add("IsolationMode", 1)
	o.add("MessageName", call.message)
	o.add("Mode", modeAsynchronous)
	o.add("OperationCreatedOn", "/Date("+strconv.FormatInt(call.at.UnixMilli(), 10)+"+0000)/")
	o.add("OperationId", call.id.String())
	o.add("OrganizationId", wellKnown.organization.String())
	o.add("OrganizationName", s.opts.Organization)
	o.add("OutputParameters", output)
	o.add("OwningExtension", entityReference(stepTable, call.step.id, call.step.name))
	o.add("ParentContext", nil)
	o.add("PostEntityImages", []any{})
	o.add("PreEntityImages", []any{})
	o.add("PrimaryEntityId", call.row.id.String())
	o.add("PrimaryEntityName", call.def.LogicalName)
	o.add("RequestId", call.correlation.String())
	o.add("SecondaryEntityName", "none")
	o.add("SharedVariables", []any{})
	o.add("Stage", stagePostOperation)
	o.add("UserAzureActiveDirectoryObjectId", uuid.Nil.String())
	o.add("UserId", call.caller.String())
	if body = contractJSON(o); len(body) <= maxHookBody {
		return body, false
	}
	for i := range o {
		switch o[i].name {
		case "ParentContext", "InputParameters", "PreEntityImages", "PostEntityImages":
			o[i].value = nil
		}
	}
	return contractJSON(o), true
}

// contractJSON escapes slashes, which stand in texts only.
func contractJSON(o metaObject) []byte {
	raw, err := o.MarshalJSON()
	if err != nil {
		panic("simulator: " + err.Error()) // an execution context always encodes
	}
	return bytes.ReplaceAll(raw, []byte("/"), []byte(`\/`))
}

// target is the record as the request wrote it: the columns of the body and those
// the server maintains with them, or a reference to a deleted record.
func (call *hookCall) target() metaObject {
	d := call.def
	if call.message == messageDelete {
		return entityReference(d.LogicalName, call.row.id, nil)
	}
	cells := call.row.unpack(d, nil)
	attributes := []metaObject{}
	add := func(i int) {
		attributes = append(attributes, metaObject{
			{name: "key", value: d.Columns[i].LogicalName}, {name: "value", value: contractValue(d, call.row, cells, i)},
		})
	}
	if call.message == messageCreate {
		for i := range d.Columns {
			if call.row.literal(d, cells, i) != "null" && i != d.version {
				add(i)
			}
		}
	} else {
		add(d.id)
		for _, i := range call.columns {
			add(i)
		}
		for _, name := range []string{"modifiedon", "modifiedby"} {
			if i := d.column(name); i >= 0 {
				add(i)
			}
		}
	}
	return metaObject{
		{name: "__type", value: "Entity" + contractsNamespace}, {name: "Attributes", value: attributes},
		{name: "EntityState", value: nil}, {name: "FormattedValues", value: []any{}}, {name: "Id", value: call.row.id.String()},
		{name: "KeyAttributes", value: []any{}}, {name: "LogicalName", value: d.LogicalName},
		{name: "RelatedEntities", value: []any{}}, {name: "RowVersion", value: strconv.FormatInt(call.row.version, 10)},
	}
}

func entityReference(table string, id uuid.UUID, name any) metaObject {
	return metaObject{
		{name: "__type", value: "EntityReference" + contractsNamespace}, {name: "Id", value: id.String()},
		{name: "KeyAttributes", value: []any{}}, {name: "LogicalName", value: table}, {name: "Name", value: name}, {name: "RowVersion", value: nil},
	}
}

// contractValue is one column in the types of the organization service.
func contractValue(d *tableDef, r *row, cells []string, i int) any {
	lit := r.literal(d, cells, i)
	c := &d.Columns[i]
	if lit == "null" {
		return nil
	}
	typed := func(name string, value any) metaObject {
		return metaObject{{name: "__type", value: name + contractsNamespace}, {name: "Value", value: value}}
	}
	switch c.Type {
	case schema.TypeLookup, schema.TypeCustomer, schema.TypeOwner:
		table, id, _ := lookupTarget(c, cells[i])
		return entityReference(table, id, nil)
	case schema.TypePicklist, schema.TypeState, schema.TypeStatus:
		return typed("OptionSetValue", json.RawMessage(lit))
	case schema.TypeMultiSelect:
		text, _ := textOf([]byte(lit))
		values := []metaObject{}
		for v := range strings.SplitSeq(text, ",") {
			values = append(values, metaObject{{name: "Value", value: json.RawMessage(strings.TrimSpace(v))}})
		}
		return values
	case schema.TypeMoney:
		return typed("Money", json.RawMessage(lit))
	case schema.TypeDateTime:
		text, _ := textOf([]byte(lit))
		for _, form := range []string{time.RFC3339, time.DateOnly} {
			if at, err := time.Parse(form, text); err == nil {
				return "/Date(" + strconv.FormatInt(at.UnixMilli(), 10) + ")/"
			}
		}
	}
	return json.RawMessage(lit)
}

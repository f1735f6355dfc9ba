package sim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"

	"cebridge/schema"
)

// pendingChanges are changes of definitions that were written and not yet
// published. Until then definitions and behaviour are the old ones (assumption;
// PublishAtOnce flips it).
type pendingChanges struct {
	mu      sync.Mutex
	byTable map[string]tableChange
}

// tableChange is what PUT can change of a table.
type tableChange struct{ tracking, optimistic bool }

// putDefinition answers PUT EntityDefinitions(key), which replaces a definition:
// the body must be the full one, as it was read. Of its properties only
// ChangeTrackingEnabled and IsOptimisticConcurrencyEnabled can change here;
// another value in any other answers 501. Source: developer guide, "Create and
// update table definitions using the Web API"; that change tracking cannot be
// switched off again, online: "Use change tracking to synchronize data".
func (s *Server) putDefinition(w http.ResponseWriter, r *http.Request, t *schema.Table) *apiError {
	now := entityObject(t)
	declared := slices.Clone(now)
	for _, name := range []string{"Attributes", "Keys", "ManyToOneRelationships", "OneToManyRelationships", "ManyToManyRelationships", "Privileges", "Settings"} {
		declared.add(name, nil)
	}
	members, e := s.readObject(w, r, "EntityMetadata", declared)
	if e != nil {
		return e
	}
	for _, name := range []string{"MetadataId", "LogicalName", "SchemaName", "PrimaryIdAttribute", "EntitySetName", "ChangeTrackingEnabled", "OwnershipType"} {
		if _, ok := members[name]; !ok {
			return invalidPayload("The definition is not complete: the property '%s' is missing. A PUT replaces the whole definition.", name)
		}
	}
	change := tableChange{tracking: t.ChangeTracking, optimistic: t.OptimisticConcurrency}
	for _, m := range now {
		raw, ok := members[m.name]
		switch {
		case !ok || m.name == "HasChanged" || isLabelProperty(m.name):
		case m.name == "ChangeTrackingEnabled":
			e = boolMember(raw, m.name, &change.tracking)
		case m.name == "IsOptimisticConcurrencyEnabled":
			e = boolMember(raw, m.name, &change.optimistic)
		case !sameJSON(raw, m.value):
			e = notSimulated("changing %s of a table.", m.name)
		}
		if e != nil {
			return e
		}
	}
	if t.ChangeTracking && !change.tracking && s.opts.Profile == Online {
		return &apiError{Status: http.StatusBadRequest, Code: codeInvalidArgument, Message: "Change tracking of the table " + t.LogicalName + " cannot be disabled once it is enabled."}
	}
	s.pending.put(t.LogicalName, change)
	if s.opts.Assumptions.PublishAtOnce {
		if e := s.publish(nil); e != nil {
			return e
		}
	}
	definitionChanged(w, s.apiRoot(r)+"EntityDefinitions("+string(metadataID("table", t.LogicalName))+")")
	return nil
}

// isLabelProperty names what MSCRM.MergeLabels is about: captions, which the
// simulator derives from schema names and does not store.
func isLabelProperty(name string) bool {
	return name == "DisplayName" || name == "DisplayCollectionName" || name == "Description"
}

func boolMember(raw json.RawMessage, name string, into *bool) *apiError {
	if err := json.Unmarshal(raw, into); err != nil {
		return invalidPayload("Cannot convert the value of the property '%s' to the type 'Edm.Boolean'.", name)
	}
	return nil
}

// sameJSON compares a member with the value it had, whatever the white space and
// the order of members.
func sameJSON(raw json.RawMessage, value any) bool {
	var a, b any
	if json.Unmarshal(raw, &a) != nil || json.Unmarshal(marshal(value), &b) != nil {
		return false
	}
	return bytes.Equal(marshal(a), marshal(b))
}

func (p *pendingChanges) put(table string, c tableChange) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byTable == nil {
		p.byTable = map[string]tableChange{}
	}
	p.byTable[table] = c
}

// take removes and returns the changes of the tables; of all when tables is nil.
func (p *pendingChanges) take(tables []string) map[string]tableChange {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := map[string]tableChange{}
	for name, c := range p.byTable {
		if tables == nil || slices.Contains(tables, name) {
			taken[name] = c
			delete(p.byTable, name)
		}
	}
	return taken
}

// publish puts pending changes of definitions into force.
func (s *Server) publish(tables []string) *apiError {
	for name, c := range s.pending.take(tables) {
		if e := s.alter(name, func(t *schema.Table) *apiError {
			t.ChangeTracking, t.OptimisticConcurrency = c.tracking, c.optimistic
			return nil
		}); e != nil {
			return e
		}
	}
	return nil
}

// publishAll answers the action PublishAllXml, which has no parameters.
func (s *Server) publishAll(w http.ResponseWriter, r *http.Request) *apiError {
	if inTx(r.Context()) != nil {
		return notSimulated("changes of definitions inside a change set.")
	}
	if e := s.publish(nil); e != nil {
		return e
	}
	definitionChanged(w, "")
	return nil
}

// publishSome answers the action PublishXml, whose ParameterXml lists tables as
// <importexportxml><entities><entity>account</entity></entities></importexportxml>.
func (s *Server) publishSome(w http.ResponseWriter, r *http.Request) *apiError {
	if inTx(r.Context()) != nil {
		return notSimulated("changes of definitions inside a change set.")
	}
	members, e := s.readObject(w, r, "PublishXml", metaObject{{name: "ParameterXml"}})
	if e != nil {
		return e
	}
	text, e := textMember(members, "ParameterXml")
	if e != nil {
		return e
	}
	tables := []string{}
	for part := range strings.SplitSeq(text, "<entity>") {
		if name, _, ok := strings.Cut(part, "</entity>"); ok {
			tables = append(tables, strings.TrimSpace(name))
		}
	}
	if !strings.Contains(text, "<importexportxml>") {
		return &apiError{Status: http.StatusBadRequest, Code: codeInvalidArgument, Message: "ParameterXml must be an importexportxml document."}
	}
	if e := s.publish(tables); e != nil {
		return e
	}
	definitionChanged(w, "")
	return nil
}

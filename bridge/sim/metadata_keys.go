package sim

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"cebridge/schema"
)

// Limits of an alternate key. Source: developer guide, "Define alternate keys for
// a table", online and on-premises.
const (
	maxKeysOnline     = 10
	maxKeysOnPremises = 5
	maxKeyColumns     = 16
	maxKeyBytes       = 900
)

var schemaNameText = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,99}$`)

// createKey answers POST EntityDefinitions(..)/Keys: 204 with the key's address.
// The key is listed at once as Pending and addresses records once its index job
// has made it Active.
func (s *Server) createKey(w http.ResponseWriter, r *http.Request, t *schema.Table) *apiError {
	sample := keyObject(t, &schema.AlternateKey{}, nil)
	sample.add("Description", nil)
	members, e := s.readObject(w, r, "EntityKeyMetadata", sample)
	if e != nil {
		return e
	}
	k := schema.AlternateKey{Status: schema.KeyPending}
	if k.SchemaName, e = textMember(members, "SchemaName"); e != nil {
		return e
	}
	if k.LogicalName, e = textMember(members, "LogicalName"); e != nil {
		return e
	}
	if k.LogicalName == "" {
		k.LogicalName = strings.ToLower(k.SchemaName)
	}
	if !schemaNameText.MatchString(k.SchemaName) || k.LogicalName != strings.ToLower(k.SchemaName) {
		return invalidKey("The SchemaName of a key is a name of letters, digits and underscores, and its LogicalName the same in lower case.")
	}
	if raw, ok := members["KeyAttributes"]; ok && json.Unmarshal(raw, &k.Columns) != nil {
		return invalidPayload("Cannot read the value of the property 'KeyAttributes' as a collection of texts.")
	}
	if e := s.alter(t.LogicalName, func(t *schema.Table) *apiError {
		if e := s.checkKey(t, &k); e != nil {
			return e
		}
		t.Keys = append(t.Keys, k)
		return nil
	}); e != nil {
		return e
	}
	s.jobs.start(s, t.LogicalName, k.LogicalName)
	definitionChanged(w, s.apiRoot(r)+"EntityDefinitions("+string(metadataID("table", t.LogicalName))+")/Keys("+string(metadataID("key", t.LogicalName, k.LogicalName))+")")
	return nil
}

// checkKey applies the rules of the guide to a new key. The codes of an unknown
// or unfit column and of a key too many, and all texts, are assumptions.
func (s *Server) checkKey(t *schema.Table, k *schema.AlternateKey) *apiError {
	for i := range t.Keys {
		if t.Keys[i].LogicalName == k.LogicalName {
			return keyRefused(codeKeyNameExists, "The key name "+k.LogicalName+" already exists.")
		}
	}
	if len(k.Columns) == 0 {
		return invalidKey("A key needs at least one attribute.")
	}
	if len(k.Columns) > maxKeyColumns {
		return keyRefused(codeKeyTooLarge, "Index size constraint violated. The key has more than 16 columns.")
	}
	d := s.catalogNow().byName[t.LogicalName].def.Load()
	bytes := 0
	for i, name := range k.Columns {
		c := t.Column(name)
		switch {
		case c == nil:
			return invalidKey("The attribute " + shorten(name) + " of the key does not exist in table " + t.LogicalName + ".")
		case slices.Contains(k.Columns[:i], name):
			return invalidKey("The attribute " + name + " is in the key twice.")
		case d.isSecured(d.column(name)):
			return keyRefused(codeKeySecured, "The attribute "+name+" is secured and cannot be part of a key.")
		case !columnFacts[c.Type].key:
			return invalidKey("The attribute " + name + " of type " + string(c.Type) + " cannot be part of a key.")
		case s.opts.Profile == OnPremises && (c.ReadOnly || c.CreateOnly || c.UpdateOnly):
			return invalidKey("The attribute " + name + " is not valid for create and update and cannot be part of a key.")
		}
		bytes += indexBytes(c)
	}
	if bytes > maxKeyBytes {
		return keyRefused(codeKeyTooLarge, "Index size constraint violated. The key is larger than 900 bytes.")
	}
	if t.Key(k.Columns) != nil {
		return keyRefused(codeKeyColumnsExist, "A key with the selected attributes already exists.")
	}
	limit := maxKeysOnline
	if s.opts.Profile == OnPremises {
		limit = maxKeysOnPremises
	}
	if len(t.Keys) >= limit {
		return invalidKey("The table has the maximum number of keys already.")
	}
	return nil
}

// indexBytes is what one column takes in an index entry: the sizes of the
// database's types, two bytes a character.
func indexBytes(c *schema.Column) int {
	switch c.Type {
	case schema.TypeString:
		return 2 * c.MaxLength
	case schema.TypeInteger, schema.TypePicklist:
		return 4
	case schema.TypeDateTime:
		return 8
	case schema.TypeDecimal:
		return 13
	}
	return 16
}

func keyRefused(code, message string) *apiError {
	return &apiError{Status: http.StatusBadRequest, Code: code, Message: message}
}

func invalidKey(message string) *apiError { return keyRefused(codeInvalidArgument, message) }

// deleteKey answers DELETE EntityDefinitions(..)/Keys(..).
func (s *Server) deleteKey(w http.ResponseWriter, t *schema.Table, k *metaKey) *apiError {
	name := ""
	if e := s.alter(t.LogicalName, func(t *schema.Table) *apiError {
		i := slices.IndexFunc(t.Keys, func(key schema.AlternateKey) bool {
			return k.is(metadataID("key", t.LogicalName, key.LogicalName), key.LogicalName)
		})
		if i < 0 {
			return definitionNotFound("a definition in Keys", k)
		}
		name = t.Keys[i].LogicalName
		t.Keys = slices.Delete(t.Keys, i, i+1)
		return nil
	}); e != nil {
		return e
	}
	s.jobs.drop(t.LogicalName, name)
	definitionChanged(w, "")
	return nil
}

// reactivateKey answers the action ReactivateEntityKey: a new index job for a key
// whose job failed. Source: Web API action reference.
func (s *Server) reactivateKey(w http.ResponseWriter, r *http.Request) *apiError {
	if inTx(r.Context()) != nil {
		return notSimulated("changes of definitions inside a change set.")
	}
	members, e := s.readObject(w, r, "ReactivateEntityKey", metaObject{{name: "EntityLogicalName"}, {name: "EntityKeyLogicalName"}})
	if e != nil {
		return e
	}
	table, e := textMember(members, "EntityLogicalName")
	if e != nil {
		return e
	}
	name, e := textMember(members, "EntityKeyLogicalName")
	if e != nil {
		return e
	}
	if _, err := s.table(table); err != nil {
		return definitionNotFound("an entity", &metaKey{name: shorten(table)})
	}
	if e := s.alter(table, func(t *schema.Table) *apiError {
		i := slices.IndexFunc(t.Keys, func(k schema.AlternateKey) bool { return k.LogicalName == name })
		switch {
		case i < 0:
			return definitionNotFound("a definition in Keys", &metaKey{name: shorten(name)})
		case t.Keys[i].Status != schema.KeyFailed:
			return keyRefused(codeReactivateFailed, "Reactivate entity key is only supported for failed job.")
		}
		t.Keys[i].Status = schema.KeyPending
		return nil
	}); e != nil {
		return e
	}
	s.jobs.start(s, table, name)
	definitionChanged(w, "")
	return nil
}

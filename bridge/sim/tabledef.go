package sim

import (
	"fmt"
	"slices"

	"cebridge/schema"
)

// tableDef is a table's schema with the look-ups that requests need. It is
// immutable; a schema change makes a new one in which the existing columns keep
// their index.
type tableDef struct {
	*schema.Table
	byName map[string]int // logical name -> column
	byRead map[string]int // name in answers and $select -> column
	byNav  map[string][]navigation
	keys   []keyDef // Active ones only
	// Columns with a meaning to the server; -1 when the table has none of that kind.
	// writeOnly is read as null.
	id, version, state, status, owner, writeOnly int
	// secured are columns that the caller may neither read nor write; nil when
	// there is none.
	secured []bool
	// guarded are columns that column-level security is on for, whoever may read them.
	guarded []bool
}

// typeDropped marks the place of a column that was deleted: rows stored before
// keep their cells, and those of other columns keep their index.
const typeDropped schema.ColumnType = "dropped"

// public is the table as metadata shows it: without dropped columns.
func (d *tableDef) public() *schema.Table {
	if !slices.ContainsFunc(d.Columns, func(c schema.Column) bool { return c.Type == typeDropped }) {
		return d.Table
	}
	t := cloneTable(d.Table)
	t.Columns = slices.DeleteFunc(t.Columns, func(c schema.Column) bool { return c.Type == typeDropped })
	return t
}

// isSecured tells whether the caller may not use column i.
func (d *tableDef) isSecured(i int) bool { return i < len(d.secured) && d.secured[i] }

// isGuarded tells whether column-level security is on for column i.
func (d *tableDef) isGuarded(i int) bool { return i >= 0 && i < len(d.guarded) && d.guarded[i] }

// navigation is one way to bind a lookup column.
type navigation struct {
	column int
	target string
}

// keyDef is an active alternate key.
type keyDef struct {
	name    string
	columns []int // sorted by column name
}

func compileTable(t *schema.Table) (*tableDef, error) {
	d := &tableDef{
		Table: t, id: -1, version: -1, state: -1, status: -1, owner: -1, writeOnly: -1,
		byName: make(map[string]int, len(t.Columns)),
		byRead: make(map[string]int, len(t.Columns)),
		byNav:  make(map[string][]navigation, len(t.Navigations)),
	}
	if t.LogicalName == "" || t.EntitySet == "" || t.PrimaryID == "" {
		return nil, fmt.Errorf("simulator: table %q: it needs a logical name, an entity set and a primary id", t.LogicalName)
	}
	for i := range t.Columns {
		c := &t.Columns[i]
		if c.Type == typeDropped {
			continue
		}
		if _, dup := d.byName[c.LogicalName]; dup {
			return nil, fmt.Errorf("simulator: table %s: column %s is listed twice", t.LogicalName, c.LogicalName)
		}
		d.byName[c.LogicalName] = i
		d.byRead[c.ReadName()] = i
		switch {
		case c.LogicalName == t.PrimaryID:
			d.id = i
		case isWriteOnly(t, c):
			d.writeOnly = i
		case c.LogicalName == "versionnumber":
			d.version = i
		case c.Type == schema.TypeState:
			d.state = i
		case c.Type == schema.TypeStatus:
			d.status = i
		case c.Type == schema.TypeOwner:
			d.owner = i
		}
	}
	if d.id < 0 {
		return nil, fmt.Errorf("simulator: table %s: its primary id %s is not among its columns", t.LogicalName, t.PrimaryID)
	}
	for _, n := range t.Navigations {
		i, ok := d.byName[n.Column]
		if !ok {
			return nil, fmt.Errorf("simulator: table %s: navigation %s: no column %s", t.LogicalName, n.Name, n.Column)
		}
		d.byNav[n.Name] = append(d.byNav[n.Name], navigation{column: i, target: n.Target})
	}
	for i := range t.Keys {
		if err := d.addKey(&t.Keys[i]); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *tableDef) addKey(k *schema.AlternateKey) error {
	if k.Status != "" && k.Status != schema.KeyActive {
		return nil
	}
	def := keyDef{name: k.LogicalName}
	names := slices.Sorted(slices.Values(k.Columns))
	for _, name := range names {
		i, ok := d.byName[name]
		if !ok {
			return fmt.Errorf("simulator: table %s: key %s: no column %s", d.LogicalName, k.LogicalName, name)
		}
		def.columns = append(def.columns, i)
	}
	d.keys = append(d.keys, def)
	return nil
}

// key returns the active key of exactly those columns.
func (d *tableDef) key(columns []int) (keyDef, bool) {
	for _, k := range d.keys {
		if len(k.columns) == len(columns) && !slices.ContainsFunc(columns, func(c int) bool { return !slices.Contains(k.columns, c) }) {
			return k, true
		}
	}
	return keyDef{}, false
}

// column returns the column with that logical name, or -1.
func (d *tableDef) column(name string) int {
	if i, ok := d.byName[name]; ok {
		return i
	}
	return -1
}

// typeName is the qualified name of the table's entity type.
func (d *tableDef) typeName() string { return "Microsoft.Dynamics.CRM." + d.LogicalName }

// navigationName is the property that binds a lookup to target, for annotations.
func (d *tableDef) navigationName(column int, target string) string {
	if n := d.Navigation(d.Columns[column].LogicalName, target); n != nil {
		return n.Name
	}
	return d.Columns[column].LogicalName
}

// cloneTable copies a table deeply enough that neither side can change the other.
func cloneTable(t *schema.Table) *schema.Table {
	c := *t
	c.Columns = slices.Clone(t.Columns)
	for i := range c.Columns {
		c.Columns[i].Options = slices.Clone(c.Columns[i].Options)
		c.Columns[i].Targets = slices.Clone(c.Columns[i].Targets)
	}
	c.Keys = slices.Clone(t.Keys)
	for i := range c.Keys {
		c.Keys[i].Columns = slices.Clone(c.Keys[i].Columns)
	}
	c.Navigations = slices.Clone(t.Navigations)
	return &c
}

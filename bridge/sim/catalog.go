package sim

import (
	"fmt"
	"slices"

	"cebridge/schema"

	"github.com/google/uuid"
)

// catalogState finds tables. It is replaced as a whole, never changed.
type catalogState struct {
	list          []*schema.Table
	tables        []*table
	byName, bySet map[string]*table
}

func (s *Server) catalogNow() *catalogState { return s.catalogPtr.Load() }

// catalog lists the tables' schemas. They must not be changed.
func (s *Server) catalog() []*schema.Table { return s.catalogNow().list }

func (s *Server) tables() []*table { return s.catalogNow().tables }

// table finds a table by its logical name.
func (s *Server) table(name string) (*table, error) {
	t := s.catalogNow().byName[name]
	if t == nil {
		return nil, fmt.Errorf("simulator: no table %s in the schema", name)
	}
	return t, nil
}

func newCatalog(tables []*schema.Table) (*catalogState, error) {
	c := &catalogState{byName: map[string]*table{}, bySet: map[string]*table{}}
	for _, st := range tables {
		def, err := compileTable(cloneTable(st))
		if err != nil {
			return nil, err
		}
		if c.byName[st.LogicalName] != nil || c.bySet[st.EntitySet] != nil {
			return nil, fmt.Errorf("simulator: table %s (%s) is listed twice", st.LogicalName, st.EntitySet)
		}
		t := newTable(def)
		c.list, c.tables = append(c.list, def.Table), append(c.tables, t)
		c.byName[st.LogicalName], c.bySet[st.EntitySet] = t, t
	}
	return c, nil
}

// AlterTable changes a table's schema while the server runs: change tracking, the
// status of a key, a new column at the end. change gets a copy; columns must keep
// their order. A key that becomes Active is indexed from the records; duplicates
// among them fail, as the server's own index job does. expireTokens makes the
// change void every delta token of the table, as schema imports were seen to do.
func (s *Server) AlterTable(name string, expireTokens bool, change func(*schema.Table) error) error {
	t, err := s.table(name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := t.def.Load()
	next := cloneTable(old.Table)
	if err := change(next); err != nil {
		return err
	}
	if next.LogicalName != old.LogicalName || next.EntitySet != old.EntitySet || len(next.Columns) < len(old.Columns) {
		return fmt.Errorf("simulator: table %s: its names and existing columns cannot change", name)
	}
	for i := range old.Columns {
		if next.Columns[i].LogicalName != old.Columns[i].LogicalName {
			return fmt.Errorf("simulator: table %s: column %s must stay where it is", name, old.Columns[i].LogicalName)
		}
	}
	def, err := compileTable(next)
	if err != nil {
		return err
	}
	keys, err := t.buildKeys(def, s.opts.Assumptions.CaseSensitiveKeys)
	if err != nil {
		return err
	}
	def.secured, def.guarded = slices.Clone(old.secured), slices.Clone(old.guarded)
	void := t.voidBelow
	if expireTokens {
		void = s.version
	}
	if err := s.storeSchema(def, void); err != nil {
		return err
	}
	t.keys, t.voidBelow = keys, void
	if expireTokens {
		s.takeVersion()
	}
	s.redefine(t, def)
	return nil
}

// storeSchema notes a table's definition in the data file. It needs the lock.
func (s *Server) storeSchema(def *tableDef, void int64) error {
	if s.store == nil {
		return nil
	}
	return s.store.append(schemaLine(def, void))
}

// redefine puts a table's new definition into force. It needs the lock.
func (s *Server) redefine(t *table, def *tableDef) {
	t.def.Store(def)
	c := *s.catalogNow()
	c.list = slices.Clone(c.list)
	c.list[slices.Index(c.tables, t)] = def.public()
	s.catalogPtr.Store(&c)
}

// buildKeys indexes every record under every active key of def.
func (t *table) buildKeys(def *tableDef, exact bool) (map[string]map[string]uuid.UUID, error) {
	keys := make(map[string]map[string]uuid.UUID, len(def.keys))
	for _, k := range def.keys {
		keys[k.name] = make(map[string]uuid.UUID, len(t.rows))
	}
	var cells []string
	for id, r := range t.rows {
		cells = r.unpack(def, cells)
		for _, k := range def.keys {
			f := foldedKey(def, k, r, cells, exact)
			if f == "" {
				continue
			}
			if _, taken := keys[k.name][f]; taken {
				return nil, fmt.Errorf("simulator: table %s: key %s: records share a value; remove the duplicates first", def.LogicalName, k.name)
			}
			keys[k.name][f] = id
		}
	}
	return keys, nil
}

// ExpireTokens makes every delta token of a table that was issued so far count as
// expired, whatever its age.
func (s *Server) ExpireTokens(name string) error {
	t, err := s.table(name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.storeSchema(t.def.Load(), s.version); err != nil {
		return err
	}
	t.voidBelow = s.version
	s.takeVersion() // as somebody always does: tokens from now on are later than the void ones
	s.faults.count(FaultExpiredTokens)
	s.log.add(logRecord{at: s.opts.Now().UnixNano(), kind: KindFault, operation: string(FaultExpiredTokens), table: t})
	return nil
}

package mapping

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"cebridge/schema"
)

// Options bound and tune a compiled mapping. Zero fields mean the defaults.
type Options struct {
	// CostLimit bounds the steps of one expression for one event (CEL's cost
	// units; 100,000).
	CostLimit uint64
	// MaxExpression bounds the length of one expression, in characters (4096).
	MaxExpression int
	// WantResult asks every write for the record's id and version.
	WantResult bool
	// Example is the data of a typical event, as JSON, or nil. With it, places
	// that the mapping names must be in the example and fit their columns.
	Example []byte
	// Schema is a JSON Schema of the events' data, or nil; SchemaPart is where in it, such
	// as #/components/schemas/customer, "" for the whole. With it, places that the mapping
	// names must be in the schema and can fit their columns. Events are not held against it.
	Schema     []byte
	SchemaPart string

	language *language
	// blind: there is no metadata, so that nothing is said about tables.
	blind bool
	// needs, if set, collects the keys that the mapping relies on.
	needs *[]KeyUse
}

type compiler struct {
	collector
	spec    *Spec
	catalog schema.Catalog
	options Options
	env     *cel.Env
	table   *schema.Table
	written map[string]place
	// bindsMerging: a lookup can point at a table whose records can be merged.
	bindsMerging bool
	// example is the event of Options.Example, nil without one.
	example *view
	// schema is that of Options.Schema, nil without one.
	schema *schemaView
}

// Compile checks a mapping against the tables' metadata and makes it ready for
// events. The catalog must hold the tables of s.Tables(); one that is missing is
// a problem, as it does not exist or cannot be read. All problems are returned
// at once, in the order of the file; the Program is nil when there are any.
func Compile(s *Spec, catalog schema.Catalog, o Options) (*Program, schema.Problems) {
	o.CostLimit = cmp.Or(o.CostLimit, defaultCostLimit)
	o.MaxExpression = cmp.Or(o.MaxExpression, defaultMaxExpression)
	c := &compiler{spec: s, catalog: catalog, options: o, written: map[string]place{}}
	var err error
	c.options.language = &language{catalog: catalog, codes: s.codes, zones: zones{}}
	if c.env, err = newEnv(c.options.language); err != nil {
		c.add(s.at, "build the expression environment: %v", err)
		return nil, c.problems
	}
	c.readExample()
	c.readSchema()
	p := &Program{operation: s.operation, wantResult: o.WantResult}
	if s.writes != nil {
		p.when = c.condition(s.when)
		c.writes(p)
	} else {
		c.write(p)
	}
	p.revision = c.revision(s.revision)
	if len(c.problems) > 0 {
		return nil, c.sorted()
	}
	return p, nil
}

// write compiles the mapping of one write.
func (c *compiler) write(p *Program) {
	s := c.spec
	if s.table.text == "" {
		c.add(s.at, "table is missing: name the table to write")
	} else {
		c.table = c.lookUpTable(s.table)
	}
	p.table = c.table
	p.when = c.condition(s.when)
	c.address(p)
	c.forbidBlocks()
	p.body = c.block(&s.block, false)
	if s.onCreate != nil {
		p.onCreate = c.block(s.onCreate, true)
		p.hasOnCreate = true
	}
	p.merged = c.merged()
	c.statePairs(p)
	c.moneyHasCurrency(s)
}

// lookUpTable finds a table or reports it.
func (c *compiler) lookUpTable(n name) *schema.Table {
	if t := c.catalog[n.text]; t != nil {
		return t
	}
	if !c.options.blind {
		c.add(n.place, "unknown table %s%s", n.text, c.suggestTable(n.text))
	}
	return nil
}

func (c *compiler) suggestTable(text string) string {
	for _, t := range c.catalog {
		if text == t.EntitySet || text == t.SchemaName {
			return "; did you mean " + t.LogicalName + "? (the logical name is wanted)"
		}
	}
	return schema.Suggest(text, slices.Sorted(maps.Keys(c.catalog)))
}

// lookUpColumn finds a column or reports it.
func (c *compiler) lookUpColumn(t *schema.Table, n name) *schema.Column {
	if t == nil {
		return nil
	}
	if col := t.Column(n.text); col != nil {
		return col
	}
	hint := ""
	bare, _, _ := strings.Cut(n.text, "@")
	for i := range t.Columns {
		col := &t.Columns[i]
		switch {
		case col.IsLookup() && (n.text == col.ReadName() || bare == col.LogicalName):
			hint = "; write the lookup as lookups: {" + col.LogicalName + ": ...}"
		case bare == col.SchemaName:
			hint = "; did you mean " + col.LogicalName + "? (logical names are in lower case)"
		}
	}
	if hint == "" {
		hint = schema.Suggest(n.text, columnNames(t))
	}
	c.add(n.place, "table %s has no column %s%s", t.LogicalName, n.text, hint)
	return nil
}

func columnNames(t *schema.Table) []string {
	names := make([]string, len(t.Columns))
	for i := range t.Columns {
		names[i] = t.Columns[i].LogicalName
	}
	return names
}

// address compiles what names the record: key or id.
func (c *compiler) address(p *Program) {
	s := c.spec
	p.catalog = c.catalog
	switch {
	case len(s.key) > 0 && s.id != nil:
		c.add(s.idAt, "key and id exclude each other")
	case len(s.find) > 0 && (len(s.key) > 0 || s.id != nil):
		c.add(s.findAt, "resolve excludes key and id")
	case len(s.find) > 0 && s.operation != schema.OpUpdate && s.operation != schema.OpDelete:
		c.add(s.findAt, "resolve is for operation update and delete: nothing but an alternate key keeps two messages from making a record twice")
	case len(s.key)+len(s.find) == 0 && s.id == nil:
		c.add(s.keyAt, "key or id is missing: name the record to write")
	}
	if s.find != nil {
		p.find = c.findColumns(c.table, s.find)
		c.notOmitted(p.find)
	}
	p.key = c.ownKey()
	c.notOmitted(p.key)
	if p.id = c.keyPart(s.id, nil, nil); p.id != nil && p.id.constant != nil {
		if v := p.id.constant; v.kind != isText || !schema.IsGUID(v.text) {
			c.add(p.id.place, "the id must be a GUID")
		}
	}
}

// notOmitted keeps the address of the record itself whole.
func (c *compiler) notOmitted(parts []keyProgram) {
	for _, part := range parts {
		if part.program != nil && part.program.root != nil && calls(part.program.root, "omit") {
			c.add(part.program.place, "the record's own key cannot be left out: omit() is for columns and lookups")
		}
	}
}

// key compiles the columns of an alternate key and checks that it is declared.
func (c *compiler) key(t *schema.Table, at place, entries []entry) []keyProgram {
	var parts []keyProgram
	var columns []string
	known := t != nil
	for _, e := range entries {
		col := c.lookUpColumn(t, e.name)
		known = known && col != nil
		columns = append(columns, e.text)
		if x := c.keyPart(e.value, t, col); x != nil {
			parts = append(parts, keyProgram{name: e.text, column: col, program: x})
		}
	}
	if known && len(columns) > 0 {
		c.keyDeclared(t, at, columns)
	}
	return parts
}

// keyDeclared checks that an alternate key is declared and active.
func (c *compiler) keyDeclared(t *schema.Table, at place, columns []string) {
	c.need(t, columns)
	if problem := keyProblem(t, columns); problem != "" {
		c.add(at, "%s", problem)
	}
}

// keyProblem says why those columns cannot address a record; "" when they can.
func keyProblem(t *schema.Table, columns []string) string {
	if k := t.Key(columns); k != nil {
		if k.Status != schema.KeyActive {
			return "the alternate key " + k.LogicalName + " of " + t.LogicalName + " is " +
				cmp.Or(string(k.Status), "of unknown status") + ", not Active: wait for its index or reactivate it"
		}
		return ""
	}
	var declared []string
	for _, k := range t.Keys {
		declared = append(declared, k.LogicalName+" ("+strings.Join(k.Columns, ", ")+")")
	}
	text := "no alternate key of " + t.LogicalName + " consists of " + strings.Join(columns, ", ")
	if len(columns) == 1 && columns[0] == t.PrimaryID {
		return text + ": address by GUID with id, in a lookup with {" + t.LogicalName + ": expression}"
	}
	if len(declared) == 0 {
		return text + ": the table has none; resolve finds a record by other columns"
	}
	return text + ": it has " + strings.Join(declared, ", ")
}

// keyPart compiles one value of a key. Table and col are nil for a GUID.
func (c *compiler) keyPart(x *expression, table *schema.Table, col *schema.Column) *program {
	p := c.program(x, "")
	if p == nil {
		return nil
	}
	if p.root != nil && (calls(p.root, "ref") || calls(p.root, "resolve")) {
		c.add(p.place, "ref() and resolve() belong in lookups and in the record's own key, not in here")
	}
	if p.constant != nil && p.constant.kind == isNull {
		c.add(p.place, "a key cannot be null")
		return p
	}
	if col != nil {
		c.exampleFits(p, func(v value) string {
			if v.kind == isNull {
				return ""
			}
			_, problem := keyLiteral(col, v)
			return problem
		})
		c.schemaFits(p, scalarKind("a key takes"), func(v value) string {
			_, problem := keyLiteral(col, v)
			return problem
		})
	}
	kind, known := p.kind()
	switch {
	case !known || kind == isOmitted || kind == isNull:
	case kind != isText && kind != isNumber && kind != isTime:
		c.add(p.place, "a key takes a text or a number, not %s", value{kind: kind}.describe())
	case col != nil && p.constant != nil:
		if raw, problem := keyLiteral(col, *p.constant); problem != "" {
			c.add(p.place, "%s", problem)
		} else if _, err := schema.KeyPredicate(table, []schema.KeyPart{{Column: col.LogicalName, Value: raw}}); err != nil && !errors.Is(err, schema.ErrKeyCharacters) {
			c.add(p.place, "%v", err)
		}
	}
	return p
}

// scalarKind judges the kinds of what names a record.
func scalarKind(takes string) func(valueKind) string {
	return func(k valueKind) string {
		if k == isText || k == isNumber || k == isTime {
			return ""
		}
		return takes + " a text or a number, not " + value{kind: k}.describe()
	}
}

// condition compiles when.
func (c *compiler) condition(x *expression) *program {
	p := c.program(x, "")
	if p == nil {
		return nil
	}
	if kind, known := p.kind(); known && kind != isBool {
		c.add(p.place, "when must be true or false, not %s", value{kind: kind}.describe())
	}
	c.schemaFits(p, func(k valueKind) string {
		if k == isBool {
			return ""
		}
		return "when must be true or false, not " + value{kind: k}.describe()
	}, nil)
	c.guards(p)
	return p
}

// revision compiles revision.
func (c *compiler) revision(x *expression) *program {
	p := c.program(x, "")
	if p == nil {
		return nil
	}
	if p.constant != nil {
		c.add(p.place, "a constant revision makes every later event count as old")
	} else if kind, known := p.kind(); known && kind != isNumber && kind != isText && kind != isTime {
		c.add(p.place, "a revision is a whole number, a time or a text, not %s", value{kind: kind}.describe())
	}
	return p
}

// kind is what the expression yields, when that is known before any event.
func (p *program) kind() (valueKind, bool) {
	if p.constant != nil {
		return p.constant.kind, true
	}
	if isDynamic(p.outType) {
		return 0, false
	}
	switch p.outType.Kind() {
	case types.StringKind:
		return isText, true
	case types.IntKind, types.UintKind, types.DoubleKind:
		return isNumber, true
	case types.BoolKind:
		return isBool, true
	case types.TimestampKind:
		return isTime, true
	case types.NullTypeKind:
		return isNull, true
	case types.ListKind:
		return isList, true
	}
	return isObject, true
}

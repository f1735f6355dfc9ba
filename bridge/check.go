package bridge

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"cebridge/outbound"
	"cebridge/schema"
	"cebridge/schema/event"
	"cebridge/schema/mapping"
)

// tableSchema is the JSON Schema of one table's events.
type tableSchema struct {
	version string
	doc     []byte
}

// metadata loads the catalog, waiting while Customer Engagement is away.
func (b *Bridge) metadata(ctx context.Context) (cat schema.Catalog, orgID string, err error) {
	err = b.await(ctx, "Customer Engagement", func(ctx context.Context) error {
		id, err := b.client.WhoAmI(ctx)
		orgID = strings.ToLower(id.OrganizationID)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	err = b.await(ctx, "metadata", func(ctx context.Context) error {
		var err error
		cat, err = b.client.Metadata(ctx, b.cfg.Tables())
		return err
	})
	return cat, orgID, err
}

// checkTable holds one table's configuration against its metadata.
func checkTable(c TableConfig, cat schema.Catalog) schema.Problems {
	var ps schema.Problems
	note := func(field, format string, args ...any) {
		ps = append(ps, c.at.problem(field, fmt.Sprintf(format, args...)))
	}
	t := cat[c.Table]
	if t == nil {
		note("", "the organization has no table %s", c.Table)
		return ps
	}
	if !t.ChangeTracking {
		note("", "change tracking is off for table %s; switch it on with `cebridge apply`, or in the table's properties", c.Table)
	}
	for i, name := range c.Columns {
		if t.Column(name) != nil {
			continue
		}
		p := c.at.problem("columns", "")
		if i < len(c.columnAt) {
			p = c.columnAt[i]
		}
		p.Text = fmt.Sprintf("table %s has no column %s%s", c.Table, name, near(name, t))
		ps = append(ps, p)
	}
	ps = append(ps, checkPayload(c, t)...)
	return append(ps, checkReferences(c, t, cat)...)
}

// near names the column that was probably meant: one that differs in case or in the
// form of a lookup, or by a few letters.
func near(name string, t *schema.Table) string {
	var names []string
	for i := range t.Columns {
		c := &t.Columns[i]
		if strings.EqualFold(c.LogicalName, name) || c.ReadName() == name || strings.EqualFold(c.SchemaName, name) {
			return "; write " + c.LogicalName
		}
		names = append(names, c.LogicalName)
	}
	return schema.Suggest(name, names)
}

// publishedColumns are the listed columns and those that every event is made of: the
// id, and modifiedon, the event's time.
func publishedColumns(c TableConfig, t *schema.Table) []string {
	columns := slices.Clone(c.Columns)
	needed := []string{t.PrimaryID, "modifiedon"}
	if c.Start == outbound.StartNow {
		// Only this tells a record made after the start from one changed after it.
		needed = append(needed, "createdon")
	}
	for _, name := range needed {
		if t.Column(name) != nil && !slices.Contains(columns, name) {
			columns = append(columns, name)
		}
	}
	return columns
}

// tableConfig turns a checked table into what its worker is told.
func (b *Bridge) tableConfig(c TableConfig, cat schema.Catalog, orgID string) (outbound.TableConfig, tableSchema, error) {
	t := cat[c.Table]
	source := b.cfg.Outbound.SourcePrefix
	if source == "" {
		source = "/" + b.cfg.Prefix + "/" + b.cfg.Org
	}
	uri := func(version string) string {
		if base := b.cfg.Outbound.SchemaBase; base != "" {
			return base + "/schemas/" + c.Table + "/" + version + ".json"
		}
		return "urn:cebridge:" + b.cfg.Org + ":" + c.Table + ":" + version
	}
	columns := publishedColumns(c, t)
	doc, version, err := schema.JSONSchema(t, columns, uri, c.Protect)
	if err != nil {
		return outbound.TableConfig{}, tableSchema{}, err
	}
	payload, err := b.payloadOf(c, t, columns)
	if err != nil {
		return outbound.TableConfig{}, tableSchema{}, err
	}
	return outbound.TableConfig{
		Query: outbound.Query{Table: t, Columns: columns, PageSize: c.PageSize},
		Names: b.names,
		Settings: event.Settings{
			Source:     source + "/" + c.Table,
			TypePrefix: b.cfg.Outbound.TypePrefix,
			Table:      c.Table,
			OrgID:      orgID,
			DataSchema: uri(version),
			Mode:       c.Mode,
		},
		OrgID:        orgID,
		Start:        c.Start,
		PollInterval: c.Poll,
		PollMax:      c.PollMax,
		MaxDeletes:   c.MaxDeletes,
		References:   references(c, cat),
		Echo:         c.Echo,
		Previous:     c.Previous,
		Payload:      payload,
		ClaimCheck:   b.cfg.Outbound.ClaimCheck != nil,
	}, tableSchema{version: version, doc: doc}, nil
}

// compile turns every route's mapping into a program, or says what is wrong with
// each of them.
func (b *Bridge) compile(cat schema.Catalog) (map[string]*mapping.Program, schema.Problems) {
	programs := map[string]*mapping.Program{}
	var ps schema.Problems
	for _, r := range b.cfg.Inbound.Routes {
		if r.Mapping == nil {
			ps = append(ps, r.at.problem("", "the route has no mapping"))
			continue
		}
		program, problems := compileRoute(r, cat)
		ps = append(ps, problems...)
		programs[r.Name] = program
	}
	return programs, ps
}

func compileRoute(r RouteConfig, cat schema.Catalog) (*mapping.Program, schema.Problems) {
	program, problems := mapping.Compile(r.Mapping, cat, mapping.Options{WantResult: r.Receipts != "", Example: r.Example,
		Schema: r.Schema, SchemaPart: r.SchemaPart})
	return program, append(problems, redactProblems(r, cat)...)
}

// redactProblems finds columns to hide that no table of the route has: a misspelt name
// would hide nothing.
func redactProblems(r RouteConfig, cat schema.Catalog) (ps schema.Problems) {
	var known []string
	for _, name := range r.Mapping.Tables() {
		if t := cat[name]; t != nil && r.Mapping.Writes(name) {
			for i := range t.Columns {
				known = append(known, t.Columns[i].LogicalName)
			}
		}
	}
	for i, column := range r.Redact {
		if slices.Contains(known, column) || len(known) == 0 {
			continue
		}
		p := r.at.problem("redact", "")
		if i < len(r.redactAt) {
			p = r.redactAt[i]
		}
		p.Text = "no table that the route writes has the column " + column + schema.Suggest(column, known)
		ps = append(ps, p)
	}
	return ps
}

// schema serves a table's JSON Schema to the admin port.
func (b *Bridge) schema(table, version string) ([]byte, bool) {
	all := b.schemas.Load()
	if all == nil {
		return nil, false
	}
	s, ok := (*all)[table]
	if !ok || s.version != version {
		return nil, false
	}
	return s.doc, true
}

package bridge

import (
	"fmt"
	"maps"
	"slices"

	"cebridge/bridge/internal/yamltree"
	"cebridge/outbound"
	"cebridge/schema"
	"cebridge/schema/mapping"
)

// defaultIgnore are the columns that change without anything having happened to the
// record: who touched it when, and what the platform computes for itself.
var defaultIgnore = []string{
	"modifiedon", "modifiedby", "modifiedonbehalfby", "exchangerate", "timezoneruleversionnumber", "utcconversiontimezonecode",
}

// payloadPlaces are where the choices of a table's payload stand in a file.
type payloadPlaces struct {
	filter  *mapping.FilterSpec
	ignore  []schema.Problem
	protect position
}

// payload reads what of a table's rows becomes events.
func (r *reader) payload(cfg *TableConfig, t *yamltree.Map) {
	cfg.Previous = t.Bool("previous", false)
	if t.IsMap("only_changes") {
		m := t.Map("only_changes")
		cfg.OnlyChanges = true
		cfg.Ignore, cfg.payloadAt.ignore = m.Strings("ignore"), m.Places("ignore")
		m.Done()
	} else {
		cfg.OnlyChanges = t.Bool("only_changes", false)
	}
	t.Allow(mapping.FilterField)
	spec, problems := mapping.ParseFilter(r.doc.File, t.Path(), t.Node())
	r.doc.Add(problems...)
	if spec != nil {
		cfg.Filter, cfg.payloadAt.filter = spec.Text(), spec
	}
	p := t.Map("protect")
	cfg.payloadAt.protect = r.at(p.Node(), p.Path())
	for _, name := range p.Names() {
		if cfg.Protect == nil {
			cfg.Protect = map[string]schema.Protection{}
		}
		cfg.Protect[name] = schema.Protection(p.Choice(name, string(schema.ProtectMask), string(schema.ProtectHash), string(schema.ProtectMask)))
		if !slices.Contains(cfg.Columns, name) {
			p.Note(name, "not among the columns of the table%s", schema.Suggest(name, cfg.Columns))
		}
	}
	p.Done()
}

// hashKey reads the key of hashed columns. What is hashed needs one.
func (r *reader) hashKey(m *yamltree.Map) {
	c := &r.cfg.Outbound
	key := m.Secret("hash_key")
	c.HashKey = NewSecret(key)
	hashed := slices.ContainsFunc(c.Tables, func(t TableConfig) bool {
		return slices.Contains(slices.Collect(maps.Values(t.Protect)), schema.ProtectHash)
	})
	switch {
	case key != "" && len(key) < schema.MinHashKey:
		m.Note("hash_key", "too short: at least %d bytes, such as the output of `openssl rand -base64 32`", schema.MinHashKey)
	case hashed && !m.Has("hash_key"):
		m.Note("hash_key", "required: columns are hashed, and without a secret key anybody could try values")
	}
}

// echoBesideProtect says why the two exclude each other.
const echoBesideProtect = "cannot be used with protect: what it remembers on the stream would let values be guessed"

// checkPayload holds the choices of a table's payload against its metadata.
func checkPayload(c TableConfig, t *schema.Table) schema.Problems {
	var ps schema.Problems
	for i, name := range c.Ignore {
		if t.Column(name) != nil {
			continue
		}
		p := c.at.problem("only_changes.ignore", "")
		if i < len(c.payloadAt.ignore) {
			p = c.payloadAt.ignore[i]
		}
		p.Text = fmt.Sprintf("table %s has no column %s%s", c.Table, name, near(name, t))
		ps = append(ps, p)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Protect)) {
		text := ""
		switch {
		case name == t.PrimaryID || name == "modifiedon" || name == "versionnumber":
			text = "cannot be protected: every event shows it in its attributes"
		case name == "createdon" && c.Start == outbound.StartNow:
			text = "cannot be protected with start: now, which needs it to tell new records"
		case slices.ContainsFunc(c.References, func(r ReferenceConfig) bool { return r.Column == name }):
			text = "is told about in references, so it cannot be protected"
		}
		if text != "" {
			at := c.payloadAt.protect
			if at.field == "" {
				at = c.at
				at.field += ".protect"
			}
			ps = append(ps, at.problem(name, text))
		}
	}
	if len(c.Protect) > 0 && c.Echo != outbound.EchoOff {
		// What is remembered of own writes has hashes that are not keyed.
		ps = append(ps, c.at.problem("echo", echoBesideProtect))
	}
	if spec := c.filterSpec(); spec != nil {
		_, problems := mapping.CompileFilter(spec, t, publishedColumns(c, t))
		ps = append(ps, problems...)
	}
	return ps
}

// filterSpec is the filter with its place in the file, if it was read from one.
func (c *TableConfig) filterSpec() *mapping.FilterSpec {
	switch {
	case c.payloadAt.filter != nil && c.payloadAt.filter.Text() == c.Filter:
		return c.payloadAt.filter
	case c.Filter != "":
		return mapping.NewFilterSpec("outbound.tables."+c.Table+"."+mapping.FilterField, c.Filter)
	}
	return nil
}

// payloadOf is what the worker of a checked table is told of its payload.
func (b *Bridge) payloadOf(c TableConfig, t *schema.Table, columns []string) (outbound.Payload, error) {
	p := outbound.Payload{Protect: c.Protect, OnlyChanges: c.OnlyChanges}
	if slices.Contains(slices.Collect(maps.Values(c.Protect)), schema.ProtectHash) {
		p.HashKey = []byte(b.cfg.Outbound.HashKey.Text())
	}
	if p.OnlyChanges {
		if p.Ignore = c.Ignore; p.Ignore == nil {
			p.Ignore = defaultIgnore
		}
	}
	if spec := c.filterSpec(); spec != nil {
		f, problems := mapping.CompileFilter(spec, t, columns)
		if len(problems) > 0 {
			return p, problems
		}
		p.Keep, p.KeepName = f.Keep, c.Filter
	}
	return p, nil
}

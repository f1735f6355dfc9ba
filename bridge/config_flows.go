package bridge

import (
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"cebridge/bridge/internal/webapi"
	"cebridge/bridge/internal/yamltree"
	"cebridge/inbound"
	"cebridge/outbound"
	"cebridge/schema"
	"cebridge/schema/event"
	"cebridge/schema/mapping"
)

func (r *reader) outbound(m *yamltree.Map) {
	c := &r.cfg.Outbound
	c.TypePrefix = m.String("type_prefix", "")
	c.SourcePrefix = m.String("source_prefix", "")
	c.SchemaBase = strings.TrimRight(m.String("schema_base", ""), "/")
	c.ClaimCheck = r.claimCheck(m)
	tables := m.Map("tables")
	if len(tables.Names()) > 0 && c.TypePrefix == "" {
		m.Note("type_prefix", "required: how every event type begins, in reverse-DNS form, such as com.contoso.crm")
	}
	r.eventNames(m)
	for _, name := range tables.Names() {
		t := tables.Map(name)
		cfg := TableConfig{
			Table:      name,
			Columns:    t.Strings("columns"),
			columnAt:   t.Places("columns"),
			Poll:       t.Duration("poll", 5*time.Second, 100*time.Millisecond, 24*time.Hour),
			PollMax:    t.Duration("poll_max", 0, 100*time.Millisecond, 24*time.Hour),
			PageSize:   int(t.Int("page_size", 5000, 1, 5000)),
			Start:      outbound.Start(t.Choice("start", string(outbound.StartLoad), string(outbound.StartLoad), string(outbound.StartNow))),
			Echo:       outbound.Echo(strings.TrimPrefix(t.Choice("echo", "off", "off", string(outbound.EchoMark), string(outbound.EchoDrop)), "off")),
			MaxDeletes: int(t.Int("max_deletes", 0, 0, 1_000_000_000)),
			Mode:       event.Mode(t.Choice("mode", string(event.Structured), string(event.Structured), string(event.Binary))),
			at:         r.at(t.Node(), t.Path()),
		}
		cfg.References, cfg.referenceAt = r.references(t)
		r.payload(&cfg, t)
		if len(cfg.Protect) > 0 && cfg.Echo != outbound.EchoOff {
			t.Note("echo", echoBesideProtect)
		}
		if !schema.ValidToken(name) {
			t.Note("", "%q is not a table's logical name", name)
		}
		if t.Has("poll_max") && cfg.PollMax < cfg.Poll {
			t.Note("poll_max", "shorter than poll, which is %s", cfg.Poll)
		}
		if len(cfg.Columns) == 0 {
			t.Note("columns", "required: list the columns to publish; which data leaves the system is a choice")
		}
		seen := map[string]bool{}
		for _, col := range cfg.Columns {
			if seen[col] {
				t.Note("columns", "column %s stands twice", col)
			}
			seen[col] = true
		}
		t.Done()
		c.Tables = append(c.Tables, cfg)
	}
	tables.Done()
	r.hashKey(m)
	m.Done()
}

// eventNames checks each name by itself, by the rules of the encoder that will use
// them all.
func (r *reader) eventNames(m *yamltree.Map) {
	c := r.cfg.Outbound
	sound := event.Settings{Source: "/x", TypePrefix: "x", Table: "x"}
	check := func(field, value string, with event.Settings) {
		if value == "" {
			return
		}
		if _, err := event.NewEncoder(with); err != nil {
			m.Note(field, "%v", err)
		}
	}
	s := sound
	s.TypePrefix = c.TypePrefix
	check("type_prefix", c.TypePrefix, s)
	s = sound
	s.Source = c.SourcePrefix + "/x"
	check("source_prefix", c.SourcePrefix, s)
	s = sound
	s.DataSchema = c.SchemaBase + "/schemas/x/0.json"
	check("schema_base", c.SchemaBase, s)
}

func (r *reader) at(n *ast.MappingNode, field string) position {
	p := position{file: r.doc.File, field: field}
	if n != nil && len(n.Values) > 0 {
		if tk := n.Values[0].Key.GetToken(); tk != nil {
			p.line, p.column = tk.Position.Line, tk.Position.Column
		}
	}
	return p
}

func (r *reader) inbound(m *yamltree.Map) {
	streams := m.Map("streams")
	for _, name := range streams.Names() {
		s := streams.Map(name)
		if !schema.ValidToken(name) {
			s.Note("", "the stream name %q must be 1 to 64 letters, digits, '_' or '-'", name)
		}
		src := SourceStream{Name: name, Subjects: s.Strings("subjects")}
		if len(src.Subjects) == 0 {
			s.Note("subjects", "required: the subjects the stream takes")
		}
		for _, subject := range src.Subjects {
			if text := checkFilter(subject); text != "" {
				s.Note("subjects", "%q: %s", subject, text)
			}
		}
		s.Done()
		r.cfg.Inbound.Streams = append(r.cfg.Inbound.Streams, src)
	}
	streams.Done()
	if codes := m.Map("codes"); codes.Node() != nil {
		tables, problems := mapping.ParseCodes(r.doc.File, codes.Path(), codes.Node())
		r.doc.Add(problems...)
		r.cfg.Inbound.Codes = tables
	}
	routes := m.Map("routes")
	for _, name := range routes.Names() {
		r.route(name, routes.Map(name))
	}
	routes.Done()
	m.Done()
}

func (r *reader) route(name string, m *yamltree.Map) {
	cfg := RouteConfig{Name: name, at: r.at(m.Node(), m.Path())}
	if !schema.ValidToken(name) {
		m.Note("", "the route name %q must be 1 to 64 letters, digits, '_' or '-'", name)
	}
	cfg.Stream = m.String("stream", "")
	if cfg.Stream == "" {
		m.Note("stream", "required: the stream to read from")
	}
	cfg.Subjects = m.Strings("subjects")
	for _, s := range cfg.Subjects {
		if text := checkFilter(s); text != "" {
			m.Note("subjects", "%q: %s", s, text)
		}
	}
	r.start(&cfg, m)
	cfg.Format = inbound.Format(m.Choice("format", string(inbound.FormatCloudEvents), string(inbound.FormatCloudEvents), string(inbound.FormatJSON)))
	cfg.PlainType = m.String("plain_type", "")
	if cfg.Format == inbound.FormatJSON && cfg.PlainType == "" {
		m.Note("plain_type", "required with format json: the event type to give to plain messages")
	}
	cfg.Unmatched = inbound.Unmatched(m.Choice("unmatched", string(inbound.UnmatchedAck), string(inbound.UnmatchedAck), string(inbound.UnmatchedDeadLetter)))
	cfg.Concurrency = int(m.Int("concurrency", 52, 1, 1000))
	cfg.AckWait = m.Duration("ack_wait", 30*time.Second, time.Second, time.Hour)
	cfg.Receipts = m.String("receipts", "")
	if cfg.Receipts != "" && (checkFilter(cfg.Receipts) != "" || strings.ContainsAny(cfg.Receipts, "*>")) {
		m.Note("receipts", "%q is not a subject to publish to", cfg.Receipts)
	}
	cfg.Shadow = m.Bool("shadow", false)
	cfg.GiveUp = m.Duration("give_up", 10*time.Minute, time.Second, 30*24*time.Hour)
	cfg.ParkAfter = m.Duration("park_after", inbound.DefaultParkAfter, 100*time.Millisecond, time.Hour)
	cfg.AmbiguityBound = m.Duration("ambiguity_bound", inbound.DefaultAmbiguityBound, 0, time.Hour)
	cfg.Redact, cfg.redactAt = m.Strings("redact"), m.Places("redact")
	cfg.StopAfter = int(m.Int("stop_after", 0, -1, 100000))
	cfg.Verdicts = r.verdicts(m.Map("verdicts"))
	cfg.Example = r.example(m, cfg.Format)
	cfg.Schema, cfg.SchemaPart = r.dataSchema(m)
	m.Allow(mapping.Fields()...)
	if m.Node() != nil {
		spec, problems := mapping.Parse(r.doc.File, m.Path(), m.Node())
		r.doc.Add(problems...)
		spec.ShareCodes(r.cfg.Inbound.Codes)
		if len(problems) == 0 {
			r.doc.Add(mapping.Lint(spec, mapping.Options{Example: cfg.Example, Schema: cfg.Schema, SchemaPart: cfg.SchemaPart})...)
		}
		cfg.Mapping = spec
	} else {
		m.Note("", "the route is empty")
	}
	m.Done()
	r.cfg.Inbound.Routes = append(r.cfg.Inbound.Routes, cfg)
}

func (r *reader) verdicts(m *yamltree.Map) map[string]string {
	if len(m.Names()) == 0 {
		return nil
	}
	texts := map[string]string{}
	for _, name := range m.Names() {
		texts[name] = m.String(name, "")
		if _, err := webapi.NewOverrides(map[string]string{name: texts[name]}); err != nil {
			m.Note(name, "%v", err)
		}
	}
	m.Done()
	return texts
}

func (r *reader) start(cfg *RouteConfig, m *yamltree.Map) {
	switch s := m.String("start", ""); s {
	case "new", "all":
		cfg.Start = s
	case "":
		m.Note("start", "required: new (only later messages), all, or a time")
	default:
		if _, err := time.Parse(time.RFC3339, s); err != nil {
			m.Note("start", "write new, all, or a time such as 2026-01-31T08:00:00Z")
		}
		cfg.Start = s
	}
}

// checkFilter returns what is wrong with a subject or subject filter, or "".
func checkFilter(s string) string {
	if s == "" || len(s) > 256 {
		return "a subject has 1 to 256 characters"
	}
	if strings.HasPrefix(s, "$") {
		return "subjects that begin with $ belong to the server"
	}
	tokens := strings.Split(s, ".")
	for i, tok := range tokens {
		switch {
		case tok == "":
			return "a token between dots is empty"
		case tok == ">" && i != len(tokens)-1:
			return "> may only stand at the end"
		case len(tok) > 1 && strings.ContainsAny(tok, "*>"):
			return "* and > stand alone between dots"
		}
		for _, c := range tok {
			if c <= ' ' || c > '~' {
				return "only visible ASCII characters"
			}
		}
	}
	return ""
}

package yamltree

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"cebridge/schema"
)

// Path is the dotted path of the map within the file.
func (m *Map) Path() string { return m.path }

// Node is the mapping itself, nil when it is absent.
func (m *Map) Node() *ast.MappingNode { return m.node }

// Names lists the fields in the order of the file.
func (m *Map) Names() []string { return m.order }

// Has tells whether the field stands there with a value other than null.
func (m *Map) Has(name string) bool { return m.value(name) != nil || m.doc.pretends() }

// Note reports a problem with a field, or with the map itself for name "".
func (m *Map) Note(name, format string, args ...any) {
	if name == "" {
		var n ast.Node
		if m.node != nil && len(m.node.Values) > 0 {
			n = m.node.Values[0].Key
		}
		m.doc.note(n, m.path, format, args...)
		return
	}
	if e := m.entries[name]; e != nil {
		n := ast.Node(e.Key)
		if e.Value != nil && e.Value.Type() != ast.NullType && e.Value.Type() != ast.MappingType {
			n = e.Value
		}
		m.doc.note(n, join(m.path, name), format, args...)
		return
	}
	var n ast.Node
	if m.node != nil && len(m.node.Values) > 0 {
		n = m.node.Values[0].Key
	}
	m.doc.note(n, join(m.path, name), format, args...)
}

// Allow marks fields as known that another reader takes care of.
func (m *Map) Allow(names ...string) {
	for _, n := range names {
		m.asked[n] = true
		m.saw(n, Form{Kind: Foreign})
	}
}

func (m *Map) value(name string) ast.Node {
	m.asked[name] = true
	e := m.entries[name]
	if e == nil || e.Value == nil || e.Value.Type() == ast.NullType {
		return nil
	}
	return e.Value
}

// text returns a scalar's text; ok is false when absent or refused.
func (m *Map) text(name, want string) (string, ast.Node, bool) {
	v := m.value(name)
	if v == nil {
		return "", nil, false
	}
	s, ok := scalar(v)
	if !ok {
		m.Note(name, "expected %s, found %s", want, describe(v))
		return "", nil, false
	}
	return s, v, true
}

// String reads a text. Numbers and booleans that stand unquoted are refused where
// a person may have meant a text: 0123 would otherwise change silently.
func (m *Map) String(name, def string) string {
	s := m.string(name, def)
	m.saw(name, Form{Kind: Text, Default: def, Value: s})
	return s
}

func (m *Map) string(name, def string) string {
	s, v, ok := m.text(name, "a text")
	if !ok {
		return def
	}
	if _, plain := v.(*ast.StringNode); !plain && v.Type() != ast.LiteralType {
		m.Note(name, "expected a text, found %s; put it in quotes", describe(v))
		return def
	}
	return s
}

// Secret reads a text that must come from the environment or a file whole, so
// that it never stands in the configuration itself.
func (m *Map) Secret(name string) string {
	v := m.value(name)
	s := m.string(name, "")
	m.saw(name, Form{Kind: SecretText, Default: "", Value: s})
	if s != "" && !m.doc.fromOutside[v] {
		m.Note(name, "a secret must not stand in the file; write ${NAME} or ${file:/path}")
	}
	return s
}

// Choice reads one of a closed set of texts.
func (m *Map) Choice(name, def string, allowed ...string) string {
	s := m.string(name, def)
	m.saw(name, Form{Kind: Word, Default: def, Value: s, Allowed: allowed})
	if !slices.Contains(allowed, s) {
		m.Note(name, "%q is not one of %s%s", s, strings.Join(allowed, ", "), schema.Suggest(s, allowed))
		return def
	}
	return s
}

// Int reads a whole number within [low, high].
func (m *Map) Int(name string, def, low, high int64) int64 {
	v := m.readInt(name, def, low, high)
	m.saw(name, Form{Kind: Whole, Default: def, Value: v, Low: low, High: high})
	return v
}

func (m *Map) readInt(name string, def, low, high int64) int64 {
	s, v, ok := m.text(name, "a whole number")
	if !ok {
		return def
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 10, 64)
	if err != nil || (v.Type() == ast.StringType && isQuoted(v)) {
		m.Note(name, "expected a whole number, found %q", s)
		return def
	}
	if n < low || n > high {
		if high == math.MaxInt64 {
			m.Note(name, "%d is too small; at least %d", n, low)
		} else {
			m.Note(name, "%d is outside %d to %d", n, low, high)
		}
		return def
	}
	return n
}

// Bytes reads a size: a whole number, or one with KiB, MiB, GiB or TiB. Where the
// default is -1, for no limit, that may be written too.
func (m *Map) Bytes(name string, def, low int64) int64 {
	v := m.bytes(name, def, low)
	m.saw(name, Form{Kind: Size, Default: def, Value: v, Low: low, High: math.MaxInt64})
	return v
}

func (m *Map) bytes(name string, def, low int64) int64 {
	s, _, ok := m.text(name, "a size such as 10GiB")
	if !ok {
		return def
	}
	text, unit := s, int64(1)
	for i, suffix := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if t, ok := strings.CutSuffix(s, suffix); ok {
			text, unit = strings.TrimSpace(t), int64(1)<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || (n > 0 && n > math.MaxInt64/unit) {
		m.Note(name, "expected a size such as 10GiB, found %q", s)
		return def
	}
	if n == -1 && def == -1 {
		return -1
	}
	if n*unit < low {
		m.Note(name, "%s is too small; at least %d bytes", s, low)
		return def
	}
	return n * unit
}

// Bool reads true or false. The other words YAML once took are refused.
func (m *Map) Bool(name string, def bool) bool {
	v := m.readBool(name, def)
	m.saw(name, Form{Kind: Switch, Default: def, Value: v})
	return v
}

func (m *Map) readBool(name string, def bool) bool {
	v := m.value(name)
	if v == nil {
		return def
	}
	b, ok := v.(*ast.BoolNode)
	if !ok {
		m.Note(name, "expected true or false")
		return def
	}
	return b.Value
}

// Duration reads a length of time such as 5s or 1m30s, within [low, high].
func (m *Map) Duration(name string, def, low, high time.Duration) time.Duration {
	v := m.duration(name, def, low, high)
	m.saw(name, Form{Kind: Length, Default: def, Value: v, Low: int64(low), High: int64(high)})
	return v
}

func (m *Map) duration(name string, def, low, high time.Duration) time.Duration {
	s, _, ok := m.text(name, "a length of time such as 30s")
	if !ok {
		return def
	}
	t, err := time.ParseDuration(s)
	if err != nil {
		m.Note(name, "expected a length of time such as 30s or 5m, found %q", s)
		return def
	}
	if t < low || t > high {
		m.Note(name, "%s is outside %s to %s", t, low, high)
		return def
	}
	return t
}

// Time reads an RFC 3339 time; zero when absent.
func (m *Map) Time(name string) time.Time {
	v := m.time(name)
	m.saw(name, Form{Kind: Moment, Value: v})
	return v
}

func (m *Map) time(name string) time.Time {
	s, _, ok := m.text(name, "a time")
	if !ok {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		m.Note(name, "expected a time such as 2026-01-31T08:00:00Z, found %q", s)
	}
	return t
}

// Strings reads a list of texts; one text alone counts as a list of one.
func (m *Map) Strings(name string) []string {
	v := m.strings(name)
	m.saw(name, Form{Kind: Texts, Value: v})
	return v
}

func (m *Map) strings(name string) []string {
	v := m.value(name)
	if v == nil {
		return nil
	}
	seq, ok := v.(*ast.SequenceNode)
	if !ok {
		if _, isText := v.(*ast.StringNode); isText {
			return []string{m.string(name, "")}
		}
		m.Note(name, "expected a list of texts, found %s", describe(v))
		return nil
	}
	out := make([]string, 0, len(seq.Values))
	for i, e := range seq.Values {
		s, isText := e.(*ast.StringNode)
		if !isText {
			m.doc.note(e, join(m.path, name)+"["+strconv.Itoa(i)+"]", "expected a text, found %s; put it in quotes", describe(e))
			continue
		}
		out = append(out, s.Value)
	}
	return out
}

// Places returns where each text of a list stands, as problems without a text.
func (m *Map) Places(name string) []schema.Problem {
	var places []schema.Problem
	add := func(n ast.Node, field string) {
		p := schema.Problem{File: m.doc.File, Field: field}
		if tk := n.GetToken(); tk != nil {
			p.Line, p.Column = tk.Position.Line, tk.Position.Column
		}
		places = append(places, p)
	}
	switch v := m.value(name).(type) {
	case *ast.StringNode:
		add(v, join(m.path, name))
	case *ast.SequenceNode:
		for i, e := range v.Values {
			if _, isText := e.(*ast.StringNode); isText {
				add(e, join(m.path, name)+"["+strconv.Itoa(i)+"]")
			}
		}
	}
	return places
}

// Map reads a nested mapping; an absent one reads as empty.
func (m *Map) Map(name string) *Map {
	v := m.value(name)
	path := join(m.path, name)
	var n *ast.MappingNode
	switch v := v.(type) {
	case nil:
		if m.doc.pretends() {
			n = &ast.MappingNode{}
		}
	case *ast.MappingNode:
		n = v
	default:
		m.Note(name, "expected a mapping, found %s", describe(v))
	}
	below := m.doc.newMap(path, n)
	below.entry = m.saw(name, Form{Kind: Fields})
	return below
}

// Spelled is what a field's short form stands for: the same field as a mapping in
// which nothing is set.
func (m *Map) Spelled(name string) *Map {
	below := m.doc.newMap(join(m.path, name), nil)
	below.entry = m.saw(name, Form{Kind: Fields})
	return below
}

// IsText tells whether the field is a single text, for fields with a short form.
func (m *Map) IsText(name string) bool {
	if m.doc.pretends() {
		return m.doc.asIf(join(m.path, name))
	}
	_, ok := m.value(name).(*ast.StringNode)
	return ok
}

// IsList tells whether the field is a list, for fields with several forms.
func (m *Map) IsList(name string) bool {
	if m.doc.pretends() {
		return m.doc.asIf(join(m.path, name))
	}
	_, ok := m.value(name).(*ast.SequenceNode)
	return ok
}

// Place is where a field's name stands, as a problem without a text.
func (m *Map) Place(name string) schema.Problem {
	p := schema.Problem{File: m.doc.File, Field: join(m.path, name)}
	if e, ok := m.entries[name]; ok {
		if tk := e.Key.GetToken(); tk != nil {
			p.Line, p.Column = tk.Position.Line, tk.Position.Column
		}
	}
	return p
}

// IsMap tells whether the field is a mapping, for fields with a short form.
func (m *Map) IsMap(name string) bool {
	if m.doc.pretends() {
		return !m.doc.asIf(join(m.path, name))
	}
	_, ok := m.value(name).(*ast.MappingNode)
	return ok
}

// Done reports every field that nobody asked for.
func (m *Map) Done() {
	if m.entry != nil {
		m.entry.Closed = true
	}
	if m.doc.pretends() {
		return // every name is one that was asked for
	}
	known := make([]string, 0, len(m.asked))
	for k := range m.asked {
		known = append(known, k)
	}
	slices.Sort(known)
	for _, name := range m.order {
		if !m.asked[name] {
			m.doc.note(m.entries[name].Key, join(m.path, name), "unknown field%s", schema.Suggest(name, known))
		}
	}
}

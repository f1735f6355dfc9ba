package bridge

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"cebridge/bridge/internal/yamltree"
)

// HiddenSecret stands for every secret in a shown configuration.
const HiddenSecret = "<redacted>"

// ShownConfig is a configuration as the bridge uses it: with every default, what
// references stand for, and no secret.
type ShownConfig struct{ root shown }

// ShowConfig reads a configuration file as LoadConfig does, and tells what was read.
func ShowConfig(path string) (*ShownConfig, error) {
	data, err := readConfigFile(path)
	if err != nil {
		return nil, err
	}
	doc := parseConfigFile(path, data)
	trace := doc.Trace()
	if _, err := readConfig(doc); err != nil {
		return nil, err
	}
	root, _ := showFields(trace)
	return &ShownConfig{root: root}, nil
}

// YAML is a configuration file again. LoadConfig takes it once each HiddenSecret is
// replaced by a reference.
func (s *ShownConfig) YAML() []byte {
	var b strings.Builder
	s.root.yaml(&b, 0)
	return []byte(b.String())
}

// JSON has the same content in the same order.
func (s *ShownConfig) JSON() ([]byte, error) {
	var b strings.Builder
	s.root.json(&b)
	out := json.RawMessage(b.String())
	doc, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("render the configuration: %w", err)
	}
	return append(doc, '\n'), nil
}

// shown is one value: a text, a token such as a number, a list or a mapping.
type shown struct {
	text, token string
	list        []shown
	names       []string // of a mapping, with their values in list
	mapping     bool
}

func (s *shown) put(name string, v shown) {
	s.names, s.list = append(s.names, name), append(s.list, v)
}

// showFields shows what was read of a mapping; ok is false when nothing is in it.
func showFields(e *yamltree.Entry) (m shown, ok bool) {
	m.mapping = true
	for _, f := range e.Fields {
		if v, ok := showField(f); ok {
			m.put(f.Name, v)
		}
	}
	return m, len(m.names) > 0
}

func showField(e *yamltree.Entry) (shown, bool) {
	if len(e.Fields) > 0 {
		v, ok := showFields(e)
		return v, ok || e.Node != nil // that it is there may mean something
	}
	for _, f := range e.Forms {
		switch f.Kind {
		case yamltree.Foreign, yamltree.Fields:
			if e.Node == nil {
				continue
			}
			if v := showNode(e.Node); !v.mapping || len(v.names) > 0 {
				return v, true
			}
		case yamltree.SecretText:
			if f.Value != "" {
				return shown{text: HiddenSecret}, true
			}
		default:
			if v, ok := showValue(f); ok {
				return v, true
			}
		}
	}
	return shown{}, false
}

// showValue leaves out what is not set and cannot be written.
func showValue(f yamltree.Form) (shown, bool) {
	switch v := f.Value.(type) {
	case string:
		return shown{text: literal(v)}, v != ""
	case []string:
		list := shown{list: []shown{}}
		for _, s := range v {
			list.list = append(list.list, shown{text: literal(s)})
		}
		return list, len(v) > 0
	case bool:
		return shown{token: strconv.FormatBool(v)}, true
	case int64:
		if f.Kind == yamltree.Size && v > 0 {
			return shown{token: size(v)}, true
		}
		return shown{token: strconv.FormatInt(v, 10)}, true
	case time.Duration:
		return shown{token: v.String()}, int64(v) >= f.Low
	case time.Time:
		return shown{text: v.Format(time.RFC3339Nano)}, !v.IsZero()
	}
	return shown{}, false
}

// literal keeps what looks like a reference from being taken for one.
func literal(s string) string { return strings.ReplaceAll(s, "${", "$${") }

func size(n int64) string {
	unit := ""
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if n%1024 != 0 {
			break
		}
		n, unit = n/1024, u
	}
	return strconv.FormatInt(n, 10) + unit
}

// showNode shows a part of the file as it stands there.
func showNode(n ast.Node) shown {
	switch v := n.(type) {
	case *ast.MappingNode:
		m := shown{mapping: true}
		for _, e := range v.Values {
			m.put(literalKey(e.Key), showNode(e.Value))
		}
		return m
	case *ast.SequenceNode:
		list := shown{list: []shown{}}
		for _, e := range v.Values {
			list.list = append(list.list, showNode(e))
		}
		return list
	case *ast.StringNode:
		return shown{text: literal(v.Value)}
	case *ast.LiteralNode:
		return shown{text: literal(v.Value.Value)}
	case nil:
		return shown{token: "null"}
	}
	return shown{token: n.GetToken().Value}
}

func literalKey(k ast.MapKeyNode) string {
	if s, ok := k.(*ast.StringNode); ok {
		return s.Value
	}
	return k.GetToken().Value
}

// plain are the texts that YAML takes for texts without quotes.
var plain = regexp.MustCompile(`^[A-Za-z_/][A-Za-z0-9_./@-]*$`)

// words are those that some reader of YAML takes for something else.
var words = regexp.MustCompile(`(?i)^(true|false|null|yes|no|on|off|y|n)$`)

func yamlText(s string) string {
	if plain.MatchString(s) && !words.MatchString(s) || s == HiddenSecret {
		return s
	}
	return jsonText(s)
}

// jsonText is a text in double quotes. YAML reads it alike.
func jsonText(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a text always can be
	return strings.TrimSuffix(b.String(), "\n")
}

func (s *shown) yaml(b *strings.Builder, depth int) {
	indent := strings.Repeat("  ", depth)
	for i, name := range s.names {
		v := &s.list[i]
		b.WriteString(indent + yamlText(name) + ":")
		switch {
		case v.mapping && len(v.names) > 0:
			b.WriteByte('\n')
			v.yaml(b, depth+1)
		case v.mapping:
			b.WriteString(" {}\n")
		case v.list != nil:
			b.WriteString(" ")
			v.flow(b)
			b.WriteByte('\n')
		default:
			b.WriteString(" " + v.scalar() + "\n")
		}
	}
}

// flow writes a value on one line.
func (s *shown) flow(b *strings.Builder) {
	switch {
	case s.mapping:
		b.WriteByte('{')
		for i, name := range s.names {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(yamlText(name) + ": ")
			s.list[i].flow(b)
		}
		b.WriteByte('}')
	case s.list != nil:
		b.WriteByte('[')
		for i := range s.list {
			if i > 0 {
				b.WriteString(", ")
			}
			s.list[i].flow(b)
		}
		b.WriteByte(']')
	default:
		b.WriteString(s.scalar())
	}
}

func (s *shown) scalar() string {
	if s.token != "" {
		return s.token
	}
	return yamlText(s.text)
}

func (s *shown) json(b *strings.Builder) {
	switch {
	case s.mapping:
		b.WriteByte('{')
		for i, name := range s.names {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(jsonText(name) + ":")
			s.list[i].json(b)
		}
		b.WriteByte('}')
	case s.list != nil:
		b.WriteByte('[')
		for i := range s.list {
			if i > 0 {
				b.WriteByte(',')
			}
			s.list[i].json(b)
		}
		b.WriteByte(']')
	case s.token == "":
		b.WriteString(jsonText(s.text))
	case json.Valid([]byte(s.token)):
		b.WriteString(s.token)
	default:
		b.WriteString(jsonText(s.token))
	}
}

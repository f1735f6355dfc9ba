package bridge

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"cebridge/bridge/internal/yamltree"
	"cebridge/docs"
	"cebridge/schema/mapping"
)

// ConfigSchema is a JSON Schema (2020-12) of the configuration file, for editors. It is
// made by asking the reader itself what it reads. Every file that LoadConfig takes is
// valid; what depends on several settings at once, only LoadConfig tells.
func ConfigSchema() ([]byte, error) {
	defs, err := mapping.JSONSchema()
	if err != nil {
		return nil, err
	}
	outline := yamltree.Outline(func(d *yamltree.Doc) {
		r := reader{doc: d, cfg: DefaultConfig()}
		r.root(d.Root)
	})
	s := outlined{foreign: map[string]string{}, meanings: meanings(outline, docs.Configuration)}
	for name := range defs {
		s.foreign[name] = "#/$defs/" + name
	}
	for _, name := range mapping.Fields() {
		s.foreign[name] = "#/$defs/mapping/properties/" + name
	}
	root := s.fields(outline)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Configuration of cebridge " + Version
	root["$defs"] = defs
	doc, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("render the schema of the configuration: %w", err)
	}
	return append(doc, '\n'), nil
}

// Patterns of texts. A reference stands for anything, since what it becomes is not
// known before the file is read.
const (
	reference       = `\$\{`
	wholeReference  = `^\$\{[^}]+\}$`
	durationPattern = `^[-+]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$`
	sizePattern     = `^(-1|[0-9]+ *(KiB|MiB|GiB|TiB)?)$`
	wholePattern    = `^[-+]?[0-9_]+$`
)

type object = map[string]any

// outlined turns what the reader asks for into schemas.
type outlined struct {
	// foreign are the schemas of fields that another reader reads.
	foreign  map[string]string
	meanings map[*yamltree.Entry]string
}

// fields is the schema of a mapping.
func (s *outlined) fields(e *yamltree.Entry) object {
	out := object{"type": "object"}
	properties, required := object{}, []string{}
	for _, f := range e.Fields {
		if f.Name == "*" {
			out["additionalProperties"] = s.field(f)
			continue
		}
		if foreign := slices.ContainsFunc(f.Forms, func(o yamltree.Form) bool { return o.Kind == yamltree.Foreign }); foreign {
			schema := object{}
			if ref := s.foreign[f.Name]; ref != "" {
				schema["$ref"] = ref
			} else if slices.ContainsFunc(f.Forms, func(o yamltree.Form) bool { return o.Kind == yamltree.Text }) {
				schema["type"] = []string{"string", "object", "null"} // data, or a text that stands for it
			}
			properties[f.Name] = s.meaning(f, schema)
			if f.Name == "writes" {
				out["anyOf"] = []any{object{"required": []string{"table"}}, object{"required": []string{"writes"}}}
			}
			continue
		}
		properties[f.Name] = s.field(f)
		if f.Required {
			required = append(required, f.Name)
		}
	}
	if len(properties) > 0 {
		out["properties"] = properties
	}
	if e.Closed && out["additionalProperties"] == nil {
		out["additionalProperties"] = false
	}
	if i := slices.Index(required, "type_prefix"); i >= 0 {
		// The reader notes it because there are tables; without them it is not required.
		required = slices.Delete(required, i, i+1)
		out["dependentRequired"] = object{"tables": []string{"type_prefix"}}
	}
	if len(required) > 0 {
		slices.Sort(required)
		out["required"] = required
	}
	return out
}

// field is the schema of a field with all its forms. One that is not required may be
// null, which reads as absent.
func (s *outlined) field(e *yamltree.Entry) object {
	var forms []any
	for _, f := range e.Forms {
		forms = append(forms, s.form(e, f))
	}
	null := !e.Required && e.Name != "*"
	if len(forms) == 1 && !null {
		return s.meaning(e, forms[0].(object))
	}
	if null {
		if one := forms[0].(object); len(forms) == 1 && one["type"] != nil {
			one["type"] = append(types(one["type"]), "null")
			return s.meaning(e, one)
		}
		forms = append(forms, object{"type": "null"})
	}
	return s.meaning(e, object{"anyOf": forms})
}

func types(t any) []string {
	if one, ok := t.(string); ok {
		return []string{one}
	}
	return t.([]string)
}

func (s *outlined) meaning(e *yamltree.Entry, schema object) object {
	if text := s.meanings[e]; text != "" {
		schema["description"] = text
	}
	return schema
}

func (s *outlined) form(e *yamltree.Entry, f yamltree.Form) object {
	switch f.Kind {
	case yamltree.Fields:
		if len(e.Fields) == 0 {
			return object{"$ref": "#/$defs/codes"} // the one mapping that another reader reads
		}
		return s.fields(e)
	case yamltree.Word:
		known := object{"enum": f.Allowed}
		if f.Default != "" {
			known["default"] = f.Default
		}
		return object{"anyOf": []any{known, object{"type": "string", "pattern": reference}}}
	case yamltree.SecretText:
		return object{"type": "string", "pattern": wholeReference}
	case yamltree.Whole:
		out := object{"type": []string{"integer", "string"}, "pattern": wholePattern + "|" + reference, "default": f.Default, "minimum": f.Low}
		if f.High < math.MaxInt64 {
			out["maximum"] = f.High
		}
		return out
	case yamltree.Size:
		out := object{"type": []string{"integer", "string"}, "pattern": sizePattern + "|" + reference, "default": f.Default, "minimum": f.Low}
		if f.Default == int64(-1) {
			out["minimum"] = -1
		}
		return out
	case yamltree.Switch:
		return object{"type": "boolean", "default": f.Default}
	case yamltree.Length:
		out := object{"type": "string", "pattern": durationPattern + "|" + reference}
		if f.Low <= 0 { // a bare 0 is a number in YAML
			out["type"], out["minimum"], out["maximum"] = []string{"string", "integer"}, 0, 0
		}
		if d := f.Default.(time.Duration); int64(d) >= f.Low {
			out["default"] = d.String()
		}
		return out
	case yamltree.Texts:
		return object{"type": []string{"array", "string"}, "items": object{"type": "string"}}
	case yamltree.Text:
		out := object{"type": "string"}
		if f.Default != "" {
			out["default"] = f.Default
		}
		return out
	}
	return object{"type": "string"} // a time
}

var link = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)

// meanings reads from the tables of the page what each setting means. A name of the
// page that nobody asks for stands for any.
func meanings(outline *yamltree.Entry, page string) map[*yamltree.Entry]string {
	found := map[*yamltree.Entry]string{}
	inTable := false
	for line := range strings.SplitSeq(page, "\n") {
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if !strings.HasPrefix(line, "|") {
			inTable = false
			continue
		}
		if !inTable {
			inTable = strings.TrimSpace(cells[0]) == "setting"
			continue
		}
		at := outline
		for name := range strings.SplitSeq(strings.Trim(strings.TrimSpace(cells[0]), "`"), ".") {
			next := at.Field(name)
			if next == nil {
				next = at.Field("*")
			}
			if next == nil {
				break // below a part that another reader reads
			}
			at = next
		}
		text := strings.TrimSpace(cells[len(cells)-1])
		if at != outline && found[at] == "" && text != "" && strings.Trim(text, "-") != "" {
			found[at] = link.ReplaceAllString(text, "$1")
		}
	}
	return found
}

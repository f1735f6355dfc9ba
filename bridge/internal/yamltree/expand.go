package yamltree

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// expand replaces ${...} in every text value below n. Names are left alone.
func (d *Doc) expand(n ast.Node, path string, env Environment) {
	switch v := n.(type) {
	case *ast.MappingNode:
		for _, e := range v.Values {
			d.expand(e.Value, join(path, keyText(e.Key)), env)
		}
	case *ast.SequenceNode:
		for i, e := range v.Values {
			d.expand(e, fmt.Sprintf("%s[%d]", path, i), env)
		}
	case *ast.StringNode:
		if strings.Contains(v.Value, "${") {
			var outside bool
			v.Value, outside = d.expandText(v, v.Value, path, env)
			d.fromOutside[v] = outside
		}
	case *ast.LiteralNode:
		if strings.Contains(v.Value.Value, "${") {
			v.Value.Value, _ = d.expandText(v, v.Value.Value, path, env)
		}
	}
}

// expandText also tells whether the whole text was one reference to the outside
// that was found there.
func (d *Doc) expandText(n ast.Node, s, path string, env Environment) (string, bool) {
	var b strings.Builder
	whole := strings.HasPrefix(s, "${") && strings.Index(s, "}") == len(s)-1
	for s != "" {
		i := strings.Index(s, "${")
		if i < 0 {
			b.WriteString(s)
			break
		}
		if i > 0 && s[i-1] == '$' {
			b.WriteString(s[:i-1])
			b.WriteString("${")
			s = s[i+2:]
			continue
		}
		b.WriteString(s[:i])
		end := strings.Index(s[i:], "}")
		if end < 0 {
			d.note(n, path, "${ without a closing }; write $${ for a literal one")
			return b.String(), false
		}
		value, found := d.reference(n, s[i+2:i+end], path, env)
		whole = whole && found
		b.WriteString(value)
		s = s[i+end+1:]
	}
	return b.String(), whole
}

func (d *Doc) reference(n ast.Node, ref, path string, env Environment) (value string, found bool) {
	if file, ok := strings.CutPrefix(ref, "file:"); ok {
		data, err := env.ReadFile(file)
		if err != nil {
			d.note(n, path, "cannot read the file of ${file:...}: %v", err)
			return "", false
		}
		return strings.TrimRight(string(data), "\r\n"), true
	}
	name, def, hasDefault := strings.Cut(ref, ":-")
	if name == "" || strings.ContainsAny(name, " \t${}:") {
		d.note(n, path, "${%s} is not a variable name; use ${NAME}, ${NAME:-default} or ${file:/path}", ref)
		return "", false
	}
	if v, ok := env.Lookup(name); ok && v != "" {
		return v, true
	}
	if hasDefault {
		return def, false
	}
	d.note(n, path, "the environment variable %s is not set", name)
	return "", false
}

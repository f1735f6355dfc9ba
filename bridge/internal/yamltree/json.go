package yamltree

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/goccy/go-yaml/ast"
)

// JSON reads a field whose mapping is data and no setting, as JSON: members in the order
// of the file, numbers digit by digit where JSON writes them so. It is nil when the field
// is absent or after a problem.
func (m *Map) JSON(name string) []byte {
	v := m.value(name)
	m.saw(name, Form{Kind: Foreign})
	if v == nil {
		return nil
	}
	var b bytes.Buffer
	if !m.doc.writeJSON(&b, v, join(m.path, name)) {
		return nil
	}
	return b.Bytes()
}

// writeJSON tells whether it could. The depth is bounded, as that of the whole document is.
func (d *Doc) writeJSON(b *bytes.Buffer, n ast.Node, path string) bool {
	quoted := func(s string) bool {
		text, err := json.Marshal(s)
		b.Write(text)
		return err == nil
	}
	switch v := n.(type) {
	case *ast.MappingNode:
		b.WriteByte('{')
		for i, e := range v.Values {
			if i > 0 {
				b.WriteByte(',')
			}
			key := keyText(e.Key)
			quoted(key)
			b.WriteByte(':')
			if !d.writeJSON(b, e.Value, join(path, key)) {
				return false
			}
		}
		b.WriteByte('}')
	case *ast.SequenceNode:
		b.WriteByte('[')
		for i, e := range v.Values {
			if i > 0 {
				b.WriteByte(',')
			}
			if !d.writeJSON(b, e, path+"["+strconv.Itoa(i)+"]") {
				return false
			}
		}
		b.WriteByte(']')
	case *ast.StringNode:
		return quoted(v.Value)
	case *ast.LiteralNode:
		return quoted(v.Value.Value)
	case *ast.BoolNode:
		b.WriteString(strconv.FormatBool(v.Value))
	case *ast.NullNode, nil:
		b.WriteString("null")
	case *ast.IntegerNode, *ast.FloatNode:
		text := []byte(v.GetToken().Value)
		if !json.Valid(text) {
			var err error
			if text, err = json.Marshal(v.(ast.ScalarNode).GetValue()); err != nil {
				d.note(n, path, "%v", err)
				return false
			}
		}
		b.Write(text)
	case *ast.InfinityNode, *ast.NanNode:
		d.note(n, path, "%s is no number of JSON", v.GetToken().Value)
		return false
	default:
		d.note(n, path, "expected data, found %s", describe(n))
		return false
	}
	return true
}

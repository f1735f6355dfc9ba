package mapping

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// expression is one scalar of the YAML as written.
type expression struct {
	place
	text string
	// literal is the JSON of a plain YAML number, bool or null; "" for CEL.
	literal string
	// How positions inside text relate to the file.
	style  textStyle
	indent int
}

type textStyle uint8

const (
	styleOpaque textStyle = iota // positions inside cannot be told
	stylePlain
	styleSingleQuoted
	styleDoubleQuoted
	styleBlock
)

var (
	plainInteger = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	plainFloat   = regexp.MustCompile(`^-?(0|[1-9][0-9]*)\.[0-9]+$`)
)

// inside returns the place of a position within the expression's text: line
// from 1, column from 0, in characters.
func (x *expression) inside(line, column int) place {
	p := x.place
	if line < 1 || column < 0 {
		return p
	}
	switch x.style {
	case stylePlain:
		p.column += column
	case styleDoubleQuoted:
		p.column += 1 + column
	case styleSingleQuoted:
		p.column += 1 + column
		for i, r := range []rune(x.text) {
			if i < column && r == '\'' {
				p.column++
			}
		}
	case styleBlock:
		p.line += line
		p.column = x.indent + 1 + column
	}
	return p
}

// scalar reads one expression; nil after a problem.
func (p *parser) scalar(at place, node ast.Node) *expression {
	node = p.unwrap(at, node)
	if node == nil {
		return nil
	}
	x := &expression{place: at}
	tok := node.GetToken()
	x.line, x.column = tok.Position.Line, tok.Position.Column
	switch n := node.(type) {
	case *ast.StringNode:
		x.text = n.Value
		x.style = styleOf(tok)
		if plainInteger.MatchString(x.text) || plainFloat.MatchString(x.text) {
			x.literal = x.text // digits that CEL would round
		}
	case *ast.LiteralNode:
		x.text = n.Value.Value
		if n.Start.Type == token.LiteralType {
			x.style = styleBlock
			raw := n.Value.GetToken().Origin
			x.indent = len(raw) - len(strings.TrimLeft(raw, " "))
		}
	case *ast.IntegerNode:
		if !plainInteger.MatchString(tok.Value) {
			p.add(x.place, "write the whole number in plain decimal digits, without a leading zero, '_' or a prefix")
			return nil
		}
		x.text, x.literal = tok.Value, tok.Value
	case *ast.FloatNode:
		if !plainFloat.MatchString(tok.Value) {
			p.add(x.place, "write the number as digits, a point and digits")
			return nil
		}
		x.text, x.literal = tok.Value, tok.Value
	case *ast.BoolNode:
		x.text, x.literal = "false", "false"
		if n.Value {
			x.text, x.literal = "true", "true"
		}
	case *ast.NullNode:
		if tok.Type == token.ImplicitNullType {
			p.add(x.place, "the value is missing: write null to clear the column, omit() to leave it alone")
			return nil
		}
		x.text, x.literal = "null", "null"
	default:
		p.add(x.place, "expected an expression, found %s", kindOf(node))
		return nil
	}
	if strings.TrimSpace(x.text) == "" {
		p.add(x.place, `the expression is empty: an empty text is written '""'`)
		return nil
	}
	if utf8.RuneCountInString(x.text) > hardExpressionLimit {
		p.add(x.place, "the expression is longer than %d characters", hardExpressionLimit)
		return nil
	}
	return x
}

// styleOf tells how a text on one line was quoted.
func styleOf(tok *token.Token) textStyle {
	origin := strings.TrimSpace(tok.Origin)
	switch {
	case strings.ContainsAny(origin, "\r\n"):
		return styleOpaque
	case tok.Type == token.SingleQuoteType:
		return styleSingleQuoted
	case tok.Type == token.DoubleQuoteType && strings.Contains(origin, `\`):
		return styleOpaque
	case tok.Type == token.DoubleQuoteType:
		return styleDoubleQuoted
	}
	return stylePlain
}

func kindOf(node ast.Node) string {
	switch node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	case *ast.StringNode, *ast.LiteralNode:
		return "a text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	}
	return "something else"
}

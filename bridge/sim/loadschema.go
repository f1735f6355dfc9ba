package sim

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"cebridge/schema"
)

// MaxSchemaBytes is the largest schema file that LoadSchema reads.
const MaxSchemaBytes = 8 << 20

// maxYAMLDepth bounds how deep flow collections and sequences may nest, since
// the parser recurses.
const maxYAMLDepth = 32

//go:embed default_schema.yaml
var defaultSchema []byte

// parsedDefault keeps the built-in schema, which never changes, once it is parsed.
var parsedDefault = sync.OnceValues(func() ([]*schema.Table, error) { return LoadSchema(defaultSchema) })

// DefaultSchema returns the tables of the default organization: account,
// contact, systemuser, team, businessunit, equipment, new_region,
// sample_product, sample_book and transactioncurrency, and those of webhooks and
// system jobs (serviceendpoint, sdkmessage, sdkmessagefilter,
// sdkmessageprocessingstep, asyncoperation). Every call returns tables of its own,
// which the caller may change.
func DefaultSchema() ([]*schema.Table, error) {
	parsed, err := parsedDefault()
	if err != nil {
		return nil, fmt.Errorf("built-in schema: %w", err)
	}
	tables := make([]*schema.Table, len(parsed))
	for i, t := range parsed {
		own := *t
		own.Columns, own.Keys, own.Navigations = slices.Clone(t.Columns), slices.Clone(t.Keys), slices.Clone(t.Navigations)
		for j := range own.Columns {
			c := &own.Columns[j]
			c.Options, c.Targets = slices.Clone(c.Options), slices.Clone(c.Targets)
		}
		for j := range own.Keys {
			own.Keys[j].Columns = slices.Clone(own.Keys[j].Columns)
		}
		tables[i] = &own
	}
	return tables, nil
}

// LoadSchema reads tables from YAML or JSON: a mapping with the one field
// tables, a list of schema.Table. Unknown and repeated fields, anchors and aliases
// are refused. What
// may be left out gets its usual value: schema names the logical name, the
// behavior of a date UserLocal, the status of a key Active.
//
// Faults of the content come back as schema.Problems, all of them, each with its
// line and column; a file that does not parse gives the first only.
func LoadSchema(data []byte) ([]*schema.Table, error) {
	var doc struct {
		Tables []*schema.Table `yaml:"tables"`
	}
	file, err := decodeYAML(data, MaxSchemaBytes, &doc)
	if err != nil {
		return nil, err
	}
	c := &schemaCheck{file: file, tables: map[string]*schema.Table{}}
	c.all(doc.Tables)
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	return doc.Tables, nil
}

// decodeYAML decodes one strict YAML document of at most limit bytes and returns
// its tree for later questions about places. Errors are schema.Problems.
func decodeYAML(data []byte, limit int, into any) (*ast.File, error) {
	if len(data) > limit {
		return nil, schema.Problems{{Text: fmt.Sprintf("the file has %d bytes, more than the %d allowed", len(data), limit)}}
	}
	tokens := lexer.Tokenize(string(data))
	if err := checkYAMLTokens(tokens); err != nil {
		return nil, err
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		return nil, yamlProblem(err)
	}
	switch n := len(file.Docs); {
	case n > 1:
		return nil, schema.Problems{{Text: fmt.Sprintf("the file holds %d documents: keep one", n)}}
	case n == 0 || file.Docs[0].Body == nil:
		return nil, schema.Problems{{Text: "the file is empty"}}
	}
	if err := yaml.NodeToValue(file.Docs[0].Body, into, yaml.Strict()); err != nil {
		return nil, yamlProblem(err)
	}
	return file, nil
}

// checkYAMLTokens refuses nesting that would cost the recursive parser its stack,
// and aliases, by which a small file could grow without bound.
func checkYAMLTokens(tokens token.Tokens) error {
	flow, dashes, line := 0, 0, 0
	for _, t := range tokens {
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType:
			if t.Position.Line != line {
				line, dashes = t.Position.Line, 0
			}
			dashes++
		case token.AnchorType, token.AliasType:
			return schema.Problems{{Line: t.Position.Line, Column: t.Position.Column, Text: "anchors and aliases are not taken: write the value out"}}
		}
		if flow > maxYAMLDepth || dashes > maxYAMLDepth || t.Position.IndentNum > 8*maxYAMLDepth {
			return schema.Problems{{Line: t.Position.Line, Column: t.Position.Column, Text: "nested too deeply"}}
		}
	}
	return nil
}

// yamlProblem keeps the place that the YAML library knows.
func yamlProblem(err error) error {
	p := schema.Problem{Text: err.Error()}
	var at yaml.Error
	if errors.As(err, &at) {
		p.Text = at.GetMessage()
		if t := at.GetToken(); t != nil {
			p.Line, p.Column = t.Position.Line, t.Position.Column
		}
	}
	return schema.Problems{p}
}

// placeOf finds the line and column of a YAML path ($.tables[0].name); zeros when
// the tree has no such node.
func placeOf(file *ast.File, path string) (line, column int) {
	p, err := yaml.PathString(path)
	if err != nil {
		return 0, 0
	}
	node, err := p.FilterFile(file)
	if err != nil || node == nil || node.GetToken() == nil {
		return 0, 0
	}
	at := node.GetToken().Position
	return at.Line, at.Column
}

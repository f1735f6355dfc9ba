package mapping

import (
	"slices"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"github.com/goccy/go-yaml/ast"

	"cebridge/schema"
)

// FilterField is the name of the field that ParseFilter reads.
const FilterField = "filter"

// recordVariable is the row that a filter judges.
const recordVariable = "record"

// FilterSpec is a filter as written, not yet checked against a table.
type FilterSpec struct{ x *expression }

// NewFilterSpec makes one of an expression that stands in no file; field serves problems.
func NewFilterSpec(field, text string) *FilterSpec {
	return &FilterSpec{&expression{place: place{field: field}, text: text}}
}

// Text is the expression as written.
func (s *FilterSpec) Text() string { return s.x.text }

// Filter is a condition on the rows of one table. It is safe for concurrent use.
type Filter struct {
	program *program
	columns map[string]bool // the members it reads
}

// filterNames are the names that a filter can use.
var filterNames = append([]string{recordVariable}, standardNames...)

// newFilterEnv declares the language of filters: that of mappings without what
// belongs to inbound events.
func newFilterEnv() (*cel.Env, error) {
	options := append(common(rowAdapter{adapter{types.DefaultTypeAdapter}}), cel.Variable(recordVariable, cel.DynType),
		cel.Function(filled, cel.Overload("filled_dyn", []*cel.Type{cel.DynType}, cel.OptionalType(cel.DynType), cel.UnaryBinding(asFilled))),
	)
	return cel.NewCustomEnv(options...)
}

// ParseFilter reads the filter of a table out of the table's YAML; nil without one.
// File and path only serve problems. A Spec must not be compiled when there are
// problems.
func ParseFilter(file, path string, node *ast.MappingNode) (*FilterSpec, schema.Problems) {
	p := &parser{file: file, spec: &Spec{mentioned: map[string]bool{}}}
	if node == nil {
		return nil, nil
	}
	for _, f := range p.fields(path, node) {
		if f.text != FilterField {
			continue
		}
		env, err := newFilterEnv()
		if err != nil {
			p.add(f.place, "build the expression environment: %v", err)
			return nil, p.problems
		}
		p.env = env
		x := p.expression(f.place, f.node)
		if x != nil && x.literal != "" {
			p.add(x.place, "a filter is a condition on record, such as record.statecode == 0")
		}
		if x == nil || len(p.problems) > 0 {
			return nil, p.problems
		}
		return &FilterSpec{x}, nil
	}
	return nil, nil // a name that stands twice is the configuration reader's to report
}

// CompileFilter checks a filter against a table, of which the given columns are read
// (logical names), and makes it ready for rows.
func CompileFilter(s *FilterSpec, t *schema.Table, columns []string) (*Filter, schema.Problems) {
	c := &compiler{options: Options{CostLimit: defaultCostLimit, MaxExpression: defaultMaxExpression}, table: t}
	var err error
	if c.env, err = newFilterEnv(); err != nil {
		c.add(s.x.place, "build the expression environment: %v", err)
		return nil, c.problems
	}
	if utf8.RuneCountInString(s.x.text) > c.options.MaxExpression {
		c.add(s.x.place, "the expression is longer than %d characters", c.options.MaxExpression)
		return nil, c.problems
	}
	tree, problems := parseExpression(c.env, s.x)
	if len(problems) > 0 {
		return nil, problems
	}
	f := &Filter{columns: map[string]bool{}}
	c.filterColumns(s.x, tree.NativeRep(), t, columns, f.columns)
	rewriteFilter(tree.NativeRep())
	rewrite(tree.NativeRep(), "")
	checked, issues := c.env.Check(tree)
	if issues.Err() != nil {
		c.problems = append(c.problems, issueProblems(s.x, issues, filterNames)...)
		return nil, c.sorted()
	}
	native := checked.NativeRep()
	if id, found := mixedArithmetic(native); found {
		c.add(c.inside(s.x, native, id), "numbers of a record are doubles: write 2.0 for 2, or convert the other side with int()")
	} else if out := checked.OutputType(); !isDynamic(out) && out.Kind() != types.BoolKind {
		c.add(s.x.place, "a filter must be true or false")
	}
	if len(c.problems) == 0 && len(f.columns) == 0 {
		c.add(s.x.place, "the filter names no column of record, so it is the same for all of them")
	}
	if len(c.problems) > 0 {
		return nil, c.sorted()
	}
	f.program = &program{expression: s.x, tree: native, root: native.Expr(), outType: checked.OutputType()}
	f.program.run, err = c.env.PlanProgram(native, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(c.options.CostLimit),
		cel.InterruptCheckFrequency(interruptCheckInterval))
	if err != nil {
		c.add(s.x.place, "the expression cannot be planned: %v", err)
		return nil, c.problems
	}
	return f, nil
}

// filterColumns collects the columns that a filter names, under the names that rows
// have, and reports those that rows do not have.
func (c *compiler) filterColumns(x *expression, tree *celast.AST, t *schema.Table, columns []string, used map[string]bool) {
	named := map[int64]bool{} // uses of record that name a column
	walk(tree.Expr(), func(e celast.Expr) {
		operand, name := recordColumn(e)
		if operand == nil {
			return
		}
		named[operand.ID()] = true
		if text := columnProblem(t, columns, name); text != "" {
			c.add(c.inside(x, tree, e.ID()), "%s", text)
			return
		}
		used[name] = true
	})
	walk(tree.Expr(), func(e celast.Expr) {
		if e.Kind() == celast.IdentKind && e.AsIdent() == recordVariable && !named[e.ID()] {
			c.add(c.inside(x, tree, e.ID()), "name a column: record.<column>")
		}
	})
}

// recordColumn recognizes record.x, has(record.x), record.?x, record["x"] and
// record[?"x"].
func recordColumn(e celast.Expr) (record celast.Expr, name string) {
	switch e.Kind() {
	case celast.SelectKind:
		if s := e.AsSelect(); isRecord(s.Operand()) {
			return s.Operand(), s.FieldName()
		}
	case celast.CallKind:
		call := e.AsCall()
		if len(call.Args()) != 2 || !isRecord(call.Args()[0]) ||
			!slices.Contains([]string{operators.Index, operators.OptIndex, operators.OptSelect}, call.FunctionName()) {
			return nil, ""
		}
		if text, ok := textConstant(call.Args()[1]); ok {
			return call.Args()[0], text
		}
	}
	return nil, ""
}

func isRecord(e celast.Expr) bool {
	return e.Kind() == celast.IdentKind && e.AsIdent() == recordVariable
}

// columnProblem says why a row has no member of that name, or "".
func columnProblem(t *schema.Table, columns []string, name string) string {
	var known []string
	for i := range t.Columns {
		col := &t.Columns[i]
		read := slices.Contains(columns, col.LogicalName)
		switch {
		case name == col.ReadName() && read:
			return ""
		case name == col.ReadName():
			return "column " + col.LogicalName + " is not read: add it to the table's columns"
		case name == col.LogicalName && col.IsLookup():
			return "the lookup " + name + " is read as record." + col.ReadName()
		case read:
			known = append(known, col.ReadName())
		}
	}
	return "table " + t.LogicalName + " has no column " + name + schema.Suggest(name, known)
}

// filled is the function that rewriteFilter puts in: the optional value of a column
// that may be empty.
const filled = "filled"

// rewriteFilter makes an empty column, which a row has as null, count as missing where
// the filter asks for it: record.?x is none, and has(record.x) is false.
func rewriteFilter(tree *celast.AST) {
	factory := celast.NewExprFactory()
	next := celast.MaxID(tree) + 1
	id := func() int64 { next++; return next }
	walk(tree.Expr(), func(e celast.Expr) {
		record, name := recordColumn(e)
		if record == nil {
			return
		}
		column := func() celast.Expr { return factory.NewSelect(id(), record, name) }
		switch {
		case e.Kind() == celast.SelectKind && e.AsSelect().IsTestOnly():
			e.SetKindCase(factory.NewCall(e.ID(), operators.NotEquals, column(), factory.NewLiteral(id(), types.NullValue)))
		case e.Kind() == celast.CallKind && e.AsCall().FunctionName() != operators.Index:
			e.SetKindCase(factory.NewCall(e.ID(), filled, column()))
		}
	})
}

func asFilled(v ref.Val) ref.Val {
	if v == types.NullValue {
		return types.OptionalNone
	}
	return types.OptionalOf(v)
}

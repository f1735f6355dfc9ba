package mapping

import (
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"cebridge/schema"
)

// parseExpression parses CEL and reports syntax errors at their place.
func parseExpression(env *cel.Env, x *expression) (*cel.Ast, schema.Problems) {
	tree, issues := env.Parse(x.text)
	if issues.Err() != nil {
		return nil, issueProblems(x, issues, mappingNames)
	}
	return tree, nil
}

var (
	undeclared = regexp.MustCompile(`^undeclared reference to '([^']*)'`)
	noOverload = regexp.MustCompile(`^found no matching overload for '([^']*)' applied to '(.*)'`)
)

// issueProblems words what the parser or checker found. names are those that the
// expression can use.
func issueProblems(x *expression, issues *cel.Issues, names []string) schema.Problems {
	var out schema.Problems
	for _, e := range issues.Errors() {
		at := x.place
		if e.Location != nil {
			at = x.inside(e.Location.Line(), e.Location.Column())
		}
		text, _, _ := strings.Cut(e.Message, "\n")
		text, _, _ = strings.Cut(text, " expecting {") // a list of every token
		if len(text) > 300 {
			text = text[:300] + "..."
		}
		if m := undeclared.FindStringSubmatch(text); m != nil {
			text = unknownName(m[1], x.text, names)
		} else if m := noOverload.FindStringSubmatch(text); m != nil {
			text = wrongArguments(m[1], m[2])
		}
		out = append(out, at.problem("%s", text))
		if len(out) == 5 {
			break // the rest only follows from these
		}
	}
	return out
}

var functions = []string{"omit", "ref", "resolve", "optionset", "code", "round", "isoDate", "localDate"}

// standardNames are functions of the language that are mistyped now and then.
var standardNames = []string{"has", "size", "string", "int", "double", "bool", "timestamp", "duration", "matches"}

var mappingNames = slices.Concat(variables[:], functions, standardNames)

func unknownName(unknown, text string, known []string) string {
	if slices.Contains(itemVariables[:], unknown) {
		return unknown + " is there only beside for_each, in an entry of writes"
	}
	s := "unknown name " + unknown + schema.Suggest(unknown, known)
	if strings.TrimSpace(text) == unknown && !strings.Contains(s, "did you mean") {
		s += `: a constant text is written '"` + unknown + `"'`
	}
	return s
}

func wrongArguments(function, arguments string) string {
	switch function {
	case "optionset":
		return "optionset" + arguments + " does not fit: give a label, or \"table.column\" and a label; the short form needs a choice column"
	case "ref":
		return "ref" + arguments + ` does not fit: give "table" and {"keycolumn": value} or a GUID`
	case "resolve":
		return "resolve" + arguments + ` does not fit: give "table" and {"column": value}`
	case "code":
		return "code" + arguments + ` does not fit: give "table" and a code, and what else to take if you like`
	case "round":
		return "round" + arguments + " does not fit: give a number of the event and how many decimals"
	case "localDate":
		return "localDate" + arguments + ` does not fit: give a text or a time, and a zone such as "Europe/Berlin"`
	case "isoDate":
		return "isoDate" + arguments + " does not fit: give a text or a time"
	case "omit":
		return "omit() takes no arguments"
	}
	return "the operator or function " + function + " does not take " + arguments
}

// walk visits every node of an expression.
func walk(e celast.Expr, visit func(celast.Expr)) {
	celast.PostOrderVisit(e, celast.NewExprVisitor(visit))
}

// textConstant returns the text of a string literal.
func textConstant(e celast.Expr) (string, bool) {
	if e.Kind() != celast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}

// mentionedTables adds the tables named in ref(), resolve() and optionset().
func mentionedTables(tree *cel.Ast, tables map[string]bool) {
	walk(tree.NativeRep().Expr(), func(e celast.Expr) {
		if e.Kind() != celast.CallKind || len(e.AsCall().Args()) != 2 {
			return
		}
		text, ok := textConstant(e.AsCall().Args()[0])
		if !ok {
			return
		}
		switch e.AsCall().FunctionName() {
		case "ref", "resolve":
			tables[text] = true
		case "optionset":
			table, _, _ := strings.Cut(text, ".")
			tables[table] = true
		}
	})
}

// rewrite changes a parsed expression in place: null becomes dyn(null), so that
// a ? "x" : null needs no ceremony, and optionset(label) names its column.
func rewrite(tree *celast.AST, column string) {
	factory := celast.NewExprFactory()
	next := celast.MaxID(tree) + 1
	walk(tree.Expr(), func(e celast.Expr) {
		switch {
		case e.Kind() == celast.LiteralKind && e.AsLiteral() == types.NullValue:
			e.SetKindCase(factory.NewCall(e.ID(), "dyn", factory.NewLiteral(next, types.NullValue)))
			next++
		case e.Kind() == celast.CallKind && column != "" && e.AsCall().FunctionName() == "optionset" && len(e.AsCall().Args()) == 1:
			e.SetKindCase(factory.NewCall(e.ID(), "optionset", factory.NewLiteral(next, types.String(column)), e.AsCall().Args()[0]))
			next++
		}
	})
}

// mixedArithmetic finds an operator that would meet a double from the event and
// a whole number, which CEL does not take.
func mixedArithmetic(tree *celast.AST) (id int64, found bool) {
	walk(tree.Expr(), func(e celast.Expr) {
		if e.Kind() != celast.CallKind || len(e.AsCall().Args()) != 2 {
			return
		}
		switch e.AsCall().FunctionName() {
		case operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Modulo:
		default:
			return
		}
		a, b := tree.GetType(e.AsCall().Args()[0].ID()).Kind(), tree.GetType(e.AsCall().Args()[1].ID()).Kind()
		if a == types.DynKind && b == types.IntKind || a == types.IntKind && b == types.DynKind {
			id, found = e.ID(), true
		}
	})
	return id, found
}

// globals lists the variables an expression reads.
func globals(e celast.Expr) map[string]bool {
	names := map[string]bool{}
	walk(e, func(e celast.Expr) {
		if e.Kind() == celast.IdentKind && (slices.Contains(variables[:], e.AsIdent()) || slices.Contains(itemVariables[:], e.AsIdent())) {
			names[e.AsIdent()] = true
		}
	})
	return names
}

// calls tells whether an expression calls the function.
func calls(e celast.Expr, function string) bool {
	found := false
	walk(e, func(e celast.Expr) {
		found = found || e.Kind() == celast.CallKind && e.AsCall().FunctionName() == function
	})
	return found
}

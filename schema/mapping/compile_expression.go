package mapping

import (
	"context"
	"errors"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	cloudevent "github.com/cloudevents/sdk-go/v2/event"

	"cebridge/schema/outcome"
)

// program compiles one expression; nil after a problem. Column is the
// "table.column" that optionset(label) refers to, or "".
func (c *compiler) program(x *expression, column string) *program {
	if x == nil {
		return nil
	}
	if x.literal != "" {
		v, _ := decodeData([]byte(x.literal))
		constant := fromData(v)
		return &program{expression: x, constant: &constant}
	}
	if utf8.RuneCountInString(x.text) > c.options.MaxExpression {
		c.add(x.place, "the expression is longer than %d characters", c.options.MaxExpression)
		return nil
	}
	tree, problems := parseExpression(c.env, x)
	if len(problems) > 0 {
		c.problems = append(c.problems, problems...)
		return nil
	}
	if column == "" && c.options.blind {
		column = "?" // whether it is a choice, only metadata can tell
	}
	rewrite(tree.NativeRep(), column)
	checked, issues := c.env.Check(tree)
	if issues.Err() != nil {
		c.problems = append(c.problems, issueProblems(x, issues, mappingNames)...)
		return nil
	}
	native := checked.NativeRep()
	if id, found := mixedArithmetic(native); found {
		c.add(c.inside(x, native, id), "numbers of an event are doubles: write 2.0 for 2, or convert the other side with int()")
		return nil
	}
	p := &program{expression: x, tree: native, root: native.Expr(), outType: checked.OutputType()}
	if isOptional(p.outType) {
		c.add(x.place, "the expression yields an optional value: end it with .orValue(omit()), .orValue(null) or another default")
		return nil
	}
	before := len(c.problems)
	c.optionsetCalls(p)
	c.codeCalls(p)
	c.localDateCalls(p)
	c.exactLiterals(p)
	c.exampleHas(p)
	c.schemaHas(p)
	if len(c.problems) > before {
		return nil
	}
	if c.options.blind && calls(p.root, "optionset") {
		return p // only metadata can tell what it yields
	}
	return c.plan(p)
}

// exactLiterals reports numbers of the expression that a double cannot hold.
func (c *compiler) exactLiterals(p *program) {
	text := []rune(p.text)
	walk(p.root, func(e celast.Expr) {
		if e.Kind() != celast.LiteralKind || e.AsLiteral().Type() != types.DoubleType {
			return
		}
		r, ok := p.tree.SourceInfo().GetOffsetRange(e.ID())
		if !ok || r.Start < 0 || int(r.Stop) > len(text) || r.Start >= r.Stop {
			return
		}
		if _, exact := number(text[r.Start:r.Stop]).float(); !exact {
			c.add(c.inside(p.expression, p.tree, e.ID()), "the number has more digits than an expression can hold exactly")
		}
	})
}

// plan chooses how the expression is computed.
func (c *compiler) plan(p *program) *program {
	used := globals(p.root)
	p.usesData = used["data"]
	if place, ok := pathOf(p.root); ok && !place.optional() {
		p.path = place
		return p
	}
	if place, fallback, ok := pathWithDefault(p.root); ok {
		sub := &program{expression: p.expression, root: fallback, outType: p.outType,
			tree: celast.NewCheckedAST(celast.NewAST(fallback, p.tree.SourceInfo()), p.tree.TypeMap(), p.tree.ReferenceMap())}
		if sub = c.plan(sub); sub == nil {
			return nil
		}
		p.path, p.fallback = place, sub
		return p
	}
	var err error
	p.run, err = c.env.PlanProgram(p.tree,
		cel.EvalOptions(cel.OptOptimize),
		cel.CostLimit(c.options.CostLimit),
		cel.InterruptCheckFrequency(interruptCheckInterval))
	if err != nil {
		c.add(p.place, "the expression cannot be planned: %v", err)
		return nil
	}
	if len(used) > 0 {
		return p
	}
	e := cloudevent.New()
	v, err := p.eval(context.Background(), &view{event: &e})
	if err != nil {
		var rejected *outcome.Error
		text := err.Error()
		if errors.As(err, &rejected) {
			text = rejected.Message
		}
		c.add(p.place, "%s", text)
		return nil
	}
	p.constant = &v
	return p
}

// pathWithDefault recognizes data.?a.b.orValue(x).
func pathWithDefault(e celast.Expr) (*path, celast.Expr, bool) {
	if e.Kind() != celast.CallKind {
		return nil, nil, false
	}
	call := e.AsCall()
	if call.FunctionName() != "orValue" || !call.IsMemberFunction() || len(call.Args()) != 1 {
		return nil, nil, false
	}
	p, ok := pathOf(call.Target())
	return p, call.Args()[0], ok && p.optional()
}

// inside is the place of one node of an expression.
func (c *compiler) inside(x *expression, tree *celast.AST, id int64) place {
	at := tree.SourceInfo().GetStartLocation(id)
	return x.inside(at.Line(), at.Column())
}

// isDynamic tells whether the type is only known at run time.
func isDynamic(t *cel.Type) bool {
	return t == nil || t.Kind() == types.DynKind || t.Kind() == types.AnyKind
}

func isOptional(t *cel.Type) bool {
	return t.Kind() == types.OpaqueKind && t.TypeName() == "optional_type"
}

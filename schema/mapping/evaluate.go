package mapping

import (
	"context"
	"errors"
	"strings"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"

	"cebridge/schema/outcome"
)

// program is one compiled expression: a constant, a path, or CEL.
type program struct {
	*expression
	// root is the checked expression, nil for a plain YAML literal.
	root     celast.Expr
	tree     *celast.AST
	outType  *cel.Type
	constant *value
	path     *path
	fallback *program
	run      cel.Program
	usesData bool
}

// reject is the verdict on an event that the mapping cannot take.
func reject(at place, reason outcome.Reason, text string) *outcome.Error {
	return &outcome.Error{Verdict: outcome.Reject, Reason: reason, Op: at.String(), Message: text}
}

// eval computes the expression for one event.
func (x *program) eval(ctx context.Context, v *view) (value, error) {
	if x.constant != nil {
		return *x.constant, nil
	}
	if x.usesData {
		if err := v.load(); err != nil {
			return value{}, reject(x.place, outcome.Invalid, err.Error())
		}
	}
	if x.path != nil {
		found, missing, tolerated := x.path.find(v)
		switch {
		case missing == "":
			return fromData(found), nil
		case tolerated && x.fallback != nil:
			return x.fallback.eval(ctx, v)
		}
		return value{}, reject(x.place, outcome.Invalid, missing+" is missing in the event")
	}
	out, _, err := x.run.ContextEval(ctx, v)
	if ctx.Err() != nil {
		return value{}, ctx.Err()
	}
	if err != nil {
		return value{}, reject(x.place, outcome.Invalid, x.explain(err))
	}
	result, err := fromCEL(out)
	if err != nil {
		return value{}, reject(x.place, outcome.Invalid, x.explain(err))
	}
	return result, nil
}

// explain words an error of the interpreter, whose own texts can hold values.
func (x *program) explain(err error) string {
	var known fault
	if errors.As(err, &known) {
		return string(known)
	}
	text := err.Error()
	key, isKey := strings.CutPrefix(text, "no such key: ")
	switch {
	case isKey && x.selects(key):
		return key + " is missing in the event"
	case isKey:
		return "a map in the expression has no entry for the value in the event"
	case strings.HasPrefix(text, "no such overload"):
		return "the kinds of values in the event do not fit the expression (numbers of an event are doubles: write 2.0, not 2)"
	case strings.Contains(text, "cost limit exceeded"):
		return "the expression needs more steps than its cost limit allows"
	case strings.Contains(text, "division by zero"), strings.Contains(text, "modulus by zero"):
		return "the expression divides by zero"
	case strings.Contains(text, "index out of bounds"), strings.Contains(text, "invalid_argument"):
		return "a list in the event is shorter than the expression expects"
	case strings.Contains(text, "overflow"):
		return "a number in the expression grows beyond its range"
	}
	return "the expression cannot be computed for this event: a text may not have the form that a conversion expects"
}

// selects tells whether the name stands in the mapping, and so is not data.
func (x *program) selects(name string) bool {
	found := false
	walk(x.root, func(e celast.Expr) {
		switch e.Kind() {
		case celast.SelectKind:
			found = found || e.AsSelect().FieldName() == name
		case celast.LiteralKind:
			text, ok := e.AsLiteral().(types.String)
			found = found || ok && string(text) == name
		}
	})
	return found
}

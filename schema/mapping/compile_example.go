package mapping

import (
	"maps"
	"slices"

	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	cloudevent "github.com/cloudevents/sdk-go/v2/event"

	"cebridge/schema"
)

// readExample decodes Options.Example.
func (c *compiler) readExample() {
	if len(c.options.Example) == 0 {
		return
	}
	data, err := decodeData(c.options.Example)
	if err != nil {
		c.add(c.spec.at, "the example of an event: %v", err)
		return
	}
	e := cloudevent.New()
	c.example = &view{event: &e, decoded: true, data: data}
}

// exampleHas reports places that the expression names and the example lacks. An
// optional place, and one that is only read on a condition, may be absent, unless a name beside it is so close that it is
// likely what was meant.
func (c *compiler) exampleHas(p *program) {
	if c.example == nil {
		return
	}
	conditional := conditionalNodes(p.root)
	walk(p.root, func(e celast.Expr) {
		full, ok := pathOf(e)
		if !ok || len(full.steps) == 0 {
			return
		}
		if full.root != "data" && (full.root != "item" || !c.example.inItem || shadowed(p.root, "item")) {
			return
		}
		last := full.steps[len(full.steps)-1]
		parent := &path{full.root, full.steps[:len(full.steps)-1]}
		found, missing, _ := parent.find(c.example)
		if missing != "" || last.isIndex {
			return // reported at the parent, or a list that is only shorter here
		}
		at := c.inside(p.expression, p.tree, e.ID())
		object, isObject := found.(map[string]any)
		if !isObject {
			if found != nil {
				c.add(at, "%s is %s in the example, which has no members", parent, fromData(found).describe())
			}
			return
		}
		if _, there := object[last.name]; there {
			return
		}
		hint := schema.Suggest(last.name, slices.Sorted(maps.Keys(object)))
		if hint != "" || !full.optional() && !conditional[e.ID()] {
			c.add(at, "the example has no %s%s", full, hint)
		}
	})
}

// conditionalNodes are those that some events do not reach: the branches of a ? b : c,
// and the operands of && and ||, which has() guards.
func conditionalNodes(root celast.Expr) map[int64]bool {
	nodes := map[int64]bool{}
	walk(root, func(e celast.Expr) {
		if e.Kind() != celast.CallKind {
			return
		}
		args := e.AsCall().Args()
		switch e.AsCall().FunctionName() {
		case operators.Conditional:
			args = args[1:]
		case operators.LogicalAnd, operators.LogicalOr:
		default:
			return
		}
		for _, arg := range args {
			walk(arg, func(e celast.Expr) { nodes[e.ID()] = true })
		}
	})
	return nodes
}

// exampleFits reports a copied value of the example that its column refuses.
func (c *compiler) exampleFits(p *program, check func(value) string) {
	if c.example == nil || p.path == nil || p.path.root != "data" && (p.path.root != "item" || !c.example.inItem) {
		return
	}
	found, missing, _ := p.path.find(c.example)
	if missing != "" {
		return
	}
	if problem := check(fromData(found)); problem != "" {
		c.add(p.place, "with the example's %s: %s", p.path, problem)
	}
}

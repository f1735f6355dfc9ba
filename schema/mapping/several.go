package mapping

import (
	"context"
	"fmt"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

// The limits of the writes of one event.
const (
	maxWrites     = 1000
	maxWriteBytes = 8 << 20
)

// writeList gathers the writes of one event within their limits.
type writeList struct {
	writes []*schema.Write
	bytes  int
	// updated are the lanes that a write updated, when that matters.
	updated map[string]bool
}

// several makes the writes of a mapping with writes, in their order.
func (p *Program) several(ctx context.Context, v *view) ([]*schema.Write, error) {
	var list writeList
	if p.recheck {
		list.updated = map[string]bool{}
	}
	for _, part := range p.parts {
		if err := part.all(ctx, v, &list); err != nil {
			return nil, err
		}
	}
	return list.writes, nil
}

// all makes the writes of one entry: one, or one of each element of its list.
func (p *Program) all(ctx context.Context, v *view, list *writeList) error {
	if p.each == nil {
		return p.one(ctx, v, list)
	}
	items, err := p.each.items(ctx, v)
	if err != nil {
		return err
	}
	defer func() { v.item, v.index, v.inItem = nil, 0, false }()
	for i, item := range items {
		v.item, v.index, v.inItem = item, i, true
		if err := p.one(ctx, v, list); err != nil {
			if refusal := outcome.Of(err); refusal != nil {
				refusal.Message += fmt.Sprintf(" (index %d of for_each)", i)
			}
			return err
		}
	}
	return nil
}

// one makes one write, if the entry's condition holds.
func (p *Program) one(ctx context.Context, v *view, list *writeList) error {
	matched, err := p.matches(ctx, v)
	if err != nil || !matched {
		return err
	}
	w, err := p.write(ctx, v)
	if err != nil {
		return err
	}
	return list.add(p, w)
}

func (l *writeList) add(p *Program, w *schema.Write) error {
	l.writes = append(l.writes, w)
	l.bytes += len(w.Predicate) + len(w.Body) + len(w.OnCreate)
	switch {
	case len(l.writes) > maxWrites:
		return reject(p.at, outcome.Invalid, fmt.Sprintf("the event asks for more than %d writes", maxWrites))
	case l.bytes > maxWriteBytes:
		return reject(p.at, outcome.Invalid, fmt.Sprintf("the writes of the event have more than %d bytes together", maxWriteBytes))
	case l.updated == nil:
		return nil
	}
	switch record := w.Identity(); {
	case w.Operation == schema.OpUpdate:
		l.updated[record] = true
	case w.Operation == schema.OpDelete && l.updated[record]:
		return reject(p.at, outcome.Invalid, "the event updates a record and then deletes it: when the message came again, the update would find nothing")
	}
	return nil
}

// items computes the list of a for_each.
func (x *program) items(ctx context.Context, v *view) ([]any, error) {
	if x.usesData {
		if err := v.load(); err != nil {
			return nil, reject(x.place, outcome.Invalid, err.Error())
		}
	}
	if x.path != nil {
		found, missing, tolerated := x.path.find(v)
		switch {
		case missing != "" && tolerated && x.fallback != nil:
			return x.fallback.items(ctx, v)
		case missing != "":
			return nil, reject(x.place, outcome.Invalid, missing+" is missing in the event")
		}
		list, ok := found.([]any)
		if !ok {
			return nil, reject(x.place, outcome.Invalid, "for_each takes a list, not "+fromData(found).describe())
		}
		return list, nil
	}
	if x.run == nil {
		return nil, reject(x.place, outcome.Invalid, "for_each takes a list, not "+x.constant.describe())
	}
	out, _, err := x.run.ContextEval(ctx, v)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, reject(x.place, outcome.Invalid, x.explain(err))
	}
	if _, ok := out.(traits.Lister); !ok {
		kind, err := fromCEL(out)
		if err != nil {
			return nil, reject(x.place, outcome.Invalid, x.explain(err))
		}
		return nil, reject(x.place, outcome.Invalid, "for_each takes a list, not "+kind.describe())
	}
	list, err := toData(out, 0)
	if err != nil {
		return nil, reject(x.place, outcome.Invalid, x.explain(err))
	}
	return list.([]any), nil
}

// toData is the opposite of the adapter: a value of the language in the form of
// decoded data. What came from the event comes back as it was, digit by digit.
func toData(v ref.Val, depth int) (any, error) {
	if depth > maxDataDepth {
		return nil, fault(fmt.Sprintf("the expression yields values nested deeper than %d levels", maxDataDepth))
	}
	switch x := v.(type) {
	case *types.Err:
		return nil, x
	case traits.Lister:
		if list, ok := v.Value().([]any); ok {
			return list, nil
		}
		size, _ := x.Size().(types.Int)
		if size > maxDataValues {
			return nil, fault(fmt.Sprintf("the expression yields a list of more than %d values", maxDataValues))
		}
		list := make([]any, 0, size)
		for i := types.Int(0); i < size; i++ {
			item, err := toData(x.Get(i), depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		return list, nil
	case traits.Mapper:
		if object, ok := v.Value().(map[string]any); ok {
			return object, nil
		}
		object := map[string]any{}
		for it := x.Iterator(); it.HasNext() == types.True; {
			key := it.Next()
			name, ok := key.(types.String)
			if !ok {
				return nil, fault("an object needs names that are texts")
			}
			member, err := toData(x.Get(key), depth+1)
			if err != nil {
				return nil, err
			}
			object[string(name)] = member
		}
		return object, nil
	}
	plain, err := fromCEL(v)
	if err != nil {
		return nil, err
	}
	switch plain.kind {
	case isNull:
		return nil, nil
	case isText:
		return plain.text, nil
	case isNumber:
		return number(plain.text), nil
	case isBool:
		return plain.flag, nil
	case isTime:
		return plain.at, nil
	}
	return nil, fault("a list of for_each cannot hold " + plain.describe())
}

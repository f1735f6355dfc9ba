package mapping

import (
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types/ref"
)

// passing declares a function of one or two arguments that yields null and omit() when
// they stand at place, where the value is that it converts: so that
// optionset(data.?kind.orValue(omit())) leaves the column alone. These overloads have the
// result of the others, since a column takes null whatever its type is.
func passing(function string, result *cel.Type, place int, args []*cel.Type, others ...cel.FunctionOpt) cel.EnvOption {
	for suffix, t := range map[string]*cel.Type{"_null": cel.NullType, "_omit": omittedType} {
		given := slices.Clone(args)
		given[place] = t
		binding := cel.UnaryBinding(func(v ref.Val) ref.Val { return v })
		if len(args) == 2 {
			binding = cel.BinaryBinding(func(a, b ref.Val) ref.Val { return []ref.Val{a, b}[place] })
		}
		others = append(others, cel.Overload(function+suffix, given, result, binding))
	}
	return cel.Function(function, others...)
}

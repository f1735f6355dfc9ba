package mapping

import (
	"reflect"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"

	"cebridge/schema"
)

// The limits of one expression. Options can lower the length and set the cost.
const (
	hardExpressionLimit    = 64 << 10
	defaultMaxExpression   = 4096
	defaultCostLimit       = 100_000
	maxExpressionNodes     = 2000
	maxExpressionNesting   = 64
	maxRegexProgram        = 1000
	interruptCheckInterval = 64
)

// variables are the names an expression can use, besides its own.
var variables = [...]string{"data", "id", "source", "type", "subject", "time", "dataschema", "datacontenttype", "attributes"}

// language is what the functions of one mapping know beside their arguments.
type language struct {
	catalog schema.Catalog
	codes   Codes
	zones   zones
}

// newEnv declares the language of expressions. With a language that knows nothing,
// expressions can be parsed and nothing else.
func newEnv(l *language) (*cel.Env, error) {
	return cel.NewCustomEnv(append(common(adapter{types.DefaultTypeAdapter}),
		cel.Variable("data", cel.DynType),
		cel.Variable("id", cel.StringType),
		cel.Variable("source", cel.StringType),
		cel.Variable("type", cel.StringType),
		cel.Variable("subject", cel.StringType),
		cel.Variable("time", cel.TimestampType),
		cel.Variable("dataschema", cel.StringType),
		cel.Variable("datacontenttype", cel.StringType),
		cel.Variable("attributes", cel.MapType(cel.StringType, cel.StringType)),
		cel.Function("omit", cel.Overload("omit", nil, cel.DynType,
			cel.FunctionBinding(func(...ref.Val) ref.Val { return omitted{} }))),
		cel.Function("ref",
			cel.Overload("ref_key", []*cel.Type{cel.StringType, cel.MapType(cel.StringType, cel.DynType)}, cel.DynType,
				cel.BinaryBinding(refByKey)),
			cel.Overload("ref_id", []*cel.Type{cel.StringType, cel.StringType}, cel.DynType,
				cel.BinaryBinding(refByID))),
		cel.Function("resolve", cel.Overload("resolve_columns", []*cel.Type{cel.StringType, cel.MapType(cel.StringType, cel.DynType)}, cel.DynType,
			cel.BinaryBinding(refBySearch))),
		passing("optionset", cel.IntType, 1, []*cel.Type{cel.StringType, nil},
			cel.Overload("optionset_label", []*cel.Type{cel.StringType, cel.StringType}, cel.IntType,
				cel.BinaryBinding(func(column, label ref.Val) ref.Val { return optionByLabel(l.catalog, column, label) }))),
		l.codes.declaration(),
		passing("round", cel.DoubleType, 0, []*cel.Type{nil, cel.IntType},
			cel.Overload("round_double", []*cel.Type{cel.DoubleType, cel.IntType}, cel.DoubleType, cel.BinaryBinding(round))),
		passing("localDate", cel.StringType, 0, []*cel.Type{nil, cel.StringType},
			cel.Overload("localdate_string", []*cel.Type{cel.StringType, cel.StringType}, cel.StringType, cel.BinaryBinding(l.zones.localDate)),
			cel.Overload("localdate_timestamp", []*cel.Type{cel.TimestampType, cel.StringType}, cel.StringType, cel.BinaryBinding(l.zones.localDate))),
		passing("isoDate", cel.StringType, 0, []*cel.Type{nil},
			cel.Overload("isodate_string", []*cel.Type{cel.StringType}, cel.StringType, cel.UnaryBinding(isoDate)),
			cel.Overload("isodate_timestamp", []*cel.Type{cel.TimestampType}, cel.StringType, cel.UnaryBinding(isoDate))),
	)...)
}

// common is what the expressions of mappings and of filters have in common.
func common(values types.Adapter) []cel.EnvOption {
	// The standard string(double) writes 12345678 as 1.2345678e+07.
	standard := env.NewLibrarySubset()
	standard.ExcludeFunctions = []*env.Function{env.NewFunction(overloads.TypeConvertString,
		env.NewOverload(overloads.DoubleToString, nil, nil))}
	return []cel.EnvOption{
		cel.StdLib(cel.StdLibSubset(standard)),
		cel.EagerlyValidateDeclarations(false),
		cel.Function(overloads.TypeConvertString, cel.Overload("exact_double_to_string",
			[]*cel.Type{cel.DoubleType}, cel.StringType, cel.UnaryBinding(exactString))),
		cel.OptionalTypes(),
		ext.Strings(),
		cel.CustomTypeAdapter(values),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(hardExpressionLimit),
		cel.ParserRecursionLimit(maxExpressionNesting),
		cel.ExpressionNodeLimit(maxExpressionNodes),
		cel.RegexProgramSizeLimit(maxRegexProgram),
	}
}

// fault is an error of an expression whose text holds nothing of the event.
type fault string

func (f fault) Error() string { return string(f) }

func failed(text string) ref.Val { return types.WrapErr(fault(text)) }

// exactString implements string() for doubles.
func exactString(v ref.Val) ref.Val {
	f, ok := v.(types.Double)
	if !ok {
		return failed("string() takes no " + v.Type().TypeName())
	}
	text, ok := floatText(float64(f))
	if !ok {
		return types.WrapErr(inexact)
	}
	return types.String(text)
}

// adapter turns the decoded data into values of the language. A number that a
// double cannot hold digit by digit is an error wherever it is used.
type adapter struct{ types.Adapter }

func (a adapter) NativeToValue(v any) ref.Val {
	switch x := v.(type) {
	case number:
		f, ok := x.float()
		if !ok {
			return failed("a number has more digits than an expression can hold exactly: copy it by its path alone")
		}
		return types.Double(f)
	case map[string]any:
		return types.NewStringInterfaceMap(a, x)
	case []any:
		return types.NewDynamicList(a, x)
	}
	return a.Adapter.NativeToValue(v)
}

var (
	omittedType   = types.NewOpaqueType("omit")
	referenceType = types.NewOpaqueType("ref")
)

// omitted is the value of omit().
type omitted struct{}

func (omitted) ConvertToNative(reflect.Type) (any, error) {
	return nil, fault("omit() has no value")
}
func (omitted) ConvertToType(ref.Type) ref.Val      { return failed("omit() cannot be converted") }
func (omitted) Equal(other ref.Val) ref.Val         { return types.Bool(other.Type() == ref.Type(omittedType)) }
func (omitted) Type() ref.Type                      { return omittedType }
func (omitted) Value() any                          { return nil }
func (r *reference) ConvertToType(ref.Type) ref.Val { return failed("ref() cannot be converted") }
func (r *reference) Equal(other ref.Val) ref.Val    { return types.Bool(ref.Val(r) == other) }
func (r *reference) Type() ref.Type                 { return referenceType }
func (r *reference) Value() any                     { return r }

// reference is the value of ref() and resolve(): the target of a lookup, by key, by
// GUID, or by columns to search for.
type reference struct {
	table  string
	id     *value
	key    map[string]value
	search bool
}

func (r *reference) ConvertToNative(reflect.Type) (any, error) {
	return nil, fault("ref() has no value outside a lookup")
}

func refByID(table, id ref.Val) ref.Val {
	v, err := fromCEL(id)
	if err != nil {
		return types.WrapErr(err)
	}
	return &reference{table: string(table.(types.String)), id: &v}
}

func refByKey(table, key ref.Val) ref.Val {
	return refByColumns(table, key, false)
}

func refBySearch(table, columns ref.Val) ref.Val { return refByColumns(table, columns, true) }

func refByColumns(table, key ref.Val, search bool) ref.Val {
	m, ok := key.(traits.Mapper)
	if !ok {
		return failed("the second argument of ref() and resolve() must be a map of columns")
	}
	r := &reference{table: string(table.(types.String)), key: map[string]value{}, search: search}
	for it := m.Iterator(); it.HasNext() == types.True; {
		k := it.Next()
		column, ok := k.(types.String)
		if !ok {
			return failed("the map of ref() and resolve() needs names of columns")
		}
		v, err := fromCEL(m.Get(k))
		if err != nil {
			return types.WrapErr(err)
		}
		r.key[string(column)] = v
	}
	return r
}

// optionByLabel finds the value of the one option with that label.
func optionByLabel(catalog schema.Catalog, column, label ref.Val) ref.Val {
	col, problem := choiceColumn(catalog, string(column.(types.String)))
	if problem != "" {
		return failed(problem)
	}
	var found *schema.Option
	for i := range col.Options {
		if col.Options[i].Label == string(label.(types.String)) {
			if found != nil {
				return failed("column " + col.LogicalName + " has several options with this label: write the value")
			}
			found = &col.Options[i]
		}
	}
	if found == nil {
		return failed("column " + col.LogicalName + " has no option with this label")
	}
	return types.Int(found.Value)
}

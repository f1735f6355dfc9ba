package mapping

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"github.com/go-json-experiment/json/jsontext"
)

// Keep tells whether a row, as the source sent it, passes. An error holds nothing of
// the row.
func (f *Filter) Keep(row []byte) (bool, error) {
	record, err := f.decode(row)
	if err != nil {
		return false, fmt.Errorf("%s: %w", f.program.place, err)
	}
	out, _, err := f.program.run.ContextEval(context.Background(), map[string]any{recordVariable: record})
	if err != nil {
		return false, fmt.Errorf("%s: %s", f.program.place, f.explain(err))
	}
	keep, ok := out.(types.Bool)
	if !ok {
		return false, fmt.Errorf("%s: the filter yields %s, not true or false", f.program.place, out.Type().TypeName())
	}
	return bool(keep), nil
}

// explain words an error of the interpreter for a record.
func (f *Filter) explain(err error) string {
	text := err.Error()
	var known fault
	if !errors.As(err, &known) && strings.HasPrefix(text, "no such overload") {
		return "the kinds of the record's values do not fit the filter: an empty column is null (write record.?column.orValue(0.0)), a number is a double"
	}
	return f.program.explain(err)
}

// decode reads the members that the filter names; the others are skipped.
func (f *Filter) decode(row []byte) (map[string]any, error) {
	d := decoders.Get().(*dataDecoder)
	defer d.release()
	d.over(row, jsontext.AllowDuplicateNames(true))
	bad := fault("the row is not a JSON object")
	if tok, err := d.ReadToken(); err != nil || tok.Kind() != '{' {
		return nil, bad
	}
	record := make(map[string]any, len(f.columns))
	for left := len(f.columns); left > 0 && d.PeekKind() == '"'; {
		tok, err := d.ReadToken()
		if err != nil {
			return nil, bad
		}
		name := tok.String()
		if !f.columns[name] {
			if err := d.SkipValue(); err != nil {
				return nil, bad
			}
			continue
		}
		if record[name], err = d.value(1); err != nil {
			return nil, bad
		}
		left--
	}
	return record, nil
}

// rowAdapter turns a row's numbers into values. A filter compares and never writes, so
// a number that no double holds digit by digit is still of use: a whole one exactly,
// as an int, any other as the nearest double.
type rowAdapter struct{ adapter }

func (a rowAdapter) NativeToValue(v any) ref.Val {
	switch x := v.(type) {
	case number:
		if n, err := strconv.ParseInt(string(x), 10, 64); err == nil && (n > maxExactInteger || n < -maxExactInteger) {
			return types.Int(n)
		}
		f, err := strconv.ParseFloat(string(x), 64)
		if err != nil {
			return failed("a number of the record is out of range")
		}
		return types.Double(f)
	case map[string]any:
		return types.NewStringInterfaceMap(a, x)
	case []any:
		return types.NewDynamicList(a, x)
	}
	return a.adapter.NativeToValue(v)
}

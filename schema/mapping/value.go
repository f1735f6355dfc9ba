package mapping

import (
	"fmt"
	"strconv"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// value is what an expression yields: what it copied or what it computed.
type value struct {
	kind valueKind
	// text is a text itself, or the exact digits of a number.
	text string
	flag bool
	at   time.Time
	ref  *reference
	list []value
}

type valueKind uint8

const (
	isOmitted valueKind = iota
	isNull
	isText
	isNumber
	isBool
	isTime
	isRef
	isList
	isObject
)

// describe names the kind, never the content.
func (v value) describe() string {
	switch v.kind {
	case isOmitted:
		return "omit()"
	case isNull:
		return "null"
	case isText:
		return "a text"
	case isNumber:
		return "a number"
	case isBool:
		return "true or false"
	case isTime:
		return "a time"
	case isRef:
		return "ref()"
	case isList:
		return "a list"
	}
	return "an object"
}

// fromData converts a decoded JSON value; a number keeps its digits.
func fromData(v any) value {
	switch x := v.(type) {
	case nil:
		return value{kind: isNull}
	case bool:
		return value{kind: isBool, flag: x}
	case string:
		return value{kind: isText, text: x}
	case number:
		return value{kind: isNumber, text: string(x)}
	case time.Time:
		return value{kind: isTime, at: x}
	case []any:
		list := make([]value, len(x))
		for i := range x {
			list[i] = fromData(x[i])
		}
		return value{kind: isList, list: list}
	}
	return value{kind: isObject}
}

const inexact = fault("the expression yields a number that has no exact digits (beyond 2^53, or not a number)")

// fromCEL converts the result of an expression.
func fromCEL(v ref.Val) (value, error) {
	switch x := v.(type) {
	case omitted:
		return value{kind: isOmitted}, nil
	case *reference:
		return value{kind: isRef, ref: x}, nil
	case types.Null:
		return value{kind: isNull}, nil
	case types.Bool:
		return value{kind: isBool, flag: bool(x)}, nil
	case types.String:
		return value{kind: isText, text: string(x)}, nil
	case types.Int:
		return value{kind: isNumber, text: strconv.FormatInt(int64(x), 10)}, nil
	case types.Uint:
		return value{kind: isNumber, text: strconv.FormatUint(uint64(x), 10)}, nil
	case types.Double:
		text, ok := floatText(float64(x))
		if !ok {
			return value{}, inexact
		}
		return value{kind: isNumber, text: text}, nil
	case types.Timestamp:
		return value{kind: isTime, at: x.Time}, nil
	case *types.Optional:
		return value{}, fault("the expression yields an optional value: end it with .orValue(omit())")
	case *types.Err:
		return value{}, x
	case traits.Lister:
		size, _ := x.Size().(types.Int)
		if size > maxListLength {
			return value{}, fault(fmt.Sprintf("the expression yields a list of more than %d values", maxListLength))
		}
		list := make([]value, 0, size)
		for i := types.Int(0); i < size; i++ {
			e, err := fromCEL(x.Get(i))
			if err != nil {
				return value{}, err
			}
			list = append(list, e)
		}
		return value{kind: isList, list: list}, nil
	case traits.Mapper:
		return value{kind: isObject}, nil
	}
	return value{}, fault("the expression yields " + v.Type().TypeName() + ", which no column takes")
}

// maxListLength is the most values a multi-select column takes. Source:
// Microsoft Learn, "Multi-select choice columns".
const maxListLength = 150

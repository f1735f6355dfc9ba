package mapping

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/go-json-experiment/json/jsontext"

	"cebridge/schema"
)

// The longest texts of columns whose metadata names no length.
const (
	defaultTextLength = 4000
	defaultMemoLength = 1 << 20
)

// columnLiteral checks a value against its column and writes it as JSON. The
// problem completes a sentence that begins with the column: "takes a text, not a
// number". It never holds the value.
func columnLiteral(col *schema.Column, v value) (literal json.RawMessage, problem string) {
	if v.kind == isNull {
		if col.Required {
			return nil, "cannot be null"
		}
		return json.RawMessage("null"), ""
	}
	var text string
	switch col.Type {
	case schema.TypeString, schema.TypeMemo:
		if v.kind != isText {
			return nil, "takes a text, not " + v.describe() + numberHint(v)
		}
		return textLiteral(col, v.text)
	case schema.TypeBoolean:
		if v.kind != isBool {
			return nil, "takes true or false, not " + v.describe()
		}
		return strconv.AppendBool(nil, v.flag), ""
	case schema.TypeInteger, schema.TypeBigInt, schema.TypePicklist, schema.TypeState, schema.TypeStatus:
		text, problem = integerText(col, v)
		return json.RawMessage(text), problem
	case schema.TypeMultiSelect:
		text, problem = multiSelectText(col, v)
		if text == "" && problem == "" {
			return json.RawMessage("null"), ""
		}
	case schema.TypeDecimal, schema.TypeMoney, schema.TypeDouble:
		text, problem = decimalText(col, v)
		return json.RawMessage(text), problem
	case schema.TypeDateTime:
		if col.Behavior == schema.BehaviorDateOnly {
			text, problem = dateText(v)
		} else {
			text, problem = timestampText(v)
		}
	case schema.TypeUniqueID:
		if text = strings.ToLower(v.text); v.kind != isText || !schema.IsGUID(text) {
			return nil, "takes a GUID without braces"
		}
	case schema.TypeImage:
		if _, err := base64.StdEncoding.DecodeString(v.text); v.kind != isText || err != nil {
			return nil, "takes an image as a base64 text"
		}
		text = v.text
	default:
		return nil, "of type " + string(col.Type) + " cannot be written by a mapping"
	}
	if problem != "" {
		return nil, problem
	}
	return quote(text), ""
}

func numberHint(v value) string {
	if v.kind == isNumber {
		return ": use string()"
	}
	return ""
}

func textLiteral(col *schema.Column, s string) (json.RawMessage, string) {
	limit := col.MaxLength
	if limit == 0 && col.Type == schema.TypeMemo {
		limit = defaultMemoLength
	} else if limit == 0 {
		limit = defaultTextLength
	}
	if n := textLength(s); n > limit {
		return nil, fmt.Sprintf("takes %d characters, the text has %d", limit, n)
	}
	return quote(s), ""
}

// textLength counts as the server's platform does: in UTF-16 units.
func textLength(s string) int {
	n := 0
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
}

// quote writes a JSON string. A text from JSON or from an expression is valid
// UTF-8; a byte that is not becomes U+FFFD.
func quote(s string) json.RawMessage {
	b, _ := jsontext.AppendQuote(nil, s)
	return b
}

// integerText writes a whole number, or the value of a choice.
func integerText(col *schema.Column, v value) (string, string) {
	isChoice := len(col.Options) > 0 || col.Type == schema.TypePicklist || col.Type == schema.TypeState || col.Type == schema.TypeStatus
	if v.kind != isNumber {
		if isChoice && v.kind == isText {
			return "", "takes the number of an option, not a text: use optionset() for a label, int() for digits"
		}
		return "", "takes a whole number, not " + v.describe()
	}
	d, ok := parseDecimal(v.text)
	if !ok {
		return "", "takes a whole number"
	}
	text, ok := d.integer()
	if !ok {
		return "", "takes a whole number"
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || (col.Type != schema.TypeBigInt && n != int64(int32(n))) {
		return "", "takes a whole number within its range"
	}
	if isChoice {
		if len(col.Options) > 0 && !slices.ContainsFunc(col.Options, func(o schema.Option) bool { return o.Value == n }) {
			return "", "has no option with this value"
		}
		return text, ""
	}
	return text, limitsProblem(col, float64(n))
}

func limitsProblem(col *schema.Column, f float64) string {
	if col.Min != nil && f < *col.Min || col.Max != nil && f > *col.Max {
		return "takes numbers from " + limitText(col.Min) + " to " + limitText(col.Max)
	}
	return ""
}

func limitText(f *float64) string {
	if f == nil {
		return "any"
	}
	return strconv.FormatFloat(*f, 'f', -1, 64)
}

// decimalText writes a number with its own digits, without an exponent for the
// types that the server reads as decimals. The ranges for columns without limits
// are those of Microsoft Learn, "Column data types in Dataverse".
func decimalText(col *schema.Column, v value) (string, string) {
	if v.kind != isNumber {
		return "", "takes a number, not " + v.describe()
	}
	f, err := strconv.ParseFloat(v.text, 64)
	if err != nil {
		return "", "takes a number within its range"
	}
	limit := 100_000_000_000.0
	if col.Type == schema.TypeMoney {
		limit = 922_337_203_685_477
	}
	if col.Min == nil && col.Max == nil && (f < -limit || f > limit) {
		return "", "takes a number within its range"
	}
	if problem := limitsProblem(col, f); problem != "" {
		return "", problem
	}
	if problem := precisionProblem(col, v.text); problem != "" {
		return "", problem
	}
	if col.Type != schema.TypeDouble && strings.ContainsAny(v.text, "eE") {
		d, ok := parseDecimal(v.text)
		if !ok {
			return "", "takes a number within its range"
		}
		return d.plain(), ""
	}
	return v.text, ""
}

// The decimals that the server keeps. A currency or the organization can say less
// for money, which the metadata of the column does not tell. Source: Microsoft Learn,
// "Column data types in Dataverse".
const (
	moneyDecimals   = 4
	decimalDecimals = 10
)

// precisionProblem refuses decimals that the server would round without a word. A
// Double is inexact anyway.
func precisionProblem(col *schema.Column, text string) string {
	kept := moneyDecimals
	switch col.Type {
	case schema.TypeDouble:
		return ""
	case schema.TypeDecimal:
		if kept = col.Precision; kept == 0 {
			kept = decimalDecimals
		}
	}
	if d, ok := parseDecimal(text); ok && -d.exponent > kept {
		return fmt.Sprintf("takes %d decimals, the number has more: use round(x, %[1]d)", kept)
	}
	return ""
}

// multiSelectText writes the options of a multi-select as "1,2"; "" for none.
func multiSelectText(col *schema.Column, v value) (string, string) {
	var parts []string
	switch v.kind {
	case isText:
		if strings.TrimSpace(v.text) == "" {
			return "", ""
		}
		parts = strings.Split(v.text, ",")
	case isNumber:
		parts = []string{v.text}
	case isList:
		for _, e := range v.list {
			if e.kind != isNumber {
				return "", "takes a list of whole numbers"
			}
			parts = append(parts, e.text)
		}
	default:
		return "", "takes a list of whole numbers, not " + v.describe()
	}
	if len(parts) > maxListLength {
		return "", fmt.Sprintf("takes at most %d options", maxListLength)
	}
	for i, part := range parts {
		part = strings.TrimSpace(part)
		if !plainInteger.MatchString(part) {
			return "", "takes whole numbers separated by commas"
		}
		text, problem := integerText(col, value{kind: isNumber, text: part})
		if problem != "" {
			return "", problem
		}
		parts[i] = text
	}
	return strings.Join(parts, ","), ""
}

// typeProblem compares the type an expression is known to have with its column.
// It is "" when the type fits or is only known at run time.
func typeProblem(col *schema.Column, kind valueKind) string {
	fits := []valueKind{isNull, isOmitted}
	switch col.Type {
	case schema.TypeString, schema.TypeMemo, schema.TypeUniqueID, schema.TypeImage:
		fits = append(fits, isText)
	case schema.TypeBoolean:
		fits = append(fits, isBool)
	case schema.TypeMultiSelect:
		fits = append(fits, isText, isNumber, isList)
	case schema.TypeDateTime:
		fits = append(fits, isText, isTime)
	default:
		fits = append(fits, isNumber)
	}
	if slices.Contains(fits, kind) {
		return ""
	}
	_, problem := columnLiteral(col, value{kind: kind, text: "0"})
	if problem == "" {
		problem = "does not take " + value{kind: kind}.describe()
	}
	return problem
}

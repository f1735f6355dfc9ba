package sim

import (
	"math"
	"math/big"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"cebridge/schema"

	"github.com/go-json-experiment/json/jsontext"
)

// Scales of stored numbers. Money is SQL's money type: recorded answers show
// four decimals (31000.0000) whatever the column's precision. Decimals come with
// ten (assumption, from recorded exchange rates), or more where the column's
// precision asks for them.
const (
	moneyScale   = 4
	decimalScale = 10
)

// The ranges of the types, which a column's own bounds can only narrow.
// Source: the maximum supported values of the attribute metadata types.
const (
	maxMoney   = 922_337_203_685_477
	maxDecimal = 100_000_000_000
)

func encodeInteger(c *schema.Column, raw jsontext.Value, bits int) (string, *apiError) {
	if raw.Kind() != '0' {
		return "", wrongType(c, raw, "Edm.Int"+strconv.Itoa(bits))
	}
	n, err := strconv.ParseInt(string(raw), 10, bits)
	if err != nil {
		return "", wrongType(c, raw, "Edm.Int"+strconv.Itoa(bits))
	}
	if c.Min != nil && float64(n) < *c.Min || c.Max != nil && float64(n) > *c.Max {
		return "", outOfRange(c, codeIntegerRange)
	}
	return strconv.FormatInt(n, 10), nil
}

// decimalText accepts what a bounded amount of work can turn into an exact number.
var decimalText = regexp.MustCompile(`^-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?$`)

// encodeDecimal rounds to the column's precision, half away from zero
// (assumption), and renders the type's fixed number of decimals.
func encodeDecimal(c *schema.Column, raw jsontext.Value) (string, *apiError) {
	if raw.Kind() != '0' {
		return "", wrongType(c, raw, "Edm.Decimal")
	}
	value, ok := new(big.Rat), false
	if decimalText.Match(raw) {
		value, ok = value.SetString(string(raw))
	}
	if !ok {
		return "", outOfRange(c, codeDecimalRange)
	}
	scale, limit := decimalScale, float64(maxDecimal)
	if c.Type == schema.TypeMoney {
		scale, limit = moneyScale, maxMoney
	}
	low, high := -limit, limit
	if c.Min != nil {
		low = max(low, *c.Min)
	}
	if c.Max != nil {
		high = min(high, *c.Max)
	}
	if value.Cmp(new(big.Rat).SetFloat64(low)) < 0 || value.Cmp(new(big.Rat).SetFloat64(high)) > 0 {
		return "", outOfRange(c, codeDecimalRange)
	}
	text := value.FloatString(max(c.Precision, 0))
	point := strings.IndexByte(text, '.')
	decimals := 0
	if point >= 0 {
		decimals = len(text) - point - 1
	} else {
		text += "."
	}
	return text + strings.Repeat("0", max(scale-decimals, 0)), nil
}

// encodeDouble rounds to the column's precision, as the server does
// (47.639583 is read back as 47.63958).
func encodeDouble(c *schema.Column, raw jsontext.Value) (string, *apiError) {
	if raw.Kind() != '0' {
		return "", wrongType(c, raw, "Edm.Double")
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || math.IsInf(f, 0) {
		return "", outOfRange(c, codeDecimalRange)
	}
	if c.Min != nil && f < *c.Min || c.Max != nil && f > *c.Max {
		return "", outOfRange(c, codeDecimalRange)
	}
	if c.Precision > 0 && math.Abs(f) < 1e15 {
		f, _ = strconv.ParseFloat(strconv.FormatFloat(f, 'f', c.Precision, 64), 64)
	}
	return strconv.FormatFloat(f, 'g', -1, 64), nil
}

func outOfRange(c *schema.Column, code string) *apiError {
	return &apiError{
		Status: http.StatusBadRequest, Code: code,
		Message: "A validation error occurred.  The value of '" + c.LogicalName + "' on record of type '" + tableMark + "' is outside the valid range.",
	}
}

package mapping

import (
	"math"
	"strconv"
	"strings"
)

// number is the text of a JSON number.
type number string

const maxExactInteger = 1 << 53

// float returns the double that means exactly this number, and false when there
// is none: whole numbers beyond 2^53 and decimals with too many digits.
func (n number) float() (float64, bool) {
	f, err := strconv.ParseFloat(string(n), 64)
	if err != nil {
		return 0, false
	}
	if f == math.Trunc(f) && math.Abs(f) > maxExactInteger {
		return 0, false
	}
	if len(n) <= 15 && !strings.ContainsAny(string(n), "eE") {
		return f, true
	}
	d, ok := parseDecimal(string(n))
	if !ok {
		return 0, false
	}
	back, ok := parseDecimal(strconv.FormatFloat(f, 'e', -1, 64))
	return f, ok && d == back
}

// floatText writes a double as exact JSON digits, without an exponent where that
// is short; false when it is not a number or a whole number beyond 2^53.
func floatText(f float64) (string, bool) {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return "", false
	case f == 0:
		return "0", true // also for minus zero
	case f == math.Trunc(f):
		return strconv.FormatFloat(f, 'f', -1, 64), math.Abs(f) <= maxExactInteger
	case math.Abs(f) < 1e-12:
		return strconv.FormatFloat(f, 'e', -1, 64), true
	}
	return strconv.FormatFloat(f, 'f', -1, 64), true
}

// decimal is a number in one form only: digits without leading or trailing
// zeros, and the power of ten of the last digit. Zero is {"", 0, false}.
type decimal struct {
	digits   string
	exponent int
	negative bool
}

// maxExponent bounds what parseDecimal accepts and plain writes out.
const maxExponent = 400

// parseDecimal reads a JSON number.
func parseDecimal(s string) (decimal, bool) {
	var d decimal
	s, d.negative = strings.CutPrefix(s, "-")
	mantissa := s
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		e, err := strconv.Atoi(s[i+1:])
		if err != nil || e > maxExponent || e < -maxExponent {
			return decimal{}, false
		}
		mantissa, d.exponent = s[:i], e
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	d.digits = strings.TrimLeft(whole+fraction, "0")
	d.exponent -= len(fraction)
	trimmed := strings.TrimRight(d.digits, "0")
	d.exponent += len(d.digits) - len(trimmed)
	d.digits = trimmed
	if d.digits == "" {
		return decimal{}, true
	}
	return d, true
}

// integer writes the number if it is a whole one of at most 19 digits.
func (d decimal) integer() (string, bool) {
	if d.digits == "" {
		return "0", true
	}
	if d.exponent < 0 || len(d.digits)+d.exponent > 19 {
		return "", false
	}
	return d.sign() + d.digits + strings.Repeat("0", d.exponent), true
}

// plain writes the number without an exponent.
func (d decimal) plain() string {
	if d.digits == "" {
		return "0"
	}
	if d.exponent >= 0 {
		return d.sign() + d.digits + strings.Repeat("0", d.exponent)
	}
	point := len(d.digits) + d.exponent
	if point <= 0 {
		return d.sign() + "0." + strings.Repeat("0", -point) + d.digits
	}
	return d.sign() + d.digits[:point] + "." + d.digits[point:]
}

func (d decimal) sign() string {
	if d.negative {
		return "-"
	}
	return ""
}

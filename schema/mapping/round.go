package mapping

import (
	"math"
	"math/big"
	"strconv"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// maxRoundDigits is the most decimals that a column has.
const maxRoundDigits = 12

// round implements round(x, digits): decimal digits, halves away from zero.
func round(v, digits ref.Val) ref.Val {
	f, _ := v.(types.Double)
	n, _ := digits.(types.Int)
	if n < 0 || n > maxRoundDigits {
		return failed("round() takes 0 to " + strconv.Itoa(maxRoundDigits) + " digits")
	}
	if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
		return types.WrapErr(inexact)
	}
	// The shortest digits of the double are what was meant: 1.005, not
	// 1.00499999999999989.
	exact, ok := new(big.Rat).SetString(strconv.FormatFloat(float64(f), 'f', -1, 64))
	if !ok {
		return types.WrapErr(inexact)
	}
	rounded, err := strconv.ParseFloat(exact.FloatString(int(n)), 64)
	if err != nil {
		return types.WrapErr(inexact)
	}
	return types.Double(rounded)
}

package mapping

import (
	"encoding/json"
	"math"
	"math/big"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// numberText draws JSON numbers of every form.
var numberText = rapid.Custom(func(t *rapid.T) string {
	s := rapid.StringMatching(`-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?`).Draw(t, "number")
	return s
})

// rat is the exact meaning of a number's text.
func rat(t interface{ Fatalf(string, ...any) }, s string) *big.Rat {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		t.Fatalf("%q is no number", s)
	}
	return r
}

func TestNumberIsAcceptedOnlyWhenADoublePrintsTheSameDecimal(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := numberText.Draw(t, "s")
		f, ok := number(s).float()
		parsed, err := strconv.ParseFloat(s, 64)
		if err != nil {
			if ok {
				t.Fatalf("%s is no double, yet accepted", s)
			}
			return
		}
		shortest := rat(t, strconv.FormatFloat(parsed, 'e', -1, 64))
		exact := shortest.Cmp(rat(t, s)) == 0
		large := shortest.IsInt() && math.Abs(parsed) > 1<<53
		if ok != (exact && !large) {
			t.Fatalf("%s: accepted %v, want %v", s, ok, exact && !large)
		}
		if ok && f != parsed {
			t.Fatalf("%s became %v", s, f)
		}
	})
}

func TestWholeDoublesAreWrittenAsDigits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(-1<<53, 1<<53).Draw(t, "n")
		got, ok := floatText(float64(n))
		if !ok || got != strconv.FormatInt(n, 10) {
			t.Fatalf("%d became %q, %v", n, got, ok)
		}
	})
	for _, f := range []float64{1<<53 + 2, -(1<<53 + 2), 1e300, math.Inf(1), math.NaN()} {
		if text, ok := floatText(f); ok {
			t.Errorf("%v was written as %s, want a refusal", f, text)
		}
	}
	if text, ok := floatText(math.Copysign(0, -1)); !ok || text != "0" {
		t.Errorf("minus zero became %q", text)
	}
}

func TestDoublesSurviveBeingWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.Float64().Draw(t, "f")
		text, ok := floatText(f)
		if !ok {
			return
		}
		if !json.Valid([]byte(text)) {
			t.Fatalf("%v became %q, which is not JSON", f, text)
		}
		if back, err := strconv.ParseFloat(text, 64); err != nil || back != f {
			t.Fatalf("%v became %s, read back as %v", f, text, back)
		}
	})
}

func TestPlainWritesTheSameNumberWithoutExponent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := numberText.Draw(t, "s")
		d, ok := parseDecimal(s)
		if !ok {
			t.Fatalf("%s was not read", s)
		}
		want := rat(t, s)
		plain := d.plain()
		if rat(t, plain).Cmp(want) != 0 {
			t.Fatalf("%s became %s", s, plain)
		}
		if !json.Valid([]byte(plain)) {
			t.Fatalf("%s became %q, which is not JSON", s, plain)
		}
		whole, ok := d.integer()
		if ok && (!want.IsInt() || want.Num().String() != whole) {
			t.Fatalf("%s became the integer %s", s, whole)
		}
		if !ok && want.IsInt() && len(new(big.Int).Abs(want.Num()).String()) <= 19 {
			t.Fatalf("%s is a whole number of up to 19 digits, yet refused", s)
		}
	})
}

func TestExponentsAreBounded(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"1e401", "1e-401", "1e99999999999999999999"} {
		if _, ok := parseDecimal(s); ok {
			t.Errorf("%s was read", s)
		}
	}
}

package mapping_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cebridge/schema/mapping"
)

// invoice is a mapping of table invoice with one column, in the user's own currency.
func invoice(lines ...string) string {
	return "table: invoice\nkey: {invoicenumber: id}\nlookups: {transactioncurrencyid: omit()}\n" + strings.Join(lines, "\n") + "\n"
}

// written is the value of the one column that a mapping writes.
func written(t interface {
	Helper()
	Fatalf(string, ...any)
}, body json.RawMessage) string {
	t.Helper()
	_, value, ok := strings.Cut(string(body), ":")
	if !ok {
		t.Fatalf("the body is %s", body)
	}
	return strings.TrimSuffix(value, "}")
}

func TestRoundingIsThatOfDecimals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, digits, want string }{
		{"1.005", "2", "1.01"}, {"2.675", "2", "2.68"}, {"-2.675", "2", "-2.68"}, {"0.5", "0", "1"}, {"-0.5", "0", "-1"},
		{"1.4", "0", "1"}, {"100", "2", "100"}, {"0.1", "1", "0.1"}, {"-0.001", "2", "0"}, {"1e3", "2", "1000"}, {"922337203685477.25", "1", "922337203685477.2"},
	} {
		p := compile(t, invoice("columns: {totalamount: 'round(data.x, "+c.digits+")'}"), mapping.Options{})
		w, err := mapEvent(t, p, `{"x": `+c.in+`}`)
		if c.in == "922337203685477.25" {
			if err == nil {
				t.Errorf("%s, which no double holds, gives %s", c.in, w.Body)
			}
			continue
		}
		if err != nil || written(t, w.Body) != c.want {
			t.Errorf("round(%s, %s) gives %v, %v, want %s", c.in, c.digits, w, err, c.want)
		}
	}
}

func TestWhatIsRoundedFitsItsColumn(t *testing.T) {
	t.Parallel()
	p := compile(t, invoice("columns: {totalamount: 'round(data.x * data.y, 2)'}"), mapping.Options{})
	rapid.Check(t, func(t *rapid.T) {
		x := float64(rapid.IntRange(-9_999_999, 9_999_999).Draw(t, "x")) / 100
		y := float64(rapid.IntRange(0, 9999).Draw(t, "y")) / 1000
		w, err := mapEventOf(p, fmt.Sprintf(`{"x": %v, "y": %v}`, x, y))
		if err != nil {
			t.Fatalf("%v * %v: %v", x, y, err)
		}
		got, ok := new(big.Rat).SetString(written(t, w))
		exact := new(big.Rat).Mul(new(big.Rat).SetInt64(int64(x*100+0.5*sign(x))), new(big.Rat).SetInt64(int64(y*1000+0.5)))
		exact.Quo(exact, big.NewRat(100_000, 1))
		// A product of doubles is off by far less than a tenth of a cent.
		if off := new(big.Rat).Sub(got, exact); !ok || off.Abs(off).Cmp(big.NewRat(51, 10_000)) > 0 {
			t.Fatalf("%v * %v gives %s, exactly %s", x, y, written(t, w), exact.FloatString(5))
		}
	})
}

func sign(x float64) float64 {
	if x < 0 {
		return -1
	}
	return 1
}

func mapEventOf(p *mapping.Program, data string) (json.RawMessage, error) {
	w, err := mapOne(context.Background(), p, newEventOf(data))
	if err != nil {
		return nil, err
	}
	return w.Body, nil
}

func TestALocalDateIsThatOfTheZoneOnThatDay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ zone, at, want string }{
		{"Europe/Berlin", "2026-03-28T22:59:59Z", "2026-03-28"},
		{"Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29"}, // winter: one hour
		{"Europe/Berlin", "2026-03-29T21:59:59Z", "2026-03-29"},
		{"Europe/Berlin", "2026-03-29T22:00:00Z", "2026-03-30"}, // summer: two
		{"America/New_York", "2026-01-01T04:59:59.999Z", "2025-12-31"},
		{"Asia/Kolkata", "2026-01-01T00:00:00+05:30", "2026-01-01"},
		{"Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-29"}, // the day that Samoa left out
		{"Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-31"},
		{"UTC", "2026-01-01T00:00:00+14:00", "2025-12-31"},
	} {
		for _, expression := range []string{`localDate(data.at, "` + c.zone + `")`, `localDate(timestamp(data.at), "` + c.zone + `")`} {
			p := compile(t, invoice("columns: {datedelivered: '"+expression+"'}"), mapping.Options{})
			w, err := mapEvent(t, p, `{"at": "`+c.at+`"}`)
			if err != nil || written(t, w.Body) != strconv.Quote(c.want) {
				t.Errorf("%s of %s gives %v, %v, want %s", expression, c.at, w, err, c.want)
			}
		}
	}
}

// Every moment has the date that the standard library gives it.
func TestLocalDatesAreThoseOfTheZoneDatabase(t *testing.T) {
	t.Parallel()
	const zone = "Australia/Lord_Howe" // half an hour of summer time
	p := compile(t, invoice(`columns: {datedelivered: 'localDate(data.at, "`+zone+`")'}`), mapping.Options{})
	location, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(0, 4_000_000_000).Draw(t, "at"), 0).UTC()
		w, err := mapEventOf(p, `{"at": "`+at.Format(time.RFC3339)+`"}`)
		if want := strconv.Quote(at.In(location).Format("2006-01-02")); err != nil || written(t, w) != want {
			t.Fatalf("%s gives %s, %v, want %s", at, w, err, want)
		}
	})
}

func TestSharedCodeTablesGiveWayToTheMappingsOwn(t *testing.T) {
	t.Parallel()
	shared, ps := mapping.ParseCodes("bridge.yaml", "inbound.codes", node(t, "shipping: {A: 2}\nother: {A: 1}\n"))
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	spec, ps := parse(t, invoice("codes: {shipping: {A: 1}}", `columns: {shippingmethodcode: 'code("shipping", "A")', new_weight: 'code("other", "A")'}`))
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	if _, ps := mapping.Compile(spec, catalog(t), mapping.Options{}); len(ps) != 1 || ps[0].Text != "there is no code table other" {
		t.Errorf("without the shared tables: %v", ps)
	}
	spec.ShareCodes(shared)
	p, ps := mapping.Compile(spec, catalog(t), mapping.Options{})
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	w, err := mapEvent(t, p, "{}")
	if err != nil || string(w.Body) != `{"shippingmethodcode":1,"new_weight":1}` {
		t.Errorf("got %v, %v", w, err)
	}
}

func TestACodeTableIsBounded(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("big:\n")
	for i := range 10_001 {
		fmt.Fprintf(&b, "  \"%d\": x\n", i)
	}
	_, ps := mapping.ParseCodes("bridge.yaml", "inbound.codes", node(t, b.String()))
	if len(ps) != 1 || ps[0].Text != "more than 10000 codes" {
		t.Errorf("got %v", ps)
	}
}

func TestMoneyOfAnUpdateKeepsItsCurrency(t *testing.T) {
	t.Parallel()
	if ps := problems(t, "table: invoice\noperation: update\nkey: {invoicenumber: data.number}\ncolumns: {totalamount: data.amount}\n"); len(ps) > 0 {
		t.Error(ps)
	}
}

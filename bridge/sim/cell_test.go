package sim

import (
	"strings"
	"testing"

	"cebridge/schema"

	"github.com/go-json-experiment/json/jsontext"
)

func TestCells(t *testing.T) {
	t.Parallel()
	low, high := -10.0, 100.0
	options := []schema.Option{{Value: 1, Label: "one"}, {Value: 9, Label: "nine"}}
	text := schema.Column{LogicalName: "c", Type: schema.TypeString, MaxLength: 5}
	integer := schema.Column{LogicalName: "c", Type: schema.TypeInteger, Min: &low, Max: &high}
	big := schema.Column{LogicalName: "c", Type: schema.TypeBigInt}
	decimal := schema.Column{LogicalName: "c", Type: schema.TypeDecimal, Precision: 2}
	fine := schema.Column{LogicalName: "c", Type: schema.TypeDecimal, Precision: 12}
	money := schema.Column{LogicalName: "c", Type: schema.TypeMoney, Precision: 2}
	double := schema.Column{LogicalName: "c", Type: schema.TypeDouble, Precision: 5, Max: &high}
	choice := schema.Column{LogicalName: "c", Type: schema.TypePicklist, Options: options}
	choices := schema.Column{LogicalName: "c", Type: schema.TypeMultiSelect, Options: options}
	flag := schema.Column{LogicalName: "c", Type: schema.TypeBoolean}
	moment := schema.Column{LogicalName: "c", Type: schema.TypeDateTime, Behavior: schema.BehaviorUserLocal}
	day := schema.Column{LogicalName: "c", Type: schema.TypeDateTime, Behavior: schema.BehaviorDateOnly}
	id := schema.Column{LogicalName: "c", Type: schema.TypeUniqueID}
	image := schema.Column{LogicalName: "c", Type: schema.TypeImage}
	file := schema.Column{LogicalName: "c", Type: schema.TypeFile}
	cases := []struct {
		column schema.Column
		raw    string
		cell   string
		code   string // "-": refused without a code
	}{
		{text, `"abc"`, `"abc"`, ""},
		{text, `null`, ``, ""},
		{text, `""`, ``, ""},
		{text, `"äöüßé"`, `"äöüßé"`, ""},
		{text, `"\ud83d\ude00\ud83d\ude00\ud83d\ude00"`, ``, codeStringTooLong},
		{text, `"abcdef"`, ``, codeStringTooLong},
		{text, `5`, ``, codeInvalidPayload},
		{integer, `100`, `100`, ""},
		{integer, `-0`, `0`, ""},
		{integer, `101`, ``, codeIntegerRange},
		{integer, `-11`, ``, codeIntegerRange},
		{integer, `1.5`, ``, codeInvalidPayload},
		{integer, `"5"`, ``, codeInvalidPayload},
		{integer, `9999999999`, ``, codeInvalidPayload},
		{big, `9007199254740993`, `9007199254740993`, ""},
		{decimal, `1.005`, `1.0100000000`, ""},
		{decimal, `-1.005`, `-1.0100000000`, ""},
		{decimal, `1e2`, `100.0000000000`, ""},
		{decimal, `100000000001`, ``, codeDecimalRange},
		{decimal, `1e999999999`, ``, codeDecimalRange},
		{decimal, `"1"`, ``, codeInvalidPayload},
		{fine, `0.123456789012`, `0.123456789012`, ""},
		{money, `5000000`, `5000000.0000`, ""},
		{money, `0.015`, `0.0200`, ""},
		{money, `1e15`, ``, codeDecimalRange},
		{double, `47.639583`, `47.63958`, ""},
		{double, `101`, ``, codeDecimalRange},
		{double, `1e400`, ``, codeDecimalRange},
		{choice, `9`, `9`, ""},
		{choice, `"9"`, `9`, ""},
		{choice, `2`, ``, codeOptionValue},
		{choice, `"nine"`, ``, codeInvalidPayload},
		{choices, `"1, 9"`, `"1,9"`, ""},
		{choices, `""`, ``, ""},
		{choices, `"1,2"`, ``, codeOptionValue},
		{choices, `"1,x"`, ``, codeInvalidPayload},
		{choices, `"` + strings.Repeat("1,", 150) + `1"`, ``, codeOptionValue},
		{flag, `true`, `true`, ""},
		{flag, `1`, ``, codeInvalidPayload},
		{moment, `"2025-01-05T10:20:30Z"`, `"2025-01-05T10:20:30Z"`, ""},
		{moment, `"2025-01-05T10:20:30.987+02:00"`, `"2025-01-05T08:20:30Z"`, ""},
		{moment, `"2025-01-05T10:20:30"`, `"2025-01-05T10:20:30Z"`, ""},
		{moment, `"1752-12-31T23:59:59Z"`, ``, codeInvalidArgument},
		{moment, `"soon"`, ``, codeInvalidPayload},
		{moment, `5`, ``, codeInvalidPayload},
		{day, `"2025-01-05"`, `"2025-01-05"`, ""},
		{day, `"2025-01-05T10:20:30Z"`, ``, codeInvalidPayload},
		{id, `"ABCDEF00-0000-0000-0000-000000000001"`, `"abcdef00-0000-0000-0000-000000000001"`, ""},
		{id, `"{ABCDEF00-0000-0000-0000-000000000001}"`, ``, codeInvalidPayload},
		{image, `"aGk="`, `"aGk="`, ""},
		{image, `"???"`, ``, codeInvalidPayload},
		{file, `"x"`, ``, "-"},
		{flag, `{}`, ``, codeInvalidPayload},
	}
	for _, c := range cases {
		cell, e := encodeCell(&c.column, jsontext.Value(c.raw))
		switch {
		case e == nil && c.code != "":
			t.Errorf("%s %s: accepted as %s, want code %s", c.column.Type, c.raw, cell, c.code)
		case e != nil && c.code == "":
			t.Errorf("%s %s: %v", c.column.Type, c.raw, e)
		case e != nil && c.code != "-" && e.Code != c.code:
			t.Errorf("%s %s: code %s, want %s", c.column.Type, c.raw, e.Code, c.code)
		case cell != c.cell:
			t.Errorf("%s %s: %s, want %s", c.column.Type, c.raw, cell, c.cell)
		}
	}
}

// FuzzCell: whatever is accepted is a JSON literal that is accepted again and
// stays the same, so that a client may write back what it read.
func FuzzCell(f *testing.F) {
	for _, seed := range []string{`"abc"`, `1.005`, `1e2`, `-0`, `"2025-01-05T10:20:30.9+14:00"`, `"1, 9"`, `true`, `47.639583`, `"\u0000"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if !jsontext.Value(raw).IsValid() {
			return
		}
		for _, kind := range []schema.ColumnType{
			schema.TypeString, schema.TypeInteger, schema.TypeDecimal, schema.TypeMoney, schema.TypeDouble,
			schema.TypePicklist, schema.TypeMultiSelect, schema.TypeBoolean, schema.TypeDateTime, schema.TypeUniqueID,
		} {
			c := schema.Column{LogicalName: "c", Type: kind, Precision: 3, MaxLength: 50}
			cell, e := encodeCell(&c, jsontext.Value(raw))
			if e != nil || cell == "" {
				continue
			}
			if !jsontext.Value(cell).IsValid() {
				t.Fatalf("%s: cell %q of %q is not JSON", kind, cell, raw)
			}
			again, e := encodeCell(&c, jsontext.Value(cell))
			if e != nil || again != cell {
				t.Fatalf("%s: %q is read back as %q, written back as %q: %v", kind, raw, cell, again, e)
			}
		}
	})
}

func TestRowsSurvivePacking(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	d := s.catalogNow().byName["account"].def.Load()
	cells := make([]string, len(d.Columns))
	for i := range cells {
		switch i % 3 {
		case 0:
			cells[i] = `"` + strings.Repeat("x", i*37) + `"`
		case 1:
			cells[i] = "1"
		}
	}
	cells[d.id], cells[d.version] = "", ""
	got := (&row{cells: packCells(d, cells)}).unpack(d, nil)
	for i := range cells {
		if got[i] != cells[i] {
			t.Errorf("column %d: %q, want %q", i, got[i], cells[i])
		}
	}
}

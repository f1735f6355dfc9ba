package schema

import (
	"regexp"
	"strings"
	"testing"
)

func keyTable() *Table {
	return &Table{LogicalName: "account", PrimaryID: "accountid", Columns: []Column{
		{LogicalName: "accountnumber", Type: TypeString, MaxLength: 20},
		{LogicalName: "name", Type: TypeString, MaxLength: 160},
		{LogicalName: "long", Type: TypeString, MaxLength: 450},
		{LogicalName: "count", Type: TypeInteger},
		{LogicalName: "notes", Type: TypeMemo},
		{LogicalName: "revenue", Type: TypeMoney},
		{LogicalName: "parentaccountid", Type: TypeLookup},
	}}
}

func TestColumnsThatCannotBeAKeyAreNamedWithTheReason(t *testing.T) {
	full := keyTable()
	full.Keys = make([]AlternateKey, 10)
	many := make([]string, 17)
	for name, c := range map[string]struct {
		table   *Table
		columns []string
		want    string
	}{
		"fit":           {keyTable(), []string{"accountnumber", "count", "parentaccountid"}, ""},
		"exactly full":  {keyTable(), []string{"long"}, ""},
		"too large":     {keyTable(), []string{"long", "count"}, "904 bytes"},
		"a memo":        {keyTable(), []string{"notes"}, "notes is of type Memo"},
		"money":         {keyTable(), []string{"revenue"}, "revenue is of type Money"},
		"unknown":       {keyTable(), []string{"nmae"}, "no column nmae"},
		"twice":         {keyTable(), []string{"name", "name"}, "stands twice"},
		"many columns":  {keyTable(), many, "16 columns"},
		"too many keys": {full, []string{"name"}, "has 10 alternate keys"},
	} {
		got := KeyUnfit(c.table, c.columns)
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestTheNameOfAKeyDependsOnItsColumnsAlone(t *testing.T) {
	if got := KeyName("new", []string{"new_erp", "accountnumber"}); got != "new_cebridge_accountnumber_erp" {
		t.Error(got)
	}
	if KeyName("new", []string{"a", "b"}) != KeyName("new", []string{"b", "a"}) {
		t.Error("the order of columns changes the name")
	}
	long := strings.Repeat("x", 99)
	one, other := KeyName("new", []string{long + "a"}), KeyName("new", []string{long + "b"})
	if len(one) > 100 || one == other {
		t.Errorf("long names %s, %s", one, other)
	}
}

func TestAPublisherPrefixIsTwoToEightLettersOrDigits(t *testing.T) {
	for prefix, want := range map[string]bool{
		"new": true, "cr1a2": true, "contoso1": true,
		"": false, "n": false, "contoso12": false, "1ab": false, "a_b": false, "mscrmx": false, "MSCRM": false,
	} {
		if ValidPublisherPrefix(prefix) != want {
			t.Errorf("%q: %v", prefix, !want)
		}
	}
}

func FuzzTheNameOfAKeyIsOneTheServerTakes(f *testing.F) {
	f.Add("accountnumber", "new_erp", 3)
	f.Add(strings.Repeat("a", 128), "b", 20)
	word := regexp.MustCompile(`[^a-z0-9_]`)
	f.Fuzz(func(t *testing.T, one, other string, n int) {
		columns := []string{"x" + word.ReplaceAllString(one, "")}
		for range min(max(n, 0), 16) {
			columns = append(columns, "y"+word.ReplaceAllString(other, ""))
		}
		name := KeyName("new", columns)
		if len(name) > 100 || !strings.HasPrefix(name, "new_cebridge_") || word.MatchString(name) {
			t.Errorf("%q of %q", name, columns)
		}
	})
}

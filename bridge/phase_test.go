package bridge

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

func TestTablesHavePhasesThatAreEvenlySpreadAndFollowFromTheirNames(t *testing.T) {
	t.Parallel()
	var tables []TableConfig
	for i := range 50 {
		tables = append(tables, TableConfig{Table: fmt.Sprintf("new_table%d", i)})
	}
	got := phases("contoso", tables)
	var places []float64
	for name, p := range got {
		if p < 0 || p >= 1 {
			t.Errorf("phase %v of %s", p, name)
		}
		places = append(places, p)
	}
	slices.Sort(places)
	for i := 1; i < len(places); i++ {
		if d := places[i] - places[i-1]; math.Abs(d-0.02) > 1e-9 {
			t.Errorf("%v between two phases, want a fiftieth", d)
		}
	}
	slices.Reverse(tables)
	again := phases("contoso", tables)
	other := phases("fabrikam", tables)
	same := 0
	for name, p := range got {
		if again[name] != p {
			t.Errorf("the phase of %s depends on the order in the file", name)
		}
		if other[name] == p {
			same++
		}
	}
	if same > 5 {
		t.Errorf("%d of 50 tables have the same phase in another organization", same)
	}
	if one := phases("contoso", tables[:1]); len(one) != 1 {
		t.Errorf("phases of one table: %v", one)
	}
}

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
	if len(got) != len(tables) {
		t.Errorf("%d phases for %d tables", len(got), len(tables))
	}
	checkPlaces(t, got, 10, 5)
	slices.Reverse(tables)
	again := phases("contoso", tables)
	other := phases("fabrikam", tables)
	same := 0
	for name, p := range got {
		if again[name] != p {
			t.Errorf("the phase of %s depends on the order in the file", name)
		}
		if math.Abs(other[name]-p) < 1e-9 {
			same++
		}
	}
	if same > pollTogether {
		t.Errorf("%d of 50 tables have the same phase in another organization", same)
	}
	if one := phases("contoso", tables[:1]); len(one) != 1 {
		t.Errorf("phases of one table: %v", one)
	}
}

func TestFewTablesHavePlacesOfTheirOwnAndManyShareThem(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ tables, places, most int }{
		{1, 1, 1}, {2, 2, 1}, {10, 10, 1}, {11, 10, 2}, {20, 10, 2}, {49, 10, 5}, {51, 11, 5}, {200, 40, 5}, {203, 41, 5},
	} {
		var tables []TableConfig
		for i := range c.tables {
			tables = append(tables, TableConfig{Table: fmt.Sprintf("new_table%d", i)})
		}
		checkPlaces(t, phases("contoso", tables), c.places, c.most)
	}
}

// checkPlaces: the tables stand at so many places, evenly spread, at most so many at one.
func checkPlaces(t *testing.T, phase map[string]float64, places, most int) {
	t.Helper()
	var list []float64
	for name, p := range phase {
		if p < 0 || p >= 1 {
			t.Errorf("phase %v of %s", p, name)
		}
		list = append(list, p)
	}
	slices.Sort(list)
	var distinct []float64
	together := 0
	for _, p := range list {
		if n := len(distinct); n == 0 || p-distinct[n-1] > 1e-9 {
			distinct, together = append(distinct, p), 0
		}
		if together++; together > most {
			t.Errorf("%d tables: %d at place %v, want at most %d", len(phase), together, p, most)
		}
	}
	if len(distinct) != places {
		t.Fatalf("%d tables stand at %d places, want %d", len(phase), len(distinct), places)
	}
	for i := 1; i < len(distinct); i++ {
		if d := distinct[i] - distinct[i-1]; math.Abs(d-1/float64(places)) > 1e-9 {
			t.Errorf("%d tables: %v between two places, want %v", len(phase), d, 1/float64(places))
		}
	}
}

package outbound

import (
	"errors"
	"strings"
	"testing"

	"cebridge/schema"
)

func row(n int, version int64) Row {
	return Row{ID: recordID(n), Version: version, JSON: []byte(`{"name":"x"}`)}
}

func gone(n int) Row { return Row{ID: recordID(n), Deleted: true} }

func TestFoldKeepsOneEntryPerRecord(t *testing.T) {
	t.Parallel()
	entries, dropped, err := fold([]Row{row(1, 5), row(2, 6), row(1, 9), row(1, 7), gone(2), gone(3), gone(3), row(3, 8)})
	if err != nil || dropped != 3 {
		t.Fatalf("dropped %d, %v; want 3", dropped, err)
	}
	type want struct {
		id      string
		version int64
		deleted bool
	}
	for i, w := range []want{{recordID(1), 9, false}, {recordID(2), 6, true}, {recordID(3), 8, true}} {
		if e := entries[i]; e.id != w.id || e.row.Version != w.version || e.deleted != w.deleted {
			t.Errorf("entry %d is %+v, want %+v", i, e, w)
		}
	}
}

func TestFoldRefusesRowsThatCannotBePublished(t *testing.T) {
	t.Parallel()
	good := row(1, 5)
	for name, r := range map[string]Row{
		"no id":         {Version: 1, JSON: good.JSON},
		"braces":        {ID: "{" + recordID(1) + "}", Version: 1, JSON: good.JSON},
		"upper case":    {ID: strings.ToUpper("abcdefab-0000-4000-8000-000000000001"), Version: 1, JSON: good.JSON},
		"wildcard":      {ID: "*", Deleted: true},
		"no version":    {ID: good.ID, JSON: good.JSON},
		"below zero":    {ID: good.ID, Version: -1, JSON: good.JSON},
		"no content":    {ID: good.ID, Version: 1},
		"delete, no id": {Deleted: true},
	} {
		if _, _, err := fold([]Row{good, r}); !errors.Is(err, errBadPage) {
			t.Errorf("%s: %v, want a bad page", name, err)
		}
	}
}

func TestPageMustHaveExactlyOneLink(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxLinkBytes+1)
	for _, p := range []*Page{nil, {}, {Next: "a", Delta: "b"}, {Next: long}, {Delta: long}} {
		if err := checkPage(p); !errors.Is(err, errBadPage) {
			t.Errorf("checkPage = %v, want a bad page", err)
		}
	}
	for _, p := range []*Page{{Next: "a"}, {Delta: "b"}} {
		if err := checkPage(p); err != nil {
			t.Error(err)
		}
	}
}

func TestLinkGuardFindsEveryCycle(t *testing.T) {
	t.Parallel()
	for tail := range 6 {
		for cycle := 1; cycle < 30; cycle++ {
			var g linkGuard
			found := -1
			for i := range 1000 {
				n := i
				if n >= tail {
					n = tail + (n-tail)%cycle
				}
				if !g.pass(recordID(n)) {
					found = i
					break
				}
			}
			if found < 0 || found < tail+cycle || found > 4*(tail+cycle)+4 {
				t.Errorf("tail %d, cycle %d: found after %d links", tail, cycle, found)
			}
		}
	}
	var g linkGuard
	for i := range 10_000 {
		if !g.pass(recordID(i)) {
			t.Fatalf("a cycle is seen at link %d where there is none", i)
		}
	}
}

func FuzzPlainIDIsAGUIDInLowerCase(f *testing.F) {
	for _, s := range []string{"", recordID(7), strings.ToUpper("abcdefab-0000-4000-8000-000000000001"), strings.Repeat("-", 36), strings.Repeat("a", 36)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := plainID(s), schema.IsGUID(s) && strings.ToLower(s) == s; got != want {
			t.Errorf("plainID(%q) = %v, want %v", s, got, want)
		}
	})
}

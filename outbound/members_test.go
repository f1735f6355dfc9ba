package outbound

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCompareNamesWhatDiffers(t *testing.T) {
	t.Parallel()
	var again comparer // what it remembers of the rows before must not matter
	for _, c := range []struct {
		name, former, row string
		changed           []string
		was               string
		reshaped, nulled  bool
	}{
		{name: "nothing", former: `{"a":1,"versionnumber":5}`, row: `{"a":1,"versionnumber":6}`},
		{name: "one value", former: `{"a":1,"b":"x","versionnumber":5}`, row: `{"a":1,"b":"y","versionnumber":6}`, changed: []string{"b"}, was: `{"b":"x"}`},
		{name: "cleared", former: `{"a":"x"}`, row: `{"a":null}`, changed: []string{"a"}, was: `{"a":"x"}`, nulled: true},
		{name: "was empty and still is", former: `{"a":null,"b":1}`, row: `{"a":null,"b":2}`, changed: []string{"b"}, was: `{"b":1}`},
		{name: "filled", former: `{"a":null}`, row: `{"a":"x"}`, changed: []string{"a"}, was: `{"a":null}`},
		{name: "appeared", former: `{"a":1}`, row: `{"b":2,"a":1}`, changed: []string{"b"}, reshaped: true},
		{name: "appeared without a value", former: `{"a":1}`, row: `{"a":1,"b":null}`, changed: []string{"b"}, reshaped: true, nulled: true},
		{name: "vanished", former: `{"a":1,"b":2}`, row: `{"a":1}`, changed: []string{"b"}, was: `{"b":2}`, reshaped: true, nulled: true},
		{name: "one for another", former: `{"a":1}`, row: `{"b":1}`, changed: []string{"b", "a"}, was: `{"a":1}`, reshaped: true, nulled: true},
		{name: "other order is no change", former: `{"a":1,"b":2,"c":3}`, row: `{"c":3,"a":1,"b":2}`},
		{name: "64-bit digits matter", former: `{"a":9007199254740993}`, row: `{"a":9007199254740992}`, changed: []string{"a"}, was: `{"a":9007199254740993}`},
		{name: "nested values count whole", former: `{"a":{"x":[1,2]}}`, row: `{"a":{"x":[1,3]}}`, changed: []string{"a"}, was: `{"a":{"x":[1,2]}}`},
		{name: "names are unescaped", former: `{"\u0061":1}`, row: `{"a":1}`},
		{name: "the version came or went", former: `{"versionnumber":1,"a":1}`, row: `{"a":1}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := again.compare([]byte(c.former), []byte(c.row))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.changed, d.names); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
			if got := string(object(d.was)); got != c.was {
				t.Errorf("former members %s, want %s", got, c.was)
			}
			if d.reshaped != c.reshaped || d.nulled != c.nulled {
				t.Errorf("reshaped %t, nulled %t, want %t, %t", d.reshaped, d.nulled, c.reshaped, c.nulled)
			}
		})
	}
}

func TestCompareRefusesARowThatIsNone(t *testing.T) {
	t.Parallel()
	var c comparer
	if d, err := c.compare([]byte(`{"a":1}`), []byte(`{"a":`)); err == nil {
		t.Errorf("a cut row passed: %+v", d)
	}
	if d, err := c.compare([]byte(`{"a":1`), []byte(`{"a":2}`)); err == nil {
		t.Errorf("a cut former row passed: %+v", d)
	}
}

func TestMembersRefuseWhatIsNotOneObject(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "null", "[]", `{"a":1`, `{"a":1}{`, `{"a":}`, "{\"a\":\"\xff\"}", `{"a" 1}`} {
		if list, err := members([]byte(text)); err == nil {
			t.Errorf("members(%q) = %v, want an error", text, list)
		}
	}
}

func TestPickTakesTheNamedMembersInOrder(t *testing.T) {
	t.Parallel()
	got, err := pick([]byte(`{"a":1,"_b_value":"x","c":null}`), []string{"c", "_b_value", "missing"})
	if err != nil || string(object(got)) != `{"c":null,"_b_value":"x"}` {
		t.Errorf("pick = %s, %v", object(got), err)
	}
}

// FuzzCompare holds the byte-wise compare against a plain one over maps.
func FuzzCompare(f *testing.F) {
	f.Add(`{"a":1,"b":"x"}`, `{"b":"y","c":[1]}`)
	f.Add(`{"versionnumber":1}`, `{"versionnumber":2,"\u0061":{}}`)
	f.Fuzz(func(t *testing.T, former, row string) {
		d, err := new(comparer).compare([]byte(former), []byte(row))
		if err != nil || twice(former) || twice(row) {
			return // contract: no name stands twice
		}
		var a, b map[string]json.RawMessage
		if json.Unmarshal([]byte(former), &a) != nil || json.Unmarshal([]byte(row), &b) != nil {
			t.Fatalf("accepted what encoding/json refuses: %q %q", former, row)
		}
		want := map[string]bool{}
		reshaped, nulled := false, false
		for n, v := range a {
			if string(b[n]) != string(v) {
				want[n] = true
			}
		}
		for n, v := range b {
			if string(a[n]) != string(v) {
				want[n] = true
			}
		}
		delete(want, versionColumn)
		for n := range want {
			_, before := a[n]
			_, after := b[n]
			reshaped = reshaped || before != after
			nulled = nulled || !after || string(b[n]) == "null"
		}
		if d.reshaped != reshaped || d.nulled != nulled {
			t.Errorf("%q to %q: reshaped %t, nulled %t, want %t, %t", former, row, d.reshaped, d.nulled, reshaped, nulled)
		}
		if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(slices.Values(d.names))); diff != "" {
			t.Errorf("%q to %q (-want +got):\n%s", former, row, diff)
		}
		if o := object(d.was); o != nil && !json.Valid(o) {
			t.Errorf("former members are not JSON: %s", o)
		}
	})
}

// twice tells whether a name stands twice in an object.
func twice(object string) bool {
	list, _ := members([]byte(object))
	names := map[string]bool{}
	for _, m := range list {
		names[string(m.name)] = true
	}
	return len(names) < len(list)
}

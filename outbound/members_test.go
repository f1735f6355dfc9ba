package outbound

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChangedMembersNamesWhatDiffers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, former, row string
		changed           []string
		was               string
	}{
		{"nothing", `{"a":1,"versionnumber":5}`, `{"a":1,"versionnumber":6}`, nil, ""},
		{"one value", `{"a":1,"b":"x","versionnumber":5}`, `{"a":1,"b":"y","versionnumber":6}`, []string{"b"}, `{"b":"x"}`},
		{"cleared", `{"a":"x"}`, `{"a":null}`, []string{"a"}, `{"a":"x"}`},
		{"appeared", `{"a":1}`, `{"b":2,"a":1}`, []string{"b"}, ""},
		{"vanished", `{"a":1,"b":2}`, `{"a":1}`, []string{"b"}, `{"b":2}`},
		{"other order is no change", `{"a":1,"b":2,"c":3}`, `{"c":3,"a":1,"b":2}`, nil, ""},
		{"64-bit digits matter", `{"a":9007199254740993}`, `{"a":9007199254740992}`, []string{"a"}, `{"a":9007199254740993}`},
		{"nested values count whole", `{"a":{"x":[1,2]}}`, `{"a":{"x":[1,3]}}`, []string{"a"}, `{"a":{"x":[1,2]}}`},
		{"names are unescaped", `{"\u0061":1}`, `{"a":1}`, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			names, was, err := changedMembers([]byte(c.former), []byte(c.row))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.changed, names); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
			if got := string(object(was)); got != c.was {
				t.Errorf("former members %s, want %s", got, c.was)
			}
		})
	}
}

func TestMembersRefuseWhatIsNotOneObject(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "null", "[]", `{"a":1`, `{"a":1}{`, `{"a":1,"a":2}`, `{"a":}`, "{\"a\":\"\xff\"}", `{"a" 1}`} {
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

// FuzzChangedMembers holds the byte-wise compare against a plain one over maps.
func FuzzChangedMembers(f *testing.F) {
	f.Add(`{"a":1,"b":"x"}`, `{"b":"y","c":[1]}`)
	f.Add(`{"versionnumber":1}`, `{"versionnumber":2,"\u0061":{}}`)
	f.Fuzz(func(t *testing.T, former, row string) {
		names, was, err := changedMembers([]byte(former), []byte(row))
		if err != nil {
			return
		}
		var a, b map[string]json.RawMessage
		if json.Unmarshal([]byte(former), &a) != nil || json.Unmarshal([]byte(row), &b) != nil {
			t.Fatalf("accepted what encoding/json refuses: %q %q", former, row)
		}
		want := map[string]bool{}
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
		if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(slices.Values(names))); diff != "" {
			t.Errorf("%q to %q (-want +got):\n%s", former, row, diff)
		}
		if o := object(was); o != nil && !json.Valid(o) {
			t.Errorf("former members are not JSON: %s", o)
		}
	})
}

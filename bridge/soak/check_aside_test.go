package soak

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"cebridge/outbound"
)

// asideStory has orders that point at accounts: one with its data in the object store, one
// that points at nothing, one whose account is gone.
func asideStory() *History {
	s := newStory()
	s.Tables["order"] = Followed{
		Columns:    []string{"name", "_accountid_value"},
		References: map[string]Reference{"accountid": {Read: "_accountid_value", Table: "account", Key: KeyColumn}},
		Above:      500,
	}
	account := func(key string) map[string]json.RawMessage { return columns(key, 0, "one") }
	order := func(to string) map[string]json.RawMessage {
		if to == "" {
			return map[string]json.RawMessage{"name": text("order")}
		}
		return map[string]json.RawMessage{"name": text("order"), "_accountid_value": text(to)}
	}
	told := func(id, key string) map[string]Referenced {
		r := Referenced{Table: "account", ID: id}
		if key != "" {
			r.Key = map[string]json.RawMessage{KeyColumn: text(key)}
		}
		return map[string]Referenced{"accountid": r}
	}
	s.write("account", "a", 10, account("A"))
	s.write("account", "b", 11, account("B"))
	s.write("account", "a", 12, account("A2"))
	s.write("account", "b", 13, nil)
	s.batch("account", shown("a", 12, "loaded", account("A2")))
	s.write("order", "o", 14, order("a"))
	s.write("order", "p", 15, order(""))
	s.write("order", "q", 16, order("b"))
	first, second, third := shown("o", 14, "loaded", order("a")), shown("p", 15, "loaded", order("")), shown("q", 16, "loaded", order("b"))
	first.References, first.DataRef = told("a", "A"), "nats-object:B/order/o/0001.0000000000000000014.0/ff"
	third.References, third.Size = told("b", ""), 400
	s.batch("order", first, second, third)
	return s.History
}

func TestEveryDamageOfObjectsAndReferencesIsFound(t *testing.T) {
	const o, p, q = 3, 4, 5 // sequences
	for name, damage := range map[string]func(*History){
		"":                          func(*History) {},
		"an object missing":         func(h *History) { at(h, o).Lost, at(h, o).Record = outbound.ErrNoPayload.Error(), nil },
		"another content":           func(h *History) { at(h, o).Lost = "its content is not what its name says" },
		"another record's object":   func(h *History) { at(h, o).DataRef = strings.Replace(at(h, o).DataRef, "/o/", "/p/", 1) },
		"another version's object":  func(h *History) { at(h, o).DataRef = strings.Replace(at(h, o).DataRef, "14.0", "13.0", 1) },
		"a delete's object":         func(h *History) { at(h, o).DataRef = strings.Replace(at(h, o).DataRef, "14.0", "14.1", 1) },
		"a large one not put aside": func(h *History) { at(h, q).Size = 501 },
		"a reference missing":       func(h *History) { at(h, o).References = nil },
		"a reference to another":    func(h *History) { at(h, o).References["accountid"] = at(h, q).References["accountid"] },
		"a reference of a null":     func(h *History) { at(h, p).References = at(h, o).References },
		"another table":             func(h *History) { at(h, q).References["accountid"] = Referenced{Table: "contact", ID: "b"} },
		"a key it never had":        func(h *History) { at(h, o).References["accountid"].Key[KeyColumn] = text("B") },
		"a key left out": func(h *History) {
			at(h, o).References["accountid"] = Referenced{Table: "account", ID: "a"}
		},
		"a target that never was": func(h *History) {
			at(h, o).Record["_accountid_value"], h.Writes[4].Columns["_accountid_value"] = text("z"), text("z")
			at(h, o).References["accountid"] = Referenced{Table: "account", ID: "z"}
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			h := asideStory()
			damage(h)
			found := Check(h)
			hit := slices.ContainsFunc(found, func(v Violation) bool { return v.Rule == "O13" })
			if hit != (name != "") || name == "" && len(found) > 0 {
				t.Errorf("found %v", found)
			}
		})
	}
}

// store is an object store.
type store struct {
	outbound.Payloads
	objects map[string]string
}

func TestAnObjectIsReadAndHeldAgainstItsName(t *testing.T) {
	s := store{objects: map[string]string{"o/0000000000000000": "data"}}
	for ref, want := range map[string]string{"o/0000000000000000": "its content", "gone": "object store"} {
		if _, lost := fetch(s, ref); !strings.Contains(lost, want) {
			t.Errorf("%s: %q", ref, lost)
		}
	}
	sum := "o/3a6eb0790f39ac87" // of "data"
	s.objects[sum] = "data"
	if data, lost := fetch(s, sum); string(data) != "data" || lost != "" {
		t.Errorf("%s, %q", data, lost)
	}
}

func (s store) Get(_ context.Context, uri string) ([]byte, error) {
	if data, ok := s.objects[uri]; ok {
		return []byte(data), nil
	}
	return nil, outbound.ErrNoPayload
}

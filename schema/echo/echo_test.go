package echo

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cebridge/schema"
)

const (
	contact = "5531d753-95af-e711-a94e-000d3a11e605"
	other   = "6631d753-95af-e711-a94e-000d3a11e605"
	user    = "7731D753-95AF-E711-A94E-000D3A11E605"
)

func table() *schema.Table {
	return &schema.Table{
		LogicalName: "account", EntitySet: "accounts", PrimaryID: "accountid",
		Columns: []schema.Column{
			{LogicalName: "name", Type: schema.TypeString}, {LogicalName: "fax", Type: schema.TypeString},
			{LogicalName: "creditlimit", Type: schema.TypeMoney}, {LogicalName: "primarycontactid", Type: schema.TypeLookup},
			{LogicalName: "parentid", Type: schema.TypeCustomer}, {LogicalName: "modifiedby", Type: schema.TypeLookup},
			{LogicalName: "secret", Type: schema.TypeString}, {LogicalName: "modifiedon", Type: schema.TypeDateTime},
		},
		Navigations: []schema.Navigation{
			{Column: "primarycontactid", Target: "contact", Name: "primarycontactid"},
			{Column: "parentid", Target: "account", Name: "parentid_Account"},
		},
	}
}

func note(t *testing.T, version int64, body string) *Note {
	t.Helper()
	n := NewNote(version)
	err := n.Written(table(), json.RawMessage(body), func(c string) bool { return c != "secret" }, user)
	if err != nil {
		t.Fatal(err)
	}
	data, err := n.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if n, err = DecodeNote(data); err != nil {
		t.Fatal(err)
	}
	return n
}

// row makes a row of which the named columns differ from the last event.
func row(version int64, values map[string]string, differs ...string) Row {
	return Row{Version: version, Epoch: 1, Differs: differs, Value: func(c string) []byte {
		if v, ok := values[c]; ok {
			return []byte(v)
		}
		return nil
	}}
}

func TestARowIsAnEchoOnlyIfEveryDifferenceIsAValueThatWasWritten(t *testing.T) {
	body := `{"name":"B","creditlimit":10.50,"secret":"s","primarycontactid@odata.bind":"/contacts(` + strings.ToUpper(contact) +
		`)","parentid_Account@odata.bind":null,"fax":null}`
	tests := []struct {
		name    string
		version int64
		values  map[string]string
		echo    bool
	}{
		{"the values written", 5, map[string]string{"name": `"B"`, "creditlimit": "10.5000000000", "fax": "null",
			"_primarycontactid_value": `"` + contact + `"`, "_parentid_value": "null", "modifiedon": `"x"`,
			"_modifiedby_value": `"` + strings.ToLower(user) + `"`}, true},
		{"another version", 6, map[string]string{"name": `"B"`}, false},
		{"a column that was not written", 5, map[string]string{"name": `"B"`, "statecode": "1"}, false},
		{"another value", 5, map[string]string{"name": `"b"`}, false},
		{"another number", 5, map[string]string{"creditlimit": "10.51"}, false},
		{"a text for a number", 5, map[string]string{"creditlimit": `"10.5"`}, false},
		{"another record bound", 5, map[string]string{"_primarycontactid_value": `"` + other + `"`}, false},
		{"another person", 5, map[string]string{"name": `"B"`, "_modifiedby_value": `"` + other + `"`}, false},
		{"cleared since", 5, map[string]string{"name": "null"}, false},
		{"filled since", 5, map[string]string{"fax": `"1"`}, false},
		{"gone from the row", 5, map[string]string{"name": ""}, false},
		{"not published", 5, map[string]string{"secret": `"s"`}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var differs []string
			for c := range tt.values {
				differs = append(differs, c)
			}
			if got := Drop(row(tt.version, filled(tt.values), differs...), note(t, 5, body), nil); (got != nil) != tt.echo {
				t.Errorf("dropped: %v, want %v", got != nil, tt.echo)
			}
		})
	}
}

// filled adds what the write of that test left behind.
func filled(values map[string]string) map[string]string {
	all := map[string]string{"name": `"B"`, "creditlimit": "10.50", "fax": "null",
		"_primarycontactid_value": `"` + contact + `"`, "_parentid_value": "null", "_modifiedby_value": `"` + other + `"`}
	for c, v := range values {
		all[c] = v
	}
	return all
}

func TestAValueThatAPersonPutBackRightAfterTheWriteIsNoEcho(t *testing.T) {
	n := note(t, 5, `{"name":"B"}`)
	if Drop(row(5, map[string]string{"name": `"A"`}), n, nil) != nil {
		t.Error("the row has the last event's name, which is not the one written: somebody was faster than the answer")
	}
	if Drop(row(5, map[string]string{"name": `"B"`}), n, nil) == nil {
		t.Error("a write that changes nothing is an echo")
	}
}

func TestALookupBoundByAnAlternateKeyExplainsNothing(t *testing.T) {
	n := note(t, 5, `{"primarycontactid@odata.bind":"/contacts(emailaddress1='a')"}`)
	if Drop(row(5, map[string]string{"_primarycontactid_value": `"` + contact + `"`}, "_primarycontactid_value"), n, nil) != nil {
		t.Error("a lookup whose target the write does not tell was dropped")
	}
}

func TestANoteWithoutValuesDropsNothing(t *testing.T) {
	if Drop(row(5, nil), NewNote(5), nil) != nil || Drop(row(5, nil), nil, nil) != nil {
		t.Error("dropped on the strength of nothing")
	}
	data, err := NewNote(5).Encode()
	if err != nil || string(data) != `{"format":1,"version":5}` {
		t.Errorf("a note that only marks is %s, %v", data, err)
	}
}

// A person who puts back what consumers were given last, after a write of ours was
// dropped, leaves a row that differs from the last event in nothing.
func TestAReturnToTheLastEventsValueAfterADropIsNoEcho(t *testing.T) {
	first := Drop(row(5, map[string]string{"name": `"B"`}, "name"), note(t, 5, `{"name":"B"}`), nil)
	if first == nil {
		t.Fatal("the write itself is an echo")
	}
	back := map[string]string{"name": `"A"`, "fax": `"1"`}
	if Drop(row(7, back, "fax"), note(t, 7, `{"fax":"1"}`), first) != nil {
		t.Error("a person's return to the former value is hidden under the next write")
	}
	again := map[string]string{"name": `"B"`, "fax": `"1"`}
	if Drop(row(7, again, "name", "fax"), note(t, 7, `{"fax":"1"}`), first) != nil {
		t.Error("whether the name is still ours, a write without it cannot tell")
	}
	second := Drop(row(7, again, "name", "fax"), note(t, 7, `{"fax":"1","name":"B"}`), first)
	if second == nil {
		t.Fatal("a write of all that was dropped before is an echo")
	}
	if diff := cmp.Diff([]string{"fax", "name"}, second.Columns); diff != "" {
		t.Error(diff)
	}
}

func TestStoredFormsComeBackAndOthersAreRefused(t *testing.T) {
	m := Drop(Row{Version: 5, Epoch: 2, Hash: 1<<64 - 1, Differs: []string{"name"}, Value: func(string) []byte { return []byte(`"B"`) }},
		note(t, 5, `{"name":"B"}`), nil)
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeMark(data)
	if diff := cmp.Diff(m, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if strings.Contains(string(data), `"B"`) {
		t.Errorf("the mark holds the value: %s", data)
	}
	for _, text := range []string{"", "{", "{}", `{"format":2,"version":1,"epoch":1}`, `{"format":1,"version":0,"epoch":1}`, "[]",
		`{"format":1,"x":"` + strings.Repeat("x", maxStored) + `"}`} {
		if _, err := DecodeMark([]byte(text)); err == nil {
			t.Errorf("%.40q is a mark", text)
		}
		if _, err := DecodeNote([]byte(text)); err == nil {
			t.Errorf("%.40q is a note", text)
		}
	}
}

func TestValuesCompareByWhatTheyMean(t *testing.T) {
	for _, group := range [][]string{
		{"10", "10.0", "10.000", "010"}, {"0", "-0", "0.00"}, {`"a"`, ` "a"`, `"\u0061"`}, {"-1.5", "-1.50"}, {"null"}, {"true"},
		{`"10"`}, {`"null"`}, {`"A"`}, {`""`}, {"9223372036854775807"}, {"9223372036854775808"},
	} {
		first, ok := canonical([]byte(group[0]))
		for _, v := range group {
			if got, fine := canonical([]byte(v)); !ok || !fine || got != first {
				t.Errorf("%s is %q, %s is %q", v, got, group[0], first)
			}
		}
		for _, foreign := range []string{`"b"`, "11", "false"} {
			if got, _ := canonical([]byte(foreign)); got == first {
				t.Errorf("%s and %s are equal", foreign, group[0])
			}
		}
	}
	for _, v := range []string{"", "1e3", "{}", "[1]", "-", "nul", `"`, "1.2.3", "+1", "--1"} {
		if got, ok := canonical([]byte(v)); ok && strings.ContainsAny(v, "e{[+") {
			t.Errorf("%q has the form %q", v, got)
		}
	}
}

func FuzzNumbersWithOneFormAreEqual(f *testing.F) {
	f.Add("10.50", "10.5")
	f.Add("-0", "0")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, ok := number(a)
		y, fine := number(b)
		p, err1 := strconv.ParseFloat(a, 64)
		q, err2 := strconv.ParseFloat(b, 64)
		if ok && fine && x == y && err1 == nil && err2 == nil && p != q {
			t.Errorf("%q and %q both have the form %q", a, b, x)
		}
	})
}

// people plays persons, own writes and polls in every order, and checks what may never
// happen: that a column whose value a person gave it last does not stand on the stream
// with that value once the row was looked at.
func TestNoOrderOfWritesAnswersAndPollsHidesAPersonsChange(t *testing.T) {
	columns := []string{"name", "fax", "creditlimit"}
	var drops, published, beaten, mixed int
	for seed := range uint64(8000) {
		r := rand.New(rand.NewPCG(seed, 1))
		state, byPerson := map[string]string{}, map[string]bool{}
		for _, c := range columns {
			state[c] = "0"
		}
		shown, shownVersion := clone(state), int64(1)
		version := int64(1)
		var n *Note
		var m *Mark
		var pending []*Note // answers on their way
		for range 30 {
			switch r.IntN(5) {
			case 0: // a person: sometimes back to what stood there before
				c := columns[r.IntN(len(columns))]
				value := fmt.Sprint(r.IntN(4))
				if state[c] != value {
					state[c], byPerson[c] = value, true
				}
				version++
			case 1: // an own write; the answer is read at once or after others wrote
				body := map[string]json.RawMessage{}
				for _, c := range columns {
					if r.IntN(4) > 0 {
						value := fmt.Sprint(r.IntN(4))
						body[c] = json.RawMessage(value)
						if state[c] = value; true {
							byPerson[c] = false
						}
					}
				}
				version++
				text, _ := json.Marshal(body)
				if r.IntN(4) == 0 { // between the write and the read for its answer
					c := columns[r.IntN(len(columns))]
					if value := fmt.Sprint(r.IntN(4)); state[c] != value {
						state[c], byPerson[c] = value, true
						mixed++
					}
					version++
				}
				pending = append(pending, note(t, version, string(text)))
			case 2:
				if len(pending) > 0 {
					n, pending = pending[0], pending[1:]
				}
			default: // a poll
				if version == shownVersion {
					continue
				}
				if len(pending) > 0 {
					beaten++
				}
				var differs []string
				for _, c := range columns {
					if state[c] != shown[c] {
						differs = append(differs, c)
					}
				}
				before := m
				if before != nil && before.Version <= shownVersion {
					before = nil
				}
				if before != nil && before.Version == version {
					continue
				}
				if d := Drop(row(version, state, differs...), n, before); d != nil {
					m = d
					drops++
				} else {
					shown, shownVersion = clone(state), version
					published++
				}
				for c := range byPerson {
					if byPerson[c] && shown[c] != state[c] {
						t.Fatalf("seed %d: a person set %s to %s, the stream shows %s", seed, c, state[c], shown[c])
					}
				}
			}
		}
	}
	if drops < 1000 || published < 1000 || beaten < 1000 || mixed < 1000 {
		t.Errorf("%d drops, %d events, %d polls before the answer, %d answers with a person's version: it proves nothing",
			drops, published, beaten, mixed)
	}
}

func clone(m map[string]string) map[string]string {
	c := make(map[string]string, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

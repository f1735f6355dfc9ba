package jet

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cebridge/inbound"
	"cebridge/schema"
)

func TestAParkedMessageOfAThousandKeysComesBackWithAllOfThem(t *testing.T) {
	t.Parallel()
	c, p := newParking(t)
	open(t, p)
	m := parked("order", 5)
	for i := range 999 {
		m.Letter.Keys = append(m.Letter.Keys, inbound.KeyHash(fmt.Sprint("line", i)))
	}
	park(t, p, m)
	list := open(t, c.Parking("DEAD", names, "erp"))
	if len(list) != 1 {
		t.Fatalf("%d parked", len(list))
	}
	if diff := cmp.Diff(m.Letter.Keys, list[0].Letter.Keys); diff != "" {
		t.Error(diff)
	}
	if err := p.Remove(t.Context(), list[0]); err != nil || len(open(t, p)) != 0 {
		t.Errorf("it is still there (%v)", err)
	}
}

func TestAKeyThatIsListedTwiceIsReadOnce(t *testing.T) {
	l := parked("A", 1).Letter
	l.Keys = []string{"k1", l.Key, "k2", "k1"}
	header, body, err := encodeLetter(l, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeLetter(header, body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"k1", "k2"}, back.Keys); diff != "" {
		t.Error(diff)
	}
}

func TestALetterTellsWhichOfSeveralWritesWereAccepted(t *testing.T) {
	want := letter(func(l *inbound.Letter) {
		l.Writes, l.Done, l.Accepted = 3, 2, "accounts(accountnumber='A1') contacts(emailaddress1='a%40contoso.com')"
	})
	header, body, err := encodeLetter(want, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeLetter(header, body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAReceiptOfSeveralWritesListsThem(t *testing.T) {
	t.Parallel()
	c, o := newOutbox(t)
	r := receipt(func(r *inbound.Receipt) {
		r.Writes = []inbound.ReceiptWrite{
			{Table: "account", Effect: schema.EffectUpdated, RecordID: "id-1", Version: 7},
			{Table: "contact", Effect: schema.EffectCreated, RecordID: "id-2"},
		}
	})
	if err := o.Receipt(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	var e struct {
		Data struct{ Writes []map[string]any }
	}
	if err := json.Unmarshal(all(t, c, "RECEIPTS")[0].Data, &e); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]map[string]any{
		{"table": "account", "effect": "updated", "recordid": "id-1", "version": 7.0},
		{"table": "contact", "effect": "created", "recordid": "id-2"},
	}, e.Data.Writes); diff != "" {
		t.Error(diff)
	}
}

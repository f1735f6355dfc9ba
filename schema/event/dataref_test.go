package event

import (
	"bytes"
	"testing"
	"time"
)

func TestAnEventThatRefersToItsDataCarriesNone(t *testing.T) {
	t.Parallel()
	const uri = "nats-object:CRM_CONTOSO_DATA/account/5531d753-95af-e711-a94e-000d3a11e605/0002.0000000000000000007.0/ab"
	for _, mode := range []Mode{Structured, Binary} {
		enc, err := NewEncoder(Settings{Source: "/crm/contoso/account", TypePrefix: "com.contoso.crm", Table: "account", Mode: mode})
		if err != nil {
			t.Fatal(err)
		}
		r := Record{RecordID: "5531d753-95af-e711-a94e-000d3a11e605", Version: 7, Epoch: 2, Change: Updated, ReadBy: ByDelta,
			Recorded: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), Row: []byte(`{"name":"Fabrikam"}`), Former: []byte(`{"name":"F"}`),
			References: []byte(`{"ownerid":{"table":"team"}}`), Hash: 9}
		whole, data, err := enc.Encode(&r)
		if err != nil {
			t.Fatal(err)
		}
		want, err := ReadData(whole, data)
		if err != nil || want.Ref != "" {
			t.Fatalf("%s: %+v, %v", mode, want, err)
		}
		payload := Payload(&r)
		r.DataRef = uri
		header, data, err := enc.Encode(&r)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte("Fabrikam")) {
			t.Errorf("%s: the data is still there: %s", mode, data)
		}
		got, err := ReadData(header, data)
		if err != nil || got.Ref != uri || got.Record != nil {
			t.Errorf("%s: %+v, %v", mode, got, err)
		}
		e, err := Unmarshal(header, data)
		if err != nil || e.Extensions()["dataref"] != uri || len(e.Data()) != 0 || e.DataContentType() != "application/json" {
			t.Errorf("%s: another reader sees %v (%v)", mode, e, err)
		}
		if p, err := ReadHeader(header); err != nil || p.Hash != 9 || p.Version != 7 {
			t.Errorf("%s: headers %+v, %v", mode, p, err)
		}
		kept, err := ReadPayload(payload)
		if err != nil || string(kept.Record) != string(want.Record) || string(kept.Previous) != string(want.Previous) || string(kept.References) != string(want.References) {
			t.Errorf("%s: the payload is %+v, the data was %+v (%v)", mode, kept, want, err)
		}
	}
	for name, bad := range map[string][]byte{"empty": nil, "no object": []byte(`[]`), "cut": []byte(`{"record":{`), "no row": []byte(`{"record":3}`)} {
		if _, err := ReadPayload(bad); err == nil {
			t.Errorf("%s: read", name)
		}
	}
}

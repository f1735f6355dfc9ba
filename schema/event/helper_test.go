package event

import (
	"testing"
	"time"
)

const recordID = "5531d753-95af-e711-a94e-000d3a11e605"

// settings are those of the account table of the Contoso organization.
func settings() Settings {
	return Settings{
		Source:     "/crm/contoso/account",
		TypePrefix: "com.contoso.crm",
		Table:      "account",
		OrgID:      "9f1f6d3c-6b0e-4f6d-8a3e-2f4d1c5b7a90",
		DataSchema: "https://bridge.contoso.com/schemas/account/3.json",
		Mode:       Structured,
	}
}

// updated is an update that has every attribute and every member.
func updated() *Record {
	return &Record{
		RecordID: recordID, Version: 8734651, Epoch: 1, Change: Updated, ReadBy: ByDelta,
		Modified: "2026-03-04T05:06:07Z",
		Recorded: time.Date(2026, 3, 4, 6, 6, 8, 120_000_000, time.FixedZone("", 3600)),
		Previous: 8734600, PreviousEpoch: 1,
		Changed:    []string{"name", "telephone1"},
		Row:        []byte(`{"accountid":"` + recordID + `","name":"Fabrikam","telephone1":null,"creditlimit":12345678901234567890.10,"versionnumber":8734651}`),
		Former:     []byte(`{"name":"Fabrikam Ltd","telephone1":"555-0100"}`),
		References: []byte(`{"ownerid":{"table":"systemuser"}}`),
		Hash:       0x00ab12cd34ef5678,
		Causation:  "erp-77", CausationSource: "/erp/contoso", Correlation: "order 12/2026",
		TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		TraceState:  "rojo=00f067aa0ba902b7",
	}
}

// deleted is a delete as the bridge publishes it.
func deletedRecord() *Record {
	return &Record{
		RecordID: recordID, Version: 8734651, Epoch: 1, Change: Deleted, ReadBy: ByDelta,
		Recorded: time.Date(2026, 3, 4, 5, 6, 8, 0, time.UTC),
		Previous: 8734651, PreviousEpoch: 1,
		Former: []byte(`{"accountnumber":"A-1"}`), Reason: "deleted", Hash: 1,
	}
}

func mustEncoder(tb testing.TB, s Settings) *Encoder {
	tb.Helper()
	e, err := NewEncoder(s)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func encode(tb testing.TB, s Settings, r *Record) (map[string][]string, []byte) {
	tb.Helper()
	header, data, err := mustEncoder(tb, s).Encode(r)
	if err != nil {
		tb.Fatal(err)
	}
	return header, data
}

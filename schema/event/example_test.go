package event_test

import (
	"fmt"
	"log"
	"time"

	"cebridge/schema/event"
)

func ExampleEncoder() {
	encoder, err := event.NewEncoder(event.Settings{
		Source: "/crm/contoso/account", TypePrefix: "com.contoso.crm", Table: "account",
	})
	if err != nil {
		log.Fatal(err)
	}
	header, data, err := encoder.Encode(&event.Record{
		RecordID: "5531d753-95af-e711-a94e-000d3a11e605",
		Version:  8734651, Epoch: 1, Change: event.Created, ReadBy: event.ByDelta,
		Recorded: time.Date(2026, 3, 4, 5, 6, 8, 0, time.UTC),
		Row:      []byte(`{"name":"Fabrikam"}`),
		Hash:     0xab12,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(header["Content-Type"], header["Crm-Version"], header["Crm-Hash"])

	e, err := event.Unmarshal(header, data)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(e.Type(), e.ID())
	fmt.Println(e.Extensions()["sequence"])
	fmt.Println(string(e.Data()))
	// Output:
	// [application/cloudevents+json] [8734651] [000000000000ab12]
	// com.contoso.crm.account.created account/5531d753-95af-e711-a94e-000d3a11e605/8734651
	// 0001.0000000000008734651.0
	// {"record":{"name":"Fabrikam"}}
}

func ExampleUnmarshal() {
	e, err := event.Unmarshal(map[string][]string{
		"ce-specversion":     {"1.0"},
		"ce-id":              {"77"},
		"ce-source":          {"/erp"},
		"ce-type":            {"com.fabrikam.customer.changed"},
		"ce-subject":         {"Z%C3%BCrich"},
		"ce-datacontenttype": {"application/json"},
	}, []byte(`{"revision": 12345678901234567890}`))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(e.Type(), e.Subject())
	fmt.Println(string(e.Data()))
	// Output:
	// com.fabrikam.customer.changed Zürich
	// {"revision": 12345678901234567890}
}

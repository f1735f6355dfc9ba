package bridge_test

import (
	"strings"
	"testing"

	"cebridge/bridge"
	"cebridge/bridge/sim"
)

func TestALetterHidesTheColumnsThatTheRouteHides(t *testing.T) {
	t.Parallel()
	route := strings.Replace(customerRoute, "receipts: erp.receipt", "redact: [name]", 1)
	faults := sim.NewFaults(1)
	faults.Add(sim.Rule{Kind: sim.FaultError, Method: "PATCH", Status: 400, Code: "0x80040265", Message: "The plug-in refused."})
	r := newRigWith(t, route, sim.Options{Faults: faults}, nil)
	r.send("erp.customer", "com.example.customer", "e", map[string]any{"id": "R1", "name": "Contoso Secret", "staff": 7})
	if s := r.next(); s.Outcome != "rejected" {
		t.Fatalf("%s", s.Outcome)
	}
	list := r.letters(r.operator(route), bridge.LetterFilter{})
	if len(list) != 1 {
		t.Fatalf("%d letters", len(list))
	}
	if got, want := list[0].Request, `{"name":"***","numberofemployees":7}`; got != want {
		t.Errorf("the stored request is %s, want %s", got, want)
	}
	if !strings.Contains(string(list[0].Data), "Contoso Secret") {
		t.Error("the original, which a retry needs, was changed")
	}
}

func TestAColumnToHideMustBeOneThatTheRouteWrites(t *testing.T) {
	t.Parallel()
	tables, err := sim.DefaultSchema()
	if err != nil {
		t.Fatal(err)
	}
	cfg := parse(t, head+strings.Replace(customerRoute, "receipts: erp.receipt", "redact: [name, nmae]", 1), "http://127.0.0.1:1", "nats://127.0.0.1:1")
	if text := bridge.Check(cfg, tables).Error(); !strings.Contains(text, "the column nmae; did you mean name?") || strings.Contains(text, "the column name;") {
		t.Errorf("problems: %s", text)
	}
}

package bridge_test

import (
	"errors"
	"strings"
	"testing"

	"cebridge/bridge"
	"cebridge/schema"
)

// TestReceiptsThatNoStreamTakesAreAFaultOfTheConfiguration keeps a route from writing
// records whose messages could never be acknowledged.
func TestReceiptsThatNoStreamTakesAreAFaultOfTheConfiguration(t *testing.T) {
	r := newRig(t, onlyStreams, nil)
	lost := strings.Replace(customerRoute, "receipts: erp.receipt", "receipts: nowhere.receipt", 1)

	b, err := bridge.New(parse(t, r.head+lost, r.url, r.nats))
	if err != nil {
		t.Fatal(err)
	}
	var problems schema.Problems
	if err := b.Run(r.ctx); !errors.As(err, &problems) || len(problems) != 1 {
		t.Fatalf("started, or ended with %v", err)
	}
	if p := problems[0]; p.Field != "inbound.routes.customers.receipts" || !strings.Contains(p.Text, "no stream takes nowhere.receipt") {
		t.Errorf("the fault is %v", p)
	}
	shown := planned(t, r.ctx, r.operator(lost), "stream")
	if len(shown) != 1 || shown[0].Name != "nowhere.receipt" || !shown[0].Person {
		t.Errorf("the plan shows %+v", shown)
	}
	// A stream that is about to be made counts.
	made := strings.Replace(lost, "ERP: {subjects: [erp.>]}", "ERP: {subjects: [erp.>]}, R: {subjects: [nowhere.*]}", 1)
	if shown := planned(t, r.ctx, r.operator(made), "stream"); len(shown) != 1 || shown[0].Name != "R" || shown[0].Person {
		t.Errorf("with a stream of the bridge's own the plan shows %+v", shown)
	}
}

package bridge_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cebridge/bridge"
	"cebridge/bridge/sim"
	"cebridge/schema"
)

// orderRoute is the example of docs/configuration.md, for a stream of the test's own.
func orderRoute(t *testing.T, more string) string {
	t.Helper()
	for _, b := range blocks(t, filepath.Join("..", "docs", "configuration.md"), "yaml") {
		if strings.Contains(b.text, "erp-orders:") {
			text := strings.Replace(b.text, "inbound:\n", "inbound:\n  streams: {ERP: {subjects: [erp.>]}, RECEIPTS: {subjects: [receipt.>]}}\n", 1)
			return strings.Replace(text, "      start: new\n", "      start: all\n      ack_wait: 5s\n      ambiguity_bound: 1s\n"+more, 1)
		}
	}
	t.Fatal("the page shows no route of orders")
	return ""
}

func newOrderRig(t *testing.T, text string) (*rig, *sim.Faults) {
	t.Helper()
	own, err := os.ReadFile(filepath.Join("testdata", "orders.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	orders, err := sim.LoadSchema(own)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := sim.DefaultSchema()
	if err != nil {
		t.Fatal(err)
	}
	faults := sim.NewFaults(1)
	return newRigWith(t, text, sim.Options{RecordWrites: true, Tables: append(tables, orders...), Faults: faults}, nil), faults
}

// line is one line of an order.
func line(no int, text string) map[string]any {
	return map[string]any{"no": no, "kind": "product", "text": text, "quantity": 1.5}
}

func order(revision int, lines ...map[string]any) map[string]any {
	return map[string]any{"number": "SO-1", "title": fmt.Sprint("revision ", revision), "revision": revision, "lines": lines}
}

// lines returns the texts of an order's lines by their places, and checks that they
// belong to it.
func (r *rig) lines(nos ...int) map[int]any {
	r.t.Helper()
	id, ok := r.sim.FindByKey("salesorder", map[string]any{"ordernumber": "SO-1"})
	if !ok {
		r.t.Fatal("there is no order")
	}
	texts := map[int]any{}
	for _, no := range nos {
		lineID, ok := r.sim.FindByKey("salesorderdetail", map[string]any{"new_externallineid": fmt.Sprint("SO-1-", no)})
		if !ok {
			continue
		}
		got := row(r.t, r.sim, "salesorderdetail", lineID)
		if got["_salesorderid_value"] != id {
			r.t.Errorf("line %d belongs to %v, not to %s", no, got["_salesorderid_value"], id)
		}
		texts[no] = got["productdescription"]
	}
	return texts
}

func TestAnOrderWithLinesIsWrittenByOneRequestEachAndARepetitionLeavesTheSameState(t *testing.T) {
	t.Parallel()
	r, _ := newOrderRig(t, orderRoute(t, "      receipts: receipt.orders\n"))
	freight := map[string]any{"no": 9, "kind": "freight"}
	r.send("erp.order.changed", "o", "1", order(1, line(1, "bolts"), freight, line(2, "nuts"), line(3, "washers")))
	s := r.written()
	if n := r.sim.Requests().Of("PATCH", sim.RequestRecord); n != 4 || len(s.Writes) != 4 || len(s.Results) != 4 {
		t.Errorf("%d requests for %d writes, %d results; want 4", n, len(s.Writes), len(s.Results))
	}
	for i, result := range s.Results {
		if result.Effect != schema.EffectCreated || result.ID == "" {
			t.Errorf("write %d: %+v", i, result)
		}
	}
	want := map[int]any{1: "bolts", 2: "nuts", 3: "washers"}
	if diff := cmp.Diff(want, r.lines(1, 2, 3, 9)); diff != "" {
		t.Error(diff)
	}
	if _, ok := r.sim.FindByKey("salesorderdetail", map[string]any{"new_externallineid": "SO-1-9"}); ok {
		t.Error("the freight became a line")
	}
	// A removed line, and then all of it again, as if the acknowledgement was lost.
	next := order(2, line(1, "bolts M8"), line(3, "washers"))
	next["removed"] = []int{2}
	for i := range 2 {
		r.send("erp.order.changed", "o", fmt.Sprint("again", i), next)
		if s := r.next(); i == 0 && s.Outcome != "written" || i == 1 && s.Outcome != "superseded" {
			t.Fatalf("message %d was %s: %v", i, s.Outcome, s.Err)
		}
	}
	if diff := cmp.Diff(map[int]any{1: "bolts M8", 3: "washers"}, r.lines(1, 2, 3)); diff != "" {
		t.Error(diff)
	}
}

func TestARedeliveredOrderIsWrittenAgainToTheSameState(t *testing.T) {
	t.Parallel()
	text := orderRoute(t, "")
	r, faults := newOrderRig(t, text)
	faults.Add(sim.Rule{Kind: sim.FaultServerError, Method: "PATCH", PathContains: "SO-1-2"})
	r.send("erp.order.changed", "o", "1", order(1, line(1, "bolts"), line(2, "nuts")))
	r.until("the second line is tried", func() bool { return r.sim.Requests().Of("PATCH", sim.RequestRecord) >= 3 })
	r.stop() // in the middle of the message
	faults.Clear()
	before := r.sim.Requests().Of("PATCH", sim.RequestRecord)
	r.start(text)
	r.written()
	if n := r.sim.Requests().Of("PATCH", sim.RequestRecord) - before; n != 3 {
		t.Errorf("%d requests after the restart, want all 3 writes again", n)
	}
	if diff := cmp.Diff(map[int]any{1: "bolts", 2: "nuts"}, r.lines(1, 2)); diff != "" {
		t.Error(diff)
	}
}

func TestAnOrderWithARejectedLineBecomesALetterThatTellsWhatWasDoneAndIsWrittenOnceCorrected(t *testing.T) {
	t.Parallel()
	text := orderRoute(t, "")
	r, faults := newOrderRig(t, text)
	faults.Add(sim.Rule{Kind: sim.FaultError, Method: "PATCH", PathContains: "SO-1-2", Code: "0x80040265", Message: "the plug-in refuses"})
	r.send("erp.order.changed", "o", "1", order(5, line(1, "bolts"), line(2, "nuts"), line(3, "washers")))
	if s := r.next(); s.Outcome != "rejected" {
		t.Fatalf("%s", s.Outcome)
	}
	op := r.operator(text)
	list := r.letters(op, bridge.LetterFilter{})
	if len(list) != 1 {
		t.Fatalf("%d letters", len(list))
	}
	d := list[0]
	if d.Writes != 4 || d.Done != 2 || d.Path != "salesorderdetails(new_externallineid='SO-1-2')" || !strings.Contains(d.Request, `"productdescription":"nuts"`) {
		t.Errorf("letter: %d of %d, %s %s", d.Done, d.Writes, d.Path, d.Request)
	}
	if diff := cmp.Diff([]string{"salesorders(ordernumber='SO-1')", "salesorderdetails(new_externallineid='SO-1-1')"}, d.Accepted); diff != "" {
		t.Error(diff)
	}
	// What came before is older than the accepted writes and stays away; the letter
	// itself may be sent again.
	r.send("erp.order.changed", "o", "0", order(4, line(1, "old")))
	if s := r.next(); s.Outcome != "superseded" {
		t.Errorf("an older order was %s", s.Outcome)
	}
	faults.Clear()
	if _, err := op.RetryDeadLetter(r.ctx, d, nil); err != nil {
		t.Fatal(err)
	}
	r.written()
	if diff := cmp.Diff(map[int]any{1: "bolts", 2: "nuts", 3: "washers"}, r.lines(1, 2, 3)); diff != "" {
		t.Error(diff)
	}
}

func TestOrdersInBatchesKeepTheOrderOfTheirWrites(t *testing.T) {
	t.Parallel()
	text := orderRoute(t, "")
	r, _ := newOrderRig(t, text)
	r.head = "org: contoso\nwebapi: {url: SIM, batch: {max: 10}}\nnats: {urls: [\"NATS\"]}\n"
	r.restart(text)
	const orders = 40
	for revision := range 2 {
		for i := range orders {
			o := order(revision+1, line(1, fmt.Sprint("first ", revision)), line(2, fmt.Sprint("second ", revision)))
			o["number"] = fmt.Sprint("B-", i)
			r.send("erp.order.changed", "o", fmt.Sprint(revision, "-", i), o)
		}
	}
	for range 2 * orders {
		r.written()
	}
	for i := range orders {
		for no, want := range map[int]string{1: "first 1", 2: "second 1"} {
			id, ok := r.sim.FindByKey("salesorderdetail", map[string]any{"new_externallineid": fmt.Sprint("B-", i, "-", no)})
			if !ok {
				t.Fatalf("line %d of order %d is missing", no, i)
			}
			// A line before its order would have failed: it refers to it.
			if got := row(t, r.sim, "salesorderdetail", id); got["productdescription"] != want {
				t.Errorf("line %d of order %d is %v", no, i, got["productdescription"])
			}
		}
	}
	if n := r.sim.Requests().Of("POST", sim.RequestBatch); n == 0 {
		t.Error("nothing went in a batch")
	}
}

const familyRoutes = `
inbound:
  streams: {ERP: {subjects: [erp.>]}}
  routes:
    customers:
      stream: ERP
      subjects: [erp.family]
      start: all
      ack_wait: 5s
      ambiguity_bound: 3s
      park_after: 100ms
      give_up: 1h
      writes:
        - {table: account, key: {accountnumber: data.parent}, columns: {name: data.name}}
        - for_each: data.children
          table: account
          key: {accountnumber: item}
          columns: {name: data.name}
          lookups: {primarycontactid: {contact: {emailaddress1: 'item + "@contoso.com"'}}}
    contacts:
      stream: ERP
      subjects: [erp.contact]
      start: all
      ack_wait: 5s
      ambiguity_bound: 3s
      table: contact
      key: {emailaddress1: data.email}
      columns: {lastname: data.name}
`

func TestAMessageOfSeveralWritesWaitsParkedUnderAllItsKeysAcrossARestart(t *testing.T) {
	t.Parallel()
	r := newRig(t, familyRoutes, func(s *sim.Server) {
		insert(t, s, "contact", map[string]any{"emailaddress1": "C1@contoso.com", "lastname": "One"})
	})
	family := func(name, parent string, children ...string) {
		r.send("erp.family", "f", name, map[string]any{"name": name, "parent": parent, "children": append([]string{}, children...)})
	}
	family("first", "P1", "C1", "C2") // the contact of C2 is missing
	r.settledUpTo(1)
	family("second", "P2", "C1") // follows through C1
	family("third", "P2")        // follows through P2
	r.settledUpTo(3)
	if n := len(r.settled); n != 0 {
		t.Fatalf("%d messages have their final fate before the parent is there", n)
	}
	parked := r.letters(r.operator(familyRoutes), bridge.LetterFilter{State: bridge.LetterParked})
	if len(parked) != 3 || parked[0].Waits != "contacts(emailaddress1='C2%40contoso.com')" {
		t.Fatalf("parked: %+v", parked)
	}
	r.restart(familyRoutes)
	r.send("erp.contact", "c", "parent", map[string]any{"email": "c2@contoso.com", "name": "Two"})
	var names []string
	for range 4 {
		if s := r.written(); s.Message.Subject == "erp.family" {
			names = append(names, fmt.Sprint(s.Message.Sequence))
		}
	}
	if diff := cmp.Diff([]string{"1", "2", "3"}, names); diff != "" {
		t.Error(diff)
	}
	for number, want := range map[string]string{"P1": "first", "C1": "second", "C2": "first", "P2": "third"} {
		id, _ := r.sim.FindByKey("account", map[string]any{"accountnumber": number})
		if got := row(t, r.sim, "account", id); got["name"] != want {
			t.Errorf("%s is %v, want %s", number, got["name"], want)
		}
	}
}

package inbound

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"cebridge/schema/outcome"
)

// noted is an Echoes that wants one table.
type noted struct {
	mu    sync.Mutex
	table string
	list  []Echo
}

func (n *noted) Wants(table string) bool { return table == n.table }

func (n *noted) Note(e Echo) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, e)
}

func TestAcceptedWritesAreNotedWithTheirCauseBeforeTheyAreSettled(t *testing.T) {
	for _, table := range []string{"account", "contact"} {
		synctest.Test(t, func(t *testing.T) {
			n := &noted{table: table}
			h := newBench(t, testConfig())
			h.route.deps.Echoes = n
			asked := 0
			h.route.deps.Observe = func(s Settled) {
				if s.Write != nil && s.Write.WantResult {
					asked++
				}
			}
			h.crm.before = func(_ context.Context, key string, _ uint64, call int) error {
				if key == "B" {
					return failing(outcome.Reject, outcome.Plugin)
				}
				return nil
			}
			h.b.onAck = func(seq uint64) {
				n.mu.Lock()
				defer n.mu.Unlock()
				if seq == 1 && len(n.list) == 0 {
					t.Error("acknowledged first")
				}
			}
			h.b.publish("A")
			h.start()
			h.after(time.Second)
			h.b.publish("B")
			h.after(time.Second)
			if len(n.list) != 1 {
				t.Fatalf("%d writes were noted, want the accepted one", len(n.list))
			}
			got := n.list[0]
			if diff := cmp.Diff(Cause{ID: "i1/1", Source: "/nats/ERP"}, got.Cause); diff != "" {
				t.Error(diff)
			}
			if got.Result.ID != "id-A" || got.Result.Version == 0 || got.Write.Table != "account" {
				t.Errorf("noted %+v of %+v", got.Result, got.Write)
			}
			if want := map[string]int{"account": 2}[table]; asked != want {
				t.Errorf("%d writes asked for the record, want %d: only tables that want it cost a read", asked, want)
			}
		})
	}
}

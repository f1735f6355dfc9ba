package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"cebridge/bridge/sim"
)

const (
	sourceStream  = "SOAK"
	sourceSubject = "soak.customer"
	route         = "soak"
	org           = "soak"
	keys          = 40
)

// configText is the configuration of the bridge under test. The stream keeps
// everything, so that a duplicate cannot hide, and waits are short, so that a
// minute holds many lives.
func configText(webapi, nats string) string {
	return fmt.Sprintf(`org: %s
webapi:
  url: %s
  timeout: 5s
nats:
  urls: [%s]
stream:
  history_per_record: -1
outbound:
  type_prefix: com.contoso.crm
  tables:
    account: {columns: [name, accountnumber, numberofemployees, telephone1], poll: 100ms, page_size: 50}
    contact: {columns: [firstname, lastname, emailaddress1], poll: 100ms, page_size: 50}
inbound:
  routes:
    %s:
      stream: %s
      start: all
      ack_wait: 1s
      ambiguity_bound: 0s # no fault here applies a write late
      table: account
      key: {accountnumber: data.key}
      columns: {name: data.name, numberofemployees: data.order}
`, org, webapi, nats, route, sourceStream)
}

func (r *run) seedRecords() error {
	if err := r.sim.Seed("account", 120, func(i int) map[string]any {
		return map[string]any{"name": fmt.Sprintf("seed %d", i)}
	}); err != nil {
		return err
	}
	return r.sim.Seed("contact", 120, func(i int) map[string]any {
		return map[string]any{"firstname": "seed", "lastname": fmt.Sprint(i)}
	})
}

// changeRecords creates, updates and deletes records that no message touches.
func (r *run) changeRecords(ctx context.Context) error {
	rnd := rand.New(rand.NewPCG(r.o.Seed, 1))
	var accounts, contacts []string
	tick := time.NewTicker(4 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		table, ids, name := "account", &accounts, "name"
		if rnd.IntN(2) == 0 {
			table, ids, name = "contact", &contacts, "lastname"
		}
		var err error
		switch roll := rnd.IntN(10); {
		case len(*ids) == 0 || roll < 4:
			var id string
			id, err = r.sim.Insert(table, map[string]any{name: fmt.Sprintf("made %d", n)})
			*ids = append(*ids, id)
		case roll < 8:
			err = r.sim.Update(table, (*ids)[rnd.IntN(len(*ids))], map[string]any{name: fmt.Sprintf("changed %d", n)})
		default:
			i := rnd.IntN(len(*ids))
			err = r.sim.Delete(table, (*ids)[i])
			*ids = append((*ids)[:i], (*ids)[i+1:]...)
		}
		if err != nil {
			return fmt.Errorf("change a %s: %w", table, err)
		}
	}
}

// sentList is what was sent so far; the sender writes it while others read.
type sentList struct {
	mu   sync.Mutex
	list []Sent
}

func (l *sentList) add(s Sent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, s)
}

func (l *sentList) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.list)
}

// sendMessages sends events for a few keys, each key with its own rising order,
// and now and then one that can never be applied.
func (r *run) sendMessages(ctx context.Context) error {
	rnd := rand.New(rand.NewPCG(r.o.Seed, 2))
	orders := map[string]int64{}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		key := fmt.Sprintf("K%03d", rnd.IntN(keys))
		name := any(fmt.Sprintf("message %d", n))
		switch rnd.IntN(20) {
		case 0: // a number is no name: never applied
			key, name = fmt.Sprintf("poison-%d", rnd.IntN(3)), n
		case 1: // no URL takes such a key
			key = fmt.Sprintf("slash/%d", rnd.IntN(3))
		}
		orders[key]++
		body, err := json.Marshal(map[string]any{
			"specversion": "1.0", "id": fmt.Sprint(n), "source": "/soak", "type": "com.example.soak",
			"data": map[string]any{"key": key, "name": name, "order": orders[key]},
		})
		if err != nil {
			return err
		}
		ack, err := r.js.PublishMsg(context.WithoutCancel(ctx), &nats.Msg{
			Subject: sourceSubject, Data: body, Header: nats.Header{"Content-Type": {"application/cloudevents+json"}},
		})
		if err != nil {
			return fmt.Errorf("send message %d: %w", n, err)
		}
		r.sent.add(Sent{Sequence: ack.Sequence, Table: "account", Key: key, Order: orders[key]})
	}
}

// addFaults makes the Web API as unpleasant as it is on a bad day.
func (r *run) addFaults() error {
	for _, rule := range []sim.Rule{
		{Kind: sim.FaultThrottle, Probability: 0.01, RetryAfter: "1"},
		{Kind: sim.FaultServerError, Probability: 0.01},
		{Kind: sim.FaultCutBeforeCommit, Probability: 0.01},
		{Kind: sim.FaultCutAfterCommit, Probability: 0.01},
		{Kind: sim.FaultCutBody, Method: "GET", Probability: 0.01},
		{Kind: sim.FaultTruncatedJSON, Method: "GET", Probability: 0.01},
		{Kind: sim.FaultHTMLPage, Probability: 0.005},
	} {
		if err := rule.Validate(); err != nil {
			return fmt.Errorf("script a fault: %w", err)
		}
		r.faults.Add(rule)
	}
	return nil
}

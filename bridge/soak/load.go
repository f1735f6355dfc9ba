package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
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

	// above is the size of an event above which its data is put aside: those of accounts
	// with a description are larger.
	above = 2048
)

// configText is the configuration of the bridge under test. The stream keeps
// everything, so that a duplicate cannot hide, and waits are short, so that a
// minute holds many lives.
func configText(webapi, nats string, rate int) string {
	page := max(50, rate/4)
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
  claim_check: {above: %d}
  tables:
    account:
      columns: [name, accountnumber, numberofemployees, telephone1, description, primarycontactid]
      references: {primarycontactid: [emailaddress1]}
      poll: 100ms
      page_size: %d
    contact:
      columns: [firstname, lastname, emailaddress1]
      poll: 100ms
      page_size: %d
      only_changes: true
      filter: '!record.lastname.endsWith("7")'
    new_region: {columns: [new_name, new_code], poll: 100ms, page_size: 20}
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
`, org, webapi, nats, above, page, page, route, sourceStream)
}

func (r *run) seedRecords() error {
	if err := r.sim.Seed("account", 120, func(i int) map[string]any {
		return map[string]any{"name": fmt.Sprintf("seed %d", i)}
	}); err != nil {
		return err
	}
	if err := r.sim.Seed("contact", 120, func(i int) map[string]any {
		return map[string]any{"firstname": "seed", "lastname": fmt.Sprint(i)}
	}); err != nil {
		return err
	}
	return r.sim.Seed("new_region", 60, func(i int) map[string]any {
		return map[string]any{"new_name": fmt.Sprint("seed ", i)}
	})
}

// crop is the records of one table that the load made.
type crop struct {
	table, column string
	ids           []string
	most          int // more are not made; 0 is no bound
	// extra are columns beside that one, of a record that is made or changed.
	extra func(n int, made bool) map[string]any
}

// write are the columns of a record with a value.
func (c *crop) write(value string, n int, made bool) map[string]any {
	row := map[string]any{c.column: value}
	if c.extra != nil {
		maps.Copy(row, c.extra(n, made))
	}
	return row
}

// personal gives contacts the address that references state.
func personal(n int, made bool) map[string]any {
	if !made {
		return nil
	}
	return map[string]any{"emailaddress1": fmt.Sprintf("c%d@contoso.com", n)}
}

// pointing gives accounts a primary contact out of the living ones, or none, and makes some
// of them large.
func pointing(rnd *rand.Rand, contacts *crop) func(n int, made bool) map[string]any {
	return func(n int, _ bool) map[string]any {
		row := map[string]any{}
		switch roll := rnd.IntN(12); {
		case roll < 4 && len(contacts.ids) > 0:
			row["primarycontactid@odata.bind"] = "/contacts(" + contacts.ids[rnd.IntN(len(contacts.ids))] + ")"
		case roll == 4:
			row["primarycontactid@odata.bind"] = nil
		case roll == 5:
			row["description"] = fmt.Sprint(n, " ", strings.Repeat("large ", 300))
		case roll == 6:
			row["description"] = nil
		}
		return row
	}
}

// changeRecords creates, updates and deletes records that no message touches, Rate of
// them in a second. The small table's tokens expire now and then.
func (r *run) changeRecords(ctx context.Context) error {
	rnd := rand.New(rand.NewPCG(r.o.Seed, 1))
	contacts := &crop{table: "contact", column: "lastname", extra: personal}
	accounts := &crop{table: "account", column: "name", extra: pointing(rnd, contacts)}
	regions := &crop{table: "new_region", column: "new_name", most: 40}
	began := time.Now()
	tick := time.NewTicker(4 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for due := int(time.Since(began).Seconds() * float64(r.o.Rate)); n < due; n++ {
			c := accounts
			switch roll := rnd.IntN(100); {
			case roll == 0:
				c = regions
			case roll < 50:
				c = contacts
			}
			if err := r.change(rnd, c, n); err != nil {
				return fmt.Errorf("change a %s: %w", c.table, err)
			}
		}
	}
}

func (r *run) change(rnd *rand.Rand, c *crop, n int) error {
	full := c.most > 0 && len(c.ids) >= c.most
	switch roll := rnd.IntN(10); {
	case len(c.ids) == 0 || roll < 5 && !full:
		id, err := r.sim.Insert(c.table, c.write(fmt.Sprintf("made %d", n), n, true))
		c.ids = append(c.ids, id)
		return err
	case roll < 7:
		return r.sim.Update(c.table, c.ids[rnd.IntN(len(c.ids))], c.write(fmt.Sprintf("changed %d", n), n, false))
	case roll < 8 || n%2 == 0: // mostly the value that the record has had before
		return r.sim.Update(c.table, c.ids[rnd.IntN(len(c.ids))], map[string]any{c.column: fmt.Sprintf("changed %d", n%20)})
	}
	i := rnd.IntN(len(c.ids))
	err := r.sim.Delete(c.table, c.ids[i])
	c.ids[i] = c.ids[len(c.ids)-1]
	c.ids = c.ids[:len(c.ids)-1]
	return err
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

// addFaults makes the Web API as unpleasant as it is on a bad day. A start asks for
// metadata dozens of times: with the rate of the rest few lives would get beyond it.
func (r *run) addFaults() error {
	scopes := []sim.Rule{{PathContains: "$batch"}, {PathContains: "EntityDefinitions"}}
	for _, table := range slices.Sorted(maps.Keys(followed)) {
		scopes = append(scopes, sim.Rule{Table: table})
	}
	for _, rule := range []sim.Rule{
		{Kind: sim.FaultThrottle, Probability: 0.01, RetryAfter: "1"},
		{Kind: sim.FaultServerError, Probability: 0.01},
		{Kind: sim.FaultCutBeforeCommit, Probability: 0.01},
		{Kind: sim.FaultCutAfterCommit, Probability: 0.01},
		{Kind: sim.FaultCutBody, Method: "GET", Probability: 0.01},
		{Kind: sim.FaultTruncatedJSON, Method: "GET", Probability: 0.01},
		{Kind: sim.FaultHTMLPage, Probability: 0.005},
	} {
		for _, scope := range scopes {
			one := rule
			one.Table, one.PathContains = scope.Table, scope.PathContains
			if one.PathContains == "EntityDefinitions" {
				one.Probability /= 20
			}
			if _, err := r.faults.AddRule(one); err != nil {
				return fmt.Errorf("script a fault: %w", err)
			}
		}
	}
	return nil
}

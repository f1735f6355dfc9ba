package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/bridge/sim"
)

// People and places that the sample events refer to.
const (
	seedContact = "contact@company.com"
	seedRegion  = "NW"
	seedOwner   = "user@mycompany.com"
	seedAccount = "ABC123"
)

// seed fills the simulator with what the sample traffic needs.
func seed(s *sim.Server) error {
	if _, err := s.Insert("systemuser", map[string]any{
		"firstname": "Sample", "lastname": "User", "domainname": `CONTOSO\user`, "internalemailaddress": seedOwner,
	}); err != nil {
		return fmt.Errorf("seed the owner: %w", err)
	}
	if _, err := s.Insert("contact", map[string]any{
		"firstname": "Sample", "lastname": "Contact", "emailaddress1": seedContact,
	}); err != nil {
		return fmt.Errorf("seed the contact: %w", err)
	}
	if _, err := s.Insert("new_region", map[string]any{"new_code": seedRegion, "new_name": "North West"}); err != nil {
		return fmt.Errorf("seed the region: %w", err)
	}
	return s.Seed("account", 20, func(i int) map[string]any {
		return map[string]any{"name": fmt.Sprintf("Fabrikam Branch %02d", i+1), "accountnumber": fmt.Sprintf("FAB%03d", i+1)}
	})
}

// empty tells whether the simulator has no accounts yet.
func empty(s *sim.Server) (bool, error) {
	none := true
	err := s.Rows("account", func(string, map[string]any) bool {
		none = false
		return false
	})
	return none, err
}

// offices returns the accounts that an earlier demo made and left, and the greatest
// number among them.
func offices(s *sim.Server) (ids []string, last int, err error) {
	err = s.Rows("account", func(id string, row map[string]any) bool {
		text, _ := row["accountnumber"].(string)
		if digits, ok := strings.CutPrefix(text, "CON"); ok {
			if n, err := strconv.Atoi(digits); err == nil {
				ids, last = append(ids, id), max(last, n)
			}
		}
		return true
	})
	return ids, last, err
}

// people changes records in the simulator, as its users would, until ctx ends.
func people(ctx context.Context, s *sim.Server, seed uint64, every time.Duration) error {
	r := rand.New(rand.NewPCG(seed, 1))
	tick := time.NewTicker(every)
	defer tick.Stop()
	made, last, err := offices(s)
	if err != nil {
		return fmt.Errorf("read the sample records: %w", err)
	}
	for n := last + 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var err error
		switch roll := r.IntN(10); {
		case len(made) < 2 || roll < 3:
			var id string
			id, err = s.Insert("account", map[string]any{
				"name": fmt.Sprintf("Contoso Office %d", n), "accountnumber": fmt.Sprintf("CON%04d", n),
			})
			made = append(made, id)
		case roll < 8:
			err = s.Update("account", made[r.IntN(len(made))], map[string]any{"telephone1": fmt.Sprintf("555-%04d", n)})
		default:
			i := r.IntN(len(made))
			err = s.Delete("account", made[i])
			made = append(made[:i], made[i+1:]...)
		}
		if err != nil {
			return fmt.Errorf("sample change in the simulator: %w", err)
		}
	}
}

// customer is the data of the sample event type.
type customer struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Phone   string `json:"phone,omitempty"`
	Contact string `json:"contact"`
	Region  string `json:"region"`
	Owner   string `json:"owner"`
}

// erp publishes customer events, as another system would, until ctx ends.
func erp(ctx context.Context, js jetstream.JetStream, seed uint64, every time.Duration) error {
	r := rand.New(rand.NewPCG(seed, 2))
	tick := time.NewTicker(every)
	defer tick.Stop()
	stream, err := js.Stream(ctx, "ERP")
	if err != nil {
		return ended(ctx, fmt.Errorf("look up the sample stream: %w", err))
	}
	// The ids go on where an earlier demo ended.
	for n := int(stream.CachedInfo().State.LastSeq); ; n++ {
		c := customer{ID: seedAccount, Name: "Contoso", Contact: seedContact, Region: seedRegion, Owner: seedOwner}
		switch {
		case n > 0 && n%7 == 0:
			c.Contact = "nobody@company.com" // does not exist: kept and retried, later a dead letter
			c.ID = fmt.Sprintf("ERP%03d", n)
		case n > 0 && n%5 == 0:
			c.Name = strings.Repeat("Contoso ", 30) // too long for its column: a dead letter at once
		case n > 0 && n%4 == 0:
			c.ID = "A/B" // no URL takes such a key: the record is searched for
		case n > 0:
			c.ID = fmt.Sprintf("ERP%03d", r.IntN(6))
			c.Name = "Contoso Customer " + c.ID
			c.Phone = fmt.Sprintf("555-%04d", r.IntN(10000))
		}
		if err := publish(ctx, js, n, c); err != nil {
			return ended(ctx, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// ended is nil once ctx is over: what fails then is the end of the demo.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func publish(ctx context.Context, js jetstream.JetStream, n int, c customer) error {
	body, err := json.Marshal(map[string]any{
		"specversion": "1.0", "id": fmt.Sprintf("demo-%d", n), "source": "/erp/demo",
		"type": "com.example.erp.customer.changed.v1", "subject": c.ID, "data": c,
	})
	if err != nil {
		return fmt.Errorf("encode a sample event: %w", err)
	}
	m := &nats.Msg{Subject: "erp.customer.changed", Data: body, Header: nats.Header{"Content-Type": {"application/cloudevents+json"}}}
	if _, err := js.PublishMsg(ctx, m); err != nil {
		return fmt.Errorf("publish a sample event: %w", err)
	}
	return nil
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// announce publishes the event that the demo's route erp-customers turns into an
// upsert, and waits until the stream has stored it. The id names this occurrence: who
// publishes it again, unsure whether it arrived, uses the same one.
func announce(ctx context.Context, out io.Writer, js jetstream.JetStream, account string) error {
	id := uuid.NewString()
	body, err := json.Marshal(map[string]any{
		"specversion": "1.0",
		"id":          id,
		"source":      "/erp/example",
		"type":        "com.example.erp.customer.changed.v1",
		"subject":     account,
		"data": map[string]string{
			"id": account, "name": "Contoso " + account,
			"contact": "contact@company.com", "region": "NW", "owner": "user@mycompany.com",
		},
	})
	if err != nil {
		return fmt.Errorf("encode the event: %w", err)
	}
	m := &nats.Msg{
		Subject: "erp.customer.changed",
		Header:  nats.Header{"Content-Type": {"application/cloudevents+json"}},
		Data:    body,
	}
	ack, err := js.PublishMsg(ctx, m, jetstream.WithMsgID(id))
	if err != nil {
		return fmt.Errorf("publish to %s: %w", m.Subject, err)
	}
	_, err = fmt.Fprintf(out, "stored as message %d of stream %s\n", ack.Sequence, ack.Stream)
	return err
}

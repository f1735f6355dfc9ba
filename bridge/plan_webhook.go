package bridge

import (
	"context"
	"fmt"
)

// planWebhook plans the registration of the doorbell in Customer Engagement.
func (o *Operator) planWebhook(ctx context.Context) ([]planned, error) {
	want, ok := o.b.webhook()
	if !ok {
		return nil, nil
	}
	changes, err := o.b.client.CompareWebhook(ctx, want)
	if err != nil {
		return nil, fmt.Errorf("webhook %s: %w", want.Name, err)
	}
	var plan []planned
	for _, ch := range changes {
		p := planned{Change: Change{Kind: changeWebhook, Name: ch.Name, What: ch.What}, make: ch.Apply}
		if ch.Creates && ch.Name == want.Name {
			p.Consequence = "Customer Engagement sends a copy of each changed record there"
		}
		plan = append(plan, p)
	}
	return plan, nil
}

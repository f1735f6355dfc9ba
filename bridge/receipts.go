package bridge

import (
	"context"
	"slices"

	"cebridge/bridge/internal/jet"
	"cebridge/schema"
)

// receiptsNext is what to do when no stream takes a route's receipts.
const receiptsNext = "make a stream for it, or list one under inbound.streams"

// withoutReceiptStream finds the routes whose receipts no stream takes. They would write
// to Customer Engagement and settle nothing, since a receipt is stored before its message
// is acknowledged. With provision: none it is not looked, so that receipts can go to a
// stream of another account, which this account's list does not have.
func (b *Bridge) withoutReceiptStream(ctx context.Context) (routes []RouteConfig, err error) {
	if jet.Mode(b.cfg.Provision) == jet.ProvisionNone {
		return nil, nil
	}
	for _, c := range b.cfg.Inbound.Routes {
		if c.Receipts == "" {
			continue
		}
		taken, err := b.conn.SubjectTaken(ctx, c.Receipts)
		if err != nil {
			return nil, err
		}
		if !taken {
			routes = append(routes, c)
		}
	}
	return routes, nil
}

// checkReceipts comes after the streams were made.
func (b *Bridge) checkReceipts(ctx context.Context) error {
	routes, err := b.withoutReceiptStream(ctx)
	if err != nil || len(routes) == 0 {
		return err
	}
	var problems schema.Problems
	for _, c := range routes {
		problems = append(problems, c.at.problem("receipts", "no stream takes "+c.Receipts+": "+receiptsNext))
	}
	return problems
}

// planReceipts shows the subjects of receipts that no stream takes, nor one that the
// bridge is about to make.
func (o *Operator) planReceipts(ctx context.Context) (plan []planned, err error) {
	routes, err := o.b.withoutReceiptStream(ctx)
	for _, c := range routes {
		if o.b.willTake(c.Receipts) {
			continue
		}
		plan = append(plan, planned{Change: Change{Kind: changeStream, Name: c.Receipts, Person: true,
			What:        "no stream takes this subject, and route " + c.Name + " sends its receipts there",
			Consequence: receiptsNext}})
	}
	return plan, err
}

// willTake tells whether a stream that the bridge makes takes the subject.
func (b *Bridge) willTake(subject string) bool {
	return slices.ContainsFunc(b.cfg.Inbound.Streams, func(s SourceStream) bool {
		return slices.ContainsFunc(s.Subjects, func(filter string) bool { return jet.Covers(filter, subject) })
	})
}

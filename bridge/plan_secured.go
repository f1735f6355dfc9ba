package bridge

import (
	"context"
	"fmt"
	"slices"

	"cebridge/outbound"
	"cebridge/schema"
)

// planSecured lists the columns to publish that column security hides from the bridge's
// user. Their tables would halt; only a person can give the permission.
func (o *Operator) planSecured(ctx context.Context, cat schema.Catalog) (plan []planned, err error) {
	for _, c := range o.b.cfg.Outbound.Tables {
		t := cat[c.Table]
		var hidden []string
		err := o.b.await(ctx, "the secured columns of table "+c.Table, func(ctx context.Context) (err error) {
			hidden, err = o.b.client.Unreadable(ctx, outbound.Query{Table: t, Columns: publishedColumns(c, t)})
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("secured columns of table %s: %w", c.Table, err)
		}
		slices.Sort(hidden)
		for _, column := range hidden {
			plan = append(plan, planned{Change: Change{
				Kind: changeSecurity, Name: c.Table + "." + column, Person: true,
				What:        "give the bridge's user read permission on the column in a field security profile, or take it out of columns",
				Consequence: "until then the table halts: the column would come as null",
			}})
		}
	}
	return plan, nil
}

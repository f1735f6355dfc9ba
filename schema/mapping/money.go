package mapping

import "cebridge/schema"

// currencyColumn is the lookup that says in which currency a record's money is.
// Source: Microsoft Learn, "TransactionCurrency (currency) table".
const currencyColumn = "transactioncurrencyid"

// moneyHasCurrency reports money that is written without a word on its currency: a
// new record would silently get the user's own.
func (c *compiler) moneyHasCurrency(s *Spec) {
	if c.table == nil || s.operation == schema.OpUpdate {
		return
	}
	currency := c.table.Column(currencyColumn)
	if currency == nil || !currency.IsLookup() || c.written[currencyColumn].line > 0 {
		return
	}
	for _, b := range s.blocks() {
		for _, e := range b.columns {
			if col := c.table.Column(e.text); col != nil && col.Type == schema.TypeMoney {
				c.add(e.place, "%s is money in a currency that the mapping does not name: write the lookup %s, or set it to omit() for the user's own", e.text, currencyColumn)
				return
			}
		}
	}
}

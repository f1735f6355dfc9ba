package sim

import (
	"net/http"
	"slices"
	"strconv"

	"cebridge/schema"
)

// newState sets the state and status of a new record: active, with the default
// status unless the body names one of the active state's. Other states on create
// are refused (assumption; Assumptions.InactiveOnCreate accepts them).
func (s *Server) newState(d *tableDef, cells []string, p *patch) *apiError {
	if d.state < 0 {
		return nil
	}
	if cells[d.state] == "" {
		cells[d.state] = "0"
	}
	if cells[d.state] != "0" && !s.opts.Assumptions.InactiveOnCreate {
		return invalidState(d, cells[d.state], cellAt(cells, d.status))
	}
	return settleStatus(d, cells, !p.writes(d.status))
}

// changeState follows an update: a new state without a status takes that state's
// default status; a status must belong to the state that results.
func changeState(d *tableDef, cells []string, before [2]string, p *patch) *apiError {
	if d.state < 0 {
		return nil
	}
	if cells[d.state] == "" {
		cells[d.state] = before[0]
	}
	if d.status >= 0 && cells[d.status] == "" {
		cells[d.status] = before[1]
	}
	return settleStatus(d, cells, cells[d.state] != before[0] && !p.writes(d.status))
}

// settleStatus checks the pair, after taking the default status if asked to.
func settleStatus(d *tableDef, cells []string, useDefault bool) *apiError {
	state := slices.IndexFunc(d.Columns[d.state].Options, func(o schema.Option) bool {
		return strconv.FormatInt(o.Value, 10) == cells[d.state]
	})
	if d.status < 0 || state < 0 {
		return nil
	}
	value := d.Columns[d.state].Options[state].Value
	belongs := func(o schema.Option) bool { return o.State != nil && *o.State == value }
	statuses := d.Columns[d.status].Options
	if useDefault || cells[d.status] == "" {
		if def := d.Columns[d.state].Options[state].DefaultStatus; def != nil {
			cells[d.status] = strconv.FormatInt(*def, 10)
		} else if i := slices.IndexFunc(statuses, belongs); i >= 0 {
			cells[d.status] = strconv.FormatInt(statuses[i].Value, 10)
		}
		return nil
	}
	i := slices.IndexFunc(statuses, func(o schema.Option) bool { return strconv.FormatInt(o.Value, 10) == cells[d.status] })
	if i >= 0 && statuses[i].State != nil && !belongs(statuses[i]) {
		return invalidState(d, cells[d.state], cells[d.status])
	}
	return nil
}

func invalidState(d *tableDef, state, status string) *apiError {
	return &apiError{
		Status: http.StatusBadRequest, Code: codeStateStatus,
		Message: status + " is not a valid status code for state code " + state + " on " + d.LogicalName + ".",
	}
}

// writes tells whether the patch sets the column.
func (p *patch) writes(column int) bool {
	return slices.ContainsFunc(p.sets, func(c cellSet) bool { return c.column == column && c.cell != "" })
}

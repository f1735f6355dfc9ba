package sim

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"cebridge/schema"

	"github.com/google/uuid"
)

// writeRequest is one write, parsed and not yet applied.
type writeRequest struct {
	table *table
	// key is nil for a POST.
	key    *recordKey
	body   patch
	delete bool
	// caller is the user the write is made by.
	caller uuid.UUID
	// method is that of the HTTP request, "" for a write by a method of Server.
	method string
	// ifMatch and ifNoneMatch are "", "*" or an entity tag.
	ifMatch, ifNoneMatch string
}

// operation is what the log calls an attempt.
func (q *writeRequest) operation() string {
	switch {
	case q.delete:
		return "delete"
	case q.key == nil || q.ifNoneMatch == "*":
		return "create"
	case q.ifMatch != "":
		return "update"
	}
	return "upsert"
}

// writeResult is what a write did; row is nil after a delete.
type writeResult struct {
	row     *row
	created bool
}

// write applies q, and logs the attempt and how it ended.
func (x *tx) write(q *writeRequest) (writeResult, *apiError) {
	attempt := x.logAttempt(q)
	var res writeResult
	var e *apiError
	if q.method != "" {
		e = x.abortedWrite(q, q.table.def.Load())
	}
	if e == nil {
		res, e = x.apply(q)
	}
	if e != nil {
		x.logRefusal(attempt, e)
	}
	return res, e
}

func (x *tx) logAttempt(q *writeRequest) logRecord {
	attempt := logRecord{kind: KindAttempt, operation: q.operation(), table: q.table}
	if q.key != nil && q.key.byID {
		attempt.id = q.key.id
	}
	x.log(attempt)
	return attempt
}

func (x *tx) logRefusal(attempt logRecord, e *apiError) {
	attempt.kind, attempt.status, attempt.code = KindRefused, int16(e.Status), e.Code
	x.log(attempt)
}

func (x *tx) apply(q *writeRequest) (writeResult, *apiError) {
	d := q.table.def.Load()
	var old *row
	if q.key != nil {
		old = q.table.find(d, q.key, x.s.opts.Assumptions.CaseSensitiveKeys)
	}
	if e := checkConditions(d, q, old); e != nil {
		return writeResult{}, e
	}
	switch {
	case q.delete && old == nil:
		return writeResult{}, notFound(d, q.key)
	case q.delete:
		x.remove(q.table, old)
		x.announce(messageDelete, q, old)
		return writeResult{}, nil
	case old == nil:
		if e := x.lostRace(q, d); e != nil {
			return writeResult{}, e
		}
		r, e := x.create(q, d)
		if e == nil {
			x.announce(messageCreate, q, r)
		}
		return writeResult{row: r, created: true}, e
	}
	r, e := x.change(q, d, old)
	if e == nil {
		x.announce(messageUpdate, q, r)
	}
	return writeResult{row: r}, e
}

// checkConditions applies If-Match and If-None-Match.
// Source: the page on conditional operations.
func checkConditions(d *tableDef, q *writeRequest, old *row) *apiError {
	if q.ifNoneMatch == "*" && old != nil {
		return &apiError{Status: http.StatusPreconditionFailed, Code: codeDuplicateRecord, Message: messageDuplicate}
	}
	if q.ifMatch == "" {
		return nil
	}
	if old == nil {
		return notFound(d, q.key)
	}
	if q.ifMatch == "*" {
		return nil
	}
	if !d.OptimisticConcurrency {
		return &apiError{Status: http.StatusBadRequest, Code: codeConcurrencyOff, Message: "Optimistic concurrency isn't enabled for entity type " + d.LogicalName + ". The IfVersionMatches value of ConcurrencyBehavior can only be used if optimistic concurrency is enabled."}
	}
	if q.ifMatch != old.etag() {
		return &apiError{Status: http.StatusPreconditionFailed, Code: codeConcurrency, Message: "The version of the existing record doesn't match the RowVersion property provided."}
	}
	return nil
}

// create makes a new record. What the body says wins over the key in the URL;
// columns of the key that the body does not name are copied from the URL.
// Source: the page on upsert.
func (x *tx) create(q *writeRequest, d *tableDef) (*row, *apiError) {
	cells := make([]string, len(d.Columns))
	id, e := x.newID(q, d)
	if e != nil {
		return nil, e
	}
	if q.key != nil && !q.key.byID {
		for i, column := range q.key.key.columns {
			cell := q.key.literals[i]
			if c := &d.Columns[column]; c.IsLookup() {
				if len(c.Targets) != 1 {
					return nil, notSimulated("creating a record by a key with the polymorphic lookup '%s'.", c.LogicalName)
				}
				cell = "0" + cell
				if e := x.checkKeyLookup(q, c, column, cell); e != nil {
					return nil, e
				}
			} else if e := checkKeyCell(d, c, cell); e != nil {
				return nil, e
			}
			cells[column] = cell
		}
	}
	x.defaults(d, cells, q.caller)
	if e := x.fill(q, d, cells, true); e != nil {
		return nil, e
	}
	if e := x.s.newState(d, cells, &q.body); e != nil {
		return nil, e
	}
	x.derive(d, cells, q.caller, true)
	if e := x.checkHook(d, cells); e != nil {
		return nil, e
	}
	return x.put(q.table, id, nil, cells)
}

// checkKeyCell repeats the length check that reading a key leaves out.
func checkKeyCell(d *tableDef, c *schema.Column, cell string) *apiError {
	_, e := encodeCell(c, []byte(cell))
	return inTable(d, e)
}

// checkKeyLookup refuses a record whose key refers to one that is not there, unless the
// body says otherwise; what it says is checked with the body.
func (x *tx) checkKeyLookup(q *writeRequest, c *schema.Column, column int, cell string) *apiError {
	if slices.ContainsFunc(q.body.binds, func(b bindSet) bool { return b.column == column }) {
		return nil
	}
	name, id, ok := lookupTarget(c, cell)
	target := x.s.catalogNow().byName[name]
	if !ok || target == nil || target.rows[id] != nil {
		return nil
	}
	e := notFound(target.def.Load(), &recordKey{byID: true, id: id})
	if x.s.opts.Assumptions.BindMissBadRequest {
		e.Status = http.StatusBadRequest
	}
	return e
}

func (x *tx) newID(q *writeRequest, d *tableDef) (uuid.UUID, *apiError) {
	empty := uuid.UUID{}
	switch {
	case q.key != nil && q.key.byID && q.key.id == empty, q.body.id != nil && *q.body.id == empty:
		return empty, &apiError{Status: http.StatusBadRequest, Code: codeInvalidArgument, Message: "The primary key '" + d.PrimaryID + "' cannot be an empty GUID."}
	case q.key != nil && q.key.byID:
		if q.body.id != nil && *q.body.id != q.key.id {
			return uuid.UUID{}, idMismatch(d)
		}
		return q.key.id, nil
	case q.body.id != nil:
		if q.table.rows[*q.body.id] != nil {
			return uuid.UUID{}, &apiError{Status: http.StatusPreconditionFailed, Code: codeDuplicateRecord, Message: messageDuplicate}
		}
		return *q.body.id, nil
	}
	return x.s.newGUID(), nil
}

func idMismatch(d *tableDef) *apiError {
	return &apiError{Status: http.StatusBadRequest, Code: codeInvalidArgument, Message: "The primary key '" + d.PrimaryID + "' in the request body differs from the one in the URL."}
}

// change updates an existing record. Columns of the key that addressed it are
// dropped from the body: a key cannot change through itself.
func (x *tx) change(q *writeRequest, d *tableDef, old *row) (*row, *apiError) {
	if q.key != nil && !q.key.byID {
		q.body.without(q.key.key.columns)
	}
	if q.body.id != nil && *q.body.id != old.id {
		return nil, idMismatch(d)
	}
	cells := old.unpack(d, make([]string, len(d.Columns)))
	before := [2]string{cellAt(cells, d.state), cellAt(cells, d.status)}
	if e := x.fill(q, d, cells, false); e != nil {
		return nil, e
	}
	if e := changeState(d, cells, before, &q.body); e != nil {
		return nil, e
	}
	x.derive(d, cells, q.caller, false)
	if e := x.checkHook(d, cells); e != nil {
		return nil, e
	}
	return x.put(q.table, old.id, old, cells)
}

// fill copies the body into cells and resolves its binds.
func (x *tx) fill(q *writeRequest, d *tableDef, cells []string, create bool) *apiError {
	if e := refuseSecured(q, d, create); e != nil {
		return e
	}
	for _, set := range q.body.sets {
		c := &d.Columns[set.column]
		if isSystem(c) || c.CreateOnly && !create || c.UpdateOnly && create {
			return notWritable(d, c)
		}
		if set.cell == "" && c.Required {
			return nullRefused(c)
		}
		cells[set.column] = set.cell
	}
	// Clearing comes first: setting one target of a polymorphic lookup while
	// nulling the others leaves the one that is set.
	for _, b := range q.body.binds {
		if b.clear {
			if e := clearLookup(d, cells, b, create); e != nil {
				return e
			}
		}
	}
	for _, b := range q.body.binds {
		if b.clear {
			continue
		}
		c := &d.Columns[b.column]
		if isSystem(c) || c.CreateOnly && !create || c.UpdateOnly && create {
			return notWritable(d, c)
		}
		r := b.table.find(b.table.def.Load(), &b.key, x.s.opts.Assumptions.CaseSensitiveKeys)
		if r == nil {
			e := notFound(b.table.def.Load(), &b.key)
			if x.s.opts.Assumptions.BindMissBadRequest {
				e.Status = http.StatusBadRequest
			}
			return e
		}
		cells[b.column] = lookupCell(slices.Index(c.Targets, b.target), r.id)
	}
	return nil
}

// clearLookup nulls a lookup that points into the named target; one of a
// polymorphic lookup's other targets stays (assumption).
func clearLookup(d *tableDef, cells []string, b bindSet, create bool) *apiError {
	c := &d.Columns[b.column]
	if isSystem(c) {
		return notWritable(d, c)
	}
	target, _, _ := lookupTarget(c, cells[b.column])
	if c.Required && (create || target == b.target) {
		return nullRefused(c)
	}
	if target == b.target {
		cells[b.column] = ""
	}
	return nil
}

// notWritable refuses columns that the server maintains, or that are for the
// other of create and update (assumption: real servers ignore some of them).
func notWritable(d *tableDef, c *schema.Column) *apiError {
	return &apiError{Status: http.StatusBadRequest, Code: codeInvalidArgument, Message: "Attribute '" + c.LogicalName + "' of entity '" + d.LogicalName + "' cannot be written by this request."}
}

func nullRefused(c *schema.Column) *apiError {
	return invalidPayload("An error occurred while validating input parameters: Microsoft.OData.ODataException: A null value was found for the property named '%s', which does not allow null values.", c.LogicalName)
}

const messageDuplicate = "A record with matching key values already exists."

func cellAt(cells []string, i int) string {
	if i < 0 {
		return ""
	}
	return cells[i]
}

// sortedKeys returns a map's keys in order, for answers that must not vary.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// conditionHeader normalizes If-Match and If-None-Match. The documentation's own
// examples send the literal null on everything: it means no condition.
func conditionHeader(h http.Header, name string) string {
	v := strings.TrimSpace(h.Get(name))
	if strings.EqualFold(v, "null") {
		return ""
	}
	return v
}

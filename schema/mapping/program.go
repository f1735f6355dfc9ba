package mapping

import (
	"context"
	"encoding/json"
	"strings"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

// Program is a compiled mapping. It is immutable and safe for concurrent use.
type Program struct {
	table       *schema.Table
	operation   schema.Operation
	wantResult  bool
	when        *program
	key         []keyProgram
	id          *program
	find        []keyProgram
	catalog     schema.Catalog
	body        blockProgram
	onCreate    blockProgram
	hasOnCreate bool
	merged      *schema.Merged
	revision    *program
	// parts are the programs of the entries of writes, nil for a mapping of one
	// write; each is the for_each of such an entry.
	parts []*Program
	each  *program
	// at is where such an entry stands.
	at place
	// recheck: a record that one write updates could be deleted by a later one.
	recheck bool
}

// blockProgram is what one request writes.
type blockProgram struct {
	columns []columnProgram
	lookups []*lookupProgram
}

type columnProgram struct {
	column  *schema.Column
	program *program
}

// Table is the metadata of the table that is written; of several writes the first
// one's.
func (p *Program) Table() *schema.Table {
	if p.parts != nil {
		return p.parts[0].table
	}
	return p.table
}

// Match tells whether the event is for this mapping: whether its condition
// holds, which it does when there is none. Errors are as for Map.
func (p *Program) Match(ctx context.Context, e *cloudevent.Event) (bool, error) {
	if p.when == nil {
		return true, ctx.Err()
	}
	return p.matches(ctx, &view{event: e})
}

func (p *Program) matches(ctx context.Context, v *view) (bool, error) {
	if p.when == nil {
		return true, ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	x, err := p.when.eval(ctx, v)
	if err != nil {
		return false, err
	}
	if x.kind != isBool {
		return false, reject(p.when.place, outcome.Invalid, "when must be true or false, not "+x.describe())
	}
	return x.flag, nil
}

// Map makes the writes for an event, in the order in which they are to be made.
// The same event gives the same bytes. An event that the mapping cannot take gives
// an *outcome.Error with verdict reject and reason invalid or key_characters, whose
// Op is the field with its place in the file; a context that has ended gives the
// context's error.
func (p *Program) Map(ctx context.Context, e *cloudevent.Event) ([]*schema.Write, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if p.parts != nil {
		return p.several(ctx, &view{event: e})
	}
	w, err := p.write(ctx, &view{event: e})
	if err != nil {
		return nil, err
	}
	return []*schema.Write{w}, nil
}

// write makes one write.
func (p *Program) write(ctx context.Context, v *view) (*schema.Write, error) {
	w := &schema.Write{
		Operation:  p.operation,
		Table:      p.table.LogicalName,
		EntitySet:  p.table.EntitySet,
		WantResult: p.wantResult,
		Merged:     p.merged,
	}
	if err := p.address(ctx, v, w); err != nil {
		return nil, err
	}
	if p.operation == schema.OpDelete {
		return w, nil
	}
	o := newObject()
	state := &statePair{}
	if err := p.body.write(ctx, v, o, state); err != nil {
		return nil, err
	}
	w.Body = o.bytes()
	if p.hasOnCreate {
		if err := p.onCreate.write(ctx, v, o, state); err != nil {
			return nil, err
		}
		w.OnCreate = o.bytes()
	}
	w.References = o.references
	return w, nil
}

// address computes the record's key or GUID.
func (p *Program) address(ctx context.Context, v *view, w *schema.Write) error {
	if p.id != nil {
		x, err := p.id.eval(ctx, v)
		if err != nil {
			return err
		}
		if x.kind != isText || !schema.IsGUID(x.text) {
			return reject(p.id.place, outcome.Invalid, "the id must be a GUID without braces")
		}
		w.ID = strings.ToLower(x.text)
		w.Predicate = w.ID
		return nil
	}
	by := p.key
	if p.find != nil {
		by = p.find
	}
	parts, state, err := evalKey(ctx, v, by)
	if err != nil {
		return err
	}
	if state != keyComplete {
		return reject(by[0].at(), outcome.Invalid, "a part of the record's key is null or left out")
	}
	w.Key = parts
	if p.find != nil {
		return p.searchFor(w)
	}
	w.Predicate, err = predicate(placesOf(p.key), p.table, parts)
	if needsSearch(err) {
		return p.searchFor(w)
	}
	return err
}

// statePair remembers the state and status a request carries.
type statePair struct {
	columns       []columnProgram
	state, status string
}

// write appends the members of a block.
func (b *blockProgram) write(ctx context.Context, v *view, o *object, pair *statePair) error {
	for _, c := range b.columns {
		x, err := c.program.eval(ctx, v)
		if err != nil {
			return err
		}
		if x.kind == isOmitted {
			continue
		}
		literal, problem := columnLiteral(c.column, x)
		if problem != "" {
			return reject(c.program.place, outcome.Invalid, "column "+c.column.LogicalName+" "+problem)
		}
		if problem := pair.note(c, literal); problem != "" {
			return reject(c.program.place, outcome.Invalid, problem)
		}
		o.add(c.column.LogicalName, literal)
	}
	for _, l := range b.lookups {
		if err := l.write(ctx, v, o); err != nil {
			return err
		}
	}
	return nil
}

// note checks that the state and the status written together belong together.
func (s *statePair) note(c columnProgram, literal []byte) string {
	switch c.column.Type {
	case schema.TypeState:
		s.state = string(literal)
	case schema.TypeStatus:
		s.status = string(literal)
		s.columns = []columnProgram{c}
	default:
		return ""
	}
	if s.state == "" || s.status == "" || s.state == "null" || s.status == "null" {
		return ""
	}
	return pairProblem(s.columns, s.state, s.status)
}

// object writes a JSON object member by member.
type object struct {
	buf        []byte
	references []schema.Reference
}

func newObject() *object { return &object{buf: append(make([]byte, 0, 128), '{')} }

func (o *object) add(name string, literal []byte) {
	if len(o.buf) > 1 {
		o.buf = append(o.buf, ',')
	}
	o.buf = append(o.buf, quote(name)...)
	o.buf = append(o.buf, ':')
	o.buf = append(o.buf, literal...)
}

// bytes returns a copy of the object as it stands; more can be added after.
func (o *object) bytes() json.RawMessage {
	out := make([]byte, 0, len(o.buf)+1)
	return append(append(out, o.buf...), '}')
}

package outbound

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cebridge/schema/event"
	"cebridge/schema/outcome"
)

// What stands aside of a table's rows: the data of large events in an object store, and the
// records that lookups point at. Both have faults of their own.

// asideKinds must happen where seeds have objects and references.
var asideKinds = []string{"object put fails", "object put unanswered", "object get fails", "object vanishes",
	"find fails", "event put aside", "object without an event", "reference told", "reference left out"}

// asideAbove is the size of an event above which its data is put aside; longName makes one.
const asideAbove = 1300

var longName = strings.Repeat("x", 500) + " "

// aside draws what a seed's table has: a third of them have objects, a third references.
func (s *storm) aside(seed uint64, troubles bool, cfg *TableConfig, crm *crmModel) (deps Deps) {
	r := rand.New(rand.NewPCG(seed, 11))
	for _, kind := range asideKinds[:5] {
		s.mu.Lock()
		s.rates[kind] = 0
		if r.IntN(2) == 0 {
			s.rates[kind] = r.Float64() * 0.15
		}
		s.mu.Unlock()
	}
	if r.IntN(3) == 0 {
		cfg.ClaimCheck = true
		crm.long, crm.objects = true, newPayloads(asideAbove)
		deps.Payloads = &stormPayloads{payloadModel: crm.objects, s: s, gone: map[string]time.Time{}}
	}
	// A lookup and the calamity that takes columns away do not go together.
	if first, second := calamityPair(seed); r.IntN(3) == 0 && (!troubles || first != otherColumns && second != otherColumns) {
		crm.pointing = true
		table := modelTable()
		table.Column("primarycontactid").Targets = []string{"account", "contact"}
		cfg.Query.Table, cfg.Query.Columns = table, append(slices.Clone(cfg.Query.Columns), "primarycontactid")
		crm.columns = cfg.Query.Columns
		_, contact := referenceTables()
		cfg.References = []Reference{{Column: "primarycontactid", Keys: []ReferenceKey{{contact, []string{"emailaddress1"}}}}}
		deps.Finder = &stormFinder{crm, s}
	}
	return deps
}

// stormPayloads is an object store that fails, loses answers, and loses objects until
// somebody brings them back.
type stormPayloads struct {
	*payloadModel
	s    *storm
	mu   sync.Mutex
	gone map[string]time.Time // until when
	calm bool
}

func (p *stormPayloads) Put(ctx context.Context, name string, data []byte) (string, error) {
	if err := sleep(ctx, time.Duration(p.s.n(50))*time.Millisecond); err != nil {
		return "", err
	}
	if !p.quiet() && p.s.hit("object put fails") {
		return "", []error{ErrUnavailable, ErrFull}[p.s.n(2)]
	}
	uri, err := p.payloadModel.Put(ctx, name, data)
	if err == nil && !p.quiet() && p.s.hit("object put unanswered") {
		return "", ErrUnavailable
	}
	return uri, err
}

func (p *stormPayloads) Get(ctx context.Context, uri string) ([]byte, error) {
	if p.quiet() {
		return p.payloadModel.Get(ctx, uri)
	}
	if p.s.hit("object get fails") {
		return nil, ErrUnavailable
	}
	if p.s.hit("object vanishes") {
		p.mu.Lock()
		p.gone[uri] = time.Now().Add(3 * time.Second)
		p.mu.Unlock()
	}
	p.mu.Lock()
	until := p.gone[uri]
	p.mu.Unlock()
	if time.Now().Before(until) {
		return nil, fmt.Errorf("%w: %s", ErrNoPayload, uri)
	}
	return p.payloadModel.Get(ctx, uri)
}

func (p *stormPayloads) quiet() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calm
}

// calmDown ends the faults of what stands aside.
func (s *storm) calmDown(deps Deps) {
	if p, ok := deps.Payloads.(*stormPayloads); ok {
		p.mu.Lock()
		p.calm = true
		p.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rates["find fails"] = 0
}

// countAside notes what the history shows of objects and references.
func (s *storm) countAside(crm *crmModel, history []Stored) {
	used := map[string]bool{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range history {
		if _, ok := testNames().RecordID("account", m.Subject); !ok {
			continue
		}
		d, err := event.ReadData(m.Header, m.Data)
		if err == nil && d.Ref != "" {
			s.sometime["event put aside"]++
			used[strings.TrimPrefix(d.Ref, "nats-object:B/")] = true
			d, err = ResolveData(context.Background(), crm.objects, d)
		}
		switch {
		case err != nil || !crm.pointing || d.Record == nil:
		case d.References != nil:
			s.sometime["reference told"]++
		case strings.Contains(string(d.Record), `"_primarycontactid_value":"`):
			s.sometime["reference left out"]++
		}
	}
	if crm.objects == nil {
		return
	}
	for _, name := range crm.objects.names() {
		if !used[name] {
			s.sometime["object without an event"]++
		}
	}
}

// stormFinder finds the accounts of the model as they are now, and contacts, of which the
// last of ten is not there.
type stormFinder struct {
	crm *crmModel
	s   *storm
}

func (f *stormFinder) Find(ctx context.Context, q Query, ids []string) (map[string]Found, error) {
	if err := sleep(ctx, time.Duration(f.s.n(100))*time.Millisecond); err != nil {
		return nil, err
	}
	if f.s.hit("find fails") {
		return nil, &outcome.Error{Verdict: outcome.Retry, Reason: outcome.Server, Status: 503}
	}
	got := map[string]Found{}
	f.crm.mu.Lock()
	defer f.crm.mu.Unlock()
	for _, id := range ids {
		if q.Table.LogicalName == "contact" {
			if table, n := pointed(id); table == "contact" && n != 9 {
				got[id] = Found{Columns: map[string][]byte{"emailaddress1": fmt.Appendf(nil, `"c%d@contoso.com"`, n)}}
			}
			continue
		}
		r := f.crm.records[id]
		if r == nil || !r.live {
			continue
		}
		found := Found{Columns: map[string][]byte{}, Tables: map[string]string{}}
		if to := lookupOf(r.row); to != "" {
			table, _ := pointed(to)
			found.Columns["primarycontactid"], found.Tables["primarycontactid"] = quoted(to), table
		}
		got[id] = found
	}
	return got, nil
}

// pointing is the lookup that a version of a record has: none, one of ten contacts, or one
// of ten accounts.
func pointing(version int64) string {
	switch n := version % 21; {
	case n < 10:
		return fmt.Sprintf("00000000-0000-4000-8000-0000000000c%d", n)
	case n < 20:
		return fmt.Sprintf("00000000-0000-4000-8000-0000000000a%d", n-10)
	}
	return ""
}

// pointed tells the table of a record that pointing names, and its number.
func pointed(id string) (table string, n int) {
	n = int(id[len(id)-1] - '0')
	switch id[len(id)-2] {
	case 'c':
		return "contact", n
	case 'a':
		return "account", n
	}
	return "", 0
}

// lookupOf reads the lookup out of a row.
func lookupOf(row string) string {
	_, rest, ok := strings.Cut(row, `"_primarycontactid_value":"`)
	if !ok {
		return ""
	}
	id, _, _ := strings.Cut(rest, `"`)
	return id
}

// checkAside checks what an event says beside its row: large data has the name that follows
// from the event, and a reference never contradicts the row.
func (c *crmModel) checkAside(m Stored, id string, p event.Published) (d event.Data, faults []string) {
	d, err := event.ReadData(m.Header, m.Data)
	if err != nil {
		return d, []string{fmt.Sprintf("sequence %d: %v", m.Sequence, err)}
	}
	switch size := eventSize(m.Header, m.Data); {
	case d.Ref == "" && c.objects != nil && size > c.objects.above:
		faults = append(faults, fmt.Sprintf("sequence %d has %d bytes and is not put aside", m.Sequence, size))
	case d.Ref != "":
		prefix := "nats-object:B/account/" + id + "/" + event.Sequence(p.Version, p.Epoch, p.Deleted()) + "/"
		if c.objects == nil || !strings.HasPrefix(d.Ref, prefix) {
			return d, append(faults, fmt.Sprintf("sequence %d refers to %s, not to %s…", m.Sequence, d.Ref, prefix))
		}
		if d, err = ResolveData(context.Background(), c.objects, d); err != nil {
			return d, append(faults, fmt.Sprintf("sequence %d: %v", m.Sequence, err))
		}
	}
	if d.References == nil {
		return d, faults
	}
	to := lookupOf(string(d.Record))
	table, n := "", 0
	if to != "" {
		table, n = pointed(to)
	}
	of := []member{{[]byte("table"), quoted(table)}, {[]byte("id"), quoted(to)}}
	if table == "contact" && n != 9 {
		of = append(of, member{[]byte("key"), fmt.Appendf(nil, `{"emailaddress1":"c%d@contoso.com"}`, n)})
	}
	if want := string(object([]member{{[]byte("primarycontactid"), object(of)}})); string(d.References) != want || !c.pointing {
		faults = append(faults, fmt.Sprintf("O5: sequence %d has references %s, want %s", m.Sequence, d.References, want))
	}
	return d, faults
}

// The check of a history finds what is wrong aside of the rows.
func TestTheHistoryCheckFindsWrongObjectsAndReferences(t *testing.T) {
	t.Parallel()
	enc, err := event.NewEncoder(testSettings())
	if err != nil {
		t.Fatal(err)
	}
	id, to := recordID(1), pointing(3)
	rec := func() event.Record {
		return event.Record{RecordID: id, Version: 3, Epoch: 1, Change: event.Loaded, ReadBy: event.ByLoad, Recorded: time.Unix(1, 0),
			Row:        fmt.Appendf(nil, `{"accountid":%q,"_primarycontactid_value":%q}`, id, to),
			References: fmt.Appendf(nil, `{"primarycontactid":{"table":"contact","id":%q,"key":{"emailaddress1":"c3@contoso.com"}}}`, to)}
	}
	for name, x := range map[string]struct {
		change func(r *event.Record, c *crmModel)
		want   string
	}{
		"nothing": {func(*event.Record, *crmModel) {}, ""},
		"another table": {func(r *event.Record, _ *crmModel) {
			r.References = fmt.Appendf(nil, `{"primarycontactid":{"table":"account","id":%q}}`, to)
		}, "references"},
		"another target": {func(r *event.Record, _ *crmModel) {
			r.References = []byte(strings.ReplaceAll(string(r.References), "c3", "c4"))
		}, "references"},
		"no lookup at all": {func(r *event.Record, _ *crmModel) { r.Row = fmt.Appendf(nil, `{"accountid":%q}`, id) }, "references"},
		"large and within": {func(r *event.Record, c *crmModel) {
			r.Row = []byte(`{"name":"` + strings.Repeat(longName, 3) + `"}`)
			r.References = nil
		}, "not put aside"},
		"put aside": {func(r *event.Record, c *crmModel) {
			putAside(t, r, c, "account/"+id+"/"+event.Sequence(3, 1, false)+"/d")
		}, ""},
		"another's object": {func(r *event.Record, c *crmModel) {
			putAside(t, r, c, "account/"+recordID(2)+"/"+event.Sequence(3, 1, false)+"/d")
		}, "refers to"},
		"another version's": {func(r *event.Record, c *crmModel) {
			putAside(t, r, c, "account/"+id+"/"+event.Sequence(4, 1, false)+"/d")
		}, "refers to"},
		"an object that was": {func(r *event.Record, c *crmModel) {
			putAside(t, r, c, "account/"+id+"/"+event.Sequence(3, 1, false)+"/d")
			clear(c.objects.objs)
		}, "not in the object store"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCRM(5)
			c.pointing, c.objects = true, newPayloads(asideAbove)
			r := rec()
			x.change(&r, c)
			header, data, err := enc.Encode(&r)
			if err != nil {
				t.Fatal(err)
			}
			p, err := event.ReadHeader(header)
			if err != nil {
				t.Fatal(err)
			}
			_, faults := c.checkAside(Stored{Sequence: 1, Header: header, Data: data}, id, p)
			if text := strings.Join(faults, "; "); (text == "") != (x.want == "") || !strings.Contains(text, x.want) {
				t.Errorf("faults %q, want %q", text, x.want)
			}
		})
	}
}

func putAside(t *testing.T, r *event.Record, c *crmModel, name string) {
	t.Helper()
	uri, err := c.objects.Put(t.Context(), name, event.Payload(r))
	if err != nil {
		t.Fatal(err)
	}
	r.DataRef = uri
}

package outbound

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

// modelTable is the table of every test here.
func modelTable() *schema.Table {
	return &schema.Table{
		LogicalName: "account", EntitySet: "accounts", PrimaryID: "accountid", ChangeTracking: true,
		Columns: []schema.Column{
			{LogicalName: "accountid", Type: schema.TypeUniqueID},
			{LogicalName: "accountnumber", Type: schema.TypeString},
			{LogicalName: "name", Type: schema.TypeString},
			{LogicalName: "createdon", Type: schema.TypeDateTime},
			{LogicalName: "primarycontactid", Type: schema.TypeLookup},
		},
		Keys: []schema.AlternateKey{{LogicalName: "number", Columns: []string{"accountnumber"}, Status: schema.KeyActive}},
	}
}

func modelQuery() Query {
	return Query{Table: modelTable(), Columns: []string{"accountid", "accountnumber", "name", "createdon"}, PageSize: 5}
}

// crmModel is a small change-tracked table. Row versions come from one counter;
// pages are computed from the live rows, so rows move while somebody pages; a
// recreated record is listed both as a row and as a delete, deletes last.
type crmModel struct {
	mu      sync.Mutex
	version int64
	records map[string]*crmRecord
	tombs   []crmTomb
	history map[string]map[int64][]string // what every version looked like
	// minToken is the oldest token that is honoured; dump says what an older one
	// gets: everything, instead of a refusal. expired counts how often.
	minToken int64
	dump     bool
	expired  int
	// open are changes that have their version and are not committed.
	open     []*crmOpen
	pageSize int

	// fault, when set, is asked before every call; an error is the answer.
	fault func(op string) error
	// lag, when set, is how long an answer that is computed travels.
	lag   func() time.Duration
	pages int // pages served
	asked int // records looked up
	now   func() time.Time
	// payload and previous are what the test's workers are told; names is how many
	// different names records get.
	payload  Payload
	previous bool
	names    int
	// long makes some names long, objects is where the data of such events is; with
	// pointing the rows have a lookup.
	long, pointing bool
	objects        *payloadModel
	// columns are those that the last worker selects.
	columns []string
	// cuts and shaped remember what was computed of a row before: storms of many seeds
	// spend their time there.
	cuts   map[rowCut]Row
	shaped map[string]shapedRow
}

type rowCut struct{ row, columns string }

type shapedRow struct {
	as  string
	out bool
}

type crmRecord struct {
	live    bool
	version int64
	row     string
	created string
	number  string
}

// crmOpen is a change whose version is taken before it is committed.
type crmOpen struct {
	id, row string
	version int64
}

type crmTomb struct {
	id      string
	version int64
}

func newCRM(pageSize int) *crmModel {
	return &crmModel{records: map[string]*crmRecord{}, history: map[string]map[int64][]string{},
		pageSize: pageSize, version: 100, now: time.Now, names: 100, columns: modelQuery().Columns,
		cuts: map[rowCut]Row{}, shaped: map[string]shapedRow{}}
}

func recordID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// put creates or updates a record and returns its version.
func (c *crmModel) put(id, name string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.write(id, name)
}

func (c *crmModel) write(id, name string) int64 {
	c.commitOpen(id)
	c.version++
	stamp := c.now().UTC().Format(time.RFC3339)
	r := c.records[id]
	if r == nil || !r.live {
		r = &crmRecord{live: true, created: stamp, number: "A-" + id[len(id)-3:] + "-" + strconv.FormatInt(c.version, 10)}
		c.records[id] = r
	}
	r.version = c.version
	r.row = c.rowText(id, r, name, stamp)
	c.remember(id, c.version, r.row)
	return c.version
}

// rowText is a record as it is in the present version.
func (c *crmModel) rowText(id string, r *crmRecord, name, stamp string) string {
	if c.long && c.version%3 == 0 {
		name = longName + name
	}
	lookup := ""
	if c.pointing {
		lookup = `,"_primarycontactid_value":null`
		if to := pointing(c.version); to != "" {
			lookup = `,"_primarycontactid_value":` + strconv.Quote(to)
		}
	}
	return fmt.Sprintf(`{"accountid":%q,"versionnumber":%d,"accountnumber":%q,"name":%q,"createdon":%q,"modifiedon":%q%s}`,
		id, c.version, r.number, name, r.created, stamp, lookup)
}

func (c *crmModel) remember(id string, version int64, row string) {
	if c.history[id] == nil {
		c.history[id] = map[int64][]string{}
	}
	c.history[id][version] = append(c.history[id][version], row)
}

// begin reserves a version for a change of a live record that commitOpen makes
// visible: tokens handed out meanwhile are later than it.
func (c *crmModel) beginLate(id, name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.records[id]
	if r == nil || !r.live {
		return false
	}
	c.commitOpen(id)
	c.version++
	row := c.rowText(id, r, name, c.now().UTC().Format(time.RFC3339))
	c.open = append(c.open, &crmOpen{id, row, c.version})
	return true
}

// endLate commits every open change.
func (c *crmModel) endLate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commitOpen("")
}

// commitOpen commits the open changes of a record, or of all.
func (c *crmModel) commitOpen(id string) {
	c.open = slices.DeleteFunc(c.open, func(o *crmOpen) bool {
		if id != "" && o.id != id {
			return false
		}
		r := c.records[o.id]
		r.version, r.row = o.version, o.row
		c.remember(o.id, o.version, o.row)
		return true
	})
}

// expire forgets the history of changes: tokens so far are void, deletes lost.
func (c *crmModel) expire(dump bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version++
	c.minToken, c.dump, c.tombs = c.version, dump, nil
}

// crmBackup is a state that a database can be restored to.
type crmBackup struct {
	version int64
	records map[string]crmRecord
	tombs   []crmTomb
}

func (c *crmModel) backup() crmBackup {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := crmBackup{c.version, map[string]crmRecord{}, slices.Clone(c.tombs)}
	for id, r := range c.records {
		b.records[id] = *r
	}
	return b
}

func (c *crmModel) restore(b crmBackup) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version, c.tombs, c.open, c.minToken = b.version, slices.Clone(b.tombs), nil, 0
	c.records = map[string]*crmRecord{}
	for id, r := range b.records {
		c.records[id] = &r
	}
}

func (c *crmModel) remove(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.records[id]; r != nil && r.live {
		c.commitOpen(id)
		c.version++
		r.live = false
		c.tombs = append(c.tombs, crmTomb{id, c.version})
	}
}

func (c *crmModel) set(fault func(string) error, lag func() time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault, c.lag = fault, lag
}

func (c *crmModel) begin(op string) (lag time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fault != nil {
		err = c.fault(op)
	}
	if c.lag != nil {
		lag = c.lag()
	}
	return lag, err
}

// Page implements Source. Links: "" begins a load; ?token= begins a delta round;
// ?load= and ?since= are later pages of either.
func (c *crmModel) Page(ctx context.Context, q Query, link string) (*Page, error) {
	op := "page"
	if strings.HasPrefix(link, "since=") {
		op = "later page"
	}
	lag, err := c.begin(op)
	if err != nil {
		return nil, err
	}
	p, err := c.page(q, link)
	if err != nil {
		return nil, err
	}
	if err := sleep(ctx, lag); err != nil {
		return nil, err
	}
	return p, nil
}

func (c *crmModel) page(q Query, link string) (*Page, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pages++
	p, err := c.answer(link)
	if err == nil {
		for i := range p.Rows {
			c.cut(&p.Rows[i], q.Columns)
		}
	}
	return p, err
}

// cut is selectColumns, remembered. The row's JSON is its own.
func (c *crmModel) cut(r *Row, columns []string) {
	if r.Deleted {
		return
	}
	key := rowCut{string(r.JSON), strings.Join(columns, ",")}
	known, ok := c.cuts[key]
	if !ok {
		r.selectColumns(columns)
		known = Row{JSON: bytes.Clone(r.JSON), Hash: r.Hash}
		c.cuts[key] = known
	}
	r.JSON, r.Hash = bytes.Clone(known.JSON), known.Hash
}

// selectColumns cuts a row down to columns and what every row has.
func (r *Row) selectColumns(columns []string) {
	if r.Deleted {
		return
	}
	list, _ := members(r.JSON)
	list = slices.DeleteFunc(list, func(m member) bool {
		n := strings.TrimSuffix(strings.TrimPrefix(string(m.name), "_"), "_value")
		return n != "versionnumber" && n != "modifiedon" && !slices.Contains(columns, n)
	})
	r.JSON = object(list)
	list = slices.DeleteFunc(list, func(m member) bool { return string(m.name) == "versionnumber" })
	h := fnv.New64a()
	h.Write(object(list))
	r.Hash = h.Sum64()
}

func (c *crmModel) answer(link string) (*Page, error) {
	if link == "" {
		c.commitOpen("") // a full read waits for what is open
		return c.loadPage(c.version, ""), nil
	}
	link = strings.TrimPrefix(strings.Replace(link, "$deltatoken=", "token=", 1), "accounts?")
	v, err := url.ParseQuery(strings.TrimSuffix(link, "!t"))
	if err != nil {
		return nil, &outcome.Error{Verdict: outcome.Reject, Reason: outcome.Invalid, Err: err}
	}
	num := func(name string) int64 { n, _ := strconv.ParseInt(v.Get(name), 10, 64); return n }
	if v.Has("load") {
		return c.loadPage(num("next"), v.Get("load")), nil
	}
	if v.Has("token") && num("token") < c.minToken {
		c.expired++
		if c.dump {
			return c.loadPage(c.version, ""), nil
		}
		return nil, &outcome.Error{Verdict: outcome.Reject, Reason: outcome.TokenExpired, Status: 400}
	}
	if v.Has("token") {
		return c.deltaPage(c.version, num("token"), num("token")), nil
	}
	if num("next") < c.minToken {
		return nil, &outcome.Error{Verdict: outcome.Reject, Reason: outcome.TokenExpired, Status: 400}
	}
	return c.deltaPage(num("next"), num("since"), num("deletes")), nil
}

func (c *crmModel) loadPage(token int64, after string) *Page {
	var ids []string
	for id, r := range c.records {
		if r.live && id > after {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	p := &Page{}
	for _, id := range ids[:min(len(ids), c.pageSize)] {
		p.Rows = append(p.Rows, c.row(id))
	}
	if len(ids) > c.pageSize {
		p.Next = fmt.Sprintf("load=%s&next=%d", ids[c.pageSize-1], token)
	} else {
		p.Delta = fmt.Sprintf("accounts?$deltatoken=%d!t", token)
	}
	return p
}

func (c *crmModel) deltaPage(token, since, deletesSince int64) *Page {
	type change struct {
		id      string
		deleted bool
		at      int64
	}
	var changes []change
	for id, r := range c.records {
		if r.live && r.version > since {
			changes = append(changes, change{id, false, r.version})
		}
	}
	slices.SortFunc(changes, func(a, b change) int { return int(a.at - b.at) })
	for _, t := range c.tombs {
		if t.version > deletesSince {
			changes = append(changes, change{t.id, true, t.version})
		}
	}
	p := &Page{}
	for _, ch := range changes[:min(len(changes), c.pageSize)] {
		if ch.deleted {
			p.Rows = append(p.Rows, Row{ID: ch.id, Deleted: true})
			deletesSince = ch.at
		} else {
			p.Rows = append(p.Rows, c.row(ch.id))
			since = ch.at
		}
	}
	if len(changes) > c.pageSize {
		p.Next = fmt.Sprintf("since=%d&deletes=%d&next=%d", since, deletesSince, token)
	} else {
		p.Delta = fmt.Sprintf("accounts?$deltatoken=%d!t", token)
	}
	return p
}

func (c *crmModel) row(id string) Row {
	r := c.records[id]
	row := Row{ID: id, Version: r.version, JSON: []byte(r.row)}
	if _, after, ok := strings.Cut(r.row, `"modifiedon":"`); ok {
		row.Modified, _, _ = strings.Cut(after, `"`)
	}
	c.cut(&row, rowColumns)
	return row
}

// rowColumns are all that a row may show.
var rowColumns = append(modelQuery().Columns, "primarycontactid")

// Exists implements Source.
func (c *crmModel) Exists(ctx context.Context, q Query, id string) (bool, error) {
	lag, err := c.begin("exists")
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	c.asked++
	live := c.records[id] != nil && c.records[id].live
	c.mu.Unlock()
	return live, sleep(ctx, lag)
}

// mutate makes one random change among n records.
func (c *crmModel) mutate(r *rand.Rand, n int) {
	id := recordID(r.IntN(n))
	switch r.IntN(10) {
	case 0, 1:
		c.remove(id)
	case 2: // delete and recreate between two polls
		c.remove(id)
		c.put(id, "recreated "+strconv.Itoa(r.IntN(c.names)))
	case 3: // create and delete between two polls
		c.put(id, "short-lived")
		c.remove(id)
	default:
		c.put(id, "name "+strconv.Itoa(r.IntN(c.names)))
	}
}

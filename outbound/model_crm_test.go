package outbound

import (
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
	mu       sync.Mutex
	version  int64
	records  map[string]*crmRecord
	tombs    []crmTomb
	history  map[string]map[int64]string // what every version looked like
	pageSize int
	created  time.Time

	// fault, when set, is asked before every call; an error is the answer.
	fault func(op string) error
	// lag, when set, is how long an answer that is computed travels.
	lag   func() time.Duration
	pages int // pages served
	asked int // records looked up
	now   func() time.Time
}

type crmRecord struct {
	live    bool
	version int64
	row     string
	created string
	number  string
}

type crmTomb struct {
	id      string
	version int64
}

func newCRM(pageSize int) *crmModel {
	return &crmModel{records: map[string]*crmRecord{}, history: map[string]map[int64]string{},
		pageSize: pageSize, version: 100, now: time.Now}
}

func recordID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// put creates or updates a record and returns its version.
func (c *crmModel) put(id, name string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version++
	stamp := c.now().UTC().Format(time.RFC3339)
	r := c.records[id]
	if r == nil || !r.live {
		r = &crmRecord{live: true, created: stamp, number: "A-" + id[len(id)-3:] + "-" + strconv.FormatInt(c.version, 10)}
		c.records[id] = r
	}
	r.version = c.version
	r.row = fmt.Sprintf(`{"accountid":%q,"versionnumber":%d,"accountnumber":%q,"name":%q,"createdon":%q,"modifiedon":%q}`,
		id, c.version, r.number, name, r.created, stamp)
	if c.history[id] == nil {
		c.history[id] = map[int64]string{}
	}
	c.history[id][c.version] = r.row
	return c.version
}

func (c *crmModel) remove(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.records[id]; r != nil && r.live {
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
	p, err := c.page(link)
	if err != nil {
		return nil, err
	}
	if err := sleep(ctx, lag); err != nil {
		return nil, err
	}
	return p, nil
}

func (c *crmModel) page(link string) (*Page, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pages++
	if link == "" {
		return c.loadPage(c.version, ""), nil
	}
	v, err := url.ParseQuery(link)
	if err != nil {
		return nil, &outcome.Error{Verdict: outcome.Reject, Reason: outcome.Invalid, Err: err}
	}
	num := func(name string) int64 { n, _ := strconv.ParseInt(v.Get(name), 10, 64); return n }
	if v.Has("load") {
		return c.loadPage(num("next"), v.Get("load")), nil
	}
	if v.Has("token") {
		return c.deltaPage(c.version, num("token"), num("token")), nil
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
		p.Delta = fmt.Sprintf("token=%d", token)
	}
	return p
}

func (c *crmModel) deltaPage(token, since, deletesSince int64) *Page {
	type change struct {
		Row
		at int64
	}
	var changes []change
	for id, r := range c.records {
		if r.live && r.version > since {
			changes = append(changes, change{c.row(id), r.version})
		}
	}
	slices.SortFunc(changes, func(a, b change) int { return int(a.at - b.at) })
	for _, t := range c.tombs {
		if t.version > deletesSince {
			changes = append(changes, change{Row{ID: t.id, Deleted: true}, t.version})
		}
	}
	p := &Page{}
	for _, ch := range changes[:min(len(changes), c.pageSize)] {
		p.Rows = append(p.Rows, ch.Row)
		if ch.Deleted {
			deletesSince = ch.at
		} else {
			since = ch.at
		}
	}
	if len(changes) > c.pageSize {
		p.Next = fmt.Sprintf("since=%d&deletes=%d&next=%d", since, deletesSince, token)
	} else {
		p.Delta = fmt.Sprintf("token=%d", token)
	}
	return p
}

func (c *crmModel) row(id string) Row {
	r := c.records[id]
	h := fnv.New64a()
	h.Write([]byte(r.row))
	list, _ := pick([]byte(r.row), []string{"modifiedon"})
	return Row{ID: id, Version: r.version, JSON: []byte(r.row), Hash: h.Sum64(),
		Modified: string(list[0].value[1 : len(list[0].value)-1])}
}

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
		c.put(id, "recreated "+strconv.Itoa(r.IntN(100)))
	case 3: // create and delete between two polls
		c.put(id, "short-lived")
		c.remove(id)
	default:
		c.put(id, "name "+strconv.Itoa(r.IntN(100)))
	}
}

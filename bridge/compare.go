package bridge

import (
	"context"
	"fmt"
	"strings"
	"time"

	"cebridge/bridge/internal/jet"
	"cebridge/outbound"
	"cebridge/schema"
	"cebridge/schema/event"
)

// The bounds of a comparison.
const (
	// maxDoubts is how many differences of one table are looked at again and listed.
	maxDoubts = 10_000
	// The time that a difference gets to settle: twice the poll interval, within these.
	minSettle = 5 * time.Second
	maxSettle = time.Minute
)

// CompareOptions say what to compare.
type CompareOptions struct {
	// Tables are logical names; none means every configured table.
	Tables []string
	// Settle is how long a difference may last before it is believed; 0 means twice
	// the table's poll interval, but 5 s to 1 min. It must be longer than the bridge
	// takes to publish a change, or a live table gives false alarms.
	Settle time.Duration
	// Progress, if set, is called now and then.
	Progress func(Progress)
}

// Compare holds Customer Engagement against the event stream: first headers alone,
// then each record that differs again, with its content, until the bridge had time to
// publish it. It reads every record once, takes 16 bytes of memory for each, and
// writes nothing but a ring of the doorbell.
func (o *Operator) Compare(ctx context.Context, opt CompareOptions) (*Comparison, error) {
	tables, err := o.tables(opt.Tables)
	if err != nil {
		return nil, err
	}
	if err := o.crm(ctx); err != nil {
		return nil, err
	}
	cat, orgID, err := o.describe(ctx, tables)
	if err != nil {
		return nil, err
	}
	result := &Comparison{Org: o.b.cfg.Org, Stream: o.b.EventStream(), Began: time.Now().UTC()}
	for _, t := range tables {
		cfg, _, err := o.b.tableConfig(t, cat, orgID)
		if err != nil {
			return nil, err
		}
		c := &comparing{o: o, cfg: cfg, shaper: outbound.NewShaper(cfg.Query.Table, &cfg.Payload), table: t.Table, settle: opt.Settle, progress: opt.Progress,
			result: TableComparison{Table: t.Table, Differences: []RecordDifference{}}}
		if c.settle <= 0 {
			c.settle = min(max(2*t.Poll, minSettle), maxSettle)
		}
		if err := c.run(ctx); err != nil {
			return nil, fmt.Errorf("compare table %s: %w", t.Table, err)
		}
		result.Tables = append(result.Tables, c.result)
	}
	return result, nil
}

// describe reads the metadata of tables and holds the configuration against it.
func (o *Operator) describe(ctx context.Context, tables []TableConfig) (schema.Catalog, string, error) {
	var orgID string
	err := o.b.await(ctx, "Customer Engagement", func(ctx context.Context) error {
		id, err := o.b.client.WhoAmI(ctx)
		orgID = strings.ToLower(id.OrganizationID)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	var names []string
	for _, c := range tables {
		names = append(names, c.Table)
	}
	var cat schema.Catalog
	err = o.b.await(ctx, "metadata", func(ctx context.Context) (err error) {
		cat, err = o.b.client.Metadata(ctx, names)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	var problems schema.Problems
	for _, c := range tables {
		problems = append(problems, checkTable(c, cat)...)
	}
	if len(problems) > 0 {
		return nil, "", problems
	}
	return cat, orgID, nil
}

// comparing is the work on one table.
type comparing struct {
	o        *Operator
	cfg      outbound.TableConfig
	shaper   *outbound.Shaper
	table    string
	settle   time.Duration
	progress func(Progress)
	// from is when a table that starts now began, on the server's clock; zero for
	// one that was loaded.
	from   time.Time
	doubts []doubt
	marks  *lastIndex
	result TableComparison
}

// doubt is a record that differed, as it was at the latest look.
type doubt struct {
	id string
	// version is that of the record; of its last event, for one that is extra.
	version   int64
	published int64
	kind, why string
	columns   []string
}

func (c *comparing) run(ctx context.Context) error {
	began := time.Now()
	at, _, err := c.o.checkpoint(ctx, c.table)
	if err != nil {
		return err
	}
	c.result.Phase = "none"
	if at != nil {
		c.result.Phase = string(at.Phase)
		if at.Start == outbound.StartNow {
			c.from = parseInstant(at.Baseline)
		}
	}
	index, err := c.readStream(ctx)
	if err != nil {
		return err
	}
	if err := c.readMarks(ctx); err != nil {
		return err
	}
	if err := c.readRecords(ctx, index); err != nil {
		return err
	}
	if err := c.leftOver(ctx, index); err != nil {
		return err
	}
	if err := c.recheck(ctx); err != nil {
		return err
	}
	c.result.Seconds = time.Since(began).Seconds()
	return nil
}

// readStream indexes the last event of every record.
func (c *comparing) readStream(ctx context.Context) (*lastIndex, error) {
	index := &lastIndex{}
	// With only_changes a version may be left out, and the hash in the headers is of
	// ignored columns too: then the events are read whole.
	var fault error
	err := c.walk(ctx, !c.shaper.OnlyChanges(), func(id string, p event.Published, s jet.Step) {
		if !c.shaper.OnlyChanges() || p.Deleted() {
			index.add(id, p)
			return
		}
		hash, err := c.contentOf(ctx, outbound.Stored{Subject: s.Subject, Sequence: s.Sequence, Header: s.Header, Data: s.Data})
		if err != nil && fault == nil {
			fault = fmt.Errorf("on %s: %w", s.Subject, err)
		}
		index.add(id, event.Published{Version: contentOnly, Hash: hash, Change: p.Change})
	})
	if err == nil {
		err = fault
	}
	if err != nil {
		return nil, err
	}
	c.result.Published = index.seal()
	return index, nil
}

// contentOnly stands in the index for the version where only the content counts.
const contentOnly = 0

// contentOf is a digest of a stored event's record without what only_changes ignores.
func (c *comparing) contentOf(ctx context.Context, m outbound.Stored) (uint64, error) {
	d, err := c.o.b.dataOf(ctx, m)
	if err != nil {
		return 0, err
	}
	hash, err := c.shaper.Digest(d.Record)
	if err != nil {
		return 0, fmt.Errorf("message %d: %w", m.Sequence, err)
	}
	return hash, nil
}

// walk reads the last event of every record, without its body where headers are enough.
func (c *comparing) walk(ctx context.Context, headersOnly bool, fn func(id string, p event.Published, s jet.Step)) error {
	names := c.o.b.names
	var done int64
	return c.o.b.conn.Walk(ctx, jet.Walk{
		Stream: c.o.b.EventStream(), Filter: []string{names.Table(c.table)}, Latest: true, HeadersOnly: headersOnly,
	}, func(s jet.Step) error {
		id, ok := names.RecordID(c.table, s.Subject)
		if !ok || !schema.IsGUID(id) {
			return fmt.Errorf("message %d stands on %s, which is no record's subject: remove it", s.Sequence, s.Subject)
		}
		p, err := event.ReadHeader(s.Header)
		if err != nil {
			return fmt.Errorf("message %d on %s: %w; remove it", s.Sequence, s.Subject, err)
		}
		fn(id, p, s)
		if done++; done%1000 == 0 {
			c.tell("stream "+c.table, done, done+int64(s.Pending))
		}
		return nil
	})
}

// readRecords holds every record of Customer Engagement against the index.
func (c *comparing) readRecords(ctx context.Context, index *lastIndex) error {
	total := c.result.Published
	for link := ""; ; {
		var page *outbound.Page
		err := c.o.b.await(ctx, "a page of table "+c.table, func(ctx context.Context) (err error) {
			page, err = c.o.b.client.Untracked(ctx, c.cfg.Query, link)
			return err
		})
		if err != nil {
			return err
		}
		if err := c.shaper.Shape(page.Rows); err != nil {
			return err
		}
		for i := range page.Rows {
			row := &page.Rows[i]
			c.result.Records++
			if row.Out {
				c.result.Filtered++
				continue // what the stream has of it is left over
			}
			version, hash := row.Version, row.Hash
			if c.shaper.OnlyChanges() {
				version = contentOnly
				if hash, err = c.shaper.Digest(row.JSON); err != nil {
					return err
				}
			}
			switch {
			case index.settled(row.ID, version, hash):
			case !index.has(row.ID) && c.before(row):
				c.result.Unpublished++
			case index.kind(row.ID) == kindDifferent && c.marks.settled(row.ID, row.Version, row.Hash):
				c.result.Dropped++
			default:
				c.doubt(doubt{id: row.ID, version: row.Version, kind: index.kind(row.ID)})
			}
		}
		c.tell("records "+c.table, c.result.Records, max(total, c.result.Records))
		if link = page.Next; link == "" {
			return nil
		}
	}
}

// before tells whether a record need not be on the stream of a table that starts
// now: it was not touched since.
func (c *comparing) before(row *outbound.Row) bool {
	if c.from.IsZero() {
		return false
	}
	t := parseInstant(row.Modified)
	return !t.IsZero() && !t.After(c.from)
}

// leftOver finds the records that live on the stream alone. Their ids are not in
// the index, so the stream is read once more when there are any.
func (c *comparing) leftOver(ctx context.Context, index *lastIndex) error {
	if index.left() == 0 {
		return nil
	}
	return c.walk(ctx, true, func(id string, p event.Published, _ jet.Step) {
		if !p.Deleted() && index.isLeft(id) {
			c.doubt(doubt{id: id, version: p.Version, kind: kindExtra})
		}
	})
}

// doubt keeps a difference for another look; one too many is only counted.
func (c *comparing) doubt(d doubt) {
	if len(c.doubts) < maxDoubts {
		c.doubts = append(c.doubts, d)
		return
	}
	c.result.Unconfirmed++
	c.count(d.kind)
}

func (c *comparing) count(kind string) {
	switch kind {
	case kindMissing:
		c.result.Missing++
	case kindExtra:
		c.result.Extra++
	default:
		c.result.Different++
	}
}

func (c *comparing) tell(what string, done, total int64) {
	if c.progress != nil {
		c.progress(Progress{What: what, Done: done, Total: total})
	}
}

// parseInstant reads an RFC 3339 time; anything else is the zero time.
func parseInstant(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

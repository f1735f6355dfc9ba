package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/bridge/sim"
	"cebridge/outbound"
)

// outboundCase is one way of reading a table.
type outboundCase struct {
	rowBytes int
	always   bool // every acknowledged message is on the disk
	delta    bool // the changes of a loaded table, not its load
}

// mostChanged bounds the rows of the delta cases: each is written twice beforehand.
const mostChanged = 200_000

func (c outboundCase) name() string {
	kind, sync := "load", ""
	if c.delta {
		kind = "delta"
	}
	if c.always {
		sync = "-sync-always"
	}
	return fmt.Sprintf("outbound-%s-%dB%s", kind, c.rowBytes, sync)
}

// outboundCases are those of the size that the options ask for, or the table.
func outboundCases(o Options) (list []kase) {
	table := []outboundCase{{rowBytes: 400}, {rowBytes: 2048}, {rowBytes: 400, always: true}, {rowBytes: 400, delta: true}}
	if o.RowBytes > 0 {
		table = []outboundCase{{rowBytes: o.RowBytes}, {rowBytes: o.RowBytes, always: true}, {rowBytes: o.RowBytes, delta: true}}
	}
	for _, c := range table {
		list = append(list, kase{c.name(), c.run})
	}
	return list
}

const tableColumns = "name,accountnumber,description,modifiedon,versionnumber"

func (s *stage) query() string { return s.url + "/api/data/v9.2/accounts?$select=" + tableColumns }

// config is a bridge that follows the table account.
func (s *stage) config(more string) string {
	return fmt.Sprintf(`org: %s
webapi: {url: "%s"}
nats: {urls: ["%s"]}
outbound:
  type_prefix: com.contoso.crm
  tables:
    account: {columns: [name, accountnumber, description], poll: 1h, page_size: %d}
%s`, benchOrg, s.url, s.nats.URL(), pageSize, more)
}

// accounts fills the simulator with n rows of about size bytes.
func (s *stage) accounts(n, size int) error {
	// What a row holds besides the description: names, ids, dates, etag.
	filler := strings.Repeat("x", max(size-270, 0))
	return s.sim.Seed("account", n, func(i int) map[string]any {
		return map[string]any{"name": fmt.Sprintf("Contoso Branch %d", i), "accountnumber": fmt.Sprintf("C%08d", i), "description": filler}
	})
}

func (c outboundCase) run(ctx context.Context, o Options) (rs []Result, err error) {
	res := Result{Name: c.name(), Unit: "rows/s", Items: o.Rows}
	sync := lazySync
	if c.always {
		sync = 0
	}
	s, err := newStage(ctx, o, sync, sim.Options{})
	if err != nil {
		return nil, err
	}
	defer s.close()
	raw := job{Kind: jobPages, Links: []string{s.query()}}
	if c.delta {
		res.Items = min(o.Rows, mostChanged)
	}
	raw.Items = res.Items
	if err := s.accounts(res.Items, c.rowBytes); err != nil {
		return nil, err
	}
	before := 0
	if c.delta {
		if before, raw.Links[0], err = s.change(ctx, res.Items); err != nil {
			return nil, err
		}
	}
	ours, err := s.ours(ctx, res.Name, before, res.Items)
	if err != nil {
		return nil, err
	}
	if raw.Header, raw.Data, err = s.sample(ctx); err != nil {
		return nil, err
	}
	if err := s.js.DeleteStream(ctx, names.EventStream()); err != nil {
		return nil, err
	}
	limit, err := s.limit(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("raw loop: %w", err)
	}
	res.take(ours, limit)
	return []Result{res}, nil
}

// take fills in the figures of a rate.
func (r *Result) take(ours, limit figures) {
	r.Ours, r.CPU, r.RSS, r.HalfRSS = ours.rate, ours.cpu, ours.peak, ours.halfway
	r.Limit, r.LimitCPU, r.LimitRSS = limit.rate, limit.cpu, limit.peak
	r.Ratio = r.Ours / r.Limit
}

// ours has a bridge publish items more events than the stream has messages already.
func (s *stage) ours(ctx context.Context, name string, before, items int) (f figures, err error) {
	p, err := s.bridge(name, s.config(""))
	if err != nil {
		return f, err
	}
	defer p.stop(&err)
	if before == 0 {
		before = 1 // the checkpoint
	}
	return p.follow(ctx, items, s.stored(names.EventStream(), before))
}

func (s *stage) limit(ctx context.Context, j job) (f figures, err error) {
	if err := s.rawStream(ctx); err != nil {
		return f, err
	}
	p, err := s.raw(j)
	if err != nil {
		return f, err
	}
	defer p.stop(&err)
	return p.follow(ctx, j.Items, s.stored(rawNames.EventStream(), 1))
}

// change loads the table, ends the bridge, and changes every row. It returns how many
// messages the stream has then and the delta link that shows the changes.
func (s *stage) change(ctx context.Context, rows int) (messages int, link string, err error) {
	if err := s.load(ctx, rows); err != nil {
		return 0, "", err
	}
	r := reader{client: &http.Client{}}
	defer r.client.CloseIdleConnections()
	if link, err = r.deltaLink(ctx, s.query()); err != nil {
		return 0, "", err
	}
	var ids []string
	if err := s.sim.Rows("account", func(id string, _ map[string]any) bool {
		ids = append(ids, id)
		return true
	}); err != nil {
		return 0, "", err
	}
	for i, id := range ids {
		if err := s.sim.Update("account", id, map[string]any{"name": fmt.Sprintf("Contoso Branch %d, new", i)}); err != nil {
			return 0, "", err
		}
		if i%1000 == 0 && ctx.Err() != nil {
			return 0, "", ctx.Err()
		}
	}
	messages, err = s.messages(ctx, names.EventStream())
	return messages, link, err
}

// load has a bridge load the table and end once it would follow its changes.
func (s *stage) load(ctx context.Context, rows int) (err error) {
	p, err := s.bridge("", s.config(""))
	if err != nil {
		return err
	}
	defer p.stop(&err)
	if _, err := p.follow(ctx, rows, s.stored(names.EventStream(), 1)); err != nil {
		return err
	}
	stream, err := s.js.Stream(ctx, names.EventStream())
	if err != nil {
		return err
	}
	_, err = p.follow(ctx, 1, func(ctx context.Context) (int, error) {
		m, err := stream.GetLastMsgForSubject(ctx, names.Checkpoint("account"))
		if err != nil {
			return 0, err
		}
		c, err := outbound.DecodeCheckpoint(m.Data)
		if err != nil || c.Phase != outbound.PhaseFollowing {
			return 0, err
		}
		return 1, nil
	})
	return err
}

// sample is the newest event of the stream, without what the server added.
func (s *stage) sample(ctx context.Context) (nats.Header, []byte, error) {
	stream, err := s.js.Stream(ctx, names.EventStream())
	if err != nil {
		return nil, nil, err
	}
	m, err := s.newest(ctx, stream)
	if err != nil {
		return nil, nil, err
	}
	header := nats.Header(maps.Clone(m.Header))
	for name := range header {
		if strings.HasPrefix(name, "Nats-") {
			delete(header, name)
		}
	}
	return header, m.Data, nil
}

// newest looks back over the checkpoints, which stand between and behind the events.
func (s *stage) newest(ctx context.Context, stream jetstream.Stream) (*jetstream.RawStreamMsg, error) {
	events := strings.TrimSuffix(names.Table("account"), "*")
	for seq := stream.CachedInfo().State.LastSeq; seq > 0; seq-- {
		m, err := stream.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // the hole that an older checkpoint left
		}
		if err != nil || strings.HasPrefix(m.Subject, events) {
			return m, err
		}
	}
	return nil, errors.New("the stream has no event")
}

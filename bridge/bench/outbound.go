package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"cebridge/bridge"
	"cebridge/outbound"
	"cebridge/schema"
)

const (
	benchOrg = "bench"
	pageSize = 5000
)

// accounts fills the simulator with n rows of about size bytes.
func (s *stage) accounts(n, size int) error {
	// What a row holds besides the description: names, ids, dates, etag.
	filler := strings.Repeat("x", max(size-270, 0))
	return s.sim.Seed("account", n, func(i int) map[string]any {
		return map[string]any{"name": fmt.Sprintf("Contoso Branch %d", i), "accountnumber": fmt.Sprintf("C%08d", i), "description": filler}
	})
}

func outboundConfig(s *stage) (bridge.Config, error) {
	return bridge.ParseConfig("bench.yaml", fmt.Appendf(nil, `
org: %s
webapi: {url: "%s"}
nats: {urls: ["%s"]}
outbound:
  type_prefix: com.contoso.crm
  tables:
    account: {columns: [name, accountnumber, description], poll: 1h, page_size: %d}
`, benchOrg, s.url, s.nats.URL(), pageSize))
}

func outboundLoad(ctx context.Context, o Options) (Result, error) {
	res := Result{Name: fmt.Sprintf("outbound-load-%dB", o.RowBytes), Items: o.Rows}
	s, err := newStage(ctx, o, "outbound", nil)
	if err != nil {
		return res, err
	}
	defer s.close()
	if err := s.accounts(o.Rows, o.RowBytes); err != nil {
		return res, err
	}
	cfg, err := outboundConfig(s)
	if err != nil {
		return res, err
	}
	res.Ours, res.CPU, err = measure(o.Rows, func() error {
		b, err := bridge.New(cfg, bridge.WithLogger(o.Logger))
		if err != nil {
			return err
		}
		if err := b.Start(ctx); err != nil {
			return err
		}
		defer b.Stop(context.WithoutCancel(ctx))
		return s.await(ctx, func() bool {
			t := b.Status().Tables
			return len(t) == 1 && t[0].Events["loaded"] >= int64(o.Rows)
		})
	})
	if err != nil {
		return res, fmt.Errorf("bench outbound: %w", err)
	}
	res.RSS = residentMiB()
	res.Limit, res.LimitCPU, err = s.rawLoad(ctx, o)
	return res, err
}

// await waits until done says so. The bridge's own counts change at every commit,
// so a short tick costs no accuracy that matters.
func (s *stage) await(ctx context.Context, done func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// rawLoad drains the same pages and commits the same messages, and does nothing else.
func (s *stage) rawLoad(ctx context.Context, o Options) (rate, cpu float64, err error) {
	sample, err := s.sample(ctx, o.Rows)
	if err != nil {
		return 0, 0, fmt.Errorf("bench outbound limit: %w", err)
	}
	names := schema.Names{Prefix: "raw", Org: benchOrg}
	if _, err := s.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: names.EventStream(), Subjects: names.EventSubjects(), Storage: jetstream.FileStorage,
		MaxMsgsPerSubject: 8, AllowAtomicPublish: true, AllowMsgTTL: true, AllowRollup: true, AllowDirect: true,
	}); err != nil {
		return 0, 0, err
	}
	log := s.conn.Log(names.EventStream())
	rate, cpu, err = measure(o.Rows, func() error {
		pages := make(chan error, 1) // one page ahead
		go func() {
			defer close(pages)
			s.drainPages(ctx, pages)
		}()
		var fence uint64
		for err := range pages {
			if err != nil {
				return err
			}
			n := min(pageSize, len(sample))
			for part := sample[:n]; len(part) > 0; {
				k := min(outbound.MaxBatch-1, len(part))
				fence, err = log.Commit(ctx, outbound.Batch{
					Messages:   part[:k],
					Checkpoint: outbound.Message{Subject: names.Checkpoint("account"), Data: make([]byte, 500)},
					Expected:   fence,
				})
				if err != nil {
					return err
				}
				part = part[k:]
			}
			sample = sample[n:]
		}
		return nil
	})
	if err != nil {
		return 0, 0, fmt.Errorf("bench outbound limit: %w", err)
	}
	return rate, cpu, nil
}

// sample reads the first message we published and makes n like it.
func (s *stage) sample(ctx context.Context, n int) ([]outbound.Message, error) {
	stream, err := s.js.Stream(ctx, schema.Names{Prefix: "crm", Org: benchOrg}.EventStream())
	if err != nil {
		return nil, err
	}
	first, err := stream.GetMsg(ctx, 1)
	if err != nil {
		return nil, err
	}
	header := map[string][]string{}
	for name, values := range first.Header {
		if !strings.HasPrefix(name, "Nats-") {
			header[name] = values
		}
	}
	names := schema.Names{Prefix: "raw", Org: benchOrg}
	out := make([]outbound.Message, n)
	for i := range out {
		out[i] = outbound.Message{
			Subject: names.Record("account", fmt.Sprintf("00000000-0000-0000-0000-%012d", i)), Header: header, Data: first.Data,
		}
	}
	return out, nil
}

// drainPages follows the links of a tracked query without reading the rows.
func (s *stage) drainPages(ctx context.Context, pages chan<- error) {
	client := &http.Client{}
	defer client.CloseIdleConnections()
	url := s.url + "/api/data/v9.2/accounts?$select=name,accountnumber,description,modifiedon,versionnumber"
	var buf bytes.Buffer
	for url != "" {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err == nil {
			req.Header.Set("Prefer", fmt.Sprintf("odata.track-changes,odata.maxpagesize=%d", pageSize))
			err = drain(client, req, &buf)
		}
		pages <- err
		if err != nil {
			return
		}
		url = nextLink(buf.Bytes())
	}
}

func drain(client *http.Client, req *http.Request, buf *bytes.Buffer) error {
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	buf.Reset()
	if _, err := io.Copy(buf, res.Body); err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return fmt.Errorf("%s %s: status %d", req.Method, req.URL.Path, res.StatusCode)
	}
	return nil
}

// nextLink finds the link without decoding the page.
func nextLink(page []byte) string {
	const name = `"@odata.nextLink":`
	i := bytes.LastIndex(page, []byte(name))
	if i < 0 {
		return ""
	}
	var link string
	if json.NewDecoder(bytes.NewReader(page[i+len(name):])).Decode(&link) != nil {
		return ""
	}
	return link
}

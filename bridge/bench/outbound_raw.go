package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"cebridge/outbound"
)

// checkpointBytes is about the size of the bridge's own checkpoint.
const checkpointBytes = 500

// pages drains pages unread, one ahead, and commits messages like the bridge's in
// batches like the bridge's.
func (j job) pages(ctx context.Context, nc *nats.Conn) error {
	drained := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer close(drained)
		r := reader{client: &http.Client{}}
		defer r.client.CloseIdleConnections()
		for link := j.Links[0]; link != ""; link = r.link(`"@odata.nextLink":`) {
			err := r.get(ctx, link)
			select {
			case drained <- err:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	c := newCommitter(nc, j.Header, j.Data)
	for err := range drained {
		if err != nil {
			return err
		}
		for left := min(pageSize, j.Items-c.stored); left > 0; {
			n := min(outbound.MaxBatch-1, left)
			if err := c.commit(ctx, n); err != nil {
				return err
			}
			left -= n
		}
	}
	if c.stored != j.Items {
		return fmt.Errorf("the pages had room for %d of %d rows", c.stored, j.Items)
	}
	return nil
}

// committer stores copies of one message in atomic batches, each with a fenced
// checkpoint at its end, and does nothing that the protocol does not ask for.
type committer struct {
	nc         *nats.Conn
	event      nats.Msg
	checkpoint nats.Msg
	fence      uint64
	stored     int
}

func newCommitter(nc *nats.Conn, header nats.Header, data []byte) *committer {
	c := &committer{nc: nc, event: nats.Msg{Header: nats.Header{}, Data: data}}
	for name, values := range header {
		c.event.Header[name] = values
	}
	c.checkpoint = nats.Msg{Subject: rawNames.Checkpoint("account"), Data: make([]byte, checkpointBytes), Header: nats.Header{
		"Nats-Rollup": {"sub"}, "Nats-TTL": {"never"}, "Nats-Batch-Commit": {"1"},
	}}
	return c
}

// commit stores n messages on subjects not used before.
func (c *committer) commit(ctx context.Context, n int) error {
	id := []string{nuid.Next()}
	place := make([]string, 1)
	c.event.Header["Nats-Batch-Id"], c.event.Header["Nats-Batch-Sequence"] = id, place
	prefix := []byte(rawNames.Record("account", "00000000-0000-0000-0000-"))
	for i := range n {
		place[0] = strconv.Itoa(i + 1)
		// Twelve digits, as in the identifiers of the bridge's subjects.
		c.event.Subject = string(strconv.AppendInt(prefix, int64(1e11+c.stored+i), 10))
		if err := c.nc.PublishMsg(&c.event); err != nil {
			return err
		}
	}
	c.checkpoint.Header["Nats-Batch-Id"] = id
	c.checkpoint.Header["Nats-Batch-Sequence"] = []string{strconv.Itoa(n + 1)}
	c.checkpoint.Header["Nats-Expected-Last-Subject-Sequence"] = []string{strconv.FormatUint(c.fence, 10)}
	res, err := c.nc.RequestMsgWithContext(ctx, &c.checkpoint)
	if err != nil {
		return err
	}
	var answer struct {
		Sequence uint64          `json:"seq"`
		Count    int             `json:"count"`
		Error    json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(res.Data, &answer); err != nil || answer.Error != nil || answer.Count != n+1 {
		return errors.Join(fmt.Errorf("a batch was answered with %s", res.Data), err)
	}
	c.fence = answer.Sequence
	c.stored += n
	return nil
}

// reader reads pages of tracked queries into one buffer.
type reader struct {
	client *http.Client
	buf    bytes.Buffer
}

func (r *reader) get(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Prefer", fmt.Sprintf("odata.track-changes,odata.maxpagesize=%d", pageSize))
	return drain(r.client, req, &r.buf)
}

// link finds a link of the page without decoding it.
func (r *reader) link(name string) string {
	page := r.buf.Bytes()
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

// deltaLink follows a query to its end and returns the link for what changes later.
func (r *reader) deltaLink(ctx context.Context, url string) (string, error) {
	for url != "" {
		if err := r.get(ctx, url); err != nil {
			return "", err
		}
		if link := r.link(`"@odata.deltaLink":`); link != "" {
			return link, nil
		}
		url = r.link(`"@odata.nextLink":`)
	}
	return "", errors.New("the last page has no delta link")
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

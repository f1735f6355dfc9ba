package jet

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/outbound"
	"cebridge/schema/event"
)

const (
	// payloadScheme begins the URI of an object: nats-object:<bucket>/<name>.
	payloadScheme = "nats-object:"
	// payloadTimeout bounds one call to the object store whose context has no deadline.
	payloadTimeout = 30 * time.Second
	// wholeTimeout bounds the look at an object that is there already.
	wholeTimeout = 5 * time.Second
	// payloadChunk is how large a message of an object is, where the server takes it.
	payloadChunk = 128 << 10
	// batchSlack is room for the headers that a commit adds to an event.
	batchSlack = 1 << 10
)

// Payloads keeps the data of large events in an object store bucket. It implements
// outbound.Payloads.
type Payloads struct {
	c      *Conn
	bucket string
	log    *Log
	limit  int
}

// Payloads returns the payloads of the events of log. limit is the size above which an
// event's data is put aside; 0 for what the server and the stream take.
func (c *Conn) Payloads(bucket string, log *Log, limit int) *Payloads {
	return &Payloads{c: c, bucket: bucket, log: log, limit: limit}
}

// Bucket is the bucket's name.
func (p *Payloads) Bucket() string { return p.bucket }

// Above implements outbound.Payloads.
func (p *Payloads) Above(ctx context.Context) (int, error) {
	lim, err := p.log.config(ctx)
	if err != nil {
		return 0, err
	}
	most := int(p.c.nc.MaxPayload())
	if lim.maxMessage >= 0 {
		most = min(most, lim.maxMessage)
	}
	most = max(most-batchSlack, 0)
	if p.limit > 0 {
		most = min(most, p.limit)
	}
	return most, nil
}

// Put implements outbound.Payloads. An object of that name that is there whole, with
// the same bytes, is left as it is; what an interrupted Put left is replaced.
func (p *Payloads) Put(ctx context.Context, name string, data []byte) (string, error) {
	uri := payloadScheme + p.bucket + "/" + name
	ctx, done := bounded(ctx)
	defer done()
	store, err := p.open(ctx)
	if err != nil {
		return "", err
	}
	switch _, err := store.GetInfo(ctx, name); {
	case err == nil:
		if p.whole(ctx, store, name, data) {
			return uri, nil
		}
	case !errors.Is(err, jetstream.ErrObjectNotFound):
		return "", p.fault(ctx, "look for object "+name, err)
	}
	chunk := min(payloadChunk, max(int(p.c.nc.MaxPayload())/2, 1<<10))
	if lim, err := p.log.config(ctx); err == nil && lim.maxMessage >= 0 {
		chunk = min(chunk, max(lim.maxMessage/2, 1<<10))
	}
	_, err = store.Put(ctx, jetstream.ObjectMeta{Name: name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: uint32(chunk)}},
		bytes.NewReader(data))
	if err != nil {
		return "", p.fault(ctx, "store object "+name, err)
	}
	return uri, nil
}

// Get implements outbound.Payloads. The object's digest is verified.
func (p *Payloads) Get(ctx context.Context, uri string) ([]byte, error) {
	bucket, name, err := parsePayloadURI(uri)
	if err != nil {
		return nil, err
	}
	ctx, done := bounded(ctx)
	defer done()
	store, err := (&Payloads{c: p.c, bucket: bucket}).open(ctx)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, fmt.Errorf("%w: %w", outbound.ErrNoPayload, err)
	}
	if err != nil {
		return nil, err
	}
	info, err := store.GetInfo(ctx, name)
	switch {
	case errors.Is(err, jetstream.ErrObjectNotFound):
		return nil, p.missing(ctx, bucket, name)
	case err != nil:
		return nil, p.fault(ctx, "read object "+name, err)
	case info.Size > event.MaxPayload:
		return nil, fmt.Errorf("object %s of bucket %s has %d bytes, more than %d", name, bucket, info.Size, event.MaxPayload)
	}
	data, err := store.GetBytes(ctx, name)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil, p.missing(ctx, bucket, name)
	}
	if err != nil {
		return nil, p.fault(ctx, "read object "+name, err)
	}
	return data, nil
}

// missing is the error for an object that was not found. The client library asks any
// replica, and one that lags does not know the youngest objects: that one is gone is the
// leader's word alone.
func (p *Payloads) missing(ctx context.Context, bucket, name string) error {
	uri := payloadScheme + bucket + "/" + name
	last, err := p.c.lastOf(ctx, bucketStream(bucket), metaSubject(bucket, name))
	switch {
	case err != nil:
		return p.fault(ctx, "look for object "+name, err)
	case last.Seq == 0:
		return fmt.Errorf("%w: %s", outbound.ErrNoPayload, uri)
	}
	var o object
	if err := json.Unmarshal(last.Data, &o); err != nil {
		return fmt.Errorf("object %s of bucket %s cannot be read: %w", name, bucket, err)
	}
	if o.Deleted {
		return fmt.Errorf("%w: %s was deleted", outbound.ErrNoPayload, uri)
	}
	return fmt.Errorf("read object %s: %w: a replica that lags does not have it yet", name, outbound.ErrUnavailable)
}

// whole tells whether an object has these bytes. One whose chunks are missing is not
// waited for: it is stored again.
func (p *Payloads) whole(ctx context.Context, store jetstream.ObjectStore, name string, data []byte) bool {
	ctx, cancel := context.WithTimeout(ctx, wholeTimeout)
	defer cancel()
	stored, err := store.GetBytes(ctx, name)
	return err == nil && bytes.Equal(stored, data)
}

func (p *Payloads) open(ctx context.Context) (jetstream.ObjectStore, error) {
	store, err := p.c.js.ObjectStore(ctx, p.bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, fmt.Errorf("%w: there is no object store bucket %s: make it, or run apply: %w", outbound.ErrMisconfigured, p.bucket, err)
	}
	if err != nil {
		return nil, p.fault(ctx, "open object store bucket "+p.bucket, err)
	}
	return store, nil
}

// fault gives an error of the object store its sentinel. Whether a failed Put stored
// anything is not asked: its next try looks.
func (p *Payloads) fault(ctx context.Context, what string, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case errors.Is(err, nats.ErrPermissionViolation):
		return fmt.Errorf("%s: %w: %w", what, outbound.ErrMisconfigured, err)
	}
	sentinel := outbound.ErrUnavailable
	var api *jetstream.APIError
	if errors.As(err, &api) {
		if errors.Is(refusal(api), outbound.ErrFull) {
			sentinel = outbound.ErrFull
		}
	}
	return fmt.Errorf("%s: %w: %w", what, sentinel, p.c.explain(err, time.Now().Add(-payloadTimeout)))
}

// parsePayloadURI splits nats-object:<bucket>/<name>.
func parsePayloadURI(uri string) (bucket, name string, err error) {
	rest, ok := strings.CutPrefix(uri, payloadScheme)
	bucket, name, cut := strings.Cut(rest, "/")
	if !ok || !cut || bucket == "" || name == "" {
		return "", "", fmt.Errorf("%w: %q is no address of the bridge's object store", outbound.ErrNoPayload, uri)
	}
	return bucket, name, nil
}

func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, payloadTimeout)
}

// metaSubject is where the object store keeps what it knows of an object. Source:
// ADR-20.
func metaSubject(bucket, name string) string {
	return "$O." + bucket + ".M." + base64.URLEncoding.EncodeToString([]byte(name))
}

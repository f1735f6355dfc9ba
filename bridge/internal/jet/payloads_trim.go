package jet

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/outbound"
)

// object is what the store keeps of an object, as far as it matters here.
type object struct {
	Name    string `json:"name"`
	NUID    string `json:"nuid"`
	Deleted bool   `json:"deleted"`
}

// Objects calls fn with the name of every object of the bucket. An object that is put
// meanwhile may be missed. No bucket: no objects.
func (p *Payloads) Objects(ctx context.Context, fn func(name string) error) error {
	return p.objects(ctx, func(o object) error {
		if o.Deleted {
			return nil
		}
		return fn(o.Name)
	})
}

func (p *Payloads) objects(ctx context.Context, fn func(object) error) error {
	exists, err := p.c.StreamExists(ctx, bucketStream(p.bucket))
	if err != nil || !exists {
		return err
	}
	err = p.c.Walk(ctx, Walk{Stream: bucketStream(p.bucket), Filter: []string{"$O." + p.bucket + ".M.>"}}, func(s Step) error {
		var o object
		if err := json.Unmarshal(s.Data, &o); err != nil {
			return fmt.Errorf("message %d is no object: %w", s.Sequence, err)
		}
		return fn(o)
	})
	if err != nil {
		return fmt.Errorf("list the objects of bucket %s: %w", p.bucket, err)
	}
	return nil
}

// Remove removes an object for good: its content, and the mark that the object store
// would keep of it. One that is not there is no error.
func (p *Payloads) Remove(ctx context.Context, name string) error {
	fail := func(err error) error { return fmt.Errorf("remove object %s of bucket %s: %w", name, p.bucket, err) }
	last, err := p.c.lastOf(ctx, bucketStream(p.bucket), metaSubject(p.bucket, name))
	if err != nil {
		return fail(err)
	}
	if last.Seq == 0 {
		return nil
	}
	var o object
	if err := json.Unmarshal(last.Data, &o); err != nil {
		return fail(err)
	}
	if o.NUID != "" {
		if err := p.purge(ctx, "$O."+p.bucket+".C."+o.NUID); err != nil {
			return fail(err)
		}
	}
	// The name goes last: until then the next try finds what is left to remove.
	if err := p.purge(ctx, metaSubject(p.bucket, name)); err != nil {
		return fail(err)
	}
	return nil
}

func (p *Payloads) purge(ctx context.Context, subject string) error {
	var out struct{}
	return p.c.api(ctx, "STREAM.PURGE."+bucketStream(p.bucket), map[string]string{"filter": subject}, &out)
}

// Oldest reads the first message that a subject still has; sequence 0 when it has none.
func (c *Conn) Oldest(ctx context.Context, stream, subject string) (outbound.Stored, error) {
	fail := func(err error) (outbound.Stored, error) {
		return outbound.Stored{}, fmt.Errorf("read the oldest message on %s of stream %s: %w", subject, stream, err)
	}
	if err := checkSubject(subject); err != nil {
		return fail(err)
	}
	var answer struct {
		Message leaderMessage `json:"message"`
	}
	err := c.api(ctx, "STREAM.MSG.GET."+stream, map[string]any{"seq": 1, "next_by_subj": subject}, &answer)
	switch {
	case code(err) == codeNoMessage:
		return outbound.Stored{}, nil
	case err != nil:
		return fail(err)
	}
	m := answer.Message
	s := outbound.Stored{Subject: m.Subject, Sequence: m.Seq, Data: m.Data}
	if len(m.Header) > 0 {
		h, err := nats.DecodeHeadersMsg(m.Header)
		if err != nil {
			return fail(err)
		}
		s.Header = strip(h)
	}
	return s, nil
}

// orphanAge is how old chunks that no object names must be before they are taken for
// what a killed process left: an upload takes seconds.
const orphanAge = time.Hour

// RemoveOrphans removes the chunks of uploads that never ended and tells how many
// uploads there were.
func (p *Payloads) RemoveOrphans(ctx context.Context, now time.Time) (removed int, err error) {
	// The chunks first: an object that is finished between the two lists is then named.
	chunks, err := p.chunkSubjects(ctx)
	if err != nil || len(chunks) == 0 {
		return 0, err
	}
	if err := p.objects(ctx, func(o object) error {
		delete(chunks, "$O."+p.bucket+".C."+o.NUID)
		return nil
	}); err != nil {
		return 0, err
	}
	for subject := range chunks {
		last, err := p.c.lastOf(ctx, bucketStream(p.bucket), subject)
		if err != nil {
			return removed, fmt.Errorf("look for lost chunks of bucket %s: %w", p.bucket, err)
		}
		if last.Seq == 0 || now.Sub(last.Time) < orphanAge {
			continue
		}
		if err := p.purge(ctx, subject); err != nil {
			return removed, fmt.Errorf("remove lost chunks of bucket %s: %w", p.bucket, err)
		}
		removed++
	}
	return removed, nil
}

// chunkSubjects lists the subjects of chunks. The server answers with at most 100,000
// of them at a time; what is beyond is looked at by a later call, when some are gone.
func (p *Payloads) chunkSubjects(ctx context.Context) (map[string]bool, error) {
	var info jetstream.StreamInfo
	err := p.c.api(ctx, "STREAM.INFO."+bucketStream(p.bucket), map[string]string{"subjects_filter": "$O." + p.bucket + ".C.>"}, &info)
	if code(err) == codeStreamNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the chunks of bucket %s: %w", p.bucket, err)
	}
	subjects := make(map[string]bool, len(info.State.Subjects))
	for s := range info.State.Subjects {
		subjects[s] = true
	}
	return subjects, nil
}

package jet

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/outbound"
)

const testBucket = "CRM_CONTOSO_DATA"

// newPayloads starts a server with an event stream and a bucket.
func newPayloads(t *testing.T, limit int, change ...func(*EmbeddedOptions)) (*Conn, *Payloads) {
	t.Helper()
	c := connect(t, startServer(t, change...))
	if err := c.EnsureEventStream(t.Context(), ProvisionApply, eventStream(), true); err != nil {
		t.Fatal(err)
	}
	if err := c.EnsureBucket(t.Context(), ProvisionApply, testBucket, 1); err != nil {
		t.Fatal(err)
	}
	return c, c.Payloads(testBucket, c.Log(testStream), limit)
}

func bucketMessages(t *testing.T, c *Conn) uint64 {
	t.Helper()
	s, err := c.js.Stream(t.Context(), "OBJ_"+testBucket)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

func objectNames(t *testing.T, p *Payloads) (names []string) {
	t.Helper()
	if err := p.Objects(t.Context(), func(name string) error { names = append(names, name); return nil }); err != nil {
		t.Fatal(err)
	}
	return names
}

func TestAPayloadIsStoredOnceAndReadBackByAnyClient(t *testing.T) {
	t.Parallel()
	c, p := newPayloads(t, 0, func(o *EmbeddedOptions) { o.MaxPayload = 8 << 10 })
	const name = "account/00000000-0000-4000-8000-000000000001/0001.0000000000000000007.0/00ff"
	data := bytes.Repeat([]byte("0123456789abcdef"), 4096) // 64 KiB: many chunks
	uri, err := p.Put(t.Context(), name, data)
	if err != nil || uri != "nats-object:"+testBucket+"/"+name {
		t.Fatalf("%s, %v", uri, err)
	}
	before := bucketMessages(t, c)
	if again, err := p.Put(t.Context(), name, data); err != nil || again != uri || bucketMessages(t, c) != before {
		t.Errorf("again: %s, %v, %d messages after %d", again, err, bucketMessages(t, c), before)
	}
	if got, err := p.Get(t.Context(), uri); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes are read, %v", len(got), err)
	}
	store, err := c.js.ObjectStore(t.Context(), testBucket)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := store.GetBytes(t.Context(), name); err != nil || !bytes.Equal(got, data) {
		t.Errorf("a plain client reads %d bytes, %v", len(got), err)
	}
	// Removed, nothing is left: not even a mark.
	if err := p.Remove(t.Context(), name); err != nil || bucketMessages(t, c) != 0 {
		t.Errorf("removed: %v, %d messages are left", err, bucketMessages(t, c))
	}
	if err := p.Remove(t.Context(), name); err != nil {
		t.Errorf("removed again: %v", err)
	}
	if _, err := p.Get(t.Context(), uri); !errors.Is(err, outbound.ErrNoPayload) {
		t.Errorf("a removed one: %v", err)
	}
}

func TestAnInterruptedPutIsReplacedByTheNext(t *testing.T) {
	t.Parallel()
	c, p := newPayloads(t, 0)
	data := []byte(strings.Repeat("x", 1000))
	if _, err := p.Put(t.Context(), "a/b/c/d", data); err != nil {
		t.Fatal(err)
	}
	store, err := c.js.ObjectStore(t.Context(), testBucket)
	if err != nil {
		t.Fatal(err)
	}
	info, err := store.GetInfo(t.Context(), "a/b/c/d")
	if err != nil {
		t.Fatal(err)
	}
	// The name is there, the chunk is not what it says.
	if err := p.purge(t.Context(), "$O."+testBucket+".C."+info.NUID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.js.Publish(t.Context(), "$O."+testBucket+".C."+info.NUID, []byte(strings.Repeat("y", 1000))); err != nil {
		t.Fatal(err)
	}
	uri, err := p.Put(t.Context(), "a/b/c/d", data)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := p.Get(t.Context(), uri); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%.20s, %v", got, err)
	}
}

func TestChunksWithoutANameAreRemovedOnceTheyAreOld(t *testing.T) {
	t.Parallel()
	c, p := newPayloads(t, 0)
	if _, err := p.Put(t.Context(), "a/b/c/d", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	for range 3 { // a killed upload
		if _, err := c.js.Publish(t.Context(), "$O."+testBucket+".C.lost", []byte("chunk")); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := p.RemoveOrphans(t.Context(), time.Now()); n != 0 || err != nil {
		t.Errorf("young: %d, %v", n, err)
	}
	if n, err := p.RemoveOrphans(t.Context(), time.Now().Add(2*orphanAge)); n != 1 || err != nil {
		t.Errorf("old: %d, %v", n, err)
	}
	if n := bucketMessages(t, c); n != 2 {
		t.Errorf("%d messages are left, want the object's two", n)
	}
	if got := objectNames(t, p); len(got) != 1 || got[0] != "a/b/c/d" {
		t.Errorf("objects %v", got)
	}
}

func TestTheLimitIsWhatServerStreamAndConfigurationTake(t *testing.T) {
	t.Parallel()
	c, p := newPayloads(t, 0, func(o *EmbeddedOptions) { o.MaxPayload = 64 << 10 })
	if n, err := p.Above(t.Context()); err != nil || n != 64<<10-batchSlack {
		t.Errorf("by the server: %d, %v", n, err)
	}
	if n, err := c.Payloads(testBucket, c.Log(testStream), 5000).Above(t.Context()); err != nil || n != 5000 {
		t.Errorf("by the configuration: %d, %v", n, err)
	}
	s, err := c.js.Stream(t.Context(), testStream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.MaxMsgSize = 9000
	if _, err := c.js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Payloads(testBucket, c.Log(testStream), 0).Above(t.Context()); err != nil || n != 9000-batchSlack {
		t.Errorf("by the stream: %d, %v", n, err)
	}
	// What is just below the limit is taken by a commit.
	log := c.Log(testStream)
	small, err := c.Payloads(testBucket, log, 0).Above(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := outbound.Message{Subject: names.Record("account", recordID(1)), Data: bytes.Repeat([]byte("x"), small)}
	if _, err := log.Commit(t.Context(), outbound.Batch{Messages: []outbound.Message{m}, Checkpoint: checkpoint("1")}); err != nil {
		t.Error(err)
	}
}

func TestAMissingOrForgetfulBucketIsNamed(t *testing.T) {
	t.Parallel()
	c := connect(t, startServer(t))
	if err := c.EnsureEventStream(t.Context(), ProvisionApply, eventStream(), true); err != nil {
		t.Fatal(err)
	}
	p := c.Payloads(testBucket, c.Log(testStream), 0)
	if _, err := p.Put(t.Context(), "a/b/c/d", []byte("x")); !errors.Is(err, outbound.ErrMisconfigured) || !strings.Contains(err.Error(), testBucket) {
		t.Errorf("put: %v", err)
	}
	if _, err := p.Get(t.Context(), "nats-object:"+testBucket+"/a"); !errors.Is(err, outbound.ErrNoPayload) {
		t.Errorf("get: %v", err)
	}
	for _, uri := range []string{"", "https://a/b", "nats-object:", "nats-object:b", "nats-object:/x"} {
		if _, err := p.Get(t.Context(), uri); !errors.Is(err, outbound.ErrNoPayload) {
			t.Errorf("get %q: %v", uri, err)
		}
	}
	if got := objectNames(t, p); got != nil {
		t.Errorf("objects %v", got)
	}
	if n, err := p.RemoveOrphans(t.Context(), time.Now()); n != 0 || err != nil {
		t.Errorf("orphans %d, %v", n, err)
	}
	if err := c.EnsureBucket(t.Context(), ProvisionVerify, testBucket, 1); !errors.Is(err, outbound.ErrMisconfigured) {
		t.Errorf("verify: %v", err)
	}
	if _, err := c.js.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: testBucket, TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	exists, diffs, err := c.CompareBucket(t.Context(), testBucket, 1)
	if err != nil || !exists || len(diffs) != 1 || diffs[0].Setting != "max_age" {
		t.Errorf("a bucket that forgets: %t, %v, %v", exists, diffs, err)
	}
	if err := c.EnsureBucket(t.Context(), ProvisionApply, testBucket, 1); err != nil {
		t.Fatal(err)
	}
	if _, diffs, err := c.CompareBucket(t.Context(), testBucket, 1); err != nil || len(diffs) != 0 {
		t.Errorf("after apply: %v, %v", diffs, err)
	}
}

func TestTheOldestMessageOfASubjectIsFound(t *testing.T) {
	t.Parallel()
	c, log := newLog(t, func(s *EventStream) { s.HistoryPerRecord = 2 })
	subject := names.Record("account", recordID(1))
	if m, err := c.Oldest(t.Context(), testStream, subject); err != nil || m.Sequence != 0 {
		t.Errorf("none: %+v, %v", m, err)
	}
	var fence uint64
	for _, text := range []string{"1", "2", "3"} {
		var err error
		m := outbound.Message{Subject: subject, Header: nats.Header{"Crm-Version": {text}}, Data: []byte(text)}
		if fence, err = log.Commit(t.Context(), outbound.Batch{Messages: []outbound.Message{m}, Checkpoint: checkpoint(text), Expected: fence}); err != nil {
			t.Fatal(err)
		}
	}
	m, err := c.Oldest(t.Context(), testStream, subject)
	if err != nil || string(m.Data) != "2" || m.Header["Crm-Version"][0] != "2" {
		t.Errorf("%+v, %v", m, err)
	}
}

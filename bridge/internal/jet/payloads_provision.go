package jet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// bucketStream is the stream behind an object store bucket. Source: ADR-20.
func bucketStream(bucket string) string { return "OBJ_" + bucket }

// EnsureBucket verifies the object store bucket for the data of large events, or
// brings it about. An empty bucket in the place of a lost one hides nothing: events
// whose data is gone halt their table when it is needed.
func (c *Conn) EnsureBucket(ctx context.Context, mode Mode, bucket string, replicas int) error {
	return c.ensureStream(ctx, mode, wantBucket(bucket, replicas), true, compareBucket)
}

// CompareBucket lists how the bucket differs; exists is false when there is none. It
// changes nothing.
func (c *Conn) CompareBucket(ctx context.Context, bucket string, replicas int) (exists bool, diffs []Difference, err error) {
	started := time.Now()
	stream, err := c.js.Stream(ctx, bucketStream(bucket))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return false, nil, nil
	}
	if err != nil {
		return false, nil, fmt.Errorf("read the configuration of bucket %s: %w", bucket, c.explain(err, started))
	}
	have := stream.CachedInfo().Config
	want := wantBucket(bucket, replicas)
	return true, compareBucket(&have, &want), nil
}

func wantBucket(bucket string, replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: bucketStream(bucket), Subjects: []string{"$O." + bucket + ".C.>", "$O." + bucket + ".M.>"}, Replicas: max(replicas, 1),
		Description: "cebridge: the data of events that are too large for a message",
		Retention:   jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew,
		MaxMsgs: -1, MaxBytes: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1, MaxConsumers: -1,
		AllowRollup: true, AllowDirect: true,
	}
}

// compareBucket is what holds for every stream that must not forget; its size belongs
// to its operator.
func compareBucket(have, want *jetstream.StreamConfig) []Difference {
	d := compareCommon(have, want)
	d.flag("allow_rollup_hdrs", have.AllowRollup, true, "")
	d.flag("deny_purge", have.DenyPurge, false, "it cannot be taken back, and what no event needs could never be removed: make the bucket anew")
	return d
}

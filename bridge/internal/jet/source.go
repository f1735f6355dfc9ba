package jet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// StreamExists tells whether there is a stream of that name.
func (c *Conn) StreamExists(ctx context.Context, name string) (bool, error) {
	started := time.Now()
	_, err := c.js.Stream(ctx, name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look for stream %s: %w", name, c.explain(err, started))
	}
	return true, nil
}

// EnsureSourceStream provides a stream for the messages of other systems. It is
// made when missing; an existing one must take the subjects, everything else about
// it belongs to its owner.
func (c *Conn) EnsureSourceStream(ctx context.Context, mode Mode, name string, subjects []string, replicas int) error {
	want := jetstream.StreamConfig{
		Name: name, Subjects: subjects, Replicas: max(replicas, 1), Description: "messages for cebridge",
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew,
		MaxMsgs: -1, MaxBytes: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1, MaxConsumers: -1,
		AllowDirect: true,
	}
	return c.ensureStream(ctx, mode, want, true, compareSource)
}

// compareSource reports subjects that the stream does not take.
func compareSource(have, want *jetstream.StreamConfig) []Difference {
	for _, s := range want.Subjects {
		if !slices.Contains(have.Subjects, s) {
			return []Difference{{
				Setting: "subjects", Have: strings.Join(have.Subjects, " "), Want: strings.Join(want.Subjects, " "),
				Danger: "the stream has an owner who decides what it takes",
			}}
		}
	}
	return nil
}

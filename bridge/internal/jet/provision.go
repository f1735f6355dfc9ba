package jet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"cebridge/outbound"
)

// Mode says what may be done to streams and consumers.
type Mode string

// The modes. None neither looks nor changes; verify compares and fails on any
// difference; apply makes what is missing and changes what is safe to change.
const (
	ProvisionNone   Mode = "none"
	ProvisionVerify Mode = "verify"
	ProvisionApply  Mode = "apply"
)

// Difference is one setting that is not as the bridge needs it.
type Difference struct {
	Setting    string
	Have, Want string
	// Danger says why apply leaves the setting to a person; empty when apply may
	// change it.
	Danger string
}

// String renders setting: have, want, and the danger.
func (d Difference) String() string {
	s := fmt.Sprintf("%s is %s, want %s", d.Setting, d.Have, d.Want)
	if d.Danger != "" {
		s += " (" + d.Danger + ")"
	}
	return s
}

// EventStream is what the stream of events and checkpoints must be like.
type EventStream struct {
	Name     string
	Subjects []string
	Replicas int
	// HistoryPerRecord is how many messages of one record are kept; -1 keeps all.
	HistoryPerRecord int
	// MaxBytes bounds the stream; a full stream refuses new messages. 0 and -1 are
	// unlimited.
	MaxBytes int64
}

// EnsureEventStream verifies the event stream or brings it about. A missing stream
// is made only with mayCreate: once a bridge has published, a vanished stream is a
// fault that a person must look at, since an empty one in its place would hide it.
// Everything a person must do comes back as one error wrapping
// outbound.ErrMisconfigured that lists all differences.
func (c *Conn) EnsureEventStream(ctx context.Context, mode Mode, s EventStream, mayCreate bool) error {
	want := wantEventStream(s)
	return c.ensureStream(ctx, mode, want, mayCreate, compareEvents)
}

// EnsureDeadStream does the same for the stream of dead letters and parked messages.
func (c *Conn) EnsureDeadStream(ctx context.Context, mode Mode, name string, subjects []string, replicas int) error {
	want := wantDeadStream(name, subjects, replicas)
	return c.ensureStream(ctx, mode, want, true, compareDead)
}

func wantDeadStream(name string, subjects []string, replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: name, Subjects: subjects, Replicas: max(replicas, 1),
		Description: "cebridge: dead letters and parked messages",
		Retention:   jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew,
		MaxMsgs: -1, MaxBytes: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1, MaxConsumers: -1,
		AllowDirect: true,
	}
}

// CompareEventStream lists how the stream differs; exists is false when there is
// none. It changes nothing.
func (c *Conn) CompareEventStream(ctx context.Context, s EventStream) (exists bool, diffs []Difference, err error) {
	stream, err := c.js.Stream(ctx, s.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return false, nil, nil
	}
	if err != nil {
		return false, nil, fmt.Errorf("read the configuration of stream %s: %w", s.Name, err)
	}
	have := stream.CachedInfo().Config
	want := wantEventStream(s)
	return true, compareEvents(&have, &want), nil
}

func wantEventStream(s EventStream) jetstream.StreamConfig {
	if s.MaxBytes == 0 {
		s.MaxBytes = -1
	}
	return jetstream.StreamConfig{
		Name: s.Name, Subjects: s.Subjects, Replicas: max(s.Replicas, 1),
		Description: "cebridge: events, checkpoints and notices",
		Retention:   jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew,
		MaxMsgs: -1, MaxBytes: s.MaxBytes, MaxMsgSize: -1, MaxConsumers: -1,
		MaxMsgsPerSubject:  int64(s.HistoryPerRecord),
		AllowAtomicPublish: true, AllowMsgTTL: true, AllowRollup: true, AllowDirect: true,
	}
}

type compareFunc func(have, want *jetstream.StreamConfig) []Difference

func (c *Conn) ensureStream(ctx context.Context, mode Mode, want jetstream.StreamConfig, mayCreate bool, compare compareFunc) error {
	if mode == ProvisionNone {
		return nil
	}
	if mode != ProvisionVerify && mode != ProvisionApply {
		return fmt.Errorf("stream %s: unknown provisioning mode %q", want.Name, mode)
	}
	started := time.Now()
	stream, err := c.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return c.createStream(ctx, mode, want, mayCreate, compare)
	}
	if err != nil {
		return fmt.Errorf("read the configuration of stream %s: %w", want.Name, c.explain(err, started))
	}
	have := stream.CachedInfo().Config
	diffs := compare(&have, &want)
	if len(diffs) == 0 {
		return nil
	}
	if mode == ProvisionVerify {
		return misfit("stream "+want.Name, "change it, or run apply", diffs)
	}
	if danger := dangers(diffs); len(danger) > 0 {
		return misfit("stream "+want.Name, "apply changes none of it: a person must", danger)
	}
	if _, err := c.js.UpdateStream(ctx, merge(have, want)); err != nil {
		return fmt.Errorf("update stream %s: %w", want.Name, c.explain(err, started))
	}
	for _, d := range diffs {
		c.log.Info("changed a setting of a stream", "stream", want.Name, "setting", d.Setting, "from", d.Have, "to", d.Want)
	}
	return nil
}

func (c *Conn) createStream(ctx context.Context, mode Mode, want jetstream.StreamConfig, mayCreate bool, compare compareFunc) error {
	if mode != ProvisionApply {
		return fmt.Errorf("%w: stream %s does not exist: make it, or run apply", outbound.ErrMisconfigured, want.Name)
	}
	if !mayCreate {
		return fmt.Errorf("%w: stream %s is gone: restore it from a backup, or confirm that publishing starts anew",
			outbound.ErrMisconfigured, want.Name)
	}
	started := time.Now()
	stream, err := c.js.CreateStream(ctx, want)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // a rival was first, with other settings
		return c.ensureStream(ctx, ProvisionVerify, want, false, compare)
	}
	if err != nil {
		return fmt.Errorf("create stream %s: %w", want.Name, c.explain(err, started))
	}
	// A server that does not know a setting ignores it.
	got := stream.CachedInfo().Config
	if want.AllowAtomicPublish {
		if missing := missingFlags(&got); len(missing) > 0 {
			return fmt.Errorf("%w: the server made stream %s without %v: upgrade every server to %s or newer",
				outbound.ErrMisconfigured, want.Name, missing, MinServer)
		}
	}
	c.log.Info("created a stream", "stream", want.Name, "subjects", want.Subjects, "replicas", want.Replicas)
	return nil
}

// misfit lists differences in one error.
func misfit(what, action string, diffs []Difference) error {
	lines := make([]string, len(diffs))
	for i, d := range diffs {
		lines[i] = d.String()
	}
	return fmt.Errorf("%w: %s: %s; %s", outbound.ErrMisconfigured, what, strings.Join(lines, "; "), action)
}

func dangers(diffs []Difference) []Difference {
	return slices.DeleteFunc(slices.Clone(diffs), func(d Difference) bool { return d.Danger == "" })
}

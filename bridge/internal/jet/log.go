package jet

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/outbound"
)

// Log is one event stream. It is safe for concurrent use.
type Log struct {
	c      *Conn
	stream string
	// limits is what the stream takes, nil until read and after a refusal.
	limits atomic.Pointer[streamLimits]
}

var _ outbound.Stream = (*Log)(nil)

// streamLimits is the part of a stream's configuration that a commit must respect.
type streamLimits struct {
	maxMessage int // bytes of headers and body; -1 is unlimited
	subjects   []string
}

// Log names the stream to work on. It does no I/O.
func (c *Conn) Log(stream string) *Log { return &Log{c: c, stream: stream} }

// Checkpoint implements outbound.Log. The subject may have wildcards: the last
// message on any of them is then read. A missing stream is ErrMisconfigured, an
// unanswered request ErrUnavailable.
func (l *Log) Checkpoint(ctx context.Context, subject string) (data []byte, seq uint64, err error) {
	if err := checkFilter(subject); err != nil {
		return nil, 0, err
	}
	m, err := l.c.lastOf(ctx, l.stream, subject)
	if err != nil {
		return nil, 0, l.readError(ctx, "read the checkpoint "+subject, err)
	}
	return m.Data, m.Seq, nil
}

// leaderMessage is a message as the stream's leader returns it; the zero value
// stands for none.
type leaderMessage struct {
	Subject string `json:"subject"`
	Seq     uint64 `json:"seq"`
	Header  []byte `json:"hdrs"`
	Data    []byte `json:"data"`
	// Time is when the stream stored it.
	Time time.Time `json:"time"`
}

// lastOf reads the last message on subject, which may have wildcards, from the
// stream's leader.
func (c *Conn) lastOf(ctx context.Context, stream, subject string) (leaderMessage, error) {
	var answer struct {
		Message leaderMessage `json:"message"`
	}
	in := map[string]string{"last_by_subj": subject}
	err := c.api(ctx, "STREAM.MSG.GET."+stream, in, &answer)
	if code(err) == codeNoMessage {
		return leaderMessage{}, nil
	}
	if err != nil {
		return leaderMessage{}, err
	}
	if answer.Message.Seq == 0 {
		return leaderMessage{}, fmt.Errorf("stream %s: the answer for %s has no sequence", stream, subject)
	}
	return answer.Message, nil
}

// readError gives a failed read its sentinel.
func (l *Log) readError(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
	return fmt.Errorf("%s: %w", what, l.classifyRead(ctx, err))
}

func (l *Log) classifyRead(ctx context.Context, err error) error {
	var callers *callerError
	switch {
	case errors.As(err, &callers):
		return callers.err
	case errors.Is(err, outbound.ErrMisconfigured), errors.Is(err, outbound.ErrStale),
		errors.Is(err, outbound.ErrFenced), errors.Is(err, outbound.ErrTooLarge):
		return err
	case errors.Is(err, nats.ErrPermissionViolation), code(err) == codeStreamNotFound:
		return fmt.Errorf("%w: %w", outbound.ErrMisconfigured, err)
	case errors.Is(err, nats.ErrNoResponders):
		return l.absent(ctx, err)
	}
	return fmt.Errorf("%w: %w", outbound.ErrUnavailable, err)
}

// absent tells a stream that is not there, or does not answer direct reads, from a
// server that is not ready: all three look like nobody listening.
func (l *Log) absent(ctx context.Context, cause error) error {
	_, err := l.readLimits(ctx)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, outbound.ErrMisconfigured):
		return err
	}
	return fmt.Errorf("%w: %w", outbound.ErrUnavailable, cause)
}

// config returns the cached limits, reading them when there are none.
func (l *Log) config(ctx context.Context) (*streamLimits, error) {
	if lim := l.limits.Load(); lim != nil {
		return lim, nil
	}
	lim, err := l.readLimits(ctx)
	if err == nil {
		l.limits.Store(lim)
	}
	return lim, err
}

// readLimits reads the stream's configuration and refuses one that a commit cannot
// rest on. Errors wrap ErrMisconfigured, ErrUnavailable or are the context's.
func (l *Log) readLimits(ctx context.Context) (*streamLimits, error) {
	var info jetstream.StreamInfo
	if err := l.c.api(ctx, "STREAM.INFO."+l.stream, struct{}{}, &info); err != nil {
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case code(err) == codeStreamNotFound:
			return nil, fmt.Errorf("%w: stream %s does not exist: %w", outbound.ErrMisconfigured, l.stream, err)
		case errors.Is(err, nats.ErrPermissionViolation):
			return nil, fmt.Errorf("%w: %w", outbound.ErrMisconfigured, err)
		}
		return nil, fmt.Errorf("%w: %w", outbound.ErrUnavailable, err)
	}
	if missing := missingFlags(&info.Config); len(missing) > 0 {
		return nil, fmt.Errorf("%w: stream %s lacks %v: switch them on, or run apply", outbound.ErrMisconfigured, l.stream, missing)
	}
	lim := &streamLimits{maxMessage: -1, subjects: info.Config.Subjects}
	if n := int(info.Config.MaxMsgSize); n > 0 {
		lim.maxMessage = n
	}
	return lim, nil
}

// takes tells whether the stream listens on subject.
func (s *streamLimits) takes(subject string) bool {
	for _, filter := range s.subjects {
		if server.SubjectMatchesFilter(subject, filter) {
			return true
		}
	}
	return false
}

// missingFlags names the settings without which a commit or a read cannot work, as
// they are spelled in a stream's JSON configuration.
func missingFlags(cfg *jetstream.StreamConfig) []string {
	var missing []string
	for _, f := range []struct {
		name string
		on   bool
	}{
		{"allow_atomic", cfg.AllowAtomicPublish},
		{"allow_msg_ttl", cfg.AllowMsgTTL},
		{"allow_rollup_hdrs", cfg.AllowRollup},
		{"allow_direct", cfg.AllowDirect},
	} {
		if !f.on {
			missing = append(missing, f.name)
		}
	}
	return missing
}

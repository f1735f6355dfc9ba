package jet

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/inbound"
	"cebridge/outbound"
)

// ErrMoved: the subject's last message is not the expected one. Nothing was stored.
var ErrMoved = errors.New("the subject moved on")

// Newest reads the last message of one subject from the stream's leader, and how
// many messages the subject has; sequence 0 when it has none.
func (c *Conn) Newest(ctx context.Context, stream, subject string) (last outbound.Stored, count uint64, err error) {
	fail := func(err error) (outbound.Stored, uint64, error) {
		return outbound.Stored{}, 0, fmt.Errorf("read subject %s of stream %s: %w", subject, stream, err)
	}
	if err := checkSubject(subject); err != nil {
		return fail(err)
	}
	m, err := c.lastOf(ctx, stream, subject)
	if err != nil || m.Seq == 0 {
		if err != nil {
			return fail(err)
		}
		return outbound.Stored{}, 0, nil
	}
	last = outbound.Stored{Subject: m.Subject, Sequence: m.Seq, Data: m.Data}
	if len(m.Header) > 0 {
		h, err := nats.DecodeHeadersMsg(m.Header)
		if err != nil {
			return fail(err)
		}
		last.Header = strip(h)
	}
	var info jetstream.StreamInfo
	if err := c.api(ctx, "STREAM.INFO."+stream, map[string]string{"subjects_filter": subject}, &info); err != nil {
		return fail(err)
	}
	return last, info.State.Subjects[subject], nil
}

// RollUp stores a message that takes the place of everything the subject had, here
// and in every mirror that allows rollups. It is stored only while the subject's
// last sequence is expected, else the error is ErrMoved. A ttl above 0 removes it
// after that time.
func (c *Conn) RollUp(ctx context.Context, stream string, m outbound.Message, expected uint64, ttl time.Duration) (seq uint64, err error) {
	if err := checkSubject(m.Subject); err != nil {
		return 0, err
	}
	if err := c.usable(); err != nil {
		return 0, err
	}
	header := nats.Header{}
	for k, v := range m.Header {
		header[k] = v
	}
	header.Set("Nats-Rollup", "sub")
	header.Set("Nats-Expected-Stream", stream)
	header.Set("Nats-Expected-Last-Subject-Sequence", strconv.FormatUint(expected, 10))
	if ttl > 0 {
		header.Set("Nats-TTL", ttl.String())
	}
	started := time.Now()
	ack, err := c.js.PublishMsg(ctx, &nats.Msg{Subject: m.Subject, Header: header, Data: m.Data}, jetstream.WithRetryAttempts(0))
	switch {
	case code(err) == codeWrongLastSequence:
		return 0, fmt.Errorf("roll up subject %s of stream %s: %w", m.Subject, stream, ErrMoved)
	case err != nil:
		return 0, fmt.Errorf("roll up subject %s of stream %s: %w", m.Subject, stream, c.explain(err, started))
	}
	return ack.Sequence, nil
}

// PurgeBefore removes what a subject has below a sequence, and tells how much.
func (c *Conn) PurgeBefore(ctx context.Context, stream, subject string, seq uint64) (removed uint64, err error) {
	if err := checkSubject(subject); err != nil {
		return 0, err
	}
	in := struct {
		Filter string `json:"filter"`
		Seq    uint64 `json:"seq"`
	}{subject, seq}
	var out struct {
		Purged uint64 `json:"purged"`
	}
	if err := c.api(ctx, "STREAM.PURGE."+stream, in, &out); err != nil {
		return 0, fmt.Errorf("purge subject %s of stream %s: %w", subject, stream, err)
	}
	return out.Purged, nil
}

// Remove overwrites one message with random bytes and removes it. A message that is
// gone already is no error.
func (c *Conn) Remove(ctx context.Context, stream string, seq uint64) error {
	in := struct {
		Seq     uint64 `json:"seq"`
		NoErase bool   `json:"no_erase"`
	}{seq, false}
	var out struct{}
	err := c.api(ctx, "STREAM.MSG.DELETE."+stream, in, &out)
	if err == nil {
		return nil
	}
	// The server refuses to delete what is not there with the code of a failure.
	if gone := c.api(ctx, "STREAM.MSG.GET."+stream, map[string]uint64{"seq": seq}, &out); code(gone) == codeNoMessage {
		return nil
	}
	return fmt.Errorf("remove message %d of stream %s: %w", seq, stream, err)
}

// Copies names the streams of the account that mirror a stream or take it as a
// source. Copies in other accounts and clusters are not seen.
func (c *Conn) Copies(ctx context.Context, stream string) (names []string, err error) {
	started := time.Now()
	list := c.js.ListStreams(ctx)
	for info := range list.Info() {
		copies := info.Config.Mirror != nil && info.Config.Mirror.Name == stream
		for _, s := range info.Config.Sources {
			copies = copies || s.Name == stream
		}
		if copies {
			names = append(names, info.Config.Name)
		}
	}
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("list the streams: %w", c.explain(err, started))
	}
	return names, nil
}

// ConsumerPosition reads where a durable consumer is, for somebody who is not its client;
// exists is false when there is none.
func (c *Conn) ConsumerPosition(ctx context.Context, stream, durable string) (s inbound.FeedState, exists bool, err error) {
	var info jetstream.ConsumerInfo
	err = c.api(ctx, "CONSUMER.INFO."+stream+"."+durable, struct{}{}, &info)
	switch code(err) {
	case codeStreamNotFound, codeConsumerNotFound:
		return s, false, nil
	}
	if err != nil {
		return s, false, err
	}
	s, _ = feedState(&info, "")
	return s, true, nil
}

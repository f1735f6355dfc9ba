package jet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"cebridge/inbound"
	"cebridge/outbound"
)

// Start says where a durable begins that does not exist yet: StartNew, StartAll, or
// a time as RFC 3339. An existing durable keeps its position whatever Start says.
type Start string

// The two starts with a name.
const (
	StartNew Start = "new"
	StartAll Start = "all"
)

// FeedConfig names a durable consumer and how to read it.
type FeedConfig struct {
	Stream   string
	Durable  string
	Subjects []string // filters; empty takes the whole stream
	Start    Start
	// AckWait is how long a delivery may stay unsettled without Extend; 30 s when 0.
	AckWait time.Duration
	// MaxAckPending bounds unsettled deliveries of all clients; 1000 when 0.
	MaxAckPending int
	// PinnedTTL is how long a silent client stays the active one; AckWait when 0.
	PinnedTTL time.Duration
	// Prefetch bounds the messages held here that are not handed out yet; 64 when 0.
	Prefetch int
	Mode     Mode
	Logger   *slog.Logger // nil discards
}

const (
	// pinGroup is the one priority group of every durable of the bridge.
	pinGroup      = "cebridge"
	prefetchBytes = 8 << 20
)

// Feed is one durable consumer, shared by all instances of the bridge: JetStream
// lets one client at a time receive. Run may be called again after it returned, but
// not twice at once.
type Feed struct {
	c   *Conn
	cfg FeedConfig
	log *slog.Logger
	// incarnation and born identify stream and consumer, to notice others of the
	// same name in their place.
	incarnation string
	born        time.Time
	// claims counts the times that Claim changed for a reason of our own.
	claims atomic.Uint64
	// pin is the one that the last message came with, nil while there is none.
	pin atomic.Pointer[string]
}

var _ inbound.Feed = (*Feed)(nil)

// Feed finds the durable, or makes it in mode apply. A setting that does not fit is
// named in an error wrapping outbound.ErrMisconfigured; mode apply changes those that
// can be changed without loss (ack_wait, max_ack_pending, priority_timeout,
// max_deliver, backoff).
func (c *Conn) Feed(ctx context.Context, cfg FeedConfig) (*Feed, error) {
	cfg = cfg.withDefaults()
	f := &Feed{c: c, cfg: cfg, log: cfg.Logger}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	if err := f.open(ctx); err != nil {
		return nil, fmt.Errorf("consumer %s of stream %s: %w", cfg.Durable, cfg.Stream, err)
	}
	return f, nil
}

func (cfg FeedConfig) withDefaults() FeedConfig {
	cfg.AckWait = cmp.Or(cfg.AckWait, 30*time.Second)
	cfg.PinnedTTL = cmp.Or(cfg.PinnedTTL, cfg.AckWait)
	cfg.MaxAckPending = cmp.Or(cfg.MaxAckPending, 1000)
	cfg.Prefetch = min(cmp.Or(cfg.Prefetch, 64), cfg.MaxAckPending)
	return cfg
}

func (f *Feed) open(ctx context.Context) error {
	want, err := f.want()
	if err != nil {
		return err
	}
	started := time.Now()
	stream, err := f.c.js.Stream(ctx, f.cfg.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("%w: the stream does not exist; create it, or list it under inbound.streams for the bridge to make", outbound.ErrMisconfigured)
	}
	if err != nil {
		return f.c.explain(err, started)
	}
	f.incarnation = incarnation(stream.CachedInfo())
	consumer, err := stream.Consumer(ctx, f.cfg.Durable)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		if f.cfg.Mode != ProvisionApply {
			return fmt.Errorf("%w: the consumer does not exist: make it, or run apply", outbound.ErrMisconfigured)
		}
		if consumer, err = stream.CreateConsumer(ctx, want); err != nil {
			return fmt.Errorf("create it: %w", f.c.explain(err, started))
		}
		f.log.Info("created a consumer", "stream", f.cfg.Stream, "consumer", f.cfg.Durable, "start", f.cfg.Start)
	case err != nil:
		return f.c.explain(err, started)
	}
	have := consumer.CachedInfo().Config
	f.born = consumer.CachedInfo().Created
	diffs := compareConsumer(&have, &want)
	if len(diffs) == 0 || f.cfg.Mode == ProvisionNone {
		return nil
	}
	if f.cfg.Mode != ProvisionApply {
		return misfit("its settings", "change them, or run apply", diffs)
	}
	if danger := dangers(diffs); len(danger) > 0 {
		return misfit("its settings", "apply changes none of it: a person must", danger)
	}
	have.AckWait, have.MaxAckPending, have.PinnedTTL = want.AckWait, want.MaxAckPending, want.PinnedTTL
	have.MaxDeliver, have.BackOff = -1, nil
	if _, err := stream.UpdateConsumer(ctx, have); err != nil {
		return fmt.Errorf("update it: %w", f.c.explain(err, started))
	}
	for _, d := range diffs {
		f.log.Info("changed a setting of a consumer", "consumer", f.cfg.Durable, "setting", d.Setting, "from", d.Have, "to", d.Want)
	}
	return nil
}

// want is the durable's configuration.
func (f *Feed) want() (jetstream.ConsumerConfig, error) {
	cfg := jetstream.ConsumerConfig{
		Durable:        f.cfg.Durable,
		Description:    "cebridge: inbound route",
		FilterSubjects: f.cfg.Subjects,
		AckPolicy:      jetstream.AckExplicitPolicy,
		AckWait:        f.cfg.AckWait,
		MaxAckPending:  f.cfg.MaxAckPending,
		MaxDeliver:     -1,
		PriorityPolicy: jetstream.PriorityPolicyPinned,
		PriorityGroups: []string{pinGroup},
		PinnedTTL:      f.cfg.PinnedTTL,
	}
	if f.cfg.Durable == "" || strings.ContainsAny(f.cfg.Durable, ". *>/\\\t\r\n") {
		return cfg, fmt.Errorf("%w: %q cannot be the name of a consumer", outbound.ErrMisconfigured, f.cfg.Durable)
	}
	switch f.cfg.Start {
	case StartAll:
		cfg.DeliverPolicy = jetstream.DeliverAllPolicy
	case StartNew:
		cfg.DeliverPolicy = jetstream.DeliverNewPolicy
	default:
		at, err := time.Parse(time.RFC3339, string(f.cfg.Start))
		if err != nil {
			return cfg, fmt.Errorf("%w: start %q is neither new, all nor a time as RFC 3339", outbound.ErrMisconfigured, f.cfg.Start)
		}
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &at
	}
	return cfg, nil
}

// compareConsumer lists what differs. Where it starts is not compared: an existing
// durable has its position.
func compareConsumer(have, want *jetstream.ConsumerConfig) []Difference {
	var d differences
	d.add("filter_subjects", fmt.Sprint(filters(have)), fmt.Sprint(filters(want)), slices.Equal(filters(have), filters(want)),
		"messages that the old filter passed over would never be delivered: use another durable name")
	d.add("ack_policy", have.AckPolicy.String(), want.AckPolicy.String(), have.AckPolicy == want.AckPolicy, "it cannot be changed: use another durable name")
	d.flag("push", have.DeliverSubject != "", false, "a push consumer cannot be shared: use another durable name")
	d.flag("headers_only", have.HeadersOnly, false, "messages would come without their data")
	d.add("priority_policy", fmt.Sprint(have.PriorityPolicy), fmt.Sprint(want.PriorityPolicy), have.PriorityPolicy == want.PriorityPolicy,
		"several clients would receive at once: use another durable name")
	d.add("priority_groups", fmt.Sprint(have.PriorityGroups), fmt.Sprint(want.PriorityGroups), slices.Equal(have.PriorityGroups, want.PriorityGroups),
		"somebody else's clients may use them: use another durable name")
	d.add("ack_wait", have.AckWait.String(), want.AckWait.String(), have.AckWait == want.AckWait, "")
	d.limit("max_ack_pending", int64(have.MaxAckPending), int64(want.MaxAckPending), "")
	d.limit("max_deliver", int64(have.MaxDeliver), -1, "")
	d.add("backoff", fmt.Sprint(have.BackOff), "[]", len(have.BackOff) == 0, "")
	d.add("priority_timeout", have.PinnedTTL.String(), want.PinnedTTL.String(), have.PinnedTTL == want.PinnedTTL, "")
	return d
}

func filters(cfg *jetstream.ConsumerConfig) []string {
	if cfg.FilterSubject != "" {
		return []string{cfg.FilterSubject}
	}
	return slices.Sorted(slices.Values(cfg.FilterSubjects))
}

// State implements inbound.Feed. A consumer that is gone, or another of the same
// name, is inbound.ErrFeedLost.
func (f *Feed) State(ctx context.Context) (inbound.FeedState, error) {
	info, err := f.info(ctx)
	if err != nil {
		return inbound.FeedState{}, err
	}
	own := ""
	if pin := f.pin.Load(); pin != nil {
		own = *pin
	}
	s, pin := feedState(info, own)
	if pin != "" {
		s.Claim = f.claim(pin)
	}
	return s, nil
}

// feedState reads a position, and the pin of the active client, for a client whose own
// pin is given. The server pins a client when it has a message for it (nats-server 2.15.2,
// consumer.go, nextWaiting).
func feedState(info *jetstream.ConsumerInfo, own string) (s inbound.FeedState, pin string) {
	s = inbound.FeedState{
		Delivered:  info.Delivered.Stream,
		AckFloor:   info.AckFloor.Stream,
		AckPending: info.NumAckPending,
		Pending:    info.NumPending,
	}
	for _, g := range info.PriorityGroups {
		if g.Group != pinGroup {
			continue
		}
		pin, s.ActiveSince = g.PinnedClientID, g.PinnedTS
		switch pin {
		case "":
			s.Active = inbound.ActiveNobody
		case own:
			s.Active = inbound.ActiveSelf
		default:
			s.Active = inbound.ActiveOther
		}
	}
	return s, pin
}

// claim names the time for which a client is the active one: the server's pin, and
// a count of our own for what the server does not know of.
func (f *Feed) claim(pin string) string { return claimOf(pin, f.claims.Load()) }

func claimOf(pin string, count uint64) string { return pin + "." + strconv.FormatUint(count, 36) }

func (f *Feed) info(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	var info jetstream.ConsumerInfo
	err := f.c.api(ctx, "CONSUMER.INFO."+f.cfg.Stream+"."+f.cfg.Durable, struct{}{}, &info)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case code(err) == codeStreamNotFound, code(err) == codeConsumerNotFound:
		return nil, fmt.Errorf("%w: consumer %s of stream %s: %w", inbound.ErrFeedLost, f.cfg.Durable, f.cfg.Stream, err)
	case err != nil:
		return nil, fmt.Errorf("read the state of consumer %s of stream %s: %w", f.cfg.Durable, f.cfg.Stream, err)
	case !info.Created.Equal(f.born):
		return nil, fmt.Errorf("%w: consumer %s of stream %s was deleted and made again: start the bridge anew to accept that",
			inbound.ErrFeedLost, f.cfg.Durable, f.cfg.Stream)
	}
	return &info, nil
}

// delivery is one message handed out.
type delivery struct {
	c     *Conn
	msg   *inbound.Message
	reply string
}

// ackBody acknowledges. Source: the JetStream consumer documentation.
var ackBody = []byte("+ACK")

func (d *delivery) Message() *inbound.Message { return d.msg }

// Ack asks the server to confirm. The same answer comes when the message was
// delivered to somebody else meanwhile: an acknowledgement fences nothing.
func (d *delivery) Ack(ctx context.Context) error {
	started := time.Now()
	err := d.c.acks.confirm(ctx, d.c.session.Load().ctx, d.reply, ackBody)
	return d.unconfirmed(err, started)
}

// unconfirmed says of which message err is; nil of nil.
func (d *delivery) unconfirmed(err error, started time.Time) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("acknowledge sequence %d of stream %s: %w", d.msg.Sequence, d.msg.Stream, d.c.explain(err, started))
}

// AckLater implements inbound.Later.
func (d *delivery) AckLater(ctx context.Context, then inbound.Acked, soon bool) {
	d.c.acks.confirmLater(&awaited{d: d, then: then, ctx: ctx, broken: d.c.session.Load().ctx, started: time.Now()}, soon)
}

func (d *delivery) Extend() error {
	if err := d.c.nc.Publish(d.reply, []byte("+WPI")); err != nil {
		return fmt.Errorf("extend sequence %d of stream %s: %w", d.msg.Sequence, d.msg.Stream, err)
	}
	return nil
}

// Release asks for another delivery at once. The server keeps the message among the
// unacknowledged ones until that is acknowledged, and takes a release for the present
// delivery whichever it names (nats-server 2.15.2, consumer.go, processNak).
func (d *delivery) Release() error {
	if err := d.c.nc.Publish(d.reply, []byte("-NAK")); err != nil {
		return fmt.Errorf("release sequence %d of stream %s: %w", d.msg.Sequence, d.msg.Stream, err)
	}
	return nil
}

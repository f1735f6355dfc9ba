package jet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/inbound"
	"cebridge/outbound"
	"cebridge/schema"
)

// Parking keeps the parked messages of one route in the stream of dead letters, each
// on a subject of its own, in the form of a letter. It is safe for concurrent use.
//
// A message on the route's fence subject stands for the present term. Every Park
// names its sequence, so that the stream itself refuses an instance that was
// replaced. As long as nothing was ever parked there is no fence.
type Parking struct {
	c      *Conn
	stream string
	names  schema.Names
	route  string

	mu    sync.Mutex
	fence uint64
	// own: the fence is surely this one's. In a full stream a term begins without.
	own bool
}

var _ inbound.Parking = (*Parking)(nil)

// fenceToken stands where a key's hash would; it is not one.
const fenceToken = "fence"

// termHeader is on the fence of a term that was ended in order.
const (
	termHeader = "Crm-Parked-Term"
	termEnded  = "ended"
)

// expectedSubject names the subject whose last sequence is expected. Source: nats.go
// 1.55.0, jetstream/publish.go.
const expectedSubject = "Nats-Expected-Last-Subject-Sequence-Subject"

// Parking names the stream and the route. It does no I/O.
func (c *Conn) Parking(stream string, names schema.Names, route string) *Parking {
	return &Parking{c: c, stream: stream, names: names, route: route}
}

func (p *Parking) fenceSubject() string { return p.names.Parked(p.route, fenceToken) }

func (p *Parking) subject(l *inbound.Letter) string {
	return p.names.ParkedMessage(p.route, l.Key, l.Message.Incarnation, l.Message.Sequence)
}

// Open implements inbound.Parking. Messages come back without header and data.
func (p *Parking) Open(ctx context.Context) (inbound.Opened, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	opened, err := p.open(ctx)
	if err != nil {
		return inbound.Opened{}, fmt.Errorf("read the parked messages of route %s: %w", p.route, err)
	}
	return opened, nil
}

func (p *Parking) open(ctx context.Context) (opened inbound.Opened, err error) {
	newest, err := p.c.lastOf(ctx, p.stream, p.names.Parked(p.route, ">"))
	if err != nil {
		return opened, err
	}
	if newest.Seq == 0 {
		p.fence, p.own = 0, false
		return opened, nil
	}
	last, err := p.c.lastOf(ctx, p.stream, p.fenceSubject())
	if err != nil {
		return opened, err
	}
	ended, err := endsTerm(last)
	if err != nil {
		return opened, err
	}
	own := p.own && p.fence == last.Seq
	switch err := p.raise(ctx, last.Seq, nil); {
	case err == nil:
		opened.Ended, opened.Own = ended, own
	case errors.Is(err, inbound.ErrOutboxFull):
		// In a full stream nobody can park anything, so the old fence does no harm.
		opened.Unsure = true
	default:
		return opened, err
	}
	opened.Parked, err = p.list(ctx)
	return opened, err
}

// list reads all that is parked.
func (p *Parking) list(ctx context.Context) ([]*inbound.Parked, error) {
	var all []*inbound.Parked
	_, err := p.c.ReadStream(ctx, p.stream, []string{p.names.Parked(p.route, "*.*.*")}, func(m outbound.Stored) error {
		l, err := DecodeLetter(m.Header, m.Data)
		if err != nil {
			return fmt.Errorf("sequence %d of stream %s: %w: remove it", m.Sequence, p.stream, err)
		}
		l.Message.Header, l.Message.Data, l.Body = nil, nil, nil
		all = append(all, &inbound.Parked{Letter: l, Place: m.Sequence})
		return nil
	})
	return all, err
}

// Hold implements inbound.Tenure: a new fence is put behind the present one.
func (p *Parking) Hold(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.raise(ctx, p.fence, nil); err != nil {
		return fmt.Errorf("hold the parked messages of route %s: %w", p.route, err)
	}
	return nil
}

// End implements inbound.Tenure: the last fence of the term tells that it is.
func (p *Parking) End(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := inbound.ErrFenced
	if p.own {
		err = p.raise(ctx, p.fence, nats.Header{termHeader: {termEnded}})
	}
	if err != nil {
		return fmt.Errorf("end the term of the parked messages of route %s: %w", p.route, err)
	}
	return nil
}

// Term implements inbound.Tenure: the sequence of the present fence.
func (p *Parking) Term(ctx context.Context) (term uint64, ended bool, err error) {
	m, err := p.c.lastOf(ctx, p.stream, p.fenceSubject())
	if err == nil {
		ended, err = endsTerm(m)
	}
	if err != nil {
		return 0, false, fmt.Errorf("read the parked messages of route %s: %w", p.route, err)
	}
	return m.Seq, ended, nil
}

// endsTerm tells whether a fence is the last one of its term.
func endsTerm(fence leaderMessage) (bool, error) {
	if len(fence.Header) == 0 {
		return false, nil
	}
	header, err := nats.DecodeHeadersMsg(fence.Header)
	if err != nil {
		return false, fmt.Errorf("sequence %d: %w", fence.Seq, err)
	}
	return header.Get(termHeader) == termEnded, nil
}

// raise puts a new fence, with what header says, behind the one at sequence before, and
// removes the old one.
func (p *Parking) raise(ctx context.Context, before uint64, header nats.Header) error {
	m := &nats.Msg{Subject: p.fenceSubject(), Header: nats.Header{
		jetstream.ExpectedStreamHeader:      {p.stream},
		jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(before, 10)},
	}}
	maps.Copy(m.Header, header)
	answer, err := p.c.store(ctx, m)
	if refused(err) {
		return inbound.ErrFenced
	}
	if err != nil {
		p.fence, p.own = before, p.own && p.fence == before
		return err
	}
	p.fence, p.own = answer.Sequence, true
	if before > 0 {
		// Failing leaves one small message more.
		_, _ = p.c.PurgeBefore(ctx, p.stream, p.fenceSubject(), answer.Sequence)
	}
	return nil
}

// refused tells whether the stream found another sequence than expected.
func refused(err error) bool {
	c := code(err)
	return c == codeWrongLastSequence || c == codeWrongLastConcurrent
}

// Park implements inbound.Parking.
func (p *Parking) Park(ctx context.Context, parked *inbound.Parked) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	subject := p.subject(parked.Letter)
	if err := p.park(ctx, subject, parked); err != nil {
		return fmt.Errorf("park a message on %s: %w", subject, err)
	}
	return nil
}

func (p *Parking) park(ctx context.Context, subject string, parked *inbound.Parked) error {
	if !p.own {
		if err := p.raise(ctx, p.fence, nil); err != nil {
			return err
		}
	}
	header, body, err := encodeLetter(parked.Letter, int(p.c.nc.MaxPayload()))
	if err != nil {
		return err
	}
	header[jetstream.ExpectedStreamHeader] = []string{p.stream}
	header[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(p.fence, 10)}
	header[expectedSubject] = []string{p.fenceSubject()}
	answer, err := p.c.store(ctx, &nats.Msg{Subject: subject, Header: header, Data: body})
	if refused(err) {
		return inbound.ErrFenced
	}
	if err != nil {
		return err
	}
	parked.Place = answer.Sequence
	return nil
}

// Fetch implements inbound.Parking. It asks the stream's leader.
func (p *Parking) Fetch(ctx context.Context, parked *inbound.Parked) (*inbound.Parked, error) {
	subject := p.subject(parked.Letter)
	m, err := p.c.lastOf(ctx, p.stream, subject)
	if err != nil {
		return nil, fmt.Errorf("read the parked message %s: %w", subject, err)
	}
	if m.Seq == 0 {
		return nil, fmt.Errorf("%w: %s", inbound.ErrNotParked, subject)
	}
	var header nats.Header
	if len(m.Header) > 0 {
		if header, err = nats.DecodeHeadersMsg(m.Header); err != nil {
			return nil, fmt.Errorf("read the parked message %s: %w", subject, err)
		}
	}
	l, err := DecodeLetter(header, m.Data)
	if err != nil {
		return nil, fmt.Errorf("read the parked message %s: %w", subject, err)
	}
	return &inbound.Parked{Letter: l, Place: parked.Place}, nil
}

// Remove implements inbound.Parking. All copies go: a Park whose confirmation was
// lost is stored twice.
func (p *Parking) Remove(ctx context.Context, parked *inbound.Parked) error {
	_, err := p.c.PurgeBefore(ctx, p.stream, p.subject(parked.Letter), 0)
	return err
}

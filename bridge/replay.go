package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"

	"cebridge/bridge/internal/jet"
	"cebridge/outbound"
	"cebridge/schema"
	"cebridge/schema/event"
)

// HeaderReplay marks a copy that Replay made; its value is 1.
const HeaderReplay = "Crm-Replay"

// ReplayOptions say which events to send again, and where to.
type ReplayOptions struct {
	Table string
	// Record is one record's GUID; "" means all.
	Record string
	// Since and Until bound when the stream stored the event; zero does not bound.
	Since, Until time.Time
	// Latest sends only the last event of each record. It excludes Since and Until.
	Latest bool
	// To is the subject to publish on; {table} and {id} in it stand for the table
	// and the record. It must not be one of the bridge's own.
	To string
	// Out, instead of To, receives one structured CloudEvent a line.
	Out io.Writer
	// Rate is the most events a second; 0 does not limit.
	Rate     float64
	Progress func(Progress)
}

// Replayed tells what Replay did. The JSON names are a contract.
type Replayed struct {
	Table string `json:"table"`
	// Events is how many were sent.
	Events int64 `json:"events"`
	// Confirmed tells that a stream took every one of them.
	Confirmed bool `json:"confirmed"`
	// First and Last are the sequences of the first and last one sent.
	First   uint64  `json:"first_sequence,omitempty"`
	Last    uint64  `json:"last_sequence,omitempty"`
	Seconds float64 `json:"seconds"`
}

// Replay sends stored events again, in their order, as they were: the same data, the
// same attributes, so the same id, with the header Crm-Replay beside. An event whose data
// is in the object store is sent on as it is, with its dataref, and written to Out with its
// data. The originals
// are not touched. What the history limit removed cannot be sent.
func (o *Operator) Replay(ctx context.Context, opt ReplayOptions) (*Replayed, error) {
	if err := o.checkReplay(&opt); err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	r := &replaying{opt: opt, bridge: o.b, names: o.b.names, result: &Replayed{Table: opt.Table}}
	if opt.Rate > 0 {
		r.limit = rate.NewLimiter(rate.Limit(opt.Rate), max(int(opt.Rate/10), 1))
	}
	if opt.To != "" {
		var err error
		if r.forward, err = o.b.conn.Forwarder(ctx, r.target("00000000-0000-0000-0000-000000000000")); err != nil {
			return nil, fmt.Errorf("replay: %w", err)
		}
		r.result.Confirmed = r.forward.Stored()
	}
	filter := o.b.names.Table(opt.Table)
	if opt.Record != "" {
		filter = o.b.names.Record(opt.Table, opt.Record)
	}
	began := time.Now()
	err := o.b.conn.Walk(ctx, jet.Walk{
		Stream: o.b.EventStream(), Filter: []string{filter}, Since: opt.Since, Latest: opt.Latest,
	}, func(s jet.Step) error { return r.step(ctx, s) })
	if errors.Is(err, errWindowEnds) {
		err = nil
	}
	if err == nil && r.forward != nil {
		err = r.forward.Flush(ctx)
	}
	r.result.Seconds = time.Since(began).Seconds()
	if err != nil {
		return r.result, fmt.Errorf("replay stopped after %d events, sequence %d: %w", r.result.Events, r.result.Last, err)
	}
	return r.result, nil
}

func (o *Operator) checkReplay(opt *ReplayOptions) error {
	if _, err := o.tables([]string{opt.Table}); err != nil {
		return err
	}
	opt.Record = strings.ToLower(opt.Record)
	switch {
	case opt.Record != "" && !schema.IsGUID(opt.Record):
		return fmt.Errorf("%q is not a record's GUID", opt.Record)
	case (opt.To == "") == (opt.Out == nil):
		return errors.New("give either a subject or a place to write to")
	case opt.Latest && !(opt.Since.IsZero() && opt.Until.IsZero()):
		return errors.New("the latest events cannot be bounded in time")
	case !opt.Since.IsZero() && !opt.Until.IsZero() && opt.Until.Before(opt.Since):
		return errors.New("the window ends before it begins")
	case opt.Rate < 0:
		return errors.New("the rate must not be negative")
	}
	if opt.To == "" {
		return nil
	}
	if text := checkFilter(opt.To); text != "" || strings.ContainsAny(opt.To, "*>") {
		return fmt.Errorf("%q is not a subject to publish on", opt.To)
	}
	own := o.b.names
	first, _, _ := strings.Cut(opt.To, ".")
	if first == own.Prefix || strings.HasPrefix(first, own.Prefix+"-") {
		return fmt.Errorf("subject %s belongs to the bridge: copies there would be taken for originals", opt.To)
	}
	return nil
}

// errWindowEnds ends a walk at the end of the window.
var errWindowEnds = errors.New("the window ends here")

type replaying struct {
	opt     ReplayOptions
	bridge  *Bridge
	names   schema.Names
	limit   *rate.Limiter
	forward *jet.Forwarder
	result  *Replayed
}

func (r *replaying) target(id string) string {
	return strings.NewReplacer("{table}", r.opt.Table, "{id}", id).Replace(r.opt.To)
}

func (r *replaying) step(ctx context.Context, s jet.Step) error {
	if !r.opt.Until.IsZero() && s.Time.After(r.opt.Until) {
		return errWindowEnds
	}
	if r.limit != nil {
		if err := r.limit.Wait(ctx); err != nil {
			return err
		}
	}
	var err error
	if r.forward != nil {
		err = r.send(ctx, s)
	} else {
		err = r.write(ctx, s)
	}
	if err != nil {
		return fmt.Errorf("event at sequence %d: %w", s.Sequence, err)
	}
	if r.result.Events++; r.result.First == 0 {
		r.result.First = s.Sequence
	}
	r.result.Last = s.Sequence
	if r.opt.Progress != nil {
		r.opt.Progress(Progress{What: "replay " + r.opt.Table, Done: r.result.Events, Total: r.result.Events + int64(s.Pending)})
	}
	return nil
}

func (r *replaying) write(ctx context.Context, s jet.Step) error {
	line, err := r.bridge.wholeLine(ctx, s.Stored)
	if err == nil {
		_, err = r.opt.Out.Write(line)
	}
	return err
}

// send publishes a copy without what told the event stream how to store it: a
// rollup or a time to live is not for another stream.
func (r *replaying) send(ctx context.Context, s jet.Step) error {
	id, ok := r.names.RecordID(r.opt.Table, s.Subject)
	if !ok {
		return fmt.Errorf("%s is no record's subject", s.Subject)
	}
	header := nats.Header{}
	for k, v := range s.Header {
		if !strings.HasPrefix(k, "Nats-") {
			header[k] = v
		}
	}
	header.Set(HeaderReplay, "1")
	return r.forward.Send(ctx, outbound.Message{Subject: r.target(id), Header: header, Data: s.Data})
}

// jsonLine is an event as one line of structured JSON, whatever its mode.
func jsonLine(header map[string][]string, data []byte) ([]byte, error) {
	e, err := event.Unmarshal(header, data)
	if err != nil {
		return nil, err
	}
	line, err := e.MarshalJSON()
	if err != nil {
		return nil, err
	}
	return append(line, '\n'), nil
}

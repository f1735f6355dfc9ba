package soak

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/bridge/internal/jet"
	"cebridge/outbound"
	"cebridge/schema"
	"cebridge/schema/event"
)

// recordPrefix begins the subjects under which the server repeats what it stored.
const recordPrefix = "soak-record"

// recorder keeps every message of the event stream as it is stored. Checkpoints
// replace each other there: who reads the stream afterwards sees the last alone.
type recorder struct {
	names schema.Names
	// payloads is where the data of large events is, nil when there is none.
	payloads outbound.Payloads
	sub      *nats.Subscription
	mu       sync.Mutex
	list     []Event
	// records counts the events of records among them.
	records int
	err     error
}

// record makes the event stream and listens to it from its first message.
func record(ctx context.Context, conn *jet.Conn, names schema.Names) (*recorder, error) {
	err := conn.EnsureEventStream(ctx, jet.ProvisionApply, jet.EventStream{
		Name: names.EventStream(), Subjects: names.EventSubjects(), Replicas: 1, HistoryPerRecord: -1,
	}, true)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(conn.NATS())
	if err != nil {
		return nil, err
	}
	s, err := js.Stream(ctx, names.EventStream())
	if err != nil {
		return nil, err
	}
	cfg := s.CachedInfo().Config
	cfg.RePublish = &jetstream.RePublish{Source: ">", Destination: recordPrefix + ".>"}
	r := &recorder{names: names, payloads: conn.Payloads(names.EventStream()+"_DATA", conn.Log(names.EventStream()), above)}
	if r.sub, err = conn.NATS().Subscribe(recordPrefix+".>", r.take); err != nil {
		return nil, err
	}
	if err := r.sub.SetPendingLimits(-1, -1); err != nil {
		return nil, err
	}
	if err := conn.NATS().FlushTimeout(10 * time.Second); err != nil {
		return nil, err
	}
	if _, err := js.UpdateStream(ctx, cfg); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *recorder) take(m *nats.Msg) {
	seq, err := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
	var e Event
	if err == nil {
		e, err = r.eventOf(outbound.Stored{
			Subject: strings.TrimPrefix(m.Subject, recordPrefix+"."), Sequence: seq, Header: m.Header, Data: m.Data,
		})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("record sequence %d: %w", seq, err)
	}
	r.list = append(r.list, e)
	if e.Kind == Record {
		r.records++
	}
}

// until waits for the recording to reach a sequence and returns it, and how many events of
// records it holds.
func (r *recorder) until(ctx context.Context, last uint64) (list []Event, records int, err error) {
	err = poll(ctx, func() (bool, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		list, records = r.list, r.records
		n := len(list)
		return last == 0 || n > 0 && list[n-1].Sequence >= last, r.err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("wait for the recording of sequence %d: %w", last, err)
	}
	return list, records, nil
}

// eventOf reads one message of the event stream.
func (r *recorder) eventOf(m outbound.Stored) (Event, error) {
	names := r.names
	e := Event{Kind: Other, Sequence: m.Sequence, Batch: one(m.Header, "Nats-Batch-Id")}
	if e.Batch != "" {
		place, err := strconv.ParseUint(one(m.Header, "Nats-Batch-Sequence"), 10, 64)
		if err != nil {
			return e, fmt.Errorf("place in its batch: %w", err)
		}
		e.Place = place
	}
	for table := range followed {
		if m.Subject == names.Checkpoint(table) {
			cp, err := outbound.DecodeCheckpoint(m.Data)
			if err != nil {
				return e, err
			}
			expected, err := strconv.ParseUint(one(m.Header, jetstream.ExpectedLastSubjSeqHeader), 10, 64)
			if err != nil {
				return e, fmt.Errorf("checkpoint without a fence: %w", err)
			}
			e.Kind, e.Table, e.Expected, e.Attempt, e.Epoch = Checkpoint, table, expected, cp.Attempt, cp.Epoch
			return e, nil
		}
		if id, ok := names.RecordID(table, m.Subject); ok {
			e.Kind, e.Table, e.ID = Record, table, id
			return e, e.read(m, r.payloads)
		}
	}
	return e, nil
}

func one(h map[string][]string, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// read fills in what a record event says.
func (e *Event) read(m outbound.Stored, payloads outbound.Payloads) error {
	p, err := event.ReadHeader(m.Header)
	if err != nil {
		return err
	}
	e.Version, e.Epoch, e.Change = p.Version, p.Epoch, string(p.Change)
	var envelope struct {
		ID       string          `json:"id"`
		Source   string          `json:"source"`
		Previous string          `json:"previousversion"`
		Reason   string          `json:"reason"`
		DataRef  string          `json:"dataref"`
		Data     json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(m.Data, &envelope); err != nil {
		return err
	}
	e.EventID, e.Source, e.Previous, e.Reason = envelope.ID, envelope.Source, envelope.Previous, envelope.Reason
	e.Size, e.DataRef = len(m.Data), envelope.DataRef
	data := envelope.Data
	if e.DataRef != "" {
		if data, e.Lost = fetch(payloads, e.DataRef); e.Lost != "" {
			return nil
		}
	}
	var body struct {
		Record     map[string]json.RawMessage `json:"record"`
		References map[string]Referenced      `json:"references"`
	}
	if len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, &body); err != nil {
		return err
	}
	e.References = body.References
	if body.Record != nil {
		e.Record = pickColumns(body.Record, followed[e.Table].Columns)
		for name, v := range e.Record {
			e.Record[name] = short(v)
		}
	}
	return nil
}

// fetch reads what an event refers to, and says what is wrong with it: the name of an
// object ends in the digest of its content.
func fetch(payloads outbound.Payloads, ref string) (data []byte, lost string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	data, err := payloads.Get(ctx, ref)
	if err != nil {
		return nil, err.Error()
	}
	sum := sha256.Sum256(data)
	if want := ref[strings.LastIndexByte(ref, '/')+1:]; hex.EncodeToString(sum[:8]) != want {
		return nil, "its content is not what its name says"
	}
	return data, ""
}

// longest is the size of a value that a history keeps as it is.
const longest = 200

// short stands for a long value in a history of millions: its digest.
func short(v json.RawMessage) json.RawMessage {
	if len(v) <= longest {
		return v
	}
	sum := sha256.Sum256(v)
	return json.RawMessage(`"sha256:` + hex.EncodeToString(sum[:]) + `"`)
}

// pickColumns keeps what the checker looks at: a history of millions has to fit.
func pickColumns[V any](row map[string]V, columns []string) map[string]V {
	kept := make(map[string]V, len(columns))
	for _, c := range columns {
		if v, ok := row[c]; ok {
			kept[c] = v
		}
	}
	return kept
}

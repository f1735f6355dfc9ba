package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"cebridge/bridge/internal/jet"
	"cebridge/outbound"
	"cebridge/schema"
	"cebridge/schema/event"
)

// DefaultMarkerTTL is how long the marker of an erased record stays: long enough for
// mirrors and consumers that were away for a while.
const DefaultMarkerTTL = 30 * 24 * time.Hour

// eraseTries bounds how often a record that is changing is tried.
const eraseTries = 5

// EraseOptions name one record.
type EraseOptions struct {
	Table  string
	Record string
	// Match are further texts that identify the record, such as an e-mail address: a
	// dead letter that holds one of them, in any letter case, is removed too.
	Match []string
	// MarkerTTL is how long the marker stays; 0 means DefaultMarkerTTL.
	MarkerTTL time.Duration
}

// Receipt is the proof of an erasure. It holds no content. The JSON names are a
// contract.
type Receipt struct {
	Org    string    `json:"org"`
	Table  string    `json:"table"`
	Record string    `json:"record"`
	Erased time.Time `json:"erased"`
	Stream string    `json:"stream"`
	// Events is how many events the stream held. Marker is the sequence of the
	// tombstone in their place, and MarkerExpires when it goes; 0 and absent when
	// the stream held nothing.
	Events        uint64     `json:"events"`
	Marker        uint64     `json:"marker,omitempty"`
	MarkerExpires *time.Time `json:"marker_expires,omitempty"`
	// Objects are the objects of the claim check that were removed: the data of events
	// too large for a message.
	Objects []string `json:"objects"`
	// Later tells that new events stand behind the marker already: the record still
	// lives in Customer Engagement and changes.
	Later bool `json:"later_events"`
	// DeadLetters are the subjects of the dead letters and parked messages that were
	// removed, Searched how many were looked at. Keys tells whether the record's
	// alternate keys were known and looked for.
	DeadLetters []string `json:"dead_letters"`
	Searched    int64    `json:"searched"`
	Keys        bool     `json:"keys_known"`
	// Copies are streams of the account that copy the event stream. The marker
	// replaces the history there too if they allow rollups.
	Copies []string `json:"copies"`
	// NotReached names what this program cannot erase.
	NotReached []string `json:"not_reached"`
}

// Erase removes what the streams hold of one record: first a tombstone without
// content takes the place of its events, which mirrors follow, then what stands
// before it is purged, then the data of its events in the object store and the dead
// letters that hold the record go. Delete the
// record in Customer Engagement first, or its next change is published again.
// On an error nothing is undone; Erase may be repeated until it succeeds.
func (o *Operator) Erase(ctx context.Context, opt EraseOptions) (*Receipt, error) {
	opt.Record = strings.ToLower(opt.Record)
	if _, err := o.tables([]string{opt.Table}); err != nil {
		return nil, fmt.Errorf("erase: %w", err)
	}
	if !schema.IsGUID(opt.Record) {
		return nil, fmt.Errorf("erase: %q is not a record's GUID", opt.Record)
	}
	if opt.MarkerTTL <= 0 {
		opt.MarkerTTL = DefaultMarkerTTL
	}
	b := o.b
	r := &Receipt{Org: b.cfg.Org, Table: opt.Table, Record: opt.Record, Stream: b.EventStream(), Objects: []string{}, DeadLetters: []string{}, Copies: []string{}}
	keys, err := o.eraseEvents(ctx, opt, r)
	if err == nil {
		err = o.eraseEchoes(ctx, opt)
	}
	if err == nil {
		err = o.eraseObjects(ctx, opt, r)
	}
	if err == nil {
		err = o.eraseLetters(ctx, opt, keys, r)
	}
	if err != nil {
		return nil, fmt.Errorf("erase record %s of table %s, repeat it: %w", opt.Record, opt.Table, err)
	}
	r.Erased = time.Now().UTC()
	copies, err := b.conn.Copies(ctx, b.EventStream())
	if err != nil {
		r.NotReached = append(r.NotReached, "streams that copy the event stream could not be listed: "+err.Error())
	}
	r.Copies = append(r.Copies, copies...)
	r.NotReached = append(r.NotReached, o.beyond()...)
	return r, nil
}

// beyond names the copies that no stream of the bridge knows of.
func (o *Operator) beyond() []string {
	list := []string{
		"the record in Customer Engagement itself, its audit history and backups",
		"consumers and what they stored; they see the tombstone",
		"copies of the event stream that deny rollups, or belong to other accounts or clusters",
		"copies that replay sent to other subjects",
		"backups and snapshots of the streams, and blocks on disk that the server has not rewritten yet",
	}
	seen := map[string]bool{}
	for _, r := range o.b.cfg.Inbound.Routes {
		if !seen[r.Stream] {
			seen[r.Stream] = true
			list = append(list, "messages about the record on the source stream "+r.Stream+", which belongs to its publisher")
		}
	}
	return list
}

// eraseEvents puts the marker in place of the record's events and returns what is
// known of its alternate keys.
func (o *Operator) eraseEvents(ctx context.Context, opt EraseOptions, r *Receipt) (keys keyTexts, err error) {
	b := o.b
	subject := b.names.Record(opt.Table, opt.Record)
	for range eraseTries {
		last, count, err := b.conn.Newest(ctx, b.EventStream(), subject)
		if err != nil {
			return nil, err
		}
		if last.Sequence == 0 {
			return nil, nil
		}
		if keys, err = o.keysOf(ctx, opt.Table, last); err != nil {
			return nil, err
		}
		marker, err := o.marker(ctx, opt, last)
		if err != nil {
			return nil, err
		}
		seq, err := b.conn.RollUp(ctx, b.EventStream(), marker, last.Sequence, opt.MarkerTTL)
		if errors.Is(err, jet.ErrMoved) {
			continue // it changed meanwhile
		}
		if err != nil {
			return nil, err
		}
		if _, err := b.conn.PurgeBefore(ctx, b.EventStream(), subject, seq); err != nil {
			return nil, err
		}
		expires := time.Now().Add(opt.MarkerTTL).UTC()
		r.Events, r.Marker, r.MarkerExpires, r.Keys = count, seq, &expires, len(keys) > 0
		after, _, err := b.conn.Newest(ctx, b.EventStream(), subject)
		if err != nil {
			return nil, err
		}
		r.Later = after.Sequence > seq
		return keys, nil
	}
	return nil, errors.New("the record keeps changing: delete it in Customer Engagement first")
}

// marker is a delete of the last version, without any content: consumers and the
// bridge itself read it like every other.
func (o *Operator) marker(ctx context.Context, opt EraseOptions, last outbound.Stored) (outbound.Message, error) {
	p, err := event.ReadHeader(last.Header)
	if err != nil {
		return outbound.Message{}, fmt.Errorf("message %d: %w", last.Sequence, err)
	}
	orgID := ""
	if c, _, err := o.checkpoint(ctx, opt.Table); err != nil {
		return outbound.Message{}, err
	} else if c != nil {
		orgID = c.OrgID
	}
	cfg := o.b.cfg.Outbound
	mode := event.Structured
	for _, t := range cfg.Tables {
		if t.Table == opt.Table {
			mode = t.Mode
		}
	}
	source := cfg.SourcePrefix
	if source == "" {
		source = "/" + o.b.cfg.Prefix + "/" + o.b.cfg.Org
	}
	encoder, err := event.NewEncoder(event.Settings{
		Source: source + "/" + opt.Table, TypePrefix: cfg.TypePrefix, Table: opt.Table, OrgID: orgID, Mode: mode,
	})
	if err != nil {
		return outbound.Message{}, err
	}
	header, data, err := encoder.Encode(&event.Record{
		RecordID: opt.Record, Version: p.Version, Epoch: p.Epoch, Change: event.Deleted, ReadBy: event.ByRepair,
		Recorded: time.Now(), Reason: "deleted",
	})
	return outbound.Message{Subject: o.b.names.Record(opt.Table, opt.Record), Header: header, Data: data}, err
}

// keyTexts are the alternate keys by which routes address a record.
type keyTexts []keyText

type keyText struct {
	// route uses the key, for its own table when own.
	route string
	own   bool
	// parts are those of the key's predicate: accountnumber='ABC123'. values are its
	// values as JSON: "ABC123".
	parts, values []string
}

// keysOf reads the key columns out of the record's last event, as far as it holds
// them.
func (o *Operator) keysOf(ctx context.Context, table string, last outbound.Stored) (keyTexts, error) {
	d, err := o.b.dataOf(ctx, last)
	if errors.Is(err, outbound.ErrNoPayload) {
		return nil, nil // an earlier try removed it, or somebody else did
	}
	if err != nil {
		return nil, err
	}
	if d.Record == nil {
		d.Record = d.Previous
	}
	var data struct{ Record map[string]json.RawMessage }
	if d.Record != nil {
		if err := json.Unmarshal(d.Record, &data.Record); err != nil {
			return nil, fmt.Errorf("message %d: its data is not that of a record: %w", last.Sequence, err)
		}
	}
	var keys keyTexts
	for _, route := range o.b.cfg.Inbound.Routes {
		if route.Mapping == nil {
			continue
		}
		for _, use := range route.Mapping.Keys() {
			if parts, values := keyParts(use.Columns, data.Record); use.Table == table && parts != nil {
				keys = append(keys, keyText{route.Name, route.Mapping.Writes(table), parts, values})
			}
		}
	}
	return keys, nil
}

// keyParts renders a key's columns as they stand in a request, nil when one is not
// known.
func keyParts(columns []string, record map[string]json.RawMessage) (parts, values []string) {
	for _, c := range columns {
		raw, ok := record[c]
		if !ok {
			raw, ok = record["_"+c+"_value"]
		}
		if !ok || string(raw) == "null" {
			return nil, nil
		}
		values = append(values, string(raw))
		var text string
		if json.Unmarshal(raw, &text) == nil {
			text = "'" + strings.ReplaceAll(text, "'", "''") + "'"
		} else {
			text = string(raw)
		}
		parts = append(parts, c+"="+text)
	}
	return parts, values
}

package outbound

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"cebridge/schema/event"
)

// Phase is where a table stands in its life.
type Phase string

// The phases a checkpoint can name.
const (
	// PhaseLoading: the initial load is running; its rows are published as loaded.
	PhaseLoading Phase = "loading"
	// PhasePriming: the initial read of a table that starts now; nothing is published.
	PhasePriming Phase = "priming"
	// PhaseFollowing: a delta link is held.
	PhaseFollowing Phase = "following"
	// PhaseResyncing: everything is read again and held against the stream.
	PhaseResyncing Phase = "resyncing"
)

const (
	checkpointFormat   = 1
	maxCheckpointBytes = 128 << 10
	maxLinkBytes       = 64 << 10
	// maxOlderLinks and maxOlderBytes bound the older links of a checkpoint.
	maxOlderLinks = 4
	maxOlderBytes = 4 << 10
)

// Checkpoint is a table's cursor as the stream holds it. A round is one walk
// from a delta link (or from nothing, in the initial load) over all its pages to
// the next delta link.
type Checkpoint struct {
	Format int    `json:"format"`
	Table  string `json:"table"`
	OrgID  string `json:"organization"`
	// Attempt is the random name of the commit that stored this checkpoint.
	Attempt string `json:"attempt"`
	// Written is when that commit was made.
	Written time.Time `json:"written"`
	Start   Start     `json:"start"`
	Phase   Phase     `json:"phase"`
	Epoch   int       `json:"epoch"`
	// Fingerprint is of the configuration that shapes identity and content.
	Fingerprint string `json:"fingerprint"`
	// Link is the page to fetch next; "" begins the initial load.
	Link string `json:"link,omitempty"`
	// Base is the link with which the present round began, Obtained a time
	// before its token was made: zero in the initial load.
	Base     string    `json:"base,omitempty"`
	Obtained time.Time `json:"obtained,omitzero"`
	// Began is when the present round began; zero between rounds.
	Began time.Time `json:"began,omitzero"`
	// RoundStart is the sequence of the checkpoint from which the present round
	// began; nil between rounds, where it is this checkpoint's own.
	RoundStart *uint64 `json:"round_start,omitempty"`
	// Page counts the pages of the round that are published completely.
	Page int64 `json:"page"`
	// Rows counts the rows of the initial load that were read and settled.
	Rows int64 `json:"rows"`
	// Baseline, for a table that starts now, is the latest modification time that
	// the initial read showed, on the source's own clock.
	Baseline string `json:"baseline,omitempty"`
	// Primed is the highest version that the same read showed.
	Primed int64 `json:"primed,omitempty"`
	// Top is the highest version that any row showed in this epoch. Reached is what
	// it was when the present round began (after its first page, in a full read), and
	// Floor the same of the round that ended with Base: the token in Base is not older.
	Top     int64 `json:"top,omitempty"`
	Reached int64 `json:"reached,omitempty"`
	Floor   int64 `json:"floor,omitempty"`
	// Paused: a person paused the table.
	Paused bool `json:"paused,omitempty"`
	// Resync says why everything is read again; only in PhaseResyncing.
	Resync *Resync `json:"resync,omitempty"`
	// Older are earlier delta links, the oldest first, for the overlap.
	Older []OlderLink `json:"older,omitempty"`
}

// Resync is a full read that is held against the stream.
type Resync struct {
	// Reason is one of the resync reasons; each is a metric label.
	Reason string `json:"reason"`
	// Began is when the resync was ordered, whatever restarts it had since.
	Began time.Time `json:"began"`
	// Force lifts the bound on deletes: a person said so.
	Force bool `json:"force,omitempty"`
	// Deleted counts the deletes that it published: the bound holds for all of them,
	// whatever restarts it had.
	Deleted int `json:"deleted,omitempty"`
	// Loading: it took over an initial load, so unknown records are loaded.
	Loading bool `json:"loading,omitempty"`
	// Restarts counts the processes that took it over within its read, and read anew.
	Restarts int `json:"restarts,omitempty"`
}

// OlderLink is a delta link with a time and a version that its token is not older
// than.
type OlderLink struct {
	Link     string    `json:"link"`
	Obtained time.Time `json:"obtained"`
	Floor    int64     `json:"floor,omitempty"`
}

// encode renders the checkpoint as it is stored.
func (c *Checkpoint) encode() ([]byte, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode the checkpoint of table %s: %w", c.Table, err)
	}
	return b, nil
}

// DecodeCheckpoint reads a stored checkpoint. It refuses what it does not know
// exactly: another format, a member of a newer version (by name), a member given
// twice, anything after the object, values out of range.
func DecodeCheckpoint(data []byte) (*Checkpoint, error) {
	if len(data) > maxCheckpointBytes {
		return nil, fmt.Errorf("checkpoint of %d bytes: more than %d", len(data), maxCheckpointBytes)
	}
	c := new(Checkpoint)
	fields := map[string]any{
		"format": &c.Format, "table": &c.Table, "organization": &c.OrgID, "attempt": &c.Attempt,
		"written": &c.Written, "start": &c.Start, "phase": &c.Phase, "epoch": &c.Epoch,
		"fingerprint": &c.Fingerprint, "link": &c.Link, "base": &c.Base, "obtained": &c.Obtained,
		"began": &c.Began, "round_start": &c.RoundStart, "page": &c.Page, "rows": &c.Rows,
		"baseline": &c.Baseline, "top": &c.Top, "reached": &c.Reached, "floor": &c.Floor,
		"primed": &c.Primed, "paused": &c.Paused, "resync": &c.Resync, "older": &c.Older,
	}
	// The tokenizer refuses duplicate names and invalid UTF-8; names match
	// exactly, which encoding/json alone would not insist on.
	dec := jsontext.NewDecoder(bytes.NewBuffer(data))
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != jsontext.KindBeginObject {
		return nil, errors.New("checkpoint is not a JSON object")
	}
	var unknown []string
	for dec.PeekKind() == jsontext.KindString {
		tok, err := dec.ReadToken()
		if err != nil {
			return nil, fmt.Errorf("checkpoint: %w", err)
		}
		name := tok.String()
		value, err := dec.ReadValue()
		if err != nil {
			return nil, fmt.Errorf("checkpoint member %q: %w", name, err)
		}
		field, ok := fields[name]
		if !ok {
			unknown = append(unknown, strconv.Quote(name))
			continue
		}
		if value.Kind() == jsontext.KindNull {
			return nil, fmt.Errorf("checkpoint member %q is null", name)
		}
		if err := json.Unmarshal(value, field); err != nil {
			return nil, fmt.Errorf("checkpoint member %q: %w", name, err)
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errors.New("checkpoint is followed by other data")
	}
	if c.Format != checkpointFormat {
		return nil, fmt.Errorf("checkpoint has format %d, this bridge knows %d", c.Format, checkpointFormat)
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("checkpoint has members of a newer bridge: %v", unknown)
	}
	return c, c.check()
}

// check reports values that no bridge writes.
func (c *Checkpoint) check() error {
	switch {
	case c.Table == "" || c.OrgID == "" || c.Fingerprint == "":
		return errors.New("checkpoint lacks its table, organization or fingerprint")
	case c.Attempt == "" || len(c.Attempt) > 64:
		return errors.New("checkpoint lacks its attempt id")
	case c.Start != StartLoad && c.Start != StartNow:
		return fmt.Errorf("checkpoint has an unknown start %q", c.Start)
	case c.Epoch < 1 || c.Epoch > 9999:
		return fmt.Errorf("checkpoint has epoch %d", c.Epoch)
	case c.Page < 0 || c.Rows < 0 || c.Top < 0 || c.Reached < 0 || c.Floor < 0 || c.Primed < 0:
		return errors.New("checkpoint has negative counts")
	case len(c.Link) > maxLinkBytes || len(c.Base) > maxLinkBytes || len(c.Baseline) > 64:
		return errors.New("checkpoint has an oversized link or baseline")
	case c.Page > 0 && c.RoundStart == nil:
		return errors.New("checkpoint is inside a round that has no start")
	case (c.Phase == PhaseResyncing) != (c.Resync != nil):
		return errors.New("checkpoint is in a resync without its reason, or has the reason of none")
	case len(c.Older) > maxOlderLinks:
		return errors.New("checkpoint has too many older links")
	}
	for _, o := range c.Older {
		if o.Link == "" || len(o.Link) > maxOlderBytes || o.Obtained.IsZero() {
			return errors.New("checkpoint has an older link that is empty, too long or without its time")
		}
	}
	switch c.Phase {
	case PhaseFollowing:
		if c.Link == "" || c.Base == "" {
			return errors.New("checkpoint follows changes without a link")
		}
	case PhaseLoading, PhasePriming, PhaseResyncing:
		if c.Base != "" || (c.Link == "") != (c.Page == 0) {
			return errors.New("checkpoint of an initial read has links that do not fit its page")
		}
	default:
		return fmt.Errorf("checkpoint has an unknown phase %q", c.Phase)
	}
	return nil
}

// errOtherFingerprint: the configuration changed since the checkpoint.
var errOtherFingerprint = errors.New("columns, filter, protection, event source or event type prefix changed since the checkpoint")

// errOtherOrg: the checkpoint is of another organization.
var errOtherOrg = errors.New("the checkpoint belongs to another organization")

// fit refuses a checkpoint that belongs to something else than c describes.
func (c *Checkpoint) fit(table, orgID, fingerprint string) error {
	switch {
	case c.Table != table:
		return fmt.Errorf("the checkpoint belongs to table %s; check the subject prefix", c.Table)
	case c.OrgID != orgID:
		return fmt.Errorf("%w: it belongs to organization %s, the configured one is %s; point the bridge at the right "+
			"organization, give it another organization name, or force a resync", errOtherOrg, c.OrgID, orgID)
	case c.Fingerprint != fingerprint:
		return errOtherFingerprint
	}
	return nil
}

// fingerprint names what must not change under a stored cursor: which columns
// are read, from which entity set, what makes an event's identity, and what becomes of
// a row on its way. Order of columns, page size, event mode, the schema's address and
// former values may change. What only tells which versions are worth an event stands
// behind a plus.
func fingerprint(q Query, s event.Settings, p *Payload) string {
	columns := slices.Compact(slices.Sorted(slices.Values(q.Columns)))
	h := sha256.New()
	for _, part := range append([]string{q.Table.EntitySet, s.Source, s.TypePrefix, s.OrgID}, columns...) {
		fmt.Fprintf(h, "%d:%s,", len(part), part)
	}
	content, changes := p.fingerprints()
	if content != "" {
		fmt.Fprintf(h, "payload:%s,", content)
	}
	print := hex.EncodeToString(h.Sum(nil)[:16])
	if changes != "" {
		print += "+" + changes
	}
	return print
}

// sameIdentity tells whether two fingerprints differ at most in which versions are
// worth an event: then no event of one is wrong under the other, and the epoch stays.
func sameIdentity(a, b string) bool {
	a, _, _ = strings.Cut(a, "+")
	b, _, _ = strings.Cut(b, "+")
	return a == b
}

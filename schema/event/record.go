package event

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Record is one change to publish.
type Record struct {
	// RecordID is the record's GUID in lower case.
	RecordID string
	// Version is the row version, above 0; on a delete the last known one.
	Version int64
	// Epoch is 1 to MaxEpoch.
	Epoch  int
	Change Change
	ReadBy ReadBy
	// Modified is modifiedon in RFC 3339; "" leaves time out. Ignored on deletes.
	Modified string
	// Recorded is when the bridge read the change.
	Recorded time.Time
	// Previous is the version of the event before; 0 leaves the attribute out.
	Previous int64
	// PreviousEpoch is the epoch of Previous. It is not published: the sequence of
	// the event that bears Previous tells it.
	PreviousEpoch int
	// Changed are logical names of columns.
	Changed []string
	// Row is a JSON object, nil on deletes and only there.
	Row []byte
	// Former and References are JSON objects or nil.
	Former     []byte
	References []byte
	// DataRef is a URI under which the data is kept; the event then carries none.
	DataRef string
	// Reason is deleted, filtered or reconciled, on deletes only; "" leaves it out.
	Reason string
	// Hash is a hash of the published columns.
	Hash uint64

	// Causation and CausationSource name the event that caused the change.
	Causation, CausationSource string
	Correlation                string
	TraceParent, TraceState    string
}

func (r *Record) deleted() bool { return r.Change == Deleted }

// validate checks everything that reaches an attribute, and the outer braces of
// the JSON members: their inside is the caller's, checked where it was read.
func (r *Record) validate() error {
	if r.RecordID == "" {
		return errors.New("the record id is empty")
	}
	if r.Version < 1 {
		return fmt.Errorf("version %d is not above 0", r.Version)
	}
	if r.Epoch < 1 || r.Epoch > MaxEpoch {
		return fmt.Errorf("epoch %d is not within 1 to %d", r.Epoch, MaxEpoch)
	}
	if r.Previous < 0 {
		return fmt.Errorf("previous version %d is negative", r.Previous)
	}
	switch r.ReadBy {
	case ByLoad, ByDelta, ByOverlap, ByResync, ByRepair:
	default:
		return fmt.Errorf("read by %q is unknown", string(r.ReadBy))
	}
	if y := r.Recorded.UTC().Year(); r.Recorded.IsZero() || y < 1 || y > 9999 {
		return errors.New("the recorded time is missing or outside the years 1 to 9999")
	}
	if err := r.validateData(); err != nil {
		return err
	}
	for _, c := range r.Changed {
		if c == "" || strings.Contains(c, ",") {
			return fmt.Errorf("changed column %q cannot stand in a comma-separated list", c)
		}
	}
	return r.validateTexts()
}

func (r *Record) validateData() error {
	switch r.Change {
	case Loaded, Created, Updated:
		if r.Reason != "" {
			return errors.New("a reason belongs to deletes only")
		}
		if !isObject(r.Row) {
			return errors.New("the row is not a JSON object")
		}
		if r.Modified != "" {
			if _, err := time.Parse(time.RFC3339, r.Modified); err != nil {
				return errors.New("modifiedon is not in the RFC 3339 form")
			}
		}
	case Deleted:
		switch r.Reason {
		case "", "deleted", "filtered", "reconciled":
		default:
			return fmt.Errorf("reason %q is unknown: use deleted, filtered or reconciled", r.Reason)
		}
		if r.Row != nil {
			return errors.New("a delete carries no row")
		}
	default:
		return fmt.Errorf("change %q is unknown", string(r.Change))
	}
	if r.Former != nil && !isObject(r.Former) {
		return errors.New("the former values are not a JSON object")
	}
	if r.References != nil && !isObject(r.References) {
		return errors.New("the references are not a JSON object")
	}
	return nil
}

func (r *Record) validateTexts() error {
	size := 0
	for _, c := range r.Changed {
		if err := checkText("changedcolumns", c); err != nil {
			return err
		}
		size += len(c) + 1
	}
	if size > MaxAttribute {
		return fmt.Errorf("attribute changedcolumns is longer than %d bytes", MaxAttribute)
	}
	for _, a := range [...]struct{ name, value string }{
		{"subject", r.RecordID},
		{"dataref", r.DataRef},
		{"causationid", r.Causation},
		{"causationsource", r.CausationSource},
		{"correlationid", r.Correlation},
		{"traceparent", r.TraceParent},
		{"tracestate", r.TraceState},
	} {
		if err := checkText(a.name, a.value); err != nil {
			return err
		}
	}
	return nil
}

func isObject(b []byte) bool {
	return len(b) >= 2 && b[0] == '{' && b[len(b)-1] == '}'
}

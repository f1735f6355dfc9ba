package event

import (
	"fmt"
	"strconv"
)

// Encoder writes the events of one table. It is safe for concurrent use.
type Encoder struct {
	settings Settings
	// head is the structured event up to and without its type.
	head string
	// types holds the type attribute of every change.
	types map[Change]string
}

// NewEncoder checks the settings; the error names the field that is wrong.
func NewEncoder(s Settings) (*Encoder, error) {
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("event settings: %w", err)
	}
	e := &Encoder{settings: s, types: make(map[Change]string, 4)}
	for _, c := range [...]Change{Loaded, Created, Updated, Deleted} {
		e.types[c] = s.TypePrefix + "." + s.Table + "." + string(c)
	}
	e.head = structuredHead(&s)
	return e, nil
}

// Encode writes one event. Header and data are fresh: the caller owns them. The
// members Row, Former and References are copied without being parsed; they must be
// valid JSON. An error wraps ErrInvalid and names the record and the field, never a
// column's value.
func (e *Encoder) Encode(r *Record) (header map[string][]string, data []byte, err error) {
	if err := r.validate(); err != nil {
		return nil, nil, fmt.Errorf("event of table %s, record %s, version %d: %w: %w",
			e.settings.Table, short(r.RecordID), r.Version, ErrInvalid, err)
	}
	if e.settings.Mode == Binary {
		header, data = e.binary(r)
	} else {
		header, data = e.structured(r)
	}
	if len(data) > MaxBody {
		return nil, nil, fmt.Errorf("event of table %s, record %s, version %d: %w",
			e.settings.Table, short(r.RecordID), r.Version, tooLarge(len(data)))
	}
	return header, data, nil
}

// crmHeaders adds the plain headers. values backs the header's slices, each cut to
// one element so that appending to one cannot reach the next.
func crmHeaders(header map[string][]string, values []string, r *Record) []string {
	var buf [40]byte
	b := strconv.AppendInt(buf[:0], r.Version, 10)
	n := len(b)
	b = appendHash(b, r.Hash)
	text := string(b)
	values = addHeader(header, values, HeaderVersion, text[:n])
	values = addHeader(header, values, HeaderHash, text[n:])
	values = addHeader(header, values, HeaderEpoch, strconv.Itoa(r.Epoch))
	values = addHeader(header, values, HeaderChange, string(r.Change))
	if r.TraceParent != "" {
		values = addHeader(header, values, HeaderTraceParent, percentEncode(r.TraceParent))
	}
	return values
}

func addHeader(header map[string][]string, values []string, name, value string) []string {
	values = append(values, value)
	n := len(values)
	header[name] = values[n-1 : n : n]
	return values
}

// appendHash appends 16 hexadecimal digits.
func appendHash(b []byte, h uint64) []byte {
	const hex = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, hex[h>>shift&15])
	}
	return b
}

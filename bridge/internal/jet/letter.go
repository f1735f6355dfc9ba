package jet

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"cebridge/inbound"
)

// A dead letter is the original message with headers of ours beside it. The names
// of ours begin with deadPrefix; an original header whose name would be mistaken for
// one of ours or of the server's stands under originalPrefix.
const (
	deadPrefix     = "Crm-Dead-"
	originalPrefix = deadPrefix + "Original-"

	deadRoute       = deadPrefix + "Route"
	deadStream      = deadPrefix + "Stream"
	deadIncarnation = deadPrefix + "Incarnation"
	deadSequence    = deadPrefix + "Sequence"
	deadSubject     = deadPrefix + "Subject"
	deadStored      = deadPrefix + "Stored"
	deadDeliveries  = deadPrefix + "Deliveries"
	deadVerdict     = deadPrefix + "Verdict"
	deadReason      = deadPrefix + "Reason"
	deadCode        = deadPrefix + "Code"
	deadStatus      = deadPrefix + "Status"
	deadText        = deadPrefix + "Text"
	deadKey         = deadPrefix + "Key"
	deadKeys        = deadPrefix + "Keys" // separated by blanks
	deadWrites      = deadPrefix + "Writes"
	deadDone        = deadPrefix + "Done"
	deadAccepted    = deadPrefix + "Accepted" // paths, separated by blanks
	deadRevision    = deadPrefix + "Revision"
	deadWaits       = deadPrefix + "Waits"
	deadAttempts    = deadPrefix + "Attempts"
	deadFirst       = deadPrefix + "First"
	deadLast        = deadPrefix + "Last"
	deadMethod      = deadPrefix + "Method"
	deadPath        = deadPrefix + "Path"
	deadRequest     = deadPrefix + "Request-Body" // base64
	deadCut         = deadPrefix + "Cut"          // what was too large to keep
	// deadEncoding "gzip+json": the body is a compressed JSON object with the
	// original header and data, because they did not fit beside ours.
	deadEncoding = deadPrefix + "Encoding"
	encodingGzip = "gzip+json"
)

const (
	maxText    = 500     // bytes of Crm-Dead-Text
	maxPath    = 2 << 10 // bytes of Crm-Dead-Path
	maxRequest = 8 << 10 // bytes of a request body that is kept
	// maxEnvelope bounds what a compressed letter may unfold to.
	maxEnvelope = 128 << 20
)

// envelope is a whole message as bytes, since headers need not be text.
type envelope struct {
	Header []envelopeLine `json:"header,omitempty"`
	Data   []byte         `json:"data"`
}

type envelopeLine struct {
	Name   []byte   `json:"name"`
	Values [][]byte `json:"values"`
}

func (e *envelope) add(name string, values []string) {
	l := envelopeLine{Name: []byte(name)}
	for _, v := range values {
		l.Values = append(l.Values, []byte(v))
	}
	e.Header = append(e.Header, l)
}

func (e *envelope) header() map[string][]string {
	h := make(map[string][]string, len(e.Header))
	for _, l := range e.Header {
		for _, v := range l.Values {
			h[string(l.Name)] = append(h[string(l.Name)], string(v))
		}
	}
	return h
}

// encodeLetter renders l as headers and body of at most limit bytes together. What
// does not fit as it is gets compressed; what does not fit then either is an error.
func encodeLetter(l *inbound.Letter, limit int) (map[string][]string, []byte, error) {
	own := letterHeader(l)
	header := maps.Clone(own)
	for k, vs := range l.Message.Header {
		if strings.HasPrefix(k, "Nats-") || strings.HasPrefix(k, deadPrefix) {
			k = originalPrefix + k
		}
		header[k] = vs
	}
	limit -= deadReserve
	if size := headerSize(header); checkHeader(header) == nil && size <= maxHeader-deadReserve && size+len(l.Message.Data) <= limit {
		return header, l.Message.Data, nil
	}
	whole := envelope{Data: l.Message.Data}
	for _, name := range slices.Sorted(maps.Keys(l.Message.Header)) {
		whole.add(name, l.Message.Header[name])
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	err := json.NewEncoder(z).Encode(whole)
	if err = errors.Join(err, z.Close()); err != nil {
		return nil, nil, fmt.Errorf("compress a dead letter: %w", err)
	}
	own[deadEncoding] = []string{encodingGzip}
	if size := headerSize(own) + b.Len(); size > limit {
		return nil, nil, fmt.Errorf("a dead letter of %d bytes, compressed, is above the limit of %d: raise the server's max_payload or the stream's max_msg_size",
			size, limit)
	}
	return own, b.Bytes(), nil
}

// deadReserve is room for the headers that publishing adds.
const deadReserve = 256

// letterHeader renders everything but the original message.
func letterHeader(l *inbound.Letter) map[string][]string {
	h := map[string][]string{}
	set := func(name, value string) {
		if value != "" {
			h[name] = []string{value}
		}
	}
	number := func(name string, n uint64) {
		if n != 0 {
			set(name, strconv.FormatUint(n, 10))
		}
	}
	at := func(name string, t time.Time) {
		if !t.IsZero() {
			set(name, t.UTC().Format(time.RFC3339Nano))
		}
	}
	m := l.Message
	set(deadRoute, line(l.Route, maxText))
	set(deadStream, line(m.Stream, maxText))
	set(deadIncarnation, line(m.Incarnation, maxText))
	number(deadSequence, m.Sequence)
	set(deadSubject, line(m.Subject, maxPath))
	at(deadStored, m.Stored)
	number(deadDeliveries, m.Deliveries)
	set(deadVerdict, line(l.Verdict, maxText))
	set(deadReason, line(l.Reason, maxText))
	set(deadCode, line(l.Code, maxText))
	number(deadStatus, uint64(max(l.Status, 0)))
	set(deadText, line(l.Text, maxText))
	set(deadKey, line(l.Key, maxText))
	set(deadKeys, strings.Join(l.Keys, " "))
	number(deadWrites, uint64(max(l.Writes, 0)))
	number(deadDone, uint64(max(l.Done, 0)))
	set(deadAccepted, line(l.Accepted, maxPath))
	set(deadWaits, line(l.Waits, maxPath))
	set(deadRevision, line(l.Revision, maxText))
	number(deadAttempts, uint64(max(l.Attempts, 0)))
	at(deadFirst, l.First)
	at(deadLast, l.Last)
	set(deadMethod, line(l.Method, maxText))
	set(deadPath, line(l.Path, maxPath))
	var cut []string
	if len(l.Path) > maxPath {
		cut = append(cut, "path")
	}
	switch {
	case len(l.Body) > maxRequest:
		cut = append(cut, "request-body")
	case len(l.Body) > 0:
		set(deadRequest, base64.StdEncoding.EncodeToString(l.Body))
	}
	set(deadCut, strings.Join(cut, ","))
	return h
}

// line makes one header value of s: valid UTF-8, no control characters, no blanks at
// the ends, at most n bytes.
func line(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if len(s) > n {
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = strings.TrimSpace(s[:n])
	}
	return s
}

// ErrNotLetter is wrapped by errors about messages that are not dead letters.
var ErrNotLetter = errors.New("not a dead letter")

// DecodeLetter reads a stored dead letter back: the original message with its
// headers, and the facts beside it. Text, path and request body may have been cut.
func DecodeLetter(header map[string][]string, data []byte) (*inbound.Letter, error) {
	get := func(name string) string {
		if vs := header[name]; len(vs) > 0 {
			return vs[0]
		}
		return ""
	}
	if get(deadRoute) == "" || get(deadReason) == "" {
		return nil, fmt.Errorf("%w: it lacks %s or %s", ErrNotLetter, deadRoute, deadReason)
	}
	var bad error
	number := func(name string) uint64 {
		if get(name) == "" {
			return 0
		}
		n, err := strconv.ParseUint(get(name), 10, 63)
		if err != nil {
			bad = errors.Join(bad, fmt.Errorf("%w: header %s is not a number", ErrNotLetter, name))
		}
		return n
	}
	at := func(name string) time.Time {
		if get(name) == "" {
			return time.Time{}
		}
		t, err := time.Parse(time.RFC3339Nano, get(name))
		if err != nil {
			bad = errors.Join(bad, fmt.Errorf("%w: header %s is not a time", ErrNotLetter, name))
		}
		return t
	}
	request, err := base64.StdEncoding.DecodeString(get(deadRequest))
	if err != nil {
		bad = errors.Join(bad, fmt.Errorf("%w: header %s is not base64", ErrNotLetter, deadRequest))
	}
	if len(request) == 0 {
		request = nil
	}
	original, body, err := openLetter(header, data, get(deadEncoding))
	if err != nil {
		return nil, err
	}
	l := &inbound.Letter{
		Route: get(deadRoute), Verdict: get(deadVerdict), Reason: get(deadReason), Code: get(deadCode),
		Key: get(deadKey), Keys: otherKeys(get(deadKey), get(deadKeys)),
		Writes: int(number(deadWrites)), Done: int(number(deadDone)), Accepted: get(deadAccepted), Revision: get(deadRevision), Waits: get(deadWaits),
		Status: int(number(deadStatus)), Text: get(deadText), Attempts: int(number(deadAttempts)),
		Method: get(deadMethod), Path: get(deadPath), Body: request, First: at(deadFirst), Last: at(deadLast),
		Message: &inbound.Message{
			Subject: get(deadSubject), Header: original, Data: body,
			Stream: get(deadStream), Incarnation: get(deadIncarnation), Sequence: number(deadSequence),
			Deliveries: number(deadDeliveries), Stored: at(deadStored),
		},
	}
	if bad != nil {
		return nil, bad
	}
	return l, nil
}

// otherKeys reads the list of a message's keys beside the first, each once.
func otherKeys(first, list string) []string {
	var keys []string
	seen := map[string]bool{first: true}
	for key := range strings.FieldsSeq(list) {
		if !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	return keys
}

// openLetter returns the original headers and body.
func openLetter(header map[string][]string, data []byte, encoding string) (map[string][]string, []byte, error) {
	switch encoding {
	case "":
		original := map[string][]string{}
		for k, vs := range header {
			if name, ok := strings.CutPrefix(k, originalPrefix); ok {
				original[name] = vs
			} else if !strings.HasPrefix(k, deadPrefix) && !strings.HasPrefix(k, "Nats-") {
				original[k] = vs
			}
		}
		return original, data, nil
	case encodingGzip:
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrNotLetter, err)
		}
		var e envelope
		if err := json.NewDecoder(io.LimitReader(z, maxEnvelope)).Decode(&e); err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrNotLetter, err)
		}
		return e.header(), e.Data, nil
	}
	return nil, nil, fmt.Errorf("%w: unknown encoding %q", ErrNotLetter, encoding)
}

// sameLetter tells whether two letters hold the same message. Attempts, times and
// even the verdict may differ when a crash came between storing a letter and
// acknowledging its message: the first one stands, and nothing is lost with it.
func sameLetter(a, b *inbound.Letter) bool {
	return a.Route == b.Route &&
		a.Message.Stream == b.Message.Stream && a.Message.Incarnation == b.Message.Incarnation &&
		a.Message.Sequence == b.Message.Sequence && a.Message.Subject == b.Message.Subject &&
		bytes.Equal(a.Message.Data, b.Message.Data) &&
		maps.EqualFunc(a.Message.Header, b.Message.Header, slices.Equal)
}

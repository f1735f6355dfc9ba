package outbound

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/go-json-experiment/json/jsontext"

	"cebridge/schema"
)

// Payload says which records and which of their values become events. The zero
// value publishes everything that was read.
type Payload struct {
	// Keep tells whether a record is published, from its row as the source sent it; nil
	// publishes all. It is called by several goroutines and must follow from the row
	// alone. Its error must not hold a value.
	Keep func(row []byte) (bool, error)
	// KeepName names what Keep does: with another name it is another configuration.
	KeepName string
	// Protect puts something else in place of columns' values, by logical name.
	Protect map[string]schema.Protection
	// HashKey is the secret of hashed columns.
	HashKey []byte
	// OnlyChanges leaves out updates in which no column differs in value from the last
	// event, but for those of Ignore (logical names).
	OnlyChanges bool
	Ignore      []string
}

// validate reports every fault of a payload for the columns of q and
// the references to tell.
func (p *Payload) validate(q Query, refs []Reference) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if (p.Keep == nil) != (p.KeepName == "") {
		bad("payload: a filter and its name belong together")
	}
	for _, name := range slices.Sorted(maps.Keys(p.Protect)) {
		switch kind := p.Protect[name]; {
		case !slices.Contains(q.Columns, name) || q.Table.Column(name) == nil:
			bad("payload: protected column %s is not among the columns of table %s", name, q.Table.LogicalName)
		case name == q.Table.PrimaryID || name == "modifiedon" || name == versionColumn:
			bad("payload: column %s cannot be protected: the event's own attributes show it", name)
		case kind == schema.ProtectHash && len(p.HashKey) < schema.MinHashKey:
			bad("payload: column %s is hashed: a key of at least %d bytes is needed", name, schema.MinHashKey)
		case kind != schema.ProtectHash && kind != schema.ProtectMask:
			bad("payload: protection %q of column %s: use %q or %q", kind, name, schema.ProtectHash, schema.ProtectMask)
		}
	}
	for _, r := range refs {
		if _, ok := p.Protect[r.Column]; ok {
			bad("payload: lookup %s cannot be protected and told about in references", r.Column)
		}
	}
	return errors.Join(errs...)
}

// fingerprints name what must not change under a stored cursor: content is of what
// shapes the events of a version, changes of which versions become events. Each is
// empty while nothing of it is used. The key is in it only by a keyed hash.
func (p *Payload) fingerprints() (content, changes string) {
	h := sha256.New()
	if p.Keep != nil {
		fmt.Fprintf(h, "keep %d:%s,", len(p.KeepName), p.KeepName)
	}
	keyed := false
	for _, name := range slices.Sorted(maps.Keys(p.Protect)) {
		fmt.Fprintf(h, "protect %d:%s=%s,", len(name), name, p.Protect[name])
		keyed = keyed || p.Protect[name] == schema.ProtectHash
	}
	if keyed {
		mac := hmac.New(sha256.New, p.HashKey)
		mac.Write([]byte("cebridge fingerprint"))
		fmt.Fprintf(h, "key %x,", mac.Sum(nil)[:8])
	}
	if p.Keep != nil || len(p.Protect) > 0 {
		content = hex.EncodeToString(h.Sum(nil)[:8])
	}
	if p.OnlyChanges {
		h := sha256.New()
		for _, name := range slices.Compact(slices.Sorted(slices.Values(p.Ignore))) {
			fmt.Fprintf(h, "ignore %d:%s,", len(name), name)
		}
		changes = hex.EncodeToString(h.Sum(nil)[:8])
	}
	return content, changes
}

// Shaper turns rows as the source sent them into rows as they are published. It is
// safe for concurrent use; one that has nothing to do costs nothing.
type Shaper struct {
	keep    func(row []byte) (bool, error)
	protect map[string]schema.Protection // by read name
	key     []byte
	ignore  map[string]bool // by read name; nil unless only changes are published
}

// NewShaper makes the shaper of a table's rows. The payload must be valid.
func NewShaper(t *schema.Table, p *Payload) *Shaper {
	s := &Shaper{keep: p.Keep, key: p.HashKey}
	read := func(name string) string {
		if c := t.Column(name); c != nil {
			return c.ReadName()
		}
		return name
	}
	if len(p.Protect) > 0 {
		s.protect = make(map[string]schema.Protection, len(p.Protect))
		for name, kind := range p.Protect {
			s.protect[read(name)] = kind
		}
	}
	if p.OnlyChanges {
		s.ignore = map[string]bool{versionColumn: true}
		for _, name := range p.Ignore {
			s.ignore[read(name)] = true
		}
	}
	return s
}

// OnlyChanges tells whether versions without a change that counts are left out.
func (s *Shaper) OnlyChanges() bool { return s.ignore != nil }

// errFilter is wrapped by every failure of a filter.
var errFilter = errors.New("the table's filter cannot be computed")

// Shape marks the rows that are not published and protects the others, in place. An
// error names the record.
func (s *Shaper) Shape(rows []Row) error {
	if s.keep == nil && len(s.protect) == 0 {
		return nil
	}
	var mac hash.Hash
	if len(s.key) > 0 {
		mac = hmac.New(sha256.New, s.key)
	}
	for i := range rows {
		r := &rows[i]
		if r.Deleted {
			continue
		}
		if s.keep != nil {
			keep, err := s.keep(r.JSON)
			if err != nil {
				return fmt.Errorf("%w: record %s: %w", errFilter, r.ID, err)
			}
			if !keep {
				// Nothing of it is to go any further.
				r.Out, r.JSON, r.Hash = true, []byte("{}"), 0
				continue
			}
		}
		if len(s.protect) > 0 {
			list, err := members(r.JSON)
			if err != nil {
				return fmt.Errorf("%w: record %s: its row is not a JSON object", errBadPage, r.ID)
			}
			s.conceal(list, mac)
			r.JSON = object(list)
			r.Hash = digest(list, nil)
		}
	}
	return nil
}

// conceal puts protected values in place of raw ones.
func (s *Shaper) conceal(list []member, mac hash.Hash) {
	for i := range list {
		if kind, ok := s.protect[string(list[i].name)]; ok {
			list[i].value = protectValue(kind, list[i].value, mac)
		}
	}
}

// protectValue hashes the text of a string and the literal of anything else, so that
// whoever has the key can compute it.
func protectValue(kind schema.Protection, value []byte, mac hash.Hash) []byte {
	if string(value) == "null" {
		return value
	}
	if kind == schema.ProtectMask {
		return []byte(`"` + schema.MaskText + `"`)
	}
	text := value
	if value[0] == '"' {
		// A half surrogate is U+FFFD to every reader: the error says no more.
		text, _ = jsontext.AppendUnquote(nil, value)
	}
	mac.Reset()
	mac.Write(text)
	out := append(make([]byte, 0, 64), `"`+schema.HashPrefix...)
	out = base64.RawURLEncoding.AppendEncode(out, mac.Sum(nil))
	return append(out, '"')
}

// former protects values of an event that was stored before: under an earlier
// configuration a column may have been published as it was.
func (s *Shaper) former(list []member) []member {
	if len(s.protect) == 0 {
		return list
	}
	list = slices.Clone(list)
	var mac hash.Hash
	if len(s.key) > 0 {
		mac = hmac.New(sha256.New, s.key)
	}
	for i := range list {
		kind, ok := s.protect[string(list[i].name)]
		if !ok {
			continue
		}
		if text, err := jsontext.AppendUnquote(nil, list[i].value); err == nil && kind.Is(string(text)) {
			continue
		}
		list[i].value = protectValue(kind, list[i].value, mac)
	}
	return list
}

// noise tells whether two versions of a row differ in nothing but values that are
// ignored. A column that only one of them has is a difference.
func (s *Shaper) noise(d *difference) bool {
	return s.ignore != nil && !d.reshaped &&
		!slices.ContainsFunc(d.names, func(name string) bool { return !s.ignore[name] })
}

// Digest is of a published row without the values that only changes ignore: rows with
// the same one need not be told apart.
func (s *Shaper) Digest(row []byte) (uint64, error) {
	list, err := members(row)
	if err != nil {
		return 0, fmt.Errorf("digest of a row: %w", err)
	}
	return digest(list, s.ignore), nil
}

// digest hashes members but for the version column; of those in bare only the name.
func digest(list []member, bare map[string]bool) uint64 {
	var d xxhash.Digest
	d.Reset()
	for _, m := range list {
		name := string(m.name)
		if name == versionColumn {
			continue
		}
		_, _ = d.Write(m.name) // never fails
		_, _ = d.WriteString(":")
		if !bare[name] {
			_, _ = d.Write(m.value)
		}
		_, _ = d.WriteString(",")
	}
	return d.Sum64()
}

// Same tells whether a row would be published although an event with the former row
// is: not when they differ in nothing, or in ignored values alone.
func (s *Shaper) Same(former, row []byte) (bool, error) {
	d, err := new(comparer).compare(former, row)
	if err != nil {
		return false, err
	}
	return len(d.names) == 0 || s.noise(&d), nil
}

package bridge

import (
	"bytes"
	"context"
	"net/url"
	"slices"
	"strings"

	"cebridge/bridge/internal/jet"
)

// eraseLetters removes the dead letters and parked messages that hold a record.
func (o *Operator) eraseLetters(ctx context.Context, opt EraseOptions, keys keyTexts, r *Receipt) error {
	b := o.b
	stream := b.names.DeadStream()
	exists, err := b.conn.StreamExists(ctx, stream)
	if err != nil || !exists {
		return err
	}
	texts := append([]string{opt.Record}, opt.Match...)
	texts = slices.DeleteFunc(texts, func(s string) bool { return strings.TrimSpace(s) == "" })
	var found []jet.Step
	err = b.conn.Walk(ctx, jet.Walk{Stream: stream}, func(s jet.Step) error {
		r.Searched++
		if holds(s, texts, keys) {
			s.Data, s.Header = nil, nil
			found = append(found, s)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, s := range found {
		if err := b.conn.Remove(ctx, stream, s.Sequence); err != nil {
			return err
		}
		r.DeadLetters = append(r.DeadLetters, s.Subject)
	}
	return nil
}

// holds tells whether a stored letter holds one of the texts anywhere, or addresses
// a record by one of the keys. A letter that never became a request, or whose message
// asks for several, addresses by a key of its route when all the values of that stand
// in it. What is no letter is searched as it is.
func holds(s jet.Step, texts []string, keys keyTexts) bool {
	parts := [][]byte{s.Data}
	for _, values := range s.Header {
		for _, v := range values {
			parts = append(parts, []byte(v))
		}
	}
	if l, err := jet.DecodeLetter(s.Header, s.Data); err == nil {
		for _, key := range keys {
			if key.own && key.route == l.Route && (l.Path == "" || l.Writes > 0) && containsAll(l.Message.Data, key.values) {
				return true
			}
		}
		// Its request, path and original may be encoded in the stored form.
		parts = append(parts, l.Body, l.Message.Data, []byte(l.Path), []byte(l.Waits))
		for _, values := range l.Message.Header {
			for _, v := range values {
				parts = append(parts, []byte(v))
			}
		}
	}
	for _, part := range parts {
		plain := bytes.ToLower(part)
		for _, t := range texts {
			if bytes.Contains(plain, bytes.ToLower([]byte(t))) {
				return true
			}
		}
		if decoded, err := url.PathUnescape(string(plain)); err == nil {
			plain = []byte(decoded)
		}
		for _, key := range keys {
			if containsAll(plain, key.parts) {
				return true
			}
		}
	}
	return false
}

// containsAll ignores letter case, as the keys of Customer Engagement do.
func containsAll(b []byte, texts []string) bool {
	b = bytes.ToLower(b)
	return !slices.ContainsFunc(texts, func(t string) bool { return !bytes.Contains(b, bytes.ToLower([]byte(t))) })
}

package event

import (
	"fmt"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// classes tells of every byte where it may stand as it is. A table, since the
// question is asked for every byte of every attribute.
var classes = func() (t [256]uint8) {
	for c := ' '; c <= '~'; c++ {
		if c != '"' && c != '\\' {
			t[c] |= inJSON
		}
		if c != ' ' && c != '"' && c != '%' {
			t[c] |= inHeader
		}
	}
	return t
}()

const (
	inJSON   = 1 << iota // within a JSON string
	inHeader             // within a header of the NATS binding
)

func all(s string, class uint8) bool {
	for i := range len(s) {
		if classes[s[i]]&class == 0 {
			return false
		}
	}
	return true
}

// checkText refuses what the specification's String type excludes (control
// characters, invalid UTF-8) and what is beyond the bound.
func checkText(name, s string) error {
	if len(s) > MaxAttribute {
		return fmt.Errorf("attribute %s is longer than %d bytes", short(name), MaxAttribute)
	}
	if all(s, inJSON) {
		return nil
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("attribute %s is not valid UTF-8", short(name))
	}
	for _, r := range s {
		if r < 0x20 || r >= 0x7f && r <= 0x9f {
			return fmt.Errorf("attribute %s contains a control character", short(name))
		}
	}
	return nil
}

// appendQuoted appends s as a JSON string. s has passed checkText.
func appendQuoted(b []byte, s string) []byte {
	if all(s, inJSON) {
		b = append(b, '"')
		b = append(b, s...)
		return append(b, '"')
	}
	b, _ = jsontext.AppendQuote(b, s) // fails only on invalid UTF-8
	return b
}

// percentEncode encodes a header value as the NATS binding wants it: space, '"',
// '%' and every byte outside U+0021 to U+007E.
func percentEncode(s string) string {
	if all(s, inHeader) {
		return s
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, 2*len(s)+8)
	for i := range len(s) {
		c := s[i]
		if classes[c]&inHeader == 0 {
			b = append(b, '%', hex[c>>4], hex[c&15])
			continue
		}
		b = append(b, c)
	}
	return string(b)
}

// percentDecode undoes percentEncode. A value in double quotes is unquoted first
// (RFC 9110 quoted-string, which the HTTP and NATS bindings allow). A value that
// is not properly encoded was written raw by a lax producer and is returned as it is.
func percentDecode(s string) string {
	s = unquote(s)
	n := 0
	for i := range len(s) {
		if s[i] == '%' {
			n++
		}
	}
	if n == 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return s
		}
		hi, ok1 := unhex(s[i+1])
		lo, ok2 := unhex(s[i+2])
		if !ok1 || !ok2 {
			return s
		}
		b = append(b, hi<<4|lo)
		i += 2
	}
	if !utf8.Valid(b) {
		return s
	}
	return string(b)
}

// unquote strips double quotes and their backslash escapes; a value that is not a
// quoted string as a whole is returned as it is.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	inner := s[1 : len(s)-1]
	b := make([]byte, 0, len(inner))
	for i := 0; i < len(inner); i++ {
		switch c := inner[i]; c {
		case '"':
			return s
		case '\\':
			if i++; i == len(inner) {
				return s
			}
			b = append(b, inner[i])
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

func unhex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// short makes a foreign text fit for an error message.
func short(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most] + "..."
	}
	return fmt.Sprintf("%q", s)
}

package schema

import (
	"encoding/base64"
	"strings"
)

// Protection is what stands in events in place of a column's value. Null stays
// null.
type Protection string

// The protections.
const (
	// ProtectHash puts a keyed hash there: equal values have equal hashes, and only
	// who has the key can tell which value a hash is of.
	ProtectHash Protection = "hash"
	// ProtectMask puts MaskText there.
	ProtectMask Protection = "mask"
)

const (
	// MaskText stands in place of a masked value.
	MaskText = "***"
	// HashPrefix begins a hashed value: HMAC-SHA-256 in unpadded base64url follows.
	HashPrefix = "hmac-sha256:"
	// MinHashKey is the least length of a key, in bytes.
	MinHashKey = 16
)

// hashLength is that of 32 bytes in unpadded base64url.
const hashLength = 43

// Is tells whether a text has the form of a value that p protects.
func (p Protection) Is(text string) bool {
	if p == ProtectMask {
		return text == MaskText
	}
	sum, ok := strings.CutPrefix(text, HashPrefix)
	if !ok || len(sum) != hashLength {
		return false
	}
	_, err := base64.RawURLEncoding.DecodeString(sum)
	return err == nil
}

// describe replaces the schema of a column by that of its protected values.
func (p Protection) describe() map[string]any {
	if p == ProtectMask {
		return map[string]any{"enum": []any{MaskText, nil}, "description": "masked"}
	}
	return map[string]any{
		"type":        []string{"string", "null"},
		"pattern":     "^" + HashPrefix + "[A-Za-z0-9_-]{43}$",
		"description": "HMAC-SHA-256 of the value with a secret key; equal values are equal here too",
	}
}

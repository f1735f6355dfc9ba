package echo

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
)

// fingerprint is a salted hash of a column's value; false for a value that has none: an
// object or a list, or a number with an exponent.
func fingerprint(salt, column string, value []byte) (string, bool) {
	plain, ok := canonical(value)
	if !ok {
		return "", false
	}
	sum := sha256.Sum256([]byte(salt + "\x00" + column + "\x00" + plain))
	return base64.RawURLEncoding.EncodeToString(sum[:16]), true
}

// canonical is a text that two values share when they mean the same.
func canonical(value []byte) (string, bool) {
	text := strings.TrimSpace(string(value))
	switch {
	case text == "":
		return "", false
	case text == "null" || text == "true" || text == "false":
		return text, true
	case text[0] == '"':
		var s string
		if json.Unmarshal([]byte(text), &s) != nil {
			return "", false
		}
		return `"` + s, true
	case text[0] == '-' || text[0] >= '0' && text[0] <= '9':
		return number(text)
	}
	return "", false
}

// number takes superfluous zeros away.
func number(text string) (string, bool) {
	digits, negative := strings.CutPrefix(text, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	if strings.Trim(whole, "0123456789") != "" || strings.Trim(fraction, "0123456789") != "" || whole == "" {
		return "", false
	}
	whole, fraction = strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")
	if whole == "" {
		whole = "0"
	}
	if fraction != "" {
		whole += "." + fraction
	}
	if negative && whole != "0" {
		whole = "-" + whole
	}
	return whole, true
}

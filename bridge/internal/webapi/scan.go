package webapi

import (
	"bytes"
	"fmt"
)

// The functions here walk over bytes that a JSON decoder has accepted already.
// They do not validate; they stop at the end of the bytes whatever these are.

// skipBetween moves past blanks, commas and colons. Something always follows.
func skipBetween(b []byte, i int) int {
	for i < len(b)-1 {
		switch b[i] {
		case ' ', '\t', '\n', '\r', ',', ':':
			i++
		default:
			return i
		}
	}
	return i
}

// skipString moves from an opening quote past the closing one, and tells whether
// the text holds an escape.
func skipString(b []byte, i int) (end int, escaped bool) {
	i++
	n := bytes.IndexByte(b[i:], '"')
	if n < 0 {
		return len(b), true
	}
	if bytes.IndexByte(b[i:i+n], '\\') < 0 {
		return i + n + 1, false
	}
	for ; i < len(b) && b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return min(i+1, len(b)), true
}

// skipValue moves past one value that stands inside depth containers, and tells
// whether it may hold an escape.
func skipValue(b []byte, i, depth int) (end int, escaped bool, err error) {
	switch b[i] {
	case '"':
		end, escaped = skipString(b, i)
		return end, escaped, nil
	case '{', '[':
		end, err = skipContainer(b, i, depth)
		return end, true, err
	}
	for i < len(b) {
		switch b[i] {
		case ',', '}', ']', ' ', '\t', '\n', '\r':
			return i, false, nil
		}
		i++
	}
	return i, false, nil
}

func skipContainer(b []byte, i, depth int) (int, error) {
	for outer := depth; i < len(b); i++ {
		switch b[i] {
		case '"':
			i, _ = skipString(b, i)
			i--
		case '{', '[':
			if depth++; depth > maxDepth {
				return i, fmt.Errorf("nested deeper than %d", maxDepth)
			}
		case '}', ']':
			if depth--; depth == outer {
				return i + 1, nil
			}
		}
	}
	return i, nil
}

// mendSurrogates writes U+FFFD over every escape that is half of a surrogate
// pair, in place: what any decoder would read there, and some refuse to.
func mendSurrogates(b []byte) {
	for {
		n := bytes.IndexByte(b, '\\')
		if n < 0 || n+1 >= len(b) {
			return
		}
		b = b[n:]
		if b[1] != 'u' || len(b) < 6 {
			b = b[2:]
			continue
		}
		unit := hex4(b[2:])
		if unit&0xfc00 == 0xd800 && len(b) >= 12 && b[6] == '\\' && b[7] == 'u' && hex4(b[8:])&0xfc00 == 0xdc00 {
			b = b[12:]
			continue
		}
		if unit&0xf800 == 0xd800 {
			copy(b[2:], "fffd")
		}
		b = b[6:]
	}
}

// hex4 reads four hexadecimal digits.
func hex4(b []byte) (v uint16) {
	for _, c := range b[:4] {
		v <<= 4
		switch {
		case c >= '0' && c <= '9':
			v |= uint16(c - '0')
		case c >= 'a' && c <= 'f':
			v |= uint16(c - 'a' + 10)
		case c >= 'A' && c <= 'F':
			v |= uint16(c - 'A' + 10)
		}
	}
	return v
}

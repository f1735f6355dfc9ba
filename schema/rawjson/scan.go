package rawjson

import (
	"encoding/binary"
	"math/bits"
)

// The functions here move past one piece of text that begins at i, and return where it
// ends. A fault at n is ^n, which is negative.

// at tells whether c stands at i.
func at(b []byte, i int, c byte) bool { return i < len(b) && b[i] == c }

func blanks(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// value moves past a value within which depth more may be nested.
func value(b []byte, i, depth int) int {
	if i >= len(b) {
		return ^i
	}
	switch c := b[i]; {
	case c == '"':
		end, _ := quoted(b, i+1)
		return end
	case c == '{' || c == '[':
		return container(b, i, depth)
	case c == '-' || c >= '0' && c <= '9':
		return number(b, i)
	case c == 't':
		return literal(b, i, "true")
	case c == 'f':
		return literal(b, i, "false")
	case c == 'n':
		return literal(b, i, "null")
	}
	return ^i
}

func literal(b []byte, i int, text string) int {
	if len(b)-i < len(text) || string(b[i:i+len(text)]) != text {
		return ^i
	}
	return i + len(text)
}

func container(b []byte, i, depth int) int {
	if depth == 0 {
		return ^i
	}
	object, end := b[i] == '{', b[i]+2 // '}' follows '{' at a distance of two, and ']' '['
	if i = blanks(b, i+1); at(b, i, end) {
		return i + 1
	}
	for {
		if object {
			if !at(b, i, '"') {
				return ^i
			}
			if i, _ = quoted(b, i+1); i < 0 {
				return i
			}
			if i = blanks(b, i); !at(b, i, ':') {
				return ^i
			}
			i = blanks(b, i+1)
		}
		if i = value(b, i, depth-1); i < 0 {
			return i
		}
		switch i = blanks(b, i); {
		case at(b, i, ','):
			i = blanks(b, i+1)
		case at(b, i, end):
			return i + 1
		default:
			return ^i
		}
	}
}

// number moves past a number.
func number(b []byte, i int) int {
	if at(b, i, '-') {
		i++
	}
	if at(b, i, '0') {
		i++
	} else if i = digits(b, i); i < 0 {
		return i
	}
	if at(b, i, '.') {
		if i = digits(b, i+1); i < 0 {
			return i
		}
	}
	if at(b, i, 'e') || at(b, i, 'E') {
		i++
		if at(b, i, '+') || at(b, i, '-') {
			i++
		}
		i = digits(b, i)
	}
	return i
}

// digits moves past at least one digit.
func digits(b []byte, i int) int {
	from := i
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	if i == from {
		return ^i
	}
	return i
}

// quoted moves past the rest of a text whose opening quote stands before i, and its
// closing one. It tells whether there are escapes in it.
func quoted(b []byte, i int) (end int, escaped bool) {
	for {
		if i = plain(b, i); i >= len(b) {
			return ^i, escaped
		}
		switch b[i] {
		case '"':
			return i + 1, escaped
		case '\\':
			escaped = true
			if i = escape(b, i+1); i < 0 {
				return i, escaped
			}
		default:
			return ^i, escaped // a control character
		}
	}
}

// escape moves past what follows a backslash.
func escape(b []byte, i int) int {
	if i >= len(b) {
		return ^i
	}
	switch b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		if len(b)-i < 5 {
			return ^len(b)
		}
		for n := i + 1; n < i+5; n++ {
			if c := b[n] | 0x20; (b[n] < '0' || b[n] > '9') && (c < 'a' || c > 'f') {
				return ^n
			}
		}
		return i + 5
	}
	return ^i
}

// plain moves to the next quote, backslash or control character, or to the end: eight
// bytes at a time, since texts are most of a row. A byte that is less than c turns the
// highest bit of its place on in (x - c) &^ x, and so may those above it: the lowest
// one is right.
func plain(b []byte, i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; len(b)-i >= 8; i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		quote, slash := x^('"'*ones), x^('\\'*ones)
		found := ((quote-ones)&^quote | (slash-ones)&^slash | (x-' '*ones)&^x) & highs
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' ' {
		i++
	}
	return i
}

package webapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxErrorBytes is how much of a failed answer is read.
const maxErrorBytes = 64 << 10

// maxMessage is how many characters of a server's text are kept.
const maxMessage = 500

// fault is what an error answer says about itself.
type fault struct {
	// known: the body is one of the API's own error shapes.
	known   bool
	code    string // normalised, "" when the server gave none
	message string // shortened
}

// readFault understands the API's two error shapes:
//
//	{"error":{"code":"0x80060891","message":"...","innererror":{"message":"..."}}}
//	{"Message":"...","ExceptionMessage":"...","ErrorCode":"..."}
//
// Source: "Compose HTTP requests and handle errors" (first shape); Microsoft's
// Web API samples (second shape). Anything else is not known.
func readFault(body []byte) fault {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	var shape struct {
		Error *struct {
			Code       json.RawMessage `json:"code"`
			Message    json.RawMessage `json:"message"`
			InnerError struct {
				Message json.RawMessage `json:"message"`
			} `json:"innererror"`
		} `json:"error"`
		Message          json.RawMessage `json:"Message"`
		ExceptionMessage json.RawMessage `json:"ExceptionMessage"`
		ErrorCode        json.RawMessage `json:"ErrorCode"`
	}
	if json.Unmarshal(body, &shape) != nil {
		return fault{}
	}
	if e := shape.Error; e != nil {
		message := textOf(e.Message)
		if message == "" {
			message = textOf(e.InnerError.Message)
		}
		return fault{known: true, code: normalCode(textOf(e.Code)), message: shorten(message)}
	}
	if shape.Message == nil && shape.ExceptionMessage == nil && shape.ErrorCode == nil {
		return fault{}
	}
	message := textOf(shape.ExceptionMessage)
	if message == "" {
		message = textOf(shape.Message)
	}
	return fault{known: true, code: normalCode(textOf(shape.ErrorCode)), message: shorten(message)}
}

// textOf returns a JSON string's text or a JSON number's digits, else "".
func textOf(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var n json.Number
	if json.Unmarshal(raw, &n) == nil {
		return n.String()
	}
	return ""
}

// normalCode writes a code as 0x and eight lower-case hex digits. Servers send
// any case, signed decimals in places, and "" or 0x0 where they know none.
func normalCode(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	digits, prefixed := strings.CutPrefix(s, "0x")
	if prefixed || len(s) == 8 && strings.Trim(s, "0123456789abcdef") == "" {
		n, err := strconv.ParseUint(digits, 16, 32)
		if err != nil || n == 0 {
			return ""
		}
		return fmt.Sprintf("0x%08x", n)
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n < 0 && n >= -1<<31 {
		return fmt.Sprintf("0x%08x", uint32(n))
	}
	return ""
}

// shorten keeps the beginning of a text and makes it one line.
func shorten(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if utf8.RuneCountInString(s) > maxMessage {
		return string([]rune(s)[:maxMessage]) + "…"
	}
	return s
}

package webapi

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter caps what a server may ask for. Waits of seven minutes were
// measured; an hour leaves room and still ends.
const maxRetryAfter = time.Hour

// parseRetryAfter reads a Retry-After value: seconds or an HTTP date. An explicit
// zero or a past date is a wish of no delay; junk and negative numbers are no
// wish at all (ok is false). Source: RFC 9110 §10.2.3.
func parseRetryAfter(value string, now time.Time) (delay time.Duration, ok bool) {
	value = strings.TrimSpace(value)
	if value == "" || len(value) > 64 {
		return 0, false
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseUint(value, 10, 63)
		if err != nil || seconds > uint64(maxRetryAfter/time.Second) {
			return maxRetryAfter, true // only overflow can fail here
		}
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	return min(max(at.Sub(now), 0), maxRetryAfter), true
}

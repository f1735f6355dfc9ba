package webapi

import (
	"net/http"
	"testing"
	"time"
)

func TestRetryAfterForms(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"0": 0, "1": time.Second, " 37 ": 37 * time.Second, "007": 7 * time.Second, "420": 7 * time.Minute,
		"3600": time.Hour, "3601": time.Hour, "1000000000": time.Hour, "99999999999999999999999": time.Hour,
		now.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second,
		now.Add(-time.Hour).Format(http.TimeFormat):       0,
		now.AddDate(1, 0, 0).Format(http.TimeFormat):      time.Hour,
		"Saturday, 01-Mar-25 12:00:10 GMT":                10 * time.Second,
	} {
		if got, ok := parseRetryAfter(value, now); !ok || got != want {
			t.Errorf("%q: %v %t, want %v", value, got, ok, want)
		}
	}
	for _, value := range []string{"", " ", "-1", "+1", "1.5", "1,200", "soon", "0x10", "1 s", "٣", "Mon, 99 Jan 2025 00:00:00 GMT"} {
		if got, ok := parseRetryAfter(value, now); ok || got != 0 {
			t.Errorf("%q: %v %t, want no wish", value, got, ok)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("37")
	f.Add("Sat, 01 Mar 2025 12:00:00 GMT")
	f.Fuzz(func(t *testing.T, value string) {
		if d, ok := parseRetryAfter(value, time.Unix(1740830400, 0)); d < 0 || d > maxRetryAfter || !ok && d != 0 {
			t.Fatalf("%q: %v %t", value, d, ok)
		}
	})
}

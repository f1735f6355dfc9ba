package webapi

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFaultShapes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		want fault
	}{
		"first":            {`{"error":{"code":"0x80060891","message":"gone"}}`, fault{true, "0x80060891", "gone"}},
		"byte order mark":  {"\xef\xbb\xbf" + `{"error":{"code":"","message":"m"}}`, fault{true, "", "m"}},
		"annotations":      {`{"error":{"code":"0X80060892","message":"m","@Microsoft.PowerApps.CDS.HelpLink":"x"}}`, fault{true, "0x80060892", "m"}},
		"inner message":    {`{"error":{"code":"0x0","message":"","innererror":{"message":"inner","type":"t"}}}`, fault{true, "", "inner"}},
		"second":           {`{"Message":"m","ExceptionMessage":"e","StackTrace":"s","ErrorCode":"80040217"}`, fault{true, "0x80040217", "e"}},
		"second, message":  {`{"Message":"m"}`, fault{true, "", "m"}},
		"signed decimal":   {`{"error":{"code":-2147220969,"message":"m"}}`, fault{true, "0x80040217", "m"}},
		"decimal as text":  {`{"error":{"code":"-2147220969","message":"m"}}`, fault{true, "0x80040217", "m"}},
		"a word as code":   {`{"error":{"code":"BadRequest","message":"m"}}`, fault{true, "", "m"}},
		"message not text": {`{"error":{"code":"","message":{"lang":"en"}}}`, fault{true, "", ""}},
		"two lines":        {`{"error":{"message":" a\r\nb\u0000 "}}`, fault{true, "", "a  b"}},
		"null error":       {`{"error":null}`, fault{}},
		"error as text":    {`{"error":"x"}`, fault{}},
		"markup":           {`<html/>`, fault{}},
		"nothing":          {``, fault{}},
		"an array":         {`[]`, fault{}},
		"another object":   {`{"a":1}`, fault{}},
		"cut":              {`{"error":{"code":"0x80060891","mess`, fault{}},
	} {
		if got := readFault([]byte(c.body)); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestMessagesAreShortOneLineAndValid(t *testing.T) {
	t.Parallel()
	got := shorten(strings.Repeat("é\n", 2000) + "\xff")
	if n := utf8.RuneCountInString(got); n != maxMessage+1 || strings.ContainsAny(got, "\n\r") || !utf8.ValidString(got) {
		t.Errorf("%d characters: %q", n, got)
	}
}

func FuzzFault(f *testing.F) {
	f.Add([]byte(`{"error":{"code":"0x80060891","message":"gone"}}`))
	f.Add([]byte(`{"ErrorCode":-1,"ExceptionMessage":"\ud800"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got := readFault(body)
		if got.code != "" && (len(got.code) != 10 || normalCode(got.code) != got.code) {
			t.Fatalf("code %q", got.code)
		}
		if !utf8.ValidString(got.message) || utf8.RuneCountInString(got.message) > maxMessage+1 || strings.ContainsAny(got.message, "\r\n\x00") {
			t.Fatalf("message %q", got.message)
		}
	})
}

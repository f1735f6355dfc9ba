package sim

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestTokensSurviveEveryEncodingClientsUse(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	mustInsert(t, s, "account", map[string]any{"name": "n"})
	link := send(t, s, "GET", "accounts?$select=name", "", "Prefer: odata.track-changes").page(t).Delta
	const plain = "$deltatoken=914005%2108%2f22%2f2025%2008%3a10%3a44"
	if !strings.HasSuffix(link, plain) {
		t.Fatalf("delta link %s does not end in %s", link, plain)
	}
	for _, form := range []string{
		plain,
		"$deltatoken=914005%2108%2F22%2F2025%2008%3A10%3A44",
		"$deltatoken=914005!08/22/2025+08:10:44",
		"%24deltatoken=914005%2108%2F22%2F2025+08%3A10%3A44",
	} {
		p := follow(t, s, strings.Replace(link, plain, form, 1)).page(t)
		if len(p.Value) != 0 || p.Delta == "" {
			t.Errorf("%s: %d rows, delta link %q", form, len(p.Value), p.Delta)
		}
	}
	for _, form := range []string{"$deltatoken=", "$deltatoken=abc", "$deltatoken=914005!soon", "$deltatoken=-1!08/22/2025 08:10:44", "$deltatoken=%zz"} {
		follow(t, s, strings.Replace(link, plain, form, 1)).want(t, 400, codeInvalidRequest)
	}
}

func TestCookieHasTheShapeOfLiveServers(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	for i := range 3 {
		mustInsert(t, s, "account", map[string]any{"accountid": "abcdef00-0000-0000-0000-00000000000" + string(rune('1'+i))})
	}
	got := send(t, s, "GET", "accounts?$select=name", "", "Prefer: odata.maxpagesize=2").page(t).Next
	want := "http://org.example/api/data/v9.1/accounts?$select=name&$skiptoken=%3Ccookie%20pagenumber=%222%22%20pagingcookie=%22%253ccookie%2520page%253d%25221%2522%253e%253caccountid%2520last%253d%2522%257bABCDEF00-0000-0000-0000-000000000002%257d%2522%2520first%253d%2522%257bABCDEF00-0000-0000-0000-000000000001%257d%2522%2520%252f%253e%253c%252fcookie%253e%22%20istracking=%22False%22%20/%3E"
	if got != want {
		t.Errorf("next link\n got %s\nwant %s", got, want)
	}
	for name, link := range map[string]string{
		"as it is":          want,
		"fully re-encoded":  "http://org.example/api/data/v9.1/accounts?" + url.Values{"$select": {"name"}, "$skiptoken": {mustToken(t, want)}}.Encode(),
		"decoded too often": strings.ReplaceAll(want, "%25", "%"),
	} {
		if p := follow(t, s, link, "Prefer: odata.maxpagesize=2").page(t); len(p.Value) != 1 || p.Next != "" {
			t.Errorf("%s: %d rows, next %q", name, len(p.Value), p.Next)
		}
	}
	follow(t, s, strings.Replace(want, "ABCDEF00", "ABCDEFXX", 1)).want(t, 400, codeInvalidRequest)
	follow(t, s, "http://org.example/api/data/v9.1/accounts?$skiptoken=2").want(t, 400, codeInvalidRequest)
}

func mustToken(t *testing.T, link string) string {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("$skiptoken")
}

func TestLinksFollowTheRequestedHost(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	a := sendURL(t, s, "GET", "http://front.example:8080/api/data/v9.2/accounts", "", "Prefer: odata.track-changes", "X-Forwarded-Proto: https")
	if p := a.page(t); !strings.HasPrefix(p.Delta, "https://front.example:8080/api/data/v9.2/accounts?$deltatoken=") {
		t.Errorf("delta link %s", p.Delta)
	}
}

// FuzzCookie: parsing never panics, and what it accepts survives a round trip.
func FuzzCookie(f *testing.F) {
	c := cookie{page: 3, tracking: true, phase: phaseChanges, since: 5, reached: 9, token: deltaToken{version: 77, issued: epoch}, first: uuid.New(), last: uuid.New()}
	f.Add(c.String("accountid"))
	f.Add((&cookie{page: 2, offset: 10}).String("contactid"))
	f.Add(`<cookie pagenumber="2" pagingcookie="" istracking="False" />`)
	f.Fuzz(func(t *testing.T, text string) {
		c, e := parseCookie(text)
		if e != nil {
			return
		}
		again, e := parseCookie(c.String("accountid"))
		if e != nil {
			t.Fatalf("%+v does not survive: %v", c, e)
		}
		c.token.issued, again.token.issued = c.token.issued.Round(time.Second), again.token.issued.Round(time.Second)
		if c.tracking && *c != *again || !c.tracking && (c.page != again.page || c.last != again.last || c.offset != again.offset) {
			t.Fatalf("%+v became %+v", c, again)
		}
	})
}

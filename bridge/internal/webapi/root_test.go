package webapi

import (
	"errors"
	"strings"
	"testing"
)

func mustRoot(t testing.TB, address string) root {
	t.Helper()
	r, err := newRoot(address, "v9.2")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRootOfAnAddress(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"https://contoso.crm4.dynamics.com":      "https://contoso.crm4.dynamics.com/api/data/v9.2/",
		"https://contoso.crm4.dynamics.com/":     "https://contoso.crm4.dynamics.com/api/data/v9.2/",
		"https://Contoso.CRM4.dynamics.com:443/": "https://contoso.crm4.dynamics.com/api/data/v9.2/",
		"http://server:80/ORG":                   "http://server/ORG/api/data/v9.2/",
		"http://server:5555/ORG/":                "http://server:5555/ORG/api/data/v9.2/",
		"https://[::1]:443/ORG":                  "https://[::1]/ORG/api/data/v9.2/",
	} {
		r := mustRoot(t, address)
		if got := r.origin() + r.path; got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

func TestRootRefusesAddresses(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"", "contoso", "ftp://contoso", "https://", "https:///ORG", "https://user:hunter2@contoso", "https://contoso?x=1", "https://contoso/?",
		"https://contoso#f", "https://contoso#", "https://contoso./", "https://contösó", "https://contoso/a/../b", "https://contoso//ORG",
		"https://contoso/a%2fb", `https://contoso/a\b`, "https://contoso/O RG", "https://contoso/api/data/v9.2", "https://contoso\x00", "://", "https://contoso/;x",
	} {
		_, err := newRoot(address, "v9.2")
		if err == nil {
			t.Errorf("%q: accepted", address)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error shows the password: %v", address, err)
		}
	}
}

// What needs no parsing must ask for the very same as what is parsed.
func FuzzAPlainPathAsksForTheSameAsAParsedOne(f *testing.F) {
	for _, rel := range []string{
		"accounts", "accounts(accountnumber='A-1')", "accounts(accountnumber='A-1')?$select=versionnumber",
		"accounts(00000000-0000-0000-0000-000000000001)", "contacts(a='x',b=12.5)", "a..b", "..", ".", "..a", "a?b?c", "a?", "a?x#y", "a/b", "a%2e", "a b", "$batch", "",
		"accounts?$select=name&$deltatoken=9190%2108", "a?\x7f",
	} {
		f.Add(rel)
	}
	r, err := newRoot("https://contoso.example/ORG", "v9.2")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, rel string) {
		want, refused := r.parsed(rel)
		line, err := r.appendURI([]byte("PATCH "), rel)
		if (err == nil) != (refused == nil) || err == nil && string(line) != "PATCH "+want.RequestURI() {
			t.Fatalf("%q: the request line says %q, %v; parsed %v, %v", rel, line, err, want, refused)
		}
		if _, _, ok := plain(rel); !ok {
			return
		}
		if refused != nil {
			t.Fatalf("%q: taken as plain, refused when parsed: %v", rel, refused)
		}
		u, err := r.resolve(rel)
		if err != nil {
			t.Fatal(err)
		}
		if u.RequestURI() != want.RequestURI() || u.Host != want.Host || u.Scheme != want.Scheme || u.Path != want.Path || u.String() != want.String() {
			t.Fatalf("%q: plain %#v, parsed %#v", rel, u, want)
		}
	})
}

func TestLinksAreCutDownByteForByte(t *testing.T) {
	t.Parallel()
	const query = `accounts?$select=name&$deltatoken=919042%2108%2f22%2F2025%2008%3a10%3a44+x&y=http://other/`
	r := mustRoot(t, "https://contoso.example/ORG")
	for _, prefix := range []string{
		"", "https://contoso.example/ORG/api/data/v9.2/", "https://CONTOSO.example/org/API/data/v9.2/",
		"HTTPS://contoso.example:443/ORG/api/data/v9.2/",
	} {
		got, err := r.relative(prefix+query, "accounts")
		if err != nil || got != query {
			t.Errorf("%s: %q, %v", prefix, got, err)
		}
	}
	http := mustRoot(t, "http://server:80")
	if got, err := http.relative("http://server/api/data/v9.2/accounts?a", "accounts"); err != nil || got != "accounts?a" {
		t.Errorf("default port: %q, %v", got, err)
	}
}

var foreignLinks = []string{
	"", "accounts", "accounts?", "contacts?$deltatoken=1", "Accounts?a", "accounts(1)?a", "accounts/x?a", "accounts%2f?a",
	"/accounts?a", "//evil.example/accounts?a", "/api/data/v9.2/accounts?a", `\\evil.example\accounts?a`, "../accounts?a", "./accounts?a",
	"https://evil.example/ORG/api/data/v9.2/accounts?a",
	"https://contoso.example.evil.example/ORG/api/data/v9.2/accounts?a",
	"https://contoso.example@evil.example/ORG/api/data/v9.2/accounts?a",
	"https://user@contoso.example/ORG/api/data/v9.2/accounts?a",
	"https://contoso.example:444/ORG/api/data/v9.2/accounts?a",
	"https://contoso.example./ORG/api/data/v9.2/accounts?a",
	"http://contoso.example/ORG/api/data/v9.2/accounts?a",
	"http://contoso.example:443/ORG/api/data/v9.2/accounts?a",
	"javascript://contoso.example/ORG/api/data/v9.2/accounts?a",
	"https:/contoso.example/ORG/api/data/v9.2/accounts?a",
	"https://contoso.example/OTHER/api/data/v9.2/accounts?a",
	"https://contoso.example/api/data/v9.2/accounts?a",
	"https://contoso.example/ORG/api/data/v9.1/accounts?a",
	"https://contoso.example/ORG/api/data/v9.2/contacts?a",
	"https://contoso.example/ORG/api/data/v9.2/accounts#?a",
	"https://contoso.example/ORG/api/data/v9.2/../v9.2/accounts?a",
	"https://contoso.example/ORG/api/data/v9.2//accounts?a",
	"https://contoso.example/ORG/../ORG/api/data/v9.2/accounts?a",
	"https://contoso.example\\@evil.example/ORG/api/data/v9.2/accounts?a",
	"https://contoso.example?/ORG/api/data/v9.2/accounts?a",
	"https:// contoso.example/ORG/api/data/v9.2/accounts?a",
	"accounts?a\r\nHost: evil.example", "accounts?a\x00", "accounts?a#b", "accounts?a\t",
}

func TestForeignLinksAreRefused(t *testing.T) {
	t.Parallel()
	r := mustRoot(t, "https://contoso.example/ORG")
	for _, link := range append(foreignLinks, "accounts?"+strings.Repeat("x", maxLink)) {
		if got, err := r.relative(link, "accounts"); !errors.Is(err, errForeignLink) || got != "" {
			t.Errorf("%.80q: %q, %v", link, got, err)
		}
	}
}

func TestResolveStaysBelowTheRoot(t *testing.T) {
	t.Parallel()
	r := mustRoot(t, "https://contoso.example/ORG")
	const base = "/ORG/api/data/v9.2/"
	for rel, want := range map[string]string{
		"accounts?$select=a&$deltatoken=1%21%2f":    base + "accounts?$select=a&$deltatoken=1%21%2f",
		"accounts?$skiptoken=<cookie a=\"b\" é />":  base + "accounts?$skiptoken=<cookie%20a=\"b\"%20%C3%A9%20/>",
		"accounts(accountnumber='A%20''B..%C3%A9')": base + "accounts(accountnumber='A%20''B..%C3%A9')",
		"accounts(" + guid1 + ")?$select=accountid": base + "accounts(" + guid1 + ")?$select=accountid",
	} {
		u, err := r.resolve(rel)
		if err != nil {
			t.Errorf("%s: %v", rel, err)
			continue
		}
		if u.RequestURI() != want || u.Scheme != "https" || u.Host != "contoso.example" {
			t.Errorf("%s: sent as %s %s", rel, u.Host, u.RequestURI())
		}
	}
	for _, rel := range []string{"../x", "a/../../x", "a%2f..%2f..", "a#b", "a(%zz)", `a\..\b`, "./x", "a('<')"} {
		if u, err := r.resolve(rel); err == nil {
			t.Errorf("%s: sent as %s", rel, u)
		}
	}
}

// FuzzLink proves that whatever a server names as a link, the request goes to
// the configured origin and below the API root, to the same entity set, with the
// query unchanged but for bytes that cannot stand in a request line.
func FuzzLink(f *testing.F) {
	for _, l := range foreignLinks {
		f.Add(l)
	}
	f.Add("https://contoso.example/ORG/api/data/v9.2/accounts?$deltatoken=919042%2108%2f22")
	r := mustRoot(f, "https://contoso.example/ORG")
	f.Fuzz(func(t *testing.T, link string) {
		rel, err := r.relative(link, "accounts")
		if err != nil {
			return
		}
		query, ok := strings.CutPrefix(rel, "accounts?")
		if !ok || !strings.HasSuffix(link, rel) {
			t.Fatalf("%q became %q", link, rel)
		}
		again, err := r.relative(rel, "accounts")
		if err != nil || again != rel {
			t.Fatalf("a stored link is not stable: %q, %v", again, err)
		}
		u, err := r.resolve(rel)
		if err != nil {
			t.Fatalf("%q cannot be sent: %v", rel, err)
		}
		if u.Scheme != "https" || u.Host != "contoso.example" || u.User != nil || u.Path != "/ORG/api/data/v9.2/accounts" || u.RawQuery != escapeRest(query) {
			t.Fatalf("%q is sent to %s", link, u)
		}
		if !plainText(u.RequestURI()) {
			t.Fatalf("%q would break the request line", u.RequestURI())
		}
	})
}

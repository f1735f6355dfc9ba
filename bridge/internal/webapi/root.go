package webapi

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// maxLink bounds a stored link. A longer one could not be a request line of a
// common server anyway.
const maxLink = 32 << 10

// errForeignLink is the cause of every refused link.
var errForeignLink = errors.New("the link leaves the configured address or table")

// root is the API root. It is made once from the configuration and never from
// anything a server said.
type root struct {
	scheme string
	host   string // lower case, without a default port
	path   string // "/ORG/api/data/v9.2/", as configured
}

// newRoot parses an organization's address.
func newRoot(address, version string) (root, error) {
	u, err := url.Parse(address)
	if err != nil {
		return root{}, fmt.Errorf("web api address: %w", errors.Unwrap(err))
	}
	bad := func(why string) (root, error) {
		return root{}, fmt.Errorf("web api address %q: %s", u.Redacted(), why)
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return bad("it must begin with https:// (or http:// on an intranet)")
	case u.Hostname() == "" || strings.HasSuffix(u.Hostname(), ".") || !plainText(u.Host):
		return bad("it needs a plain host name")
	case u.User != nil:
		return bad("it must not hold a user name or password")
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(address, "#"):
		return bad("it must not hold a query or a fragment")
	case strings.Contains(strings.ToLower(u.Path), "/api/"):
		return bad("leave out /api/data: give the organization's address alone")
	}
	path := strings.TrimRight(u.EscapedPath(), "/")
	if !plainText(path) || strings.Contains(path, "//") || strings.Contains(path, "..") || strings.ContainsAny(path, `%;\`) {
		return bad("its path must be the plain name of the organization")
	}
	return root{scheme: u.Scheme, host: canonicalHost(u.Scheme, u.Host), path: path + "/api/data/" + version + "/"}, nil
}

// origin is the scheme and host: the resource that a token is asked for.
func (r root) origin() string { return r.scheme + "://" + r.host }

// resolve makes the URL of a path below the root. The bytes of rel are sent as
// they are, but for blanks and bytes beyond ASCII, which no request line can
// hold. It fails rather than address anything outside the root.
func (r root) resolve(rel string) (*url.URL, error) {
	if path, query, ok := plain(rel); ok {
		full := r.path + path
		return &url.URL{Scheme: r.scheme, Host: r.host, Path: full, RawPath: full, RawQuery: query}, nil
	}
	return r.parsed(rel)
}

// appendURI appends what a request line says of the URL that resolve makes.
func (r root) appendURI(b []byte, rel string) ([]byte, error) {
	if _, _, ok := plain(rel); ok {
		b = append(b, r.path...)
		return append(b, rel...), nil
	}
	u, err := r.parsed(rel)
	if err != nil {
		return b, err
	}
	return append(b, u.RequestURI()...), nil
}

// parsed makes the URL of any path.
func (r root) parsed(rel string) (*url.URL, error) {
	raw := r.origin() + r.path + escapeRest(rel)
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("request address: %w", errors.Unwrap(err))
	}
	if u.Scheme != r.scheme || u.Host != r.host || u.User != nil || u.Fragment != "" ||
		r.origin()+u.RequestURI() != raw || hasDotSegment(u.Path[len(r.path):]) {
		return nil, fmt.Errorf("request address: %w", errForeignLink)
	}
	return u, nil
}

// plain divides a path in which nothing needs a second look: a single segment without
// escapes, as most keys give. Every write passes here, and to parse what was just
// composed is a large part of what its request costs. ok is false for anything else.
func plain(rel string) (path, query string, ok bool) {
	path, query, _ = strings.Cut(rel, "?")
	if path == "" || path[0] == '.' {
		return "", "", false
	}
	for i := range len(path) {
		c := path[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("()'=,-_.$", c) >= 0) {
			return "", "", false
		}
	}
	if len(path) < len(rel) && query == "" || !plainText(query) || strings.Contains(query, "#") {
		return "", "", false
	}
	return path, query, true
}

// relative cuts everything up to and including /api/data/vX.Y/ off a link and
// returns the rest byte for byte. It accepts a link that begins with the entity
// set, or an absolute one of the configured origin and path; both must address
// exactly that entity set. Anything else is errForeignLink.
func (r root) relative(link, entitySet string) (string, error) {
	refuse := func(why string) (string, error) { return "", fmt.Errorf("%w: %s", errForeignLink, why) }
	if len(link) > maxLink {
		return refuse("it is too long")
	}
	for i := range len(link) {
		if c := link[i]; c < ' ' || c == 0x7f || c == '\\' || c == '#' {
			return refuse("it holds a character that no link has")
		}
	}
	rest := link
	if scheme, after, ok := strings.Cut(link, "://"); ok && !strings.ContainsAny(scheme, "/?(") {
		host, path, _ := strings.Cut(after, "/")
		switch {
		case !strings.EqualFold(scheme, r.scheme):
			return refuse("another scheme")
		case strings.ContainsAny(host, "@?"):
			return refuse("a user name before the host")
		case canonicalHost(r.scheme, host) != r.host:
			return refuse("another host or port")
		}
		path = "/" + path
		if len(path) < len(r.path) || !strings.EqualFold(path[:len(r.path)], r.path) {
			return refuse("another path or version")
		}
		rest = path[len(r.path):]
	}
	set, query, ok := strings.Cut(rest, "?")
	if set != entitySet || entitySet == "" {
		return refuse("another table")
	}
	if !ok || query == "" {
		return refuse("no query")
	}
	return rest, nil
}

// hasDotSegment tells whether a decoded path climbs: a/../b.
func hasDotSegment(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// canonicalHost lowers the case and drops a port that the scheme implies.
func canonicalHost(scheme, host string) string {
	host = strings.ToLower(host)
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		return host
	}
	if scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		if strings.Contains(name, ":") {
			return "[" + name + "]"
		}
		return name
	}
	return host
}

// plainText tells whether s is printable ASCII without blanks.
func plainText(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// escapeRest percent-encodes the bytes that cannot stand in a request line.
func escapeRest(s string) string {
	if plainText(s) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// validName tells whether s may stand in a URL as an entity set, table or column.
func validName(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
			return false
		}
	}
	return true
}

package sim

import (
	"net/url"
	"strings"
)

// params are the query parameters of a request in their order, each with its text
// as sent, so that links can repeat it byte for byte.
type params []param

type param struct {
	name, value string
	raw         string
	bad         bool // not validly percent-encoded
}

// parseParams splits a raw query. A plus and %20 both mean a blank, escapes may be
// in either case: clients re-encode links in different ways.
func parseParams(raw string) params {
	var ps params
	for item := range strings.SplitSeq(raw, "&") {
		if item == "" {
			continue
		}
		name, value, _ := strings.Cut(item, "=")
		p := param{raw: item}
		var err1, err2 error
		p.name, err1 = url.QueryUnescape(name)
		p.value, err2 = url.QueryUnescape(value)
		p.bad = err1 != nil || err2 != nil
		ps = append(ps, p)
	}
	return ps
}

// get returns a parameter's value.
func (ps params) get(name string) (string, bool) {
	for _, p := range ps {
		if p.name == name {
			return p.value, true
		}
	}
	return "", false
}

// kept is the query text that links repeat: everything but the tokens.
func (ps params) kept() string {
	var b strings.Builder
	for _, p := range ps {
		if p.name == "$skiptoken" || p.name == "$deltatoken" {
			continue
		}
		b.WriteString(p.raw)
		b.WriteByte('&')
	}
	return b.String()
}

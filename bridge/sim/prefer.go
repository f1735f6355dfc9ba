package sim

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// prefs is what the Prefer headers of a request ask for. Unknown preferences are
// ignored, as RFC 7240 wants.
type prefs struct {
	track          bool
	representation bool
	pageSize       int // 0: not asked for
	annotations    []string
}

// preferences reads all Prefer headers: comma-separated, values optionally quoted.
func preferences(r *http.Request) prefs {
	var p prefs
	for _, header := range r.Header.Values("Prefer") {
		for _, item := range splitQuoted(header, ',') {
			name, value, _ := strings.Cut(strings.TrimSpace(item), "=")
			name = strings.ToLower(strings.TrimSpace(name))
			value = strings.Trim(strings.TrimSpace(value), `"`)
			switch strings.TrimPrefix(name, "odata.") {
			case "track-changes":
				p.track = true
			case "maxpagesize":
				if n, err := strconv.Atoi(value); err == nil && n > 0 {
					p.pageSize = n
				}
			case "include-annotations":
				for a := range strings.SplitSeq(value, ",") {
					p.annotations = append(p.annotations, strings.TrimSpace(a))
				}
			case "return":
				p.representation = value == "representation"
			}
		}
	}
	return p
}

// annotates tells whether the caller wants the annotation.
func (p prefs) annotates(name string) bool {
	return slices.ContainsFunc(p.annotations, func(a string) bool {
		prefix, wild := strings.CutSuffix(a, "*")
		return a == name || wild && strings.HasPrefix(name, prefix)
	})
}

// splitQuoted splits s at sep outside of double quotes.
func splitQuoted(s string, sep byte) []string {
	var parts []string
	quoted, start := false, 0
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}

package sim

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// deltaToken says up to which row version a client has seen a table, and when.
type deltaToken struct {
	version int64
	issued  time.Time
}

const tokenTimeForm = "01/02/2006 15:04:05"

// String is the token's text: 919042!08/22/2025 08:10:44.
func (t deltaToken) String() string {
	return strconv.FormatInt(t.version, 10) + "!" + t.issued.UTC().Format(tokenTimeForm)
}

// parseToken parses a decoded $deltatoken.
func parseToken(text string) (deltaToken, *apiError) {
	number, stamp, ok := strings.Cut(text, "!")
	version, err := strconv.ParseInt(number, 10, 64)
	issued, err2 := time.Parse(tokenTimeForm, stamp)
	if !ok || err != nil || err2 != nil || version < 0 {
		return deltaToken{}, invalidRequest("The delta token '%s' is not valid.", shorten(text))
	}
	return deltaToken{version: version, issued: issued}, nil
}

// cookie is a decoded $skiptoken: where the next page begins.
type cookie struct {
	page        int // number of the page it leads to
	first, last uuid.UUID
	// offset is the number of rows to pass over in an ordered query.
	offset   int
	tracking bool
	// The rest is for tracked queries: the token that the delta link will carry,
	// the version a delta began at, and the last change or delete already sent.
	token   deltaToken
	phase   phase
	since   int64
	reached int64
	dump    bool
}

// phase is what a tracked page continues.
type phase string

const (
	phaseLoad    phase = "load"
	phaseChanges phase = "changes"
	phaseDeletes phase = "deletes"
)

// String is the decoded text of the $skiptoken. The pagingcookie inside is
// encoded once more. The elements and attributes of untracked cookies are those
// of live samples; the attributes that tracked ones add are an assumption.
func (c *cookie) String(primaryID string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<cookie page="%d"`, c.page-1)
	if c.offset > 0 {
		fmt.Fprintf(&b, ` offset="%d"`, c.offset)
	}
	if c.tracking {
		fmt.Fprintf(&b, ` phase="%s" token="%s" since="%d" reached="%d" dump="%t"`, c.phase, c.token, c.since, c.reached, c.dump)
	}
	fmt.Fprintf(&b, `><%s last="{%s}" first="{%s}" /></cookie>`, primaryID, strings.ToUpper(c.last.String()), strings.ToUpper(c.first.String()))
	tracking := "False"
	if c.tracking {
		tracking = "True"
	}
	return fmt.Sprintf(`<cookie pagenumber="%d" pagingcookie="%s" istracking="%s" />`, c.page, lowerEscape(b.String()), tracking)
}

var (
	cookieForm    = regexp.MustCompile(`^<cookie pagenumber="(\d{1,9})" pagingcookie="(.*)" istracking="(True|False)" />$`)
	innerForm     = regexp.MustCompile(`^<cookie page="\d{1,9}"((?: [a-z]+="[^"]*")*)><[a-z0-9_]+ last="\{([0-9A-Fa-f-]{36})\}" first="\{([0-9A-Fa-f-]{36})\}" /></cookie>$`)
	attributeForm = regexp.MustCompile(`([a-z]+)="([^"]*)"`)
)

// parseCookie is the inverse of String. It takes the paging cookie also when a
// client decoded it once too often.
func parseCookie(text string) (*cookie, *apiError) {
	bad := invalidRequest("Malformed XML in the Paging Cookie.")
	m := cookieForm.FindStringSubmatch(text)
	if m == nil {
		return nil, bad
	}
	inner := m[2]
	for range 2 {
		if !strings.HasPrefix(inner, "<") {
			if text, err := url.PathUnescape(inner); err == nil {
				inner = text
			}
		}
	}
	n := innerForm.FindStringSubmatch(inner)
	if n == nil {
		return nil, bad
	}
	c := &cookie{tracking: m[3] == "True"}
	c.page, _ = strconv.Atoi(m[1])
	var err1, err2 error
	c.last, err1 = uuid.Parse(n[2])
	c.first, err2 = uuid.Parse(n[3])
	if err1 != nil || err2 != nil || c.page < 2 {
		return nil, bad
	}
	for _, a := range attributeForm.FindAllStringSubmatch(n[1], -1) {
		if !c.setAttribute(a[1], a[2]) {
			return nil, bad
		}
	}
	if c.tracking && c.phase == "" {
		return nil, bad
	}
	return c, nil
}

func (c *cookie) setAttribute(name, value string) bool {
	var err error
	switch name {
	case "offset":
		c.offset, err = strconv.Atoi(value)
	case "phase":
		c.phase = phase(value)
		return c.phase == phaseLoad || c.phase == phaseChanges || c.phase == phaseDeletes
	case "token":
		var e *apiError
		c.token, e = parseToken(value)
		return e == nil
	case "since":
		c.since, err = strconv.ParseInt(value, 10, 64)
	case "reached":
		c.reached, err = strconv.ParseInt(value, 10, 64)
	case "dump":
		c.dump, err = strconv.ParseBool(value)
	}
	return err == nil && c.offset >= 0
}

// nextLink is the URL of the page of a collection that c describes.
func nextLink(root, path, primaryID string, ps params, c *cookie) string {
	text := strings.NewReplacer("%3D", "=", "%2F", "/").Replace(upperEscape(c.String(primaryID)))
	return root + path + "?" + ps.kept() + "$skiptoken=" + text
}

// deltaLink is the URL that returns what happened after t.
func (s *Server) deltaLink(r *http.Request, d *tableDef, ps params, t deltaToken) string {
	return s.apiRoot(r) + d.EntitySet + "?" + ps.kept() + "$deltatoken=" + lowerEscape(t.String())
}

// lowerEscape percent-encodes all but letters, digits and -._ with lower-case
// escapes, as .NET's URL encoding does but for the blank, which live links have
// as %20. upperEscape is the same with upper-case escapes.
func lowerEscape(s string) string { return escape(s, "0123456789abcdef") }
func upperEscape(s string) string { return escape(s, "0123456789ABCDEF") }

func escape(s, digits string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_':
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
	return b.String()
}

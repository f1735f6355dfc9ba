package bridge

import (
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"cebridge/bridge/internal/yamltree"
)

// DoorbellConfig is the HTTP port that webhooks of Customer Engagement ring at.
// Empty Listen means none; the NATS subject is always there.
type DoorbellConfig struct {
	Listen string
	// Path is the path that is rung at, without wildcards.
	Path string
	// Key must come with every ring, as the query parameter or header called Name.
	Key  Secret
	Name string
	// Gap is the least time between two polls of a table that rings cause.
	Gap      time.Duration
	Register RegisterConfig
}

// minDoorbellKey keeps keys out that could be guessed.
const minDoorbellKey = 8

func (r *reader) doorbell(m *yamltree.Map) {
	c := &r.cfg.Doorbell
	c.Listen = m.String("listen", "")
	c.Path = m.String("path", c.Path)
	c.Name = m.String("name", c.Name)
	c.Key = NewSecret(m.Secret("key"))
	c.Gap = m.Duration("gap", c.Gap, 0, time.Minute)
	if _, _, err := net.SplitHostPort(c.Listen); c.Listen != "" && err != nil {
		m.Note("listen", "write host:port, such as 0.0.0.0:8443")
	}
	if !strings.HasPrefix(c.Path, "/") || strings.ContainsAny(c.Path, "{} ?#%") || strings.Contains(c.Path, "//") {
		m.Note("path", "a plain path that begins with /")
	}
	if !httpguts.ValidHeaderFieldName(c.Name) || http.CanonicalHeaderKey(c.Name) == entityHeader {
		m.Note("name", "a name that a header can have")
	}
	switch {
	case c.Listen != "" && !m.Has("key"):
		m.Note("key", "required with listen: the key that every ring must bring; write ${NAME} or ${file:/path}")
	case c.Key.Text() != "" && len(c.Key.Text()) < minDoorbellKey:
		m.Note("key", "at least %d characters", minDoorbellKey)
	}
	if m.Has("register") {
		r.register(m.Map("register"), m)
	}
	m.Done()
}

package bridge

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"cebridge/bridge/admin"
	"cebridge/bridge/internal/yamltree"
	"cebridge/schema"
)

// LoadConfig reads a configuration file. A faulty one fails with
// schema.Problems: every fault, each with its place.
func LoadConfig(path string) (Config, error) {
	data, err := readConfigFile(path)
	if err != nil {
		return Config{}, err
	}
	return ParseConfig(path, data)
}

// LoadConnection is LoadConfig for a file that may name no table and no route yet: with
// it an organization can be asked, but nothing can be run.
func LoadConnection(path string) (Config, error) {
	data, err := readConfigFile(path)
	if err != nil {
		return Config{}, err
	}
	return (&reader{doc: parseConfigFile(path, data), idle: true}).read()
}

func readConfigFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, schema.Problems{{File: path, Text: fmt.Sprintf("cannot open the file: %v", err)}}
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && !st.Mode().IsRegular() {
		return nil, schema.Problems{{File: path, Text: "not a regular file"}}
	}
	data, err := io.ReadAll(io.LimitReader(f, yamltree.MaxBytes+1))
	if err != nil {
		return nil, schema.Problems{{File: path, Text: fmt.Sprintf("cannot read the file: %v", err)}}
	}
	return data, nil
}

// ParseConfig reads a configuration from memory; name stands in problems.
func ParseConfig(name string, data []byte) (Config, error) {
	return readConfig(parseConfigFile(name, data))
}

func parseConfigFile(name string, data []byte) *yamltree.Doc {
	return yamltree.Parse(name, data, yamltree.Environment{Lookup: os.LookupEnv, ReadFile: readSecretFile})
}

func readConfig(doc *yamltree.Doc) (Config, error) { return (&reader{doc: doc}).read() }

func (r *reader) read() (Config, error) {
	if ps := r.doc.Problems(); len(ps) > 0 && r.doc.Root.Node() == nil {
		return Config{}, ps
	}
	r.cfg = DefaultConfig()
	r.root(r.doc.Root)
	if ps := r.doc.Problems(); len(ps) > 0 {
		return Config{}, ps
	}
	return r.cfg, nil
}

// readSecretFile reads a small file that a configuration refers to.
func readSecretFile(path string) ([]byte, error) { return readSmallFile(path, 64<<10) }

func readSmallFile(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s is larger than %d bytes", path, most)
	}
	return data, err
}

type reader struct {
	doc *yamltree.Doc
	cfg Config
	// idle: it is no fault that there is nothing to do.
	idle bool
}

func (r *reader) root(m *yamltree.Map) {
	c := &r.cfg
	c.Org = m.String("org", "")
	if c.Org == "" {
		m.Note("org", "required: the short name of the organization, used in subjects")
	} else if !schema.ValidToken(c.Org) {
		m.Note("org", "use 1 to 64 letters, digits, '_' or '-'")
	}
	c.Prefix = m.String("prefix", c.Prefix)
	if err := (schema.Names{Prefix: c.Prefix, Org: "x"}).Validate(); err != nil {
		m.Note("prefix", "%v", err)
	}
	c.Provision = m.Choice("provision", c.Provision, "apply", "verify", "none")
	c.ShutdownGrace = m.Duration("shutdown_grace", c.ShutdownGrace, time.Second, 10*time.Minute)
	r.webapi(m.Map("webapi"), m)
	r.nats(m)
	r.stream(m.Map("stream"))
	r.outbound(m.Map("outbound"))
	r.inbound(m.Map("inbound"))
	r.admin(m.Map("admin"))
	r.doorbell(m.Map("doorbell"))
	if !r.idle && len(c.Outbound.Tables) == 0 && len(c.Inbound.Routes) == 0 && len(r.doc.Problems()) == 0 {
		m.Note("", "nothing to do: name at least one table under outbound.tables or one route under inbound.routes")
	}
	m.Done()
}

func (r *reader) webapi(m, root *yamltree.Map) {
	c := &r.cfg.WebAPI
	if m.Node() == nil {
		root.Note("webapi", "required: how to reach Customer Engagement")
		return
	}
	c.URL = strings.TrimRight(m.String("url", ""), "/")
	if c.URL == "" {
		m.Note("url", "required: the organization's URL, such as https://contoso.crm4.dynamics.com")
	} else if text := checkURL(c.URL); text != "" {
		m.Note("url", "%s", text)
	}
	c.Version = m.Choice("version", c.Version, "v9.0", "v9.1", "v9.2")
	c.Timeout = m.Duration("timeout", c.Timeout, time.Second, 10*time.Minute)
	c.MaxInFlight = int(m.Int("max_in_flight", int64(c.MaxInFlight), 1, 1000))
	c.DailyRequests = m.Int("daily_requests", c.DailyRequests, 0, 1_000_000_000)
	c.DailyInboundPercent = int(m.Int("daily_inbound_percent", int64(c.DailyInboundPercent), 0, 100))
	batch := m.Map("batch")
	c.BatchMax = int(batch.Int("max", int64(c.BatchMax), 1, 1000))
	c.BatchLinger = batch.Duration("linger", c.BatchLinger, 100*time.Microsecond, time.Second)
	batch.Done()
	c.ResolveTTL = m.Duration("resolve_ttl", c.ResolveTTL, 0, 24*time.Hour)
	if m.Has("auth") {
		r.auth(m.Map("auth"))
	}
	if m.Has("tls") {
		c.TLS = r.tls(m.Map("tls"))
	}
	c.Proxy = r.proxy(m)
	if c.HTTP2 = m.Bool("http2", false); c.HTTP2 && c.Auth.Method == "ntlm" {
		m.Note("http2", "not with auth.method ntlm, which logs connections in: each request needs one of its own")
	}
	r.definitions(m)
	m.Done()
}

// checkURL returns what is wrong with the organization's URL, or "".
func checkURL(s string) string {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "not a URL"
	case u.Scheme != "https" && u.Scheme != "http":
		return "the URL must begin with https:// (or http:// on an intranet)"
	case u.Host == "" || strings.HasSuffix(u.Hostname(), "."):
		return "the URL has no usable host name"
	case u.User != nil:
		return "the URL must not hold a user name or password"
	case u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(s, "?") || strings.HasSuffix(s, "#"):
		return "the URL must not have a query or fragment"
	case strings.Contains(u.Path, "/api/data"):
		return "give the organization's URL only; /api/data/ is added from version"
	case !isASCII(u.Host):
		return "the host name must be ASCII; write its punycode form"
	}
	return ""
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func (r *reader) nats(root *yamltree.Map) {
	c := &r.cfg.NATS
	if !root.Has("nats") {
		root.Note("nats", "required: embedded, or the urls of the servers")
		return
	}
	if root.IsText("nats") {
		root.Choice("nats", "embedded", "embedded")
		m := root.Spelled("nats")
		r.embedded(m.Map("embedded"))
		r.natsLogin(m)
		return
	}
	m := root.Map("nats")
	c.URLs = m.Strings("urls")
	if m.Has("embedded") {
		r.embedded(m.Map("embedded"))
	}
	switch {
	case c.Embedded != nil && len(c.URLs) > 0:
		m.Note("urls", "give either embedded or urls")
	case c.Embedded == nil && len(c.URLs) == 0:
		m.Note("urls", "required: the urls of the servers, or embedded")
	}
	for _, s := range c.URLs {
		if u, err := url.Parse(s); err != nil || u.Host == "" || u.User != nil {
			m.Note("urls", "every server is written as nats://host:port or tls://host:port, without a user")
			break
		}
	}
	r.natsLogin(m)
	m.Done()
}

func (r *reader) embedded(m *yamltree.Map) {
	r.cfg.NATS.Embedded = &EmbeddedConfig{
		Dir:      m.String("dir", "cebridge-data"),
		Host:     m.String("host", "127.0.0.1"),
		Port:     int(m.Int("port", 0, -1, 65535)),
		MaxStore: m.Bytes("max_store", 10<<30, 16<<20),
	}
	m.Done()
}

func (r *reader) stream(m *yamltree.Map) {
	c := &r.cfg.Stream
	c.Name = m.String("name", "")
	if c.Name != "" && !schema.ValidToken(c.Name) {
		m.Note("name", "use 1 to 64 letters, digits, '_' or '-'")
	}
	c.Replicas = int(m.Int("replicas", 1, 1, 5))
	c.HistoryPerRecord = int(m.Int("history_per_record", 8, -1, 1000))
	if c.HistoryPerRecord == 0 {
		m.Note("history_per_record", "at least 1, or -1 to keep all")
	}
	c.MaxBytes = m.Bytes("max_bytes", -1, 1<<20)
	m.Done()
}

func (r *reader) admin(m *yamltree.Map) {
	c := &r.cfg.Admin
	c.Listen = m.String("listen", "")
	c.AllowRemote = m.Bool("allow_remote", false)
	c.AllowedHosts = m.Strings("allowed_hosts")
	if c.Listen != "" {
		o := admin.Options{Listen: c.Listen, AllowRemote: c.AllowRemote, AllowedHosts: c.AllowedHosts}
		if err := o.CheckAddress(); err != nil {
			m.Note("listen", "%v", err)
		}
	}
	m.Done()
}

package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cebridge/schema"

	"github.com/google/uuid"
)

// Server is one simulated organization. Its methods may be called at any time
// from any goroutine.
type Server struct {
	opts       Options
	faults     *Faults
	auth       *authState
	catalogPtr atomic.Pointer[catalogState]
	counts     requestCounter
	handler    http.Handler
	jobs       keyJobs        // index jobs of alternate keys
	pending    pendingChanges // of definitions, until they are published
	hooks      webhooks       // registered webhooks and their calls
	limits     *limiter       // service protection limits; nil: none

	mu      sync.RWMutex // guards the records, version and log
	version int64        // the last row version given out
	log     writeLog
	store   *store // nil: in memory only

	open    controlState
	servers struct {
		sync.Mutex
		list   []*http.Server
		closed bool
	}
}

// New makes a server with the base records of an organization: the organization
// itself, the root business unit, the calling user and a currency.
func New(o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	tables := o.Tables
	known := false
	for _, t := range tables {
		known = known || t.LogicalName == "organization"
	}
	if !known {
		tables = append(tables[:len(tables):len(tables)], organizationTable())
	}
	c, err := newCatalog(tables)
	if err != nil {
		return nil, err
	}
	s := &Server{opts: o, faults: o.Faults, version: o.FirstVersion}
	if s.auth, err = newAuthState(o); err != nil {
		return nil, err
	}
	if s.faults == nil {
		s.faults = NewFaults(1)
	}
	if o.Limits != nil {
		s.limits = newLimiter(*o.Limits, o.Now)
	}
	s.catalogPtr.Store(c)
	s.log = writeLog{first: 1, limit: o.LogLimit, rows: o.RecordWrites}
	if err := s.fill(tables); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.faults.bind(s); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.handler = s.mount()
	return s, nil
}

// fill reads the records of the data directory, if there is one with records;
// otherwise the organization begins.
func (s *Server) fill(tables []*schema.Table) error {
	if s.opts.Data == "" {
		return s.begin()
	}
	st, err := openStore(s.opts.Data)
	if err != nil {
		return err
	}
	s.store = st
	found, err := s.load(tables)
	if err != nil {
		return err
	}
	if found {
		s.jobs.resume(s, tables)
		return nil
	}
	// The file appears whole, so that a kill leaves no half of a beginning.
	s.store = nil
	err = s.begin()
	s.store = st
	if err != nil {
		return err
	}
	return s.rewrite()
}

// begin inserts the records that an organization cannot be without.
func (s *Server) begin() error {
	if err := s.install(); err != nil {
		return err
	}
	for _, b := range s.baseRows() {
		if err := s.insertBase(b); err != nil {
			return err
		}
	}
	return nil
}

// insertBase inserts a base record, leaving out columns the schema lacks.
func (s *Server) insertBase(b baseRow) error {
	t := s.catalogNow().byName[b.table]
	if t == nil {
		return nil
	}
	d := t.def.Load()
	for name := range b.columns {
		if nav, bind := strings.CutSuffix(name, "@odata.bind"); bind && d.byNav[nav] != nil {
			continue
		}
		if i := d.column(name); i < 0 || isSystem(&d.Columns[i]) {
			delete(b.columns, name)
		}
	}
	b.columns[d.PrimaryID] = b.id.String()
	_, err := s.Insert(b.table, b.columns)
	return err
}

// Handler serves the API under /api/data/ (on premises /ORG/api/data/) and the
// simulator's own API under /sim/.
func (s *Server) Handler() http.Handler { return s.handler }

func (s *Server) mount() http.Handler {
	control := s.control()
	api := s.guard(s.limits.wrap(s, loadLatency(s.opts.LoadLatency, s.faults.wrap(s, http.HandlerFunc(s.dispatch)))))
	tokens, tokenPath := s.faults.wrap(s, http.HandlerFunc(s.serveToken)), s.auth.tokenPath()
	// No http.ServeMux on the way to the API: it would answer paths that it wants
	// cleaned with redirects, and keys may hold dots and doubled slashes.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/sim/") {
			control.ServeHTTP(w, r)
			return
		}
		if tokenPath != "" && r.URL.Path == tokenPath {
			tokens.ServeHTTP(w, r)
			return
		}
		s.counts.add(r.Method, s.kindOf(r), 1)
		api.ServeHTTP(w, r)
	})
}

// Start listens on a TCP address (port 0: any free one) and serves until Close.
// baseURL is where the API root begins: scheme, host and, on premises, the
// organization, without a slash at the end.
func (s *Server) Start(addr string) (baseURL string, err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("simulator: listen on %s: %w", addr, err)
	}
	go func() {
		if err := s.Serve(l); err != nil {
			s.opts.Logger.Error("simulator stopped", "error", err)
		}
	}()
	return "http://" + l.Addr().String() + s.prefix(), nil
}

// Serve serves on l until Close, which makes it return nil.
func (s *Server) Serve(l net.Listener) error {
	srv := &http.Server{
		Handler:           exactHeaders(s.handler),
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    128 << 10,
		ConnContext:       withConn,
		ErrorLog:          slog.NewLogLogger(s.opts.Logger.Handler(), slog.LevelWarn),
	}
	s.servers.Lock()
	if s.servers.closed {
		s.servers.Unlock()
		return errors.Join(http.ErrServerClosed, l.Close())
	}
	s.servers.list = append(s.servers.list, srv)
	s.servers.Unlock()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("simulator: serve: %w", err)
	}
	return nil
}

// Close ends all connections at once. The records stay readable in process.
func (s *Server) Close() error {
	s.jobs.close()
	s.hooks.close()
	s.servers.Lock()
	defer s.servers.Unlock()
	s.servers.closed = true
	var errs []error
	for _, srv := range s.servers.list {
		errs = append(errs, srv.Close())
	}
	s.servers.list = nil
	if s.store != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		errs = append(errs, s.store.close(s.version))
	}
	return errors.Join(errs...)
}

// prefix is the path before /api/data/.
func (s *Server) prefix() string {
	if s.opts.Profile == OnPremises {
		return "/" + s.opts.Organization
	}
	return ""
}

var versionSegment = regexp.MustCompile(`^v9\.[0-2]$`)

// splitPath cuts the escaped path of an API request into version and the rest
// below the API root.
func (s *Server) splitPath(r *http.Request) (version, rest string, ok bool) {
	rest, ok = strings.CutPrefix(r.URL.EscapedPath(), s.prefix()+"/api/data/")
	if !ok {
		return "", "", false
	}
	version, rest, _ = strings.Cut(rest, "/")
	return version, rest, versionSegment.MatchString(version)
}

// apiRoot is the absolute URL of the API root that r was sent to, with a slash at
// the end. The host is the one the request names: links follow it.
func (s *Server) apiRoot(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") {
		scheme = "https"
	}
	version, _, ok := s.splitPath(r)
	if !ok {
		version = "v9.1"
	}
	return scheme + "://" + r.Host + s.prefix() + "/api/data/" + version + "/"
}

const clientRequestHeader = "X-Ms-Client-Request-Id"

type callKey struct{}

// requestID is the client's id of the request that ctx belongs to.
func requestID(ctx context.Context) string {
	id, _ := ctx.Value(callKey{}).(string)
	return id
}

// newGUID makes an id that sorts after those made before it.
func (s *Server) newGUID() uuid.UUID {
	id, err := uuid.NewV7()
	if err != nil { // the system's randomness failed, which Go treats as fatal
		return uuid.New()
	}
	return id
}

// writeJSON sends a JSON answer. A caller that went away is no error of the server.
func writeJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", jsonContentType)
	h.Set("OData-Version", "4.0")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// marshal renders values that cannot fail to encode.
func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("simulator: " + err.Error())
	}
	return b
}

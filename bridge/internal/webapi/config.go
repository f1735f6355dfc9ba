package webapi

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
)

// The defaults of Config.
const (
	// DefaultVersion is the path version of the online service. On-premises
	// servers speak v9.1.
	DefaultVersion = "v9.2"
	// DefaultTimeout lies below the two minutes after which the online service
	// cuts an operation, so that the client gives up first and knows it.
	DefaultTimeout = 100 * time.Second
	// DefaultMaxInFlight is the documented limit of concurrent requests a user.
	DefaultMaxInFlight = 52
	// DefaultResolveTTL is how long the answer to a search may be used.
	DefaultResolveTTL = 10 * time.Minute
	// DefaultMaxPageBytes bounds one page of rows, after decompression.
	DefaultMaxPageBytes = 64 << 20
	// DefaultMaxBodyBytes bounds any other answer, after decompression.
	DefaultMaxBodyBytes = 8 << 20
)

// Config says where the Web API is and how hard it may be used. Zero values
// mean the defaults above.
type Config struct {
	// URL is the organization's address: https://contoso.crm4.dynamics.com online,
	// https://server/ORG on-premises. Its origin and path are fixed for the life
	// of the client: no answer can move it.
	URL string
	// Version is the path version, v9.2 or v9.1.
	Version string
	// Auth adds credentials to requests; nil means none.
	Auth Authenticator
	// Timeout bounds one HTTP request, its answer's body included.
	Timeout time.Duration
	// MaxInFlight bounds the requests running at once and the connections. The
	// server's answers may lower what runs, down to one.
	MaxInFlight int
	// Budget bounds the requests of a day; nil does not.
	Budget *Budget
	// Batch packs writes into $batch requests.
	Batch BatchConfig
	// ResolveTTL is how long the answer to a search is used for other writes that
	// refer to the same record; negative: for none.
	ResolveTTL time.Duration
	// MaxPageBytes and MaxBodyBytes bound answers after decompression.
	MaxPageBytes int64
	MaxBodyBytes int64
	// TLS configures the own transport: a private authority, for instance. Below
	// TLS 1.2 nothing is spoken.
	TLS *tls.Config
	// ProxyURL sends the own transport's requests through an HTTP proxy;
	// ProxyFromEnvironment makes it obey HTTPS_PROXY and friends. Without either
	// nothing stands between.
	ProxyURL             *url.URL
	ProxyFromEnvironment bool
	// HTTP2 lets the own transport speak HTTP/2 where the server offers it; requests
	// then share few connections. NTLM, which logs connections in, refuses it.
	HTTP2 bool
	// Transport replaces the own transport; TLS, the proxy and HTTP2 are then not used.
	// NTLM, which needs connections of its own, refuses it.
	Transport http.RoundTripper
	// Logger, Meter and Tracer may be nil.
	Logger *slog.Logger
	Meter  metric.Meter
	Tracer trace.Tracer
}

var versionText = regexp.MustCompile(`^v\d{1,2}\.\d{1,2}$`)

// withDefaults fills zero values.
func (c Config) withDefaults() Config {
	c.Version = cmp.Or(c.Version, DefaultVersion)
	c.Timeout = cmp.Or(c.Timeout, DefaultTimeout)
	c.MaxInFlight = cmp.Or(c.MaxInFlight, DefaultMaxInFlight)
	c.ResolveTTL = cmp.Or(c.ResolveTTL, DefaultResolveTTL)
	c.MaxPageBytes = cmp.Or(c.MaxPageBytes, DefaultMaxPageBytes)
	c.MaxBodyBytes = cmp.Or(c.MaxBodyBytes, DefaultMaxBodyBytes)
	if c.Auth == nil {
		c.Auth = None{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Meter == nil {
		c.Meter = metricnoop.Meter{}
	}
	if c.Tracer == nil {
		c.Tracer = tracenoop.Tracer{}
	}
	return c
}

// validate reports every field out of its range. It expects defaults filled.
func (c Config) validate() error {
	var errs []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	refuse(!versionText.MatchString(c.Version), "web api version %q: write it as v9.2", c.Version)
	refuse(c.Timeout < time.Second || c.Timeout > time.Hour, "web api timeout %s: use 1s to 1h", c.Timeout)
	refuse(c.MaxInFlight < 1 || c.MaxInFlight > 1000, "web api requests in flight %d: use 1 to 1000", c.MaxInFlight)
	refuse(c.ResolveTTL > 24*time.Hour, "web api resolve ttl %s: use at most 24h", c.ResolveTTL)
	refuse(c.MaxPageBytes < 1<<10 || c.MaxPageBytes > 1<<30, "web api page limit %d bytes: use 1 KiB to 1 GiB", c.MaxPageBytes)
	refuse(c.MaxBodyBytes < 1<<10 || c.MaxBodyBytes > 1<<30, "web api answer limit %d bytes: use 1 KiB to 1 GiB", c.MaxBodyBytes)
	refuse(c.Batch.Max < 0 || c.Batch.Max > MaxBatch, "web api writes a batch %d: use 1 to %d", c.Batch.Max, MaxBatch)
	refuse(c.Batch.Linger < 0 || c.Batch.Linger > time.Second, "web api linger %s: use 0 to 1s", c.Batch.Linger)
	return errors.Join(errs...)
}

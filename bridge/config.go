package bridge

import (
	"log/slog"
	"time"

	"cebridge/inbound"
	"cebridge/outbound"
	"cebridge/schema"
	"cebridge/schema/event"
	"cebridge/schema/mapping"
)

// Secret is a text that prints redacted everywhere. Text gives it away.
type Secret struct{ text string }

// NewSecret wraps a secret text.
func NewSecret(text string) Secret { return Secret{text} }

// Text returns the secret itself.
func (s Secret) Text() string { return s.text }

const redacted = "[redacted]"

// String, GoString, MarshalText and LogValue all hide the text.
func (s Secret) String() string {
	if s.text == "" {
		return ""
	}
	return redacted
}

// GoString hides the text in %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides the text in JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue hides the text in logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Config is everything a bridge is told. LoadConfig reads it from a file;
// a program may also fill it in itself, starting from DefaultConfig.
type Config struct {
	// Org is the short name of the organization in subjects and stream names.
	Org string
	// Prefix is the first token of every subject.
	Prefix string
	WebAPI WebAPIConfig
	NATS   NATSConfig
	// Provision says what to do about streams and consumers: "apply" creates what
	// is missing, "verify" checks, "none" trusts.
	Provision string
	Stream    StreamConfig
	Outbound  OutboundConfig
	Inbound   InboundConfig
	Admin     AdminConfig
	Doorbell  DoorbellConfig
	// ShutdownGrace bounds how long Stop waits for running work.
	ShutdownGrace time.Duration
}

// WebAPIConfig says how to reach Customer Engagement.
type WebAPIConfig struct {
	// URL of the organization: https://contoso.crm4.dynamics.com, or
	// https://server/CONTOSO on-premises.
	URL string
	// Version of the Web API: v9.2 online, v9.1 on-premises.
	Version string
	Timeout time.Duration
	// MaxInFlight bounds the requests running at once, both directions together.
	MaxInFlight int
	// DailyRequests bounds the requests of a day in UTC, both directions and all
	// instances together; 0 does not. DailyInboundPercent of them are kept for inbound.
	DailyRequests       int64
	DailyInboundPercent int
	// BatchMax is the most writes that may share one $batch request, 1 for none;
	// BatchLinger bounds how long a write waits for others to share one with.
	BatchMax    int
	BatchLinger time.Duration
	// ResolveTTL is how long the answer to a mapping's resolve is used for other
	// writes; 0 for none.
	ResolveTTL time.Duration
	Auth       AuthConfig
	TLS        TLSConfig
	// PublisherPrefix begins the names of what Apply defines, Solution is the unique
	// name of the unmanaged solution it is added to, "" for the default one.
	PublisherPrefix string
	Solution        string
	// HTTP2 lets requests share connections where the server offers HTTP/2.
	HTTP2 bool
	// Proxy is http://host:port, or "environment" for HTTPS_PROXY and friends; empty
	// means none.
	Proxy string
}

// NATSConfig says which JetStream to use: Embedded, or servers by URL.
type NATSConfig struct {
	Embedded        *EmbeddedConfig
	URLs            []string
	CredentialsFile string
	NKeyFile        string
	User            string
	Password        Secret
	Token           Secret
	TLS             TLSConfig
	InboxPrefix     string
}

// EmbeddedConfig runs a JetStream server inside the process.
type EmbeddedConfig struct {
	// Dir is the directory of the file store.
	Dir string
	// Host and Port to listen on; port 0 takes no connections from outside the
	// process, -1 takes any free port.
	Host     string
	Port     int
	MaxStore int64
}

// StreamConfig shapes the event stream and the stream of dead letters.
type StreamConfig struct {
	// Name of the event stream; empty means PREFIX_ORG in capitals.
	Name     string
	Replicas int
	// HistoryPerRecord is the number of events kept per record; -1 keeps all.
	HistoryPerRecord int
	// MaxBytes bounds the event stream; -1 does not. A full stream stops the
	// tables, nothing is thrown away.
	MaxBytes int64
}

// OutboundConfig lists the tables to follow.
type OutboundConfig struct {
	// TypePrefix begins every event type, in reverse-DNS form.
	TypePrefix string
	// SourcePrefix begins every event source; the table's name follows it.
	SourcePrefix string
	// SchemaBase is the absolute URI below which the tables' JSON Schemas are
	// served; empty means URNs.
	SchemaBase string
	// HashKey is the secret of columns that are hashed.
	HashKey Secret
	// ClaimCheck puts the data of events that are too large for a message into an
	// object store; nil halts the table of such an event.
	ClaimCheck *ClaimCheckConfig
	Tables     []TableConfig
}

// TableConfig is one table to follow. Columns must be listed: which personal
// data leaves the system is a choice.
type TableConfig struct {
	Table   string
	Columns []string
	// Poll is the time between two polls, and the shortest one where PollMax, which
	// it grows to while nothing changes, is longer; 0 is Poll.
	Poll     time.Duration
	PollMax  time.Duration
	PageSize int
	Start    outbound.Start
	Mode     event.Mode
	// MaxDeletes bounds the deletes of one resync; 0 is 1000 or a tenth of the rows.
	MaxDeletes int
	// References are the lookups that data.references tells about.
	References []ReferenceConfig
	// Echo says what becomes of changes that own writes made.
	Echo outbound.Echo
	// Previous adds the former values of changed columns to updates.
	Previous bool
	// Filter is a condition on record in CEL; records for which it is false are not
	// published, and deleted where they were. Empty publishes all.
	Filter string
	// Protect says what stands in place of columns' values.
	Protect map[string]schema.Protection
	// OnlyChanges leaves out updates in which nothing differs but the columns of Ignore;
	// nil means modifiedon and others that change by themselves.
	OnlyChanges bool
	Ignore      []string

	at       position
	columnAt []schema.Problem // the place of each column, without a text
	// referenceAt are the places of the references.
	referenceAt []schema.Problem
	payloadAt   payloadPlaces
}

// InboundConfig lists the routes, and the source streams that the bridge is to
// provide itself. A stream of another system is not listed: it belongs to that
// system.
type InboundConfig struct {
	Streams []SourceStream
	Routes  []RouteConfig
	// Codes are code tables for the mappings of all routes.
	Codes mapping.Codes
}

// SourceStream is a stream for messages of other systems, made when it is missing
// and Provision is "apply".
type SourceStream struct {
	Name     string
	Subjects []string
}

// RouteConfig is one route: where messages come from and what each becomes.
type RouteConfig struct {
	Name     string
	Stream   string
	Subjects []string
	// Start is "new", "all" or an RFC 3339 time; it must be written.
	Start  string
	Format inbound.Format
	// PlainType is the event type given to plain JSON messages.
	PlainType   string
	Unmatched   inbound.Unmatched
	Concurrency int
	AckWait     time.Duration
	Receipts    string
	Shadow      bool
	// GiveUp is how long a message waits for a record it refers to.
	GiveUp time.Duration
	// Verdicts are those that this route gives otherwise: by error code of the
	// platform ("0x80040265") or HTTP status ("409") one of retry, park, reject, stop.
	Verdicts map[string]string
	// ParkAfter is how long it waits in hand before it is parked.
	ParkAfter time.Duration
	// AmbiguityBound is how long the next message of a key waits after a write
	// whose answer was lost; 0 for not at all.
	AmbiguityBound time.Duration
	// Redact lists columns whose values are hidden in the request of a dead letter.
	Redact   []string
	redactAt []schema.Problem // the place of each
	// StopAfter is how many refused keys in a row stop the route; 0 for 20 that
	// speak of rights or configuration, -1 for never.
	StopAfter int
	Mapping   *mapping.Spec
	// Example is the data of a typical event, as JSON, that the mapping is held
	// against; nil for none.
	Example []byte
	// Schema is a JSON Schema of the events' data that the mapping is held against, nil
	// for none; SchemaPart is where in it, such as /components/schemas/customer.
	Schema     []byte
	SchemaPart string

	at position
}

// AdminConfig is the HTTP port for people and probes. Empty Listen means none.
type AdminConfig struct {
	Listen       string
	AllowRemote  bool
	AllowedHosts []string
}

// position is where in a file a part of the configuration stands.
type position struct {
	file         string
	line, column int
	field        string
}

func (p position) problem(field, text string) schema.Problem {
	if field != "" {
		field = "." + field
	}
	return schema.Problem{File: p.file, Line: p.line, Column: p.column, Field: p.field + field, Text: text}
}

// DefaultConfig returns a configuration with every default filled in.
func DefaultConfig() Config {
	return Config{
		Prefix: "crm",
		WebAPI: WebAPIConfig{Version: "v9.2", Timeout: 100 * time.Second, MaxInFlight: 52, DailyInboundPercent: 50, BatchMax: 1, BatchLinger: 2 * time.Millisecond, ResolveTTL: 10 * time.Minute, PublisherPrefix: "new", Auth: AuthConfig{Method: "none"}},
		NATS: NATSConfig{
			InboxPrefix: "_INBOX",
		},
		Provision: "apply",
		Stream:    StreamConfig{Replicas: 1, HistoryPerRecord: 8, MaxBytes: -1},
		Outbound:  OutboundConfig{},
		Admin:     AdminConfig{Listen: ""},
		Doorbell:  DoorbellConfig{Path: "/doorbell", Name: "code", Gap: time.Second},

		ShutdownGrace: 20 * time.Second,
	}
}

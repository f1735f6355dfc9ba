package sim

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"cebridge/schema"
)

// Profile is the kind of server that is imitated.
type Profile string

// The profiles. Online serves /api/data/v9.0 to v9.2; OnPremises serves
// /ORGANIZATION/api/data/v9.0 and v9.1, sends innererror and fewer error codes,
// and keeps change-tracking tokens for 90 days instead of 7.
const (
	Online     Profile = "online"
	OnPremises Profile = "onprem"
)

// ExpiredTokenMode is what happens to a delta link older than the token lifetime.
type ExpiredTokenMode string

// The modes. Sources: the online page on change tracking speaks of an exception,
// the on-premises page of all records being returned; the code of the fault is
// that of the SOAP message, its status an assumption.
const (
	// ExpiredFault answers 400 with code 0x80044352.
	ExpiredFault ExpiredTokenMode = "fault"
	// ExpiredDump answers with every record and no deletes, silently.
	ExpiredDump ExpiredTokenMode = "dump"
)

// Assumptions flips the behaviours that no public source settles. The zero value
// is what the package documentation lists as the default.
type Assumptions struct {
	// TokenFromLastPage dates the delta token of a paged load from its last page.
	// A change to a record already passed is then lost: the lost-update window.
	TokenFromLastPage bool
	// CaseSensitiveKeys compares the texts of alternate keys exactly.
	CaseSensitiveKeys bool
	// InactiveOnCreate accepts a statecode other than 0 on create.
	InactiveOnCreate bool
	// BindMissBadRequest answers 400 instead of 404 to a bind whose target is missing.
	BindMissBadRequest bool
	// ExpiredGone answers 410 instead of 400 to an expired token.
	ExpiredGone bool
	// KeepDeltaLinkWithAnnotations sends the delta link also when a tracked query
	// asks for annotations.
	KeepDeltaLinkWithAnnotations bool
	// DeltaLinkLast puts the links of every answer after the rows; DeltaLinkFirst
	// before them. Neither: as the documentation's examples have it.
	DeltaLinkLast  bool
	DeltaLinkFirst bool
	// MultipleKeyInBody lets UpsertMultiple create a record whose key stands both
	// in @odata.id and in the body.
	MultipleKeyInBody bool
	// NoPageSizeOnDelta ignores odata.maxpagesize when a delta link is followed.
	NoPageSizeOnDelta bool
	// PublishAtOnce puts a changed definition into force without PublishAllXml.
	PublishAtOnce bool
}

// Options configures a Server. The zero value is an online organization with
// the default schema.
type Options struct {
	Profile Profile
	// Organization is the path prefix on premises ("/ORG") and the name of the
	// organization record. Empty means "contoso".
	Organization string
	// Tables is the schema; nil means DefaultSchema. The tables are copied.
	Tables []*schema.Table
	// MaxPageSize is the largest page in rows; 0 means 5,000, the documented limit.
	MaxPageSize int
	// TokenLifetime is how long a delta token is accepted; 0 means what the
	// organization's expirechangetrackingindays says (7 online, 90 on premises).
	TokenLifetime time.Duration
	// ExpiredToken is the answer to an older token; "" means ExpiredFault online
	// and ExpiredDump on premises.
	ExpiredToken ExpiredTokenMode
	// RecordWrites makes the write log keep the whole row of every version.
	RecordWrites bool
	// LogLimit bounds the entries the write log keeps, oldest dropped first; the
	// gap shows in the sequence numbers. 0 means 4,000,000.
	LogLimit int
	// FirstVersion is the row version before the first write; 0 means 914,000.
	FirstVersion int64
	// KeyJobDelay is how long the index job of a new alternate key takes; 0 means
	// 200 ms, a negative one no time at all.
	KeyJobDelay time.Duration
	// ExpireOnSchemaChange makes every change of a table's definition void the
	// delta tokens of that table, as a client reported of schema imports.
	ExpireOnSchemaChange bool
	// Auth says how callers log in; the zero value lets everybody in.
	Auth Auth
	// Data is a directory that keeps the records, with their row versions, deletes
	// and table definitions, across restarts; it is created if it is missing. ""
	// keeps everything in memory. The write log is not kept.
	Data string
	// Limits are the service protection limits of an online organization; nil
	// means none, which is not how a real one behaves.
	Limits *ServiceLimits
	// LoadLatency is how long a request to an organization on premises waits for
	// each other one under way; 0 means that it does not.
	LoadLatency time.Duration
	// WebhookTransport carries the calls of webhooks; nil means the network.
	WebhookTransport http.RoundTripper
	// Faults are the scripted faults; nil means none to begin with.
	Faults *Faults
	// Assumptions flips what no source settles.
	Assumptions Assumptions
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger receives what the server has to say about itself; nil discards it.
	Logger *slog.Logger
}

const (
	defaultMaxPageSize  = 5000
	defaultLogLimit     = 4_000_000
	defaultFirstVersion = 914_000
	defaultOrganization = "contoso"
	// maxBody bounds the body of one request in bytes; larger ones answer 413.
	maxBody = 16 << 20
)

// withDefaults fills in and checks the options.
func (o Options) withDefaults() (Options, error) {
	if o.Profile == "" {
		o.Profile = Online
	}
	if o.Profile != Online && o.Profile != OnPremises {
		return o, fmt.Errorf("simulator: profile %q: use %q or %q", o.Profile, Online, OnPremises)
	}
	if o.Organization == "" {
		o.Organization = defaultOrganization
	}
	if !schema.ValidToken(o.Organization) {
		return o, fmt.Errorf("simulator: organization %q: use letters, digits, '_' or '-'", o.Organization)
	}
	if o.ExpiredToken == "" {
		o.ExpiredToken = ExpiredFault
		if o.Profile == OnPremises {
			o.ExpiredToken = ExpiredDump
		}
	}
	if o.ExpiredToken != ExpiredFault && o.ExpiredToken != ExpiredDump {
		return o, fmt.Errorf("simulator: expired token mode %q: use %q or %q", o.ExpiredToken, ExpiredFault, ExpiredDump)
	}
	if o.MaxPageSize < 0 || o.LogLimit < 0 || o.TokenLifetime < 0 || o.FirstVersion < 0 {
		return o, fmt.Errorf("simulator: page size, log limit, token lifetime and first version cannot be negative")
	}
	if o.MaxPageSize == 0 {
		o.MaxPageSize = defaultMaxPageSize
	}
	if o.LogLimit == 0 {
		o.LogLimit = defaultLogLimit
	}
	if o.FirstVersion == 0 {
		o.FirstVersion = defaultFirstVersion
	}
	if o.Limits != nil {
		if o.Profile != Online {
			return o, fmt.Errorf("simulator: service limits belong to the %s profile: use LoadLatency on premises", Online)
		}
		limits, err := o.Limits.withDefaults()
		if err != nil {
			return o, err
		}
		o.Limits = &limits
	}
	if o.LoadLatency < 0 || o.LoadLatency > 0 && o.Profile != OnPremises {
		return o, fmt.Errorf("simulator: load latency is a positive duration of the %s profile", OnPremises)
	}
	if o.KeyJobDelay == 0 {
		o.KeyJobDelay = defaultKeyJobDelay
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Tables == nil {
		tables, err := DefaultSchema()
		if err != nil {
			return o, err
		}
		o.Tables = tables
	}
	return o, nil
}

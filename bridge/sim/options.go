package sim

import (
	"fmt"
	"log/slog"
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
	// NoPageSizeOnDelta ignores odata.maxpagesize when a delta link is followed.
	NoPageSizeOnDelta bool
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

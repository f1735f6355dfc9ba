package schema

import "encoding/json"

// Operation says what a write does with the addressed record.
type Operation string

// The operations of a route. Each is one HTTP request on the clean path:
// upsert PATCH; update PATCH with If-Match: *; create PATCH with
// If-None-Match: *; delete DELETE.
const (
	OpUpsert Operation = "upsert"
	OpCreate Operation = "create"
	OpUpdate Operation = "update"
	OpDelete Operation = "delete"
)

// Write is one keyed write to a record, complete: everything the Web API client
// needs to make its request, and everything a person needs to judge it.
type Write struct {
	Operation Operation
	Table     string // logical name
	EntitySet string
	// Key addresses the record; empty when ID does.
	Key []KeyPart
	// ID is the record's GUID when it is addressed by that.
	ID string
	// Predicate is the rendered text between the parentheses of the URL; empty when
	// Search is set. It is no address before the Parents are found.
	Predicate string
	// Search finds the record when no URL can address it by its key.
	Search *Search
	// KeyMembers is, with Search, a JSON object of the key's columns: a record that
	// has to be made gets them with its body.
	KeyMembers json.RawMessage
	// Body is a JSON object, nil for a delete.
	Body json.RawMessage
	// OnCreate, when set, is the whole body to write if the record turns out to
	// be new; Body is then written only to an existing record.
	OnCreate json.RawMessage
	// Merged, when set, asks for the record before it is written, and says what to do
	// when it was merged into another one.
	Merged *Merged
	// References are records that Body and OnCreate refer to and that only a search
	// finds. Each stands there under its Member until it is bound.
	References []Reference
	// WantResult asks for the written record's id and version, at the price of an
	// extra read inside the server (Prefer: return=representation).
	WantResult bool
	// Repeat tells that an earlier attempt may have been made: a create then takes a
	// record that is already as it writes it for its own.
	Repeat bool
}

// MergedRule says what to do with a write to a record that was merged into another
// one, or whose key means another record than before.
type MergedRule string

// The rules. MergedRedirect writes to the record that others were merged into.
const (
	MergedReject   MergedRule = "reject"
	MergedRedirect MergedRule = "redirect"
)

// Merged is what it takes to notice a merged record.
type Merged struct {
	Rule      MergedRule
	PrimaryID string
	// Versioned: the table takes writes to a certain version of a record.
	Versioned bool
}

// The columns that tell of a merged record and of the one it was merged into.
const (
	MergedColumn = "merged"
	MasterColumn = "masterid"
	// MasterReadName is under which name the second one is read.
	MasterReadName = "_masterid_value"
)

// Merges tells whether the table's records can be merged into each other: whether it
// has the columns that tell so.
func (t *Table) Merges() bool {
	merged, master := t.Column(MergedColumn), t.Column(MasterColumn)
	return merged != nil && merged.Type == TypeBoolean && master != nil && master.IsLookup()
}

// Path is the request path below the API root: accounts(accountnumber='ABC123').
// For a record that has to be searched for it is the query; a parent in its key that has
// to be is a query in braces.
func (w *Write) Path() string {
	if w.Search != nil {
		return w.Search.Query()
	}
	return w.EntitySet + "(" + w.Predicate + ")"
}

// Lane is what writes to one record have in common: those of one lane must not
// overtake each other. Records whose keys differ only in what some collation ignores,
// such as accents, share a lane, which does no more than make them wait for each other.
// A parent in the key counts by how it is named, its GUID is not known here: so whoever
// makes writes must name it in one form for all records of a table (mapping does).
func (w *Write) Lane() string {
	if w.ID != "" {
		return w.Table + "\x00" + w.ID
	}
	return foldParts(w.Table, w.Key, foldWide)
}

// Identity is the addressed record, as far as the address tells: FoldKey, or the GUID.
func (w *Write) Identity() string {
	if w.ID != "" {
		return w.Table + "\x00" + w.ID
	}
	return FoldKey(w.Table, w.Key)
}

// Effect is what a successful write did.
type Effect string

// The effects. EffectWritten means created or updated, not told apart by the answer.
const (
	EffectCreated Effect = "created"
	EffectUpdated Effect = "updated"
	EffectWritten Effect = "written"
	EffectDeleted Effect = "deleted"
	// EffectAbsent means that a record to be deleted was already gone.
	EffectAbsent Effect = "absent"
)

// Result is the answer to an accepted write.
type Result struct {
	Effect Effect
	// ID and Version are known only when the answer told them; "" and 0 else.
	ID      string
	Version int64
	// Requests is the number of HTTP requests it took.
	Requests int
}

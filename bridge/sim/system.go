package sim

import (
	"slices"
	"strings"
	"time"

	"cebridge/schema"

	"github.com/google/uuid"
)

// baseRecords are the ids of the records an organization cannot be without. They
// are the same in every simulator.
type baseRecords struct {
	organization, businessUnit, user, currency uuid.UUID
}

var wellKnown = baseRecords{
	organization: uuid.NewSHA1(uuid.NameSpaceURL, []byte("simulator/organization")),
	businessUnit: uuid.NewSHA1(uuid.NameSpaceURL, []byte("simulator/businessunit")),
	user:         uuid.NewSHA1(uuid.NameSpaceURL, []byte("simulator/systemuser")),
	currency:     uuid.NewSHA1(uuid.NameSpaceURL, []byte("simulator/transactioncurrency")),
}

// defaults fills what a new record has before its body is applied: the caller as
// owner, the root business unit, the moment.
func (x *tx) defaults(d *tableDef, cells []string, caller uuid.UUID) {
	if d.owner >= 0 {
		setLookup(d, cells, d.owner, "systemuser", caller)
	}
	if i := d.column("businessunitid"); i >= 0 && d.PrimaryID != "businessunitid" {
		setLookup(d, cells, i, "businessunit", wellKnown.businessUnit)
	}
	stamp := `"` + x.now.UTC().Format(dateTimeForm) + `"`
	set(d, cells, "createdon", stamp)
	if i := d.column("createdby"); i >= 0 {
		setLookup(d, cells, i, "systemuser", caller)
	}
	for i := range d.Columns {
		if c := &d.Columns[i]; c.Type == schema.TypeBoolean && cells[i] == "" {
			cells[i] = "false" // two-option columns are never null on a new record (assumption)
		}
	}
}

// derive maintains the columns that follow from others.
func (x *tx) derive(d *tableDef, cells []string, caller uuid.UUID, create bool) {
	set(d, cells, "modifiedon", `"`+x.now.UTC().Format(dateTimeForm)+`"`)
	if i := d.column("modifiedby"); i >= 0 {
		setLookup(d, cells, i, "systemuser", caller)
	}
	x.deriveOwner(d, cells)
	deriveName(d, cells)
	if create {
		x.deriveCurrency(d, cells)
	}
}

// deriveOwner follows the owner: its business unit owns the record too.
func (x *tx) deriveOwner(d *tableDef, cells []string) {
	if d.owner < 0 {
		return
	}
	target, id, ok := lookupTarget(&d.Columns[d.owner], cells[d.owner])
	if !ok {
		return
	}
	for _, owner := range [...]struct{ column, table string }{{"owninguser", "systemuser"}, {"owningteam", "team"}} {
		if i := d.column(owner.column); i >= 0 {
			cells[i] = ""
			if owner.table == target {
				setLookup(d, cells, i, owner.table, id)
			}
		}
	}
	i := d.column("owningbusinessunit")
	owner := x.s.catalogNow().byName[target]
	if i < 0 || owner == nil {
		return
	}
	od := owner.def.Load()
	unit := od.column("businessunitid")
	r := owner.rows[id]
	if r == nil || unit < 0 {
		return
	}
	if _, bu, ok := lookupTarget(&od.Columns[unit], r.unpack(od, nil)[unit]); ok {
		setLookup(d, cells, i, "businessunit", bu)
	}
}

// deriveName composes the read-only fullname of people.
func deriveName(d *tableDef, cells []string) {
	full, first, last := d.column("fullname"), d.column("firstname"), d.column("lastname")
	if full < 0 || first < 0 || last < 0 || !d.Columns[full].ReadOnly {
		return
	}
	a, _ := textOf([]byte(cells[first]))
	b, _ := textOf([]byte(cells[last]))
	cells[full] = ""
	if name := strings.TrimSpace(a + " " + b); name != "" {
		cells[full] = jsonText(name)
	}
}

// deriveCurrency gives a record with money the organization's currency.
func (x *tx) deriveCurrency(d *tableDef, cells []string) {
	i := d.column("transactioncurrencyid")
	if i < 0 || d.PrimaryID == "transactioncurrencyid" {
		return
	}
	if cells[i] == "" && slices.ContainsFunc(d.Columns, func(c schema.Column) bool {
		return c.Type == schema.TypeMoney && cells[d.byName[c.LogicalName]] != ""
	}) {
		setLookup(d, cells, i, "transactioncurrency", wellKnown.currency)
	}
	if rate := d.column("exchangerate"); rate >= 0 && cells[i] != "" && cells[rate] == "" {
		cells[rate], _ = encodeDecimal(&d.Columns[rate], []byte("1"))
	}
}

func set(d *tableDef, cells []string, name, cell string) {
	if i := d.column(name); i >= 0 {
		cells[i] = cell
	}
}

// setLookup points column i at a record, if the column may point at that table.
func setLookup(d *tableDef, cells []string, i int, target string, id uuid.UUID) {
	if t := slices.Index(d.Columns[i].Targets, target); t >= 0 {
		cells[i] = lookupCell(t, id)
	}
}

// baseRows are inserted when a server is made, for those tables that it has.
func (s *Server) baseRows() []baseRow {
	name := s.opts.Organization
	days := 7
	if s.opts.Profile == OnPremises {
		days = 90
	}
	if l := s.opts.TokenLifetime; l > 0 {
		days = max(1, int(l/(24*time.Hour)))
	}
	return []baseRow{
		{"organization", wellKnown.organization, map[string]any{"name": name, "expirechangetrackingindays": days, "languagecode": 1033}},
		{"businessunit", wellKnown.businessUnit, map[string]any{"name": name}},
		{"systemuser", wellKnown.user, map[string]any{
			"firstname": "Bridge", "lastname": "User",
			"domainname": "bridge@" + name + ".example", "internalemailaddress": "bridge@" + name + ".example",
		}},
		{"transactioncurrency", wellKnown.currency, map[string]any{
			"currencyname": "US Dollar", "isocurrencycode": "USD", "currencysymbol": "$", "currencyprecision": 2, "exchangerate": 1,
		}},
	}
}

type baseRow struct {
	table   string
	id      uuid.UUID
	columns map[string]any
}

// organizationTable is added to every schema that lacks it.
func organizationTable() *schema.Table {
	low, high := 0.0, 365.0
	return &schema.Table{
		LogicalName: "organization", SchemaName: "Organization", EntitySet: "organizations",
		PrimaryID: "organizationid", PrimaryName: "name", Ownership: schema.NotOwned,
		Columns: []schema.Column{
			{LogicalName: "organizationid", SchemaName: "OrganizationId", Type: schema.TypeUniqueID, CreateOnly: true, Required: true},
			{LogicalName: "name", SchemaName: "Name", Type: schema.TypeString, MaxLength: 160},
			{LogicalName: "expirechangetrackingindays", SchemaName: "ExpireChangeTrackingInDays", Type: schema.TypeInteger, Min: &low, Max: &high},
			{LogicalName: "languagecode", SchemaName: "LanguageCode", Type: schema.TypeInteger},
			{LogicalName: "createdon", SchemaName: "CreatedOn", Type: schema.TypeDateTime, Behavior: schema.BehaviorUserLocal, ReadOnly: true},
			{LogicalName: "modifiedon", SchemaName: "ModifiedOn", Type: schema.TypeDateTime, Behavior: schema.BehaviorUserLocal, ReadOnly: true},
			{LogicalName: "versionnumber", SchemaName: "VersionNumber", Type: schema.TypeBigInt, ReadOnly: true},
		},
	}
}

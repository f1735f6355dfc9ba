package bridge

import (
	"slices"
	"strings"

	"cebridge/schema"
	"cebridge/schema/mapping"
)

// keyNeed is an alternate key that routes rely on. key is nil when the table has no
// such key.
type keyNeed struct {
	mapping.KeyUse
	key *schema.AlternateKey
}

// String names the key as people know it: account (accountnumber).
func (n keyNeed) String() string { return n.Table + " (" + strings.Join(n.Columns, ", ") + ")" }

// active tells whether the key addresses records.
func (n keyNeed) active() bool { return n.key != nil && n.key.Status == schema.KeyActive }

// keyNeeds lists the keys that a route relies on, as they stand in the catalog.
func keyNeeds(c RouteConfig, cat schema.Catalog) []keyNeed {
	var needs []keyNeed
	for _, n := range mapping.KeyNeeds(c.Mapping, cat) {
		needs = append(needs, keyNeed{n, cat[n.Table].Key(n.Columns)})
	}
	return needs
}

// declaredKeys is a catalog in which every declared key counts as Active, and every
// key of missing that can be defined as declared: what will hold once the indexes are
// built.
func declaredKeys(cat schema.Catalog, missing []keyNeed) schema.Catalog {
	promised := make(schema.Catalog, len(cat))
	for name, t := range cat {
		own := *t
		own.Keys = slices.Clone(t.Keys)
		for i := range own.Keys {
			own.Keys[i].Status = schema.KeyActive
		}
		promised[name] = &own
	}
	for _, n := range missing {
		t := promised[n.Table]
		if t.Key(n.Columns) == nil && schema.KeyUnfit(t, n.Columns) == "" {
			t.Keys = append(t.Keys, schema.AlternateKey{LogicalName: "planned", Columns: n.Columns, Status: schema.KeyActive})
		}
	}
	return promised
}

// checkRoutes compiles every mapping as it will be once the declared keys are Active,
// and lists what the routes have to wait for until then. A key that is not declared at
// all is a problem of the configuration: a person decides about it, with plan.
func (b *Bridge) checkRoutes(cat schema.Catalog) (map[string]*mapping.Program, map[string][]keyNeed, schema.Problems) {
	programs, problems := b.compile(declaredKeys(cat, nil))
	waiting := map[string][]keyNeed{}
	for _, c := range b.cfg.Inbound.Routes {
		if c.Mapping == nil {
			continue
		}
		for _, n := range keyNeeds(c, cat) {
			if n.key == nil {
				advise(problems, n, cat[n.Table])
			} else if !n.active() {
				waiting[c.Name] = append(waiting[c.Name], n)
			}
		}
	}
	return programs, waiting, problems
}

// advise adds to the problems that a key is missing how it can be made.
func advise(problems schema.Problems, n keyNeed, t *schema.Table) {
	hint := "; cebridge apply can define it: see cebridge plan"
	if why := schema.KeyUnfit(t, n.Columns); why != "" {
		hint = "; and it cannot be defined: " + why
	}
	says := "no alternate key of " + n.Table + " consists of " + strings.Join(n.Columns, ", ") + ":"
	for i := range problems {
		if p := &problems[i]; strings.HasPrefix(p.Text, says) && !strings.HasSuffix(p.Text, hint) {
			p.Text += hint
		}
	}
}

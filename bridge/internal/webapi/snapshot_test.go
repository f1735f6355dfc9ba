package webapi

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cebridge/bridge/sim"
	"cebridge/schema"
	"cebridge/schema/outcome"

	"github.com/google/go-cmp/cmp"
)

func TestASnapshotOfASimulatorIsItsSchema(t *testing.T) {
	t.Parallel()
	o := newOrganization(t, sim.Options{})
	tables, notes, err := o.client.Snapshot(t.Context(), nil)
	if err != nil || len(notes) != 0 {
		t.Fatalf("%v, %q", err, notes)
	}
	own, err := sim.DefaultSchema()
	if err != nil {
		t.Fatal(err)
	}
	got := schema.NewCatalog(tables...)
	for _, want := range own {
		// What a schema file may leave out, the metadata spells out: bounds of
		// numbers are compared only where the file has them.
		table := got[want.LogicalName]
		if table == nil {
			t.Errorf("no table %s", want.LogicalName)
			continue
		}
		for i := range table.Columns {
			if w := want.Column(table.Columns[i].LogicalName); w != nil && w.Min == nil && w.Max == nil {
				table.Columns[i].Min, table.Columns[i].Max = nil, nil
			}
		}
		if diff := cmp.Diff(want, table); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want.LogicalName, diff)
		}
	}
	if len(tables) != len(own)+1 || got["organization"] == nil {
		t.Errorf("%d tables, want %d and organization", len(tables), len(own))
	}
}

func TestTablesAreThoseTheWebAPIOffers(t *testing.T) {
	t.Parallel()
	c, _ := newTestClient(t, &definitions{answers: map[string]string{
		"": `{"value":[{"LogicalName":"b","EntitySetName":"bs"},{"LogicalName":"a","EntitySetName":"as"},{"LogicalName":"inner","EntitySetName":null},{"LogicalName":"bad name","EntitySetName":"x"}]}`,
	}})
	if got, err := c.Tables(t.Context()); err != nil || !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestASnapshotStandsOnItsOwn(t *testing.T) {
	t.Parallel()
	d := accountDefinitions()
	d.answers["(LogicalName='contact')/Attributes/Microsoft.Dynamics.CRM.StringAttributeMetadata"] = `{"value":[{"LogicalName":"email","MaxLength":100}]}`
	c, _ := newTestClient(t, d)
	tables, notes, err := c.Snapshot(t.Context(), []string{"account"})
	if err != nil {
		t.Fatal(err)
	}
	if len(tables) != 2 || tables[0].LogicalName != "account" || tables[1].LogicalName != "contact" {
		t.Fatalf("tables %v", tables)
	}
	account := tables[0]
	// systemuser is unknown to the server and team has no entity set: the owner
	// points nowhere.
	if account.Column("ownerid") != nil || len(account.Navigations) != 1 {
		t.Errorf("columns %v, navigations %v", account.Column("ownerid"), account.Navigations)
	}
	if got := account.Column("primarycontactid"); got == nil || !slices.Equal(got.Targets, []string{"contact"}) {
		t.Errorf("primarycontactid %+v", got)
	}
	if !strings.Contains(strings.Join(notes, "\n"), "table account: column ownerid is left out") {
		t.Errorf("notes %q", notes)
	}
}

func TestWhatASchemaFileCannotHoldIsLeftOutAndNamed(t *testing.T) {
	t.Parallel()
	number := func(f float64) *float64 { return &f }
	whole := func(n int64) *int64 { return &n }
	id := schema.Column{LogicalName: "thingid", Type: schema.TypeUniqueID}
	for name, c := range map[string]struct {
		column schema.Column
		keep   bool
	}{
		"text":                     {schema.Column{Type: schema.TypeString, MaxLength: 5}, true},
		"text without a length":    {schema.Column{Type: schema.TypeString}, false},
		"a type nobody knows":      {schema.Column{Type: "CalendarRules"}, false},
		"a lookup to elsewhere":    {schema.Column{Type: schema.TypeLookup, Targets: []string{"other"}}, false},
		"a lookup without a name":  {schema.Column{Type: schema.TypeLookup, Targets: []string{"thing"}}, false},
		"a choice without options": {schema.Column{Type: schema.TypePicklist}, false},
		"options twice":            {schema.Column{Type: schema.TypePicklist, Options: []schema.Option{{Value: 1}, {Value: 1}}}, false},
		"a status of no state":     {schema.Column{Type: schema.TypeStatus, Options: []schema.Option{{Value: 1, State: whole(7)}}}, false},
		"bounds the wrong way":     {schema.Column{Type: schema.TypeInteger, Min: number(2), Max: number(1)}, false},
		"a party list":             {schema.Column{Type: schema.TypePartyList, Targets: []string{"other"}}, true},
	} {
		c.column.LogicalName = "x"
		table := &schema.Table{LogicalName: "thing", EntitySet: "things", PrimaryID: "thingid", PrimaryName: "x",
			Columns: []schema.Column{id, c.column},
			Keys:    []schema.AlternateKey{{LogicalName: "k", Columns: []string{"x"}}}}
		notes := selfContained([]*schema.Table{table})
		if kept := table.Column("x") != nil; kept != c.keep {
			t.Errorf("%s: kept %v, want %v", name, kept, c.keep)
		}
		wantKey := c.column.Type == schema.TypeString && c.keep
		if got := len(table.Keys) == 1; got != wantKey {
			t.Errorf("%s: key kept %v, want %v", name, got, wantKey)
		}
		if named := strings.Contains(strings.Join(notes, "\n"), "column x"); named == c.keep {
			t.Errorf("%s: notes %q", name, notes)
		}
		if !c.keep && table.PrimaryName != "" {
			t.Errorf("%s: the primary name is a column that is gone", name)
		}
	}
}

func TestOfSeveralNavigationsToOneTargetTheFirstStays(t *testing.T) {
	t.Parallel()
	table := &schema.Table{LogicalName: "thing", EntitySet: "things", PrimaryID: "thingid",
		Columns: []schema.Column{
			{LogicalName: "thingid", Type: schema.TypeUniqueID},
			{LogicalName: "a", Type: schema.TypeLookup, Targets: []string{"thing"}},
			{LogicalName: "b", Type: schema.TypeLookup, Targets: []string{"thing"}},
		},
		Navigations: []schema.Navigation{
			{Column: "a", Target: "thing", Name: "a_one"}, {Column: "a", Target: "thing", Name: "a_two"},
			{Column: "b", Target: "thing", Name: "a_one"}, {Column: "gone", Target: "thing", Name: "c"},
		}}
	selfContained([]*schema.Table{table})
	if want := []schema.Navigation{{Column: "a", Target: "thing", Name: "a_one"}}; !slices.Equal(table.Navigations, want) {
		t.Errorf("navigations %v", table.Navigations)
	}
	if table.Column("b") != nil {
		t.Error("a lookup that cannot be bound was kept")
	}
}

func TestASnapshotWaitsForAServerThatAsksForIt(t *testing.T) {
	wait := &outcome.Error{Verdict: outcome.RetryAfter, RetryAfter: 7 * time.Minute}
	pass := &outcome.Error{Verdict: outcome.Retry}
	stop := &outcome.Error{Verdict: outcome.Stop}
	for name, c := range map[string]struct {
		answers []error
		took    time.Duration
		err     error
	}{
		"at once":           {[]error{nil}, 0, nil},
		"as it is told":     {[]error{wait, nil}, 7 * time.Minute, nil},
		"longer and longer": {[]error{pass, pass, pass, nil}, 7 * time.Second, nil},
		"not for ever":      {[]error{pass, pass, pass, pass, pass, pass}, 31 * time.Second, pass},
		"not in vain":       {[]error{stop}, 0, stop},
		"not its own":       {[]error{io.ErrUnexpectedEOF}, 0, io.ErrUnexpectedEOF},
	} {
		synctest.Test(t, func(t *testing.T) {
			start, calls := time.Now(), 0
			err := (&Client{}).patiently(t.Context(), func() error { calls++; return c.answers[calls-1] })
			if !errors.Is(err, c.err) || calls != len(c.answers) || time.Since(start) != c.took {
				t.Errorf("%s: %v after %d calls and %v", name, err, calls, time.Since(start))
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := (&Client{}).patiently(ctx, func() error { return wait }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

func TestASnapshotFailsWhole(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tables []string
		change func(map[string]string)
		says   string
	}{
		"an unknown table":  {[]string{"account", "nothere"}, nil, "no table nothere"},
		"one not offered":   {[]string{"team"}, nil, "no table team"},
		"a cast that fails": {[]string{"account"}, func(a map[string]string) { delete(a, castPath+"StringAttributeMetadata") }, "StringAttributeMetadata"},
	} {
		d := accountDefinitions()
		if c.change != nil {
			c.change(d.answers)
		}
		client, _ := newTestClient(t, d)
		tables, _, err := client.Snapshot(t.Context(), c.tables)
		if tables != nil || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, %v", name, tables, err)
		}
	}
	client, _ := newTestClient(t, accountDefinitions())
	many := make([]string, maxSnapshotTables+1)
	for i := range many {
		many[i] = "t" + strings.Repeat("x", i)
	}
	if _, _, err := client.Snapshot(t.Context(), many); err == nil || !strings.Contains(err.Error(), "name those you need") {
		t.Errorf("501 tables: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := client.Snapshot(ctx, []string{"account"}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

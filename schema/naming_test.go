package schema_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"cebridge/schema"
)

// token draws what ValidToken accepts.
var token = rapid.StringMatching(`[a-zA-Z0-9_-]{1,6}`)

func TestSubjectsOfDifferentThingsDiffer(t *testing.T) {
	t.Parallel()
	type thing struct {
		kind          int
		n             schema.Names
		first, second string
		seq           uint64
	}
	build := func(x thing) string {
		switch x.kind {
		case 0:
			return x.n.Record(x.first, x.second)
		case 1:
			return x.n.Checkpoint(x.first)
		case 2:
			return x.n.Owner(x.first)
		case 3:
			return x.n.Notice(x.first)
		case 4:
			return x.n.Dead(x.first, x.second, x.seq)
		case 6:
			return x.n.Ring(x.first)
		case 7:
			return x.n.Control(x.first, x.second)
		case 8:
			return x.n.Revision(x.first, x.second)
		case 9:
			return x.n.Retried(x.first, x.second, x.seq)
		case 10:
			return x.n.ParkedMessage(x.first, x.second, "i", x.seq)
		}
		return x.n.Parked(x.first, x.second)
	}
	draw := rapid.Custom(func(t *rapid.T) thing {
		x := thing{kind: rapid.IntRange(0, 10).Draw(t, "kind"), first: token.Draw(t, "first")}
		x.n = schema.Names{Prefix: rapid.OneOf(token, rapid.SampledFrom([]string{"crm", "crm-x"})).Draw(t, "prefix"), Org: token.Draw(t, "org")}
		if x.kind == 0 || x.kind >= 4 && x.kind != 6 {
			x.second = token.Draw(t, "second")
		}
		if x.kind == 4 || x.kind >= 9 {
			x.seq = rapid.Uint64().Draw(t, "seq")
		}
		return x
	})
	rapid.Check(t, func(t *rapid.T) {
		a := draw.Draw(t, "a")
		b := rapid.OneOf(draw, rapid.Just(a)).Draw(t, "b")
		if a.n.Validate() != nil || b.n.Validate() != nil {
			return
		}
		if (build(a) == build(b)) != (a == b) {
			t.Fatalf("%+v is %s, %+v is %s", a, build(a), b, build(b))
		}
	})
}

func TestASubjectGivesItsRecordIDBack(t *testing.T) {
	t.Parallel()
	n := schema.Names{Prefix: "crm", Org: "contoso"}
	rapid.Check(t, func(t *rapid.T) {
		table, id := token.Draw(t, "table"), token.Draw(t, "id")
		if got, ok := n.RecordID(table, n.Record(table, id)); !ok || got != id {
			t.Fatalf("got %q, %v", got, ok)
		}
		if got, ok := n.RecordID(table+"x", n.Record(table, id)); ok {
			t.Fatalf("another table's subject gives %q", got)
		}
	})
	for _, subject := range []string{"", "crm.contoso.account.", "crm.contoso.account.a.b", "crm.contoso.account", n.Checkpoint("account")} {
		if got, ok := n.RecordID("account", subject); ok {
			t.Errorf("%q gives the id %q", subject, got)
		}
	}
}

func TestRecordSubjectsAreNotTheBridgesOwn(t *testing.T) {
	t.Parallel()
	n := schema.Names{Prefix: "crm", Org: "contoso"}
	for _, subject := range []string{n.Checkpoint("account"), n.Owner("account"), n.Notice("account"), n.Dead("r", "i", 1), n.Parked("r", "k")} {
		if strings.HasPrefix(subject, "crm.") {
			t.Errorf("%s would reach a consumer of crm.>", subject)
		}
	}
}

func TestPrefixesThatMeetTheBridgesOwnSubjectsAreRefused(t *testing.T) {
	t.Parallel()
	for _, bad := range []schema.Names{
		{}, {Prefix: "crm"}, {Prefix: "a.b", Org: "o"}, {Prefix: "crm", Org: "*"}, {Prefix: "crm", Org: ">"}, {Prefix: "$JS", Org: "o"},
		{Prefix: "crm", Org: "a b"}, {Prefix: "crm", Org: "ä"}, {Prefix: "crm", Org: strings.Repeat("x", 65)},
		{Prefix: "crm-state", Org: "o"}, {Prefix: "crm-notice", Org: "o"}, {Prefix: "crm-dead", Org: "o"}, {Prefix: "crm-parked", Org: "o"},
	} {
		if bad.Validate() == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
	for _, good := range []schema.Names{{Prefix: "crm", Org: "contoso"}, {Prefix: "CRM_2-x", Org: "state"}} {
		if err := good.Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestTheStreamsTakeEverySubject(t *testing.T) {
	t.Parallel()
	n := schema.Names{Prefix: "crm", Org: "contoso"}
	covered := func(filters []string, subject string) bool {
		return slices.ContainsFunc(filters, func(f string) bool { return strings.HasPrefix(subject, strings.TrimSuffix(f, ">")) })
	}
	for _, subject := range []string{n.Record("account", "id"), n.Checkpoint("account"), n.Owner("account"), n.Notice("account"), n.Revision("r", "k")} {
		if !covered(n.EventSubjects(), subject) {
			t.Errorf("%s is on no subject of the event stream", subject)
		}
	}
	for _, subject := range []string{n.Dead("r", "i", 7), n.Retried("r", "i", 7), n.Parked("r", "k"), n.ParkedMessage("r", "k", "i", 7)} {
		if !covered(n.DeadSubjects(), subject) || covered(n.EventSubjects(), subject) {
			t.Errorf("%s is not on the dead-letter stream alone", subject)
		}
	}
	if n.EventStream() != "CRM_CONTOSO" || n.DeadStream() != "CRM_CONTOSO_DEAD" {
		t.Errorf("streams %s, %s", n.EventStream(), n.DeadStream())
	}
}

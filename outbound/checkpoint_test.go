package outbound

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cebridge/schema/event"
)

func sampleCheckpoint() Checkpoint {
	start := uint64(41)
	return Checkpoint{
		Format: 1, Table: "account", OrgID: testOrg, Attempt: "0123456789abcdef0123456789abcdef",
		Written: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Start: StartNow, Phase: PhaseFollowing, Epoch: 2,
		Fingerprint: fingerprint(modelQuery(), testSettings(), &Payload{}), Link: "accounts?$skiptoken=%3Ccookie%20x%3E", Base: "accounts?$deltatoken=5",
		Obtained: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), Began: time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC),
		RoundStart: &start, Page: 3, Rows: 1 << 40, Baseline: "2026-01-01T00:00:00Z",
	}
}

func TestCheckpointSurvivesItsOwnRoundTrip(t *testing.T) {
	t.Parallel()
	between := sampleCheckpoint()
	between.RoundStart, between.Began, between.Page = nil, time.Time{}, 0
	first := Checkpoint{Format: 1, Table: "a", OrgID: "o", Attempt: "x", Start: StartLoad, Phase: PhaseLoading, Epoch: 1, Fingerprint: "f"}
	zero := uint64(0)
	first.RoundStart = &zero
	for _, want := range []Checkpoint{sampleCheckpoint(), between, first} {
		data, err := want.encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeCheckpoint(data)
		if err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("round trip (-want +got):\n%s", diff)
		}
	}
}

func TestCheckpointOfThisFormatStaysReadable(t *testing.T) {
	t.Parallel()
	const stored = `{"format":1,"table":"account","organization":"11111111-2222-4333-8444-555555555555",` +
		`"attempt":"0123456789abcdef0123456789abcdef","written":"2026-01-02T03:04:05.000000006Z","start":"now","phase":"following",` +
		`"epoch":2,"fingerprint":"FP","link":"accounts?$skiptoken=%3Ccookie%20x%3E","base":"accounts?$deltatoken=5",` +
		`"obtained":"2026-01-02T00:00:00Z","began":"2026-01-02T03:00:00Z","round_start":41,"page":3,"rows":1099511627776,` +
		`"baseline":"2026-01-01T00:00:00Z"}`
	want := sampleCheckpoint()
	want.Fingerprint = "FP"
	data, err := want.encode()
	if err != nil || string(data) != stored {
		t.Errorf("written: %s, %v\nwant: %s", data, err, stored)
	}
	got, err := DecodeCheckpoint([]byte(stored))
	if diff := cmp.Diff(&want, got); err != nil || diff != "" {
		t.Errorf("read: %v\n%s", err, diff)
	}
}

func TestCheckpointIsRefusedUnlessKnownExactly(t *testing.T) {
	t.Parallel()
	c := sampleCheckpoint()
	data, _ := c.encode()
	var good map[string]any
	if err := json.Unmarshal(data, &good); err != nil {
		t.Fatal(err)
	}
	with := func(name string, value any) string {
		m := maps.Clone(good)
		if value == nil {
			delete(m, name)
		} else {
			m[name] = value
		}
		b, _ := json.Marshal(m)
		return string(b)
	}
	text := string(data)
	for _, tc := range []struct{ name, text, want string }{
		{"empty", "", "not a JSON object"},
		{"array", "[]", "not a JSON object"},
		{"cut", text[:len(text)-1], "checkpoint"},
		{"more behind", text + "{}", "other data"},
		{"twice", strings.Replace(text, "{", `{"table":"account",`, 1), "table"},
		{"other case", strings.Replace(text, `"table"`, `"Table"`, 1), `"Table"`},
		{"member of a newer bridge", with("shards", 3), `"shards"`},
		{"newer format", with("format", 2), "format 2"},
		{"no format", with("format", nil), "format 0"},
		{"null", strings.Replace(text, `"page":3`, `"page":null`, 1), "null"},
		{"wrong type", with("page", "3"), "page"},
		{"negative page", with("page", -1), "negative"},
		{"unknown phase", with("phase", "dreaming"), "dreaming"},
		{"unknown start", with("start", "later"), "later"},
		{"epoch 0", with("epoch", 0), "epoch 0"},
		{"epoch too large", with("epoch", 10000), "epoch 10000"},
		{"no attempt", with("attempt", nil), "attempt"},
		{"long attempt", with("attempt", strings.Repeat("a", 65)), "attempt"},
		{"no table", with("table", nil), "table"},
		{"no link", with("link", nil), "without a link"},
		{"no base", with("base", nil), "without a link"},
		{"no round start", with("round_start", nil), "no start"},
		{"load with a base", with("phase", "loading"), "do not fit"},
		{"oversized link", with("link", strings.Repeat("l", maxLinkBytes+1)), "oversized"},
		{"oversized", strings.Repeat(" ", maxCheckpointBytes) + text, "more than"},
	} {
		if _, err := DecodeCheckpoint([]byte(tc.text)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one with %q", tc.name, err, tc.want)
		}
	}
}

func TestCheckpointOfAnotherTableIsRefusedWithTheNextAction(t *testing.T) {
	t.Parallel()
	c := sampleCheckpoint()
	if err := c.fit("account", testOrg, c.Fingerprint); err != nil {
		t.Error(err)
	}
	for want, err := range map[string]error{
		"subject prefix":     c.fit("contact", testOrg, c.Fingerprint),
		"right organization": c.fit("account", "99999999-2222-4333-8444-555555555555", c.Fingerprint),
		"changed since":      c.fit("account", testOrg, "other"),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func TestFingerprintCoversIdentityAndContentOnly(t *testing.T) {
	t.Parallel()
	base := fingerprint(modelQuery(), testSettings(), &Payload{})
	same := func(name string, q Query, s event.Settings, want bool) {
		if got := fingerprint(q, s, &Payload{}) == base; got != want {
			t.Errorf("%s: same = %v, want %v", name, got, want)
		}
	}
	q, s := modelQuery(), testSettings()
	q.Columns = []string{"name", "accountnumber", "createdon", "accountid", "name"}
	q.PageSize = 999
	s.Mode, s.DataSchema = event.Binary, "https://contoso.example/account/2"
	same("order, page size, mode, schema address", q, s, true)
	q = modelQuery()
	q.Columns = q.Columns[1:]
	same("a column less", q, testSettings(), false)
	s = testSettings()
	s.Source = "/crm/fabrikam/account"
	same("source", modelQuery(), s, false)
	s = testSettings()
	s.TypePrefix = "com.fabrikam"
	same("type prefix", modelQuery(), s, false)
	a, b := modelQuery(), modelQuery()
	a.Columns, b.Columns = []string{"ab", "c"}, []string{"a", "bc"}
	if fingerprint(a, s, &Payload{}) == fingerprint(b, s, &Payload{}) {
		t.Error("two column sets share a fingerprint")
	}
}

func FuzzDecodeCheckpoint(f *testing.F) {
	c := sampleCheckpoint()
	data, _ := c.encode()
	f.Add(data)
	for i := range 5 {
		f.Add(data[:len(data)*i/5])
	}
	f.Add([]byte(`{"format":1,"format":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := DecodeCheckpoint(data)
		if err != nil {
			return
		}
		again, err := c.encode()
		if err != nil {
			t.Fatalf("accepted %q but cannot write it: %v", data, err)
		}
		d, err := DecodeCheckpoint(again)
		if err != nil {
			t.Fatalf("wrote %s from %q and refuses it: %v", again, data, err)
		}
		if fmt.Sprintf("%+v", deref(*c)) != fmt.Sprintf("%+v", deref(*d)) {
			t.Errorf("%+v became %+v", c, d)
		}
	})
}

// deref makes the round start comparable as text.
func deref(c Checkpoint) any {
	start := "none"
	if c.RoundStart != nil {
		start = fmt.Sprint(*c.RoundStart)
	}
	c.RoundStart = nil
	c.Written, c.Obtained, c.Began = c.Written.UTC(), c.Obtained.UTC(), c.Began.UTC()
	return []any{c, start}
}

package bridge

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cebridge/outbound"
	"cebridge/schema"
)

func payloadTable() *schema.Table {
	return &schema.Table{LogicalName: "account", EntitySet: "accounts", PrimaryID: "accountid", ChangeTracking: true, Columns: []schema.Column{
		{LogicalName: "accountid", Type: schema.TypeUniqueID},
		{LogicalName: "name", Type: schema.TypeString},
		{LogicalName: "revenue", Type: schema.TypeMoney},
		{LogicalName: "statecode", Type: schema.TypeState},
		{LogicalName: "ownerid", Type: schema.TypeOwner, Targets: []string{"systemuser"}},
		{LogicalName: "createdon", Type: schema.TypeDateTime},
		{LogicalName: "modifiedon", Type: schema.TypeDateTime},
	}}
}

// payloadConfig is a configuration with the given lines for its one table.
func payloadConfig(lines string) []byte {
	return fmt.Appendf(nil, "org: contoso\nwebapi: {url: http://a}\nnats: embedded\noutbound:\n  type_prefix: com.contoso.crm\n"+
		"  hash_key: ${HASH_KEY}\n  tables:\n    account:\n      columns: [name, revenue, ownerid, createdon, modifiedon]\n%s", lines)
}

func TestWhatIsWrongWithAPayloadIsToldWithItsPlace(t *testing.T) {
	t.Setenv("HASH_KEY", "0123456789abcdef")
	for lines, want := range map[string][]string{
		"      protect: {nam: mask}":                        {"bridge.yaml:10:22: outbound.tables.account.protect.nam: not among the columns of the table; did you mean name?"},
		"      protect: {name: hush}":                       {`bridge.yaml:10:23: outbound.tables.account.protect.name: "hush" is not one of hash, mask; did you mean hash?`},
		"      only_changes: {ignor: [name]}":               {"bridge.yaml:10:22: outbound.tables.account.only_changes.ignor: unknown field; did you mean ignore?"},
		"      only_changes: sometimes":                     {"bridge.yaml:10:21: outbound.tables.account.only_changes: expected true or false"},
		"      filter: record.name ==":                      {"bridge.yaml:10:29: outbound.tables.account.filter: Syntax error: mismatched input '<EOF>'"},
		"      previous: 1":                                 {"bridge.yaml:10:17: outbound.tables.account.previous: expected true or false"},
		"      only_changes: {ignore: [name, exchangrate]}": {"bridge.yaml:10:37: outbound.tables.account.only_changes.ignore[1]: table account has no column exchangrate"},
		"      filter: record.statecode == 0":               {"bridge.yaml:10:21: outbound.tables.account.filter: column statecode is not read: add it to the table's columns"},
		"      filter: record.nam == null":                  {"bridge.yaml:10:21: outbound.tables.account.filter: table account has no column nam; did you mean name?"},
		"      protect: {modifiedon: mask, name: mask}":     {"bridge.yaml:10:17: outbound.tables.account.protect.modifiedon: cannot be protected: every event shows it in its attributes"},
		"      protect: {createdon: mask}\n      start: now": {
			"bridge.yaml:10:17: outbound.tables.account.protect.createdon: cannot be protected with start: now, which needs it to tell new records"},
		"      protect: {ownerid: hash}\n      references: [ownerid]": {
			"bridge.yaml:10:17: outbound.tables.account.protect.ownerid: is told about in references, so it cannot be protected"},
		"      protect: {name: hash}\n      echo: mark": {"bridge.yaml:11:13: outbound.tables.account.echo: cannot be used with protect"},
		"      protect: {name: hash}\n      only_changes: {ignore: [ownerid]}\n      filter: has(record.name)\n      previous: true": nil,
	} {
		var got []string
		cfg, err := ParseConfig("bridge.yaml", payloadConfig(lines))
		var ps schema.Problems
		if errors.As(err, &ps); err == nil {
			ps = checkPayload(cfg.Outbound.Tables[0], payloadTable())
		}
		for _, p := range ps {
			got = append(got, p.Error())
		}
		if len(got) > 0 && len(want) > 0 {
			got[0] = got[0][:min(len(got[0]), len(want[0]))] // the rest may be a list of tokens or names
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s\n%s", lines, diff)
		}
	}
}

// A configuration that a program makes is checked too.
func TestEchoBesideProtectIsRefusedWithoutAFile(t *testing.T) {
	c := TableConfig{Table: "account", Columns: []string{"name"}, Echo: outbound.EchoDrop, Protect: map[string]schema.Protection{"name": schema.ProtectMask}}
	if ps := checkPayload(c, payloadTable()); len(ps) != 1 || !strings.Contains(ps[0].Text, "cannot be used with protect") {
		t.Errorf("problems %v", ps)
	}
}

func TestHashedColumnsNeedASecretKeyFromOutsideTheFile(t *testing.T) {
	t.Setenv("SHORT", "0123456789abcde")
	text := string(payloadConfig("      protect: {name: hash}"))
	for with, want := range map[string]string{
		"  hash_key: ${SHORT}\n":          "outbound.hash_key: too short",
		"  hash_key: 0123456789abcdefg\n": "outbound.hash_key: a secret must not stand in the file",
		"":                                "outbound.hash_key: required",
	} {
		_, err := ParseConfig("bridge.yaml", []byte(strings.Replace(text, "  hash_key: ${HASH_KEY}\n", with, 1)))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "0123456789") {
			t.Errorf("with %q: %v", with, err)
		}
	}
}

// A program may fill in the configuration itself: then there are no places.
func TestAPayloadWithoutAFileIsCheckedAndTold(t *testing.T) {
	b := &Bridge{cfg: DefaultConfig()}
	b.cfg.Org, b.cfg.Outbound.TypePrefix, b.cfg.Outbound.HashKey = "contoso", "com.contoso.crm", NewSecret("0123456789abcdef")
	c := TableConfig{Table: "account", Columns: []string{"name", "revenue"}, OnlyChanges: true, Previous: true,
		Filter: "record.nme != null", Protect: map[string]schema.Protection{"revenue": schema.ProtectHash}}
	if ps := checkPayload(c, payloadTable()); len(ps) != 1 || !strings.Contains(ps[0].Error(), "outbound.tables.account.filter: table account has no column nme") {
		t.Errorf("problems %v", ps)
	}
	c.Filter = "record.name != null"
	cat := schema.NewCatalog(payloadTable())
	cfg, doc, err := b.tableConfig(c, cat, "11111111-2222-4333-8444-555555555555")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(doc.doc, []byte(schema.HashPrefix)) || !strings.Contains(cfg.Settings.DataSchema, doc.version) {
		t.Errorf("the schema does not tell of the hash: %s", doc.doc)
	}
	p := cfg.Payload
	if !cfg.Previous || !p.OnlyChanges || p.KeepName != c.Filter || string(p.HashKey) != "0123456789abcdef" || cmp.Diff(defaultIgnore, p.Ignore) != "" {
		t.Errorf("payload %+v", p)
	}
	if keep, err := p.Keep([]byte(`{"name":null}`)); keep || err != nil {
		t.Errorf("a record without a name passes: %v", err)
	}
	c.Filter, c.Protect = "", nil
	if cfg, _, err = b.tableConfig(c, cat, "11111111-2222-4333-8444-555555555555"); err != nil || cfg.Payload.Keep != nil || cfg.Payload.HashKey != nil {
		t.Errorf("what is not used is told: %+v, %v", cfg.Payload, err)
	}
	shaper := outbound.NewShaper(payloadTable(), &cfg.Payload)
	if same, err := shaper.Same([]byte(`{"name":"a","modifiedon":"1"}`), []byte(`{"name":"a","modifiedon":"2"}`)); !same || err != nil {
		t.Errorf("modifiedon counts by default: %v", err)
	}
}
